"""What a step of each kind of training takes, as a multiple of the standard one's.

    python -m benchmarks.trainings --json trainings.json      base-size models, for a GPU
    python -m benchmarks.trainings --small                    two narrow layers

All kinds in turns, on the same batch of 8 rows of the packaged AG News, with random weights; the
median of several rounds. What attacks within a fit take is not in it. On a GPU also the most memory
that a step held, which should not grow with the number of passes (freelb_pp, freelb_pp_30).
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.gpu import BATCH, DATASET, HEADS, MODELS, Bench, write_model
from search_spaces.catalog import Catalog
from trainables.assets import Assets
from trainables.data import load_splits
from trainables.fit import gradients
from trainables.optimizer import adamw
from trainables.training.base import training_of

KINDS = (
    "standard", "adversarial", "freelb", "freelb_pp", "freelb_pp_30", "infobert", "ada", "amda",
    "high_temperature",
)  # fmt: skip
ROUNDS, WARM_UP = 5, 1


def take_steps(bench: Bench, model: str, name: str) -> None:
    """A line of results for a model and head."""
    catalog = Catalog()
    data = catalog.dataset(DATASET)
    rows = load_splits(DATASET, data, Assets("embedded").dataset_files(DATASET, data))
    batch, head = list(rows.train[:BATCH]), bench.head(model, name).train()
    trainings = {kind: training_of(catalog.training(kind), head) for kind in KINDS}
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    memory: dict[str, float] = {}
    for number in range(WARM_UP + (2 if bench.small else ROUNDS)):
        for kind, training in trainings.items():
            optimizer = adamw(head, 1e-5, 0.01, True, training.parameters())
            if bench.device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            bench.wait()
            began = time.perf_counter()
            gradients(head, optimizer, batch, training, BATCH)
            bench.wait()
            if number >= WARM_UP:
                seconds[kind].append(time.perf_counter() - began)
            if bench.device == "cuda":
                memory[kind] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    medians = {kind: statistics.median(taken) for kind, taken in seconds.items()}
    bench.say(
        model=model,
        head=name,
        step_ms={kind: round(1e3 * median, 1) for kind, median in medians.items()},
        times_standard={kind: round(m / medians["standard"], 2) for kind, m in medians.items()},
        **({"peak_gb": memory} if memory else {}),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="two narrow layers")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    bench = Bench(arguments.small)
    bench.say(
        device=torch.cuda.get_device_name() if bench.device == "cuda" else "cpu",
        threads=torch.get_num_threads(),
        torch=torch.__version__,
    )
    with tempfile.TemporaryDirectory() as folder:
        for model in MODELS:
            bench.folders[model] = Path(folder) / model
            write_model(bench.folders[model], model, bench.small)
            for head in HEADS:
                take_steps(bench, model, head)
    if arguments.json:
        arguments.json.write_text(json.dumps(bench.found, indent=1) + "\n")


if __name__ == "__main__":
    main()

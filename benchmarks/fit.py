"""Steps of fine-tuning a second, and memory: our heads against the ways they are usually written.

    python -m benchmarks.fit [--small] [--json FILE]

mvp, 4 templates, a vocabulary of 50,265 words:
  ours       trainables/heads/mvp.py under trainables/fit.py's step
  formula    the masked language model's logits at every position, of which the label words' at the
             mask are selected, then max and mean; torch's AdamW
mlp_ft:
  ours       trainables/heads/mlp_ft.py under the same step
  trainer    AutoModelForSequenceClassification under the Trainer of transformers, which pads a
             batch to its longest text, as ours does

All have the same rows of AG News in the same batches of 8, random weights, float32, no gradient
clipping. The full run is of base size (12 layers of 768), the small one has 2 layers of 384.

Each side runs in a process of its own, so memory is that process's peak; sides take turns, and a
figure is the median of the rounds with lowest and highest. The first two steps of a round do not
count. `logits` is the largest tensor of vocabulary logits in a step.
"""

import argparse
import json
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import Costs, described, in_turns, machine, measure, spread, table

DATASET = "ag_news"
VOCABULARY = 50265
BATCH, MAX_LENGTH = 8, 96
LEARNING_RATE, WEIGHT_DECAY = 1e-5, 0.01
WARM_UP = 2  # steps
USUAL = {  # the side that each is compared to
    "mvp ours": "mvp formula",
    "mvp formula": "mvp formula",
    "mlp_ft ours": "mlp_ft trainer",
    "mlp_ft trainer": "mlp_ft trainer",
}
SIDES = tuple(USUAL)


@dataclass(frozen=True)
class Size:
    layers: int
    width: int
    steps: int


FULL, SMALL = Size(12, 768, 2), Size(2, 384, 4)


def run_side(side: str, size: Size, threads: int) -> Costs:
    """Seconds a step (median), the process's memory and the largest logits in bytes."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        model_folder(Path(folder), size)
        step, model = {
            "mvp ours": partial(our_step, "mvp"),
            "mvp formula": formula_step,
            "mlp_ft ours": partial(our_step, "mlp_ft"),
            "mlp_ft trainer": trainer_step,
        }[side](Path(folder))
        largest = Largest(model)
        seconds = []
        for batch in batches(WARM_UP + size.steps):
            started = time.perf_counter()
            step(batch)
            seconds.append(time.perf_counter() - started)
    return {
        "step_s": statistics.median(seconds[WARM_UP:]),
        "memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "logits_bytes": largest.bytes,
    }


class Largest:
    """The largest output of the layer that scores words."""

    def __init__(self, model: Any) -> None:
        self.bytes = 0
        layer = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
        if layer is not None:
            layer.register_forward_hook(self._see)

    def _see(self, layer: Any, inputs: Any, scores: Any) -> None:
        self.bytes = max(self.bytes, scores.numel() * scores.element_size())


def model_folder(folder: Path, size: Size) -> None:
    """A BERT's configuration, with the tokenizer that ships (its ids are below the vocabulary)."""
    from transformers import BertConfig

    from trainables.assets import EMBEDDED

    shutil.copytree(EMBEDDED / "bert", folder, dirs_exist_ok=True)
    BertConfig(
        vocab_size=VOCABULARY,
        num_hidden_layers=size.layers,
        hidden_size=size.width,
        num_attention_heads=size.width // 64,
        intermediate_size=4 * size.width,
    ).save_pretrained(folder)


def batches(count: int) -> Iterator[list[Any]]:
    """Rows of like length share a batch, as in the embedded space."""
    from search_spaces.catalog import Catalog
    from trainables.assets import Assets
    from trainables.data import load_splits

    data = Catalog().dataset(DATASET)
    train = load_splits(DATASET, data, Assets("embedded").dataset_files(DATASET, data)).train
    rows = sorted(train[: BATCH * count], key=lambda example: len(example.texts[0]))
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]


Step = Callable[[list[Any]], object]


def our_step(kind: str, folder: Path) -> tuple[Step, Any]:
    from search_spaces.catalog import Catalog
    from trainables.fit import gradients
    from trainables.heads import build_head
    from trainables.heads.base import HeadSpec
    from trainables.optimizer import adamw
    from trainables.training.base import FromFunction
    from trainables.training.standard import standard_loss

    prompts = Catalog().dataset(DATASET).prompts
    head = build_head(kind, HeadSpec(folder, False, 4, prompts, MAX_LENGTH, pretrained=False))
    head.train()
    optimizer = adamw(head, LEARNING_RATE, WEIGHT_DECAY, True)

    def step(batch: list[Any]) -> None:
        gradients(head, optimizer, batch, FromFunction(standard_loss, {}), BATCH)
        optimizer.step()

    return step, head.model


def formula_step(folder: Path) -> tuple[Step, Any]:
    import torch
    import torch.nn.functional as F
    from transformers import AutoConfig, AutoModelForMaskedLM

    from search_spaces.catalog import Catalog
    from trainables.assets import EMBEDDED
    from trainables.heads import build_head
    from trainables.heads.base import HeadSpec
    from trainables.heads.label_words import label_word_ids

    prompts = Catalog().dataset(DATASET).prompts
    assert prompts is not None
    # For its token ids only: a small one, so that its weights are not in the memory measured.
    small = build_head("mvp", HeadSpec(EMBEDDED / "bert", False, 4, prompts, MAX_LENGTH))
    words = label_word_ids(prompts, small.tokenizer)
    model = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(folder)).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
    )

    def step(batch: list[Any]) -> None:
        encoded = small.encode([example.texts for example in batch])
        optimizer.zero_grad()
        logits = model(**encoded.inputs).logits
        at_mask = logits[torch.arange(len(logits)), encoded.positions]
        by_class = torch.stack([at_mask[:, ids].amax(dim=1) for ids in words], dim=1)
        scores = by_class.view(len(prompts.templates), -1, by_class.shape[1]).mean(dim=0)
        F.cross_entropy(scores, torch.tensor([example.label for example in batch])).backward()
        optimizer.step()

    return step, model


def trainer_step(folder: Path) -> tuple[Step, Any]:
    """What the Trainer does in a step: `training_step`, the optimizer and the schedule."""
    from transformers import (
        AutoConfig,
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=MAX_LENGTH)
    config = AutoConfig.from_pretrained(folder, num_labels=4)
    model = AutoModelForSequenceClassification.from_config(config)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder / "trainer"),
            per_device_train_batch_size=BATCH,
            learning_rate=LEARNING_RATE,
            weight_decay=WEIGHT_DECAY,
            max_grad_norm=0.0,
            lr_scheduler_type="constant",
            use_cpu=True,
            report_to="none",
        ),
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    trainer.create_optimizer_and_scheduler(num_training_steps=1)
    trainer.current_gradient_accumulation_steps = 1  # which its loop sets
    model.train()

    def step(batch: list[Any]) -> None:
        rows = [
            {**tokenizer(example.texts[0], truncation=True), "labels": example.label}
            for example in batch
        ]
        trainer.training_step(model, trainer.data_collator(rows))
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
        model.zero_grad()

    return step, model


def in_a_process(side: str, size: Size, threads: int, folder: Path, number: int) -> Costs:
    """A round of one side."""
    result = folder / f"{side} {number}.json"
    command = [sys.executable, "-m", "benchmarks.fit", "--side", side, "--json", str(result)]
    command += ["--threads", str(threads)] + (["--small"] if size == SMALL else [])
    measure(command, {"OMP_NUM_THREADS": str(threads)}, folder / "log")
    costs: Costs = json.loads(result.read_text())
    return costs


def figures(found: dict[str, list[Costs]]) -> str:
    def row(side: str, usual: str) -> dict[str, str]:
        def of(name: str, digits: int = 2) -> str:
            return spread([costs[name] for costs in found[side]], digits)

        def times(name: str) -> str:
            pairs = zip(found[usual], found[side], strict=True)
            return spread([other[name] / own[name] for other, own in pairs], 2)

        logits = max(costs["logits_bytes"] for costs in found[side])
        return {
            "side": side,
            "steps/s": spread([1 / costs["step_s"] for costs in found[side]], 3),
            "× faster": times("step_s"),
            "memory, GB": of("memory_gb"),
            "logits": f"{logits / 1e3:,.1f} kB" if logits else "–",
        }

    return table([row(side, USUAL[side]) for side in found])


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Steps of fine-tuning, side by side.")
    parser.add_argument("--small", action="store_true", help="2 layers of 384, 3 rounds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--side", choices=SIDES, help="only this one, in this process, once")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args(argv)
    size = SMALL if arguments.small else FULL
    if arguments.side:
        found: Any = run_side(arguments.side, size, arguments.threads)
    else:
        where = machine()
        with tempfile.TemporaryDirectory() as folder:
            fixed = size, arguments.threads, Path(folder)
            sides = {side: partial(in_a_process, side, *fixed) for side in SIDES}
            rounds = in_turns(sides, 3 if arguments.small else arguments.rounds)
        print(f"{described(where)}; {size.layers} layers of {size.width}\n\n{figures(rounds)}")
        found = {"machine": where, "size": asdict(size), "rounds": rounds}
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

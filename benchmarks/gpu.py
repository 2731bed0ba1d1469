"""A first look at a GPU: are results correct and repeatable, and how long are a step and a query?

    python -m benchmarks.gpu --json gpu.json            some four minutes on a GPU
    python -m benchmarks.gpu --small                    on a CPU: does the script run

Base-size BERT, RoBERTa and GPT-2 with random weights and the packaged tokenizers, on rows of the
packaged AG News. Prints one JSON object a line: scores minus those of the CPU; whether two equal
fits are equal to the bit; milliseconds of a step of 8 examples and of queries, in float32, TF32 and
bfloat16; attacks. Needs neither Ray nor MLflow.
"""

import argparse
import contextlib
import json
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from search_spaces.catalog import Catalog, attack_settings, prompts_of
from trainables.assets import EMBEDDED, Assets
from trainables.attacks.resources import masked_language_model, prepare_textattack
from trainables.data import Example, Splits, load_splits
from trainables.fit import gradients
from trainables.heads import build_head
from trainables.heads.base import Head, HeadSpec
from trainables.optimizer import adamw
from trainables.training.base import FromFunction
from trainables.training.standard import standard_loss

MODELS, HEADS, DATASET, LONG = ("bert", "roberta", "gpt2"), ("mlp_ft", "mvp"), "ag_news", "boolq"
ATTACKS = ("textfooler", "textbugger", "bert_attack", "misspellings")
STEPS = 20  # of the two fits that are compared
BATCH, MAX_LENGTH = 8, 512


@dataclass
class Bench:
    """The device, the size of the models, and the results so far."""

    small: bool
    device: str = "cuda" if torch.cuda.is_available() else "cpu"
    found: list[dict[str, Any]] = field(default_factory=list)
    folders: dict[str, Path] = field(default_factory=dict)

    def say(self, **found: Any) -> None:
        self.found.append(found)
        print(json.dumps(found), flush=True)

    def milliseconds(self, do: Callable[[], object]) -> float:
        """The median of a few runs, after some that warm up."""
        taken = []
        for number in range(2 if self.small else 18):
            self.wait()
            began = time.perf_counter()
            do()
            self.wait()
            taken.append(1e3 * (time.perf_counter() - began))
            if number < (1 if self.small else 3):
                taken.clear()
        return round(statistics.median(taken), 2)

    def wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def head(
        self, model: str, name: str, device: str | None = None, dataset: str = DATASET
    ) -> Head:
        catalog = Catalog()
        data, entry = catalog.dataset(dataset), catalog.head(name)
        language_model = catalog.model(f"{model}-embedded")
        prompts = prompts_of(data, entry, language_model)
        torch.manual_seed(0)
        spec = HeadSpec(
            self.folders[model],
            language_model.kind == "causal",
            len(data.labels),
            None if isinstance(prompts, str) else prompts,
            MAX_LENGTH,
            pretrained=False,
        )
        return build_head(entry.kind, spec).to(device or self.device)


def write_model(folder: Path, model: str, small: bool) -> None:
    """A model's configuration at base size, with the packaged tokenizer and no weights."""
    shutil.copytree(EMBEDDED / model, folder, dirs_exist_ok=True)
    (folder / "model.safetensors").unlink(missing_ok=True)
    layers, width = (2, 96) if small else (12, 768)
    config = AutoConfig.from_pretrained(EMBEDDED / model)
    config.vocab_size = max(config.vocab_size, 200 if small else 50265)
    heads = width // (32 if small else 64)
    if config.model_type == "gpt2":
        config.n_layer, config.n_embd, config.n_head, config.n_positions = (
            layers,
            width,
            heads,
            1024,
        )
    else:
        config.num_hidden_layers, config.hidden_size = layers, width
        config.num_attention_heads, config.intermediate_size = heads, 4 * width
        config.max_position_embeddings = 514
    config.save_pretrained(folder)


def precisions(device: str) -> dict[str, Callable[[], AbstractContextManager[object]]]:
    if device == "cpu":
        return {"float32": contextlib.nullcontext}
    bfloat16 = partial(torch.autocast, "cuda", torch.bfloat16)
    return {"float32": contextlib.nullcontext, "tf32": tf32, "bfloat16": bfloat16}


@contextmanager
def tf32() -> Iterator[None]:
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


def step(head: Head, optimizer: torch.optim.Optimizer, batch: list[Example]) -> None:
    head.train()
    gradients(head, optimizer, batch, FromFunction(standard_loss, {}), BATCH)
    optimizer.step()


def look_at_scores(bench: Bench, rows: Splits, model: str, name: str) -> None:
    texts = [example.texts for example in rows.test[:8]]
    head = bench.head(model, name)
    together, on_cpu = head.predict(texts), bench.head(model, name, "cpu").predict(texts)
    alone = torch.cat([head.predict([text]) for text in texts])
    bench.say(
        model=model,
        head=name,
        largest_difference_from_cpu=float((together - on_cpu).abs().max()),
        of_texts_alone=float((alone - together).abs().max()),
    )


def look_at_equal_fits(bench: Bench, rows: Splits, model: str, name: str) -> None:
    """Two equal fits, with and without deterministic algorithms: equal bits, and at what cost?"""
    for deterministic in (False, True):
        with deterministic_algorithms(deterministic), warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            ends, milliseconds = [], 0.0
            for _ in range(2):
                head = bench.head(model, name, dataset=LONG)
                optimizer = adamw(head, 1e-4, 0.01, True)
                torch.manual_seed(1)
                bench.wait()
                began = time.perf_counter()
                for number in range(STEPS):
                    step(head, optimizer, list(rows.train[BATCH * number : BATCH * (number + 1)]))
                bench.wait()
                milliseconds = 1e3 * (time.perf_counter() - began) / STEPS
                ends.append(head.snapshot())
        different = [
            weight for weight in ends[0] if not torch.equal(ends[0][weight], ends[1][weight])
        ]
        bench.say(
            model=model,
            head=name,
            dataset=LONG,
            deterministic_algorithms=deterministic,
            steps=STEPS,
            step_ms=round(milliseconds, 1),
            two_equal_fits_are_equal=not different,
            weights_that_differ=len(different),
            warnings=sorted({str(one.message)[:200] for one in said}),
        )


@contextmanager
def deterministic_algorithms(wanted: bool) -> Iterator[None]:
    torch.use_deterministic_algorithms(wanted, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def take_times(bench: Bench, rows: Splits, model: str, name: str) -> None:
    texts = [example.texts for example in rows.test[:32]] * 8
    for precision, within in precisions(bench.device).items():
        with within():
            head = bench.head(model, name)
            optimizer = adamw(head, 1e-5, 0.01, True)
            batch = list(rows.train[:BATCH])
            if bench.device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            taken = {"step_ms": bench.milliseconds(lambda: step(head, optimizer, batch))}  # noqa: B023
            if bench.device == "cuda":
                taken["step_peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
            for count in (1, 8) if bench.small else (1, 8, 32, 256):
                asked = texts[:count]
                taken[f"query_{count}_ms"] = bench.milliseconds(
                    lambda: head.predict(asked)  # noqa: B023
                )
            bench.say(model=model, head=name, precision=precision, **taken)


def take_times_of_attacks(bench: Bench, rows: Splits, name: str) -> None:
    """Means over five examples whose labels are the untrained victim's predictions."""
    from trainables.attacks.engine import Victim, attack_examples
    from trainables.attacks.recipes import build_attack

    catalog = Catalog()
    data, head = catalog.dataset(DATASET), bench.head("bert", name)
    first = rows.test[:6]
    labels = head.predict([example.texts for example in first]).argmax(dim=1).tolist()
    victims = [Example(e.id, e.texts, label) for e, label in zip(first, labels, strict=True)]
    for attack in ATTACKS:
        entry = catalog.attack(attack)
        made = partial(
            build_attack,
            entry.kind,
            settings=attack_settings(entry, data, "mvp", "embedded"),
            resources="embedded",
            masked_lm=masked_language_model("embedded", head.device),
            columns=data.columns,
            attacked=data.attacked,
        )
        _, *records = attack_examples(
            lambda made=made: made(victim=Victim(head)), victims, data.columns, 0, DATASET, attack
        )
        finished = [record for record in records if record["status"] != "error"]
        bench.say(
            attack=attack,
            head=name,
            errors=len(records) - len(finished),
            queries=statistics.mean(record["queries"] for record in finished),
            seconds=round(statistics.mean(record["seconds"] for record in finished), 3),
            victim_seconds=round(statistics.mean(r["victim_seconds"] for r in finished), 3),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="two narrow layers")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    bench = Bench(arguments.small)
    prepare_textattack("embedded")
    rows, long_rows = (
        load_splits(name, data, Assets("embedded").dataset_files(name, data))
        for name, data in ((name, Catalog().dataset(name)) for name in (DATASET, LONG))
    )
    name = torch.cuda.get_device_name() if bench.device == "cuda" else "cpu"
    bench.say(device=name, torch=torch.__version__)
    with tempfile.TemporaryDirectory() as folder:
        for model in MODELS:
            bench.folders[model] = Path(folder) / model
            write_model(bench.folders[model], model, bench.small)
        for model in MODELS:
            for head in HEADS:
                look_at_scores(bench, rows, model, head)
                look_at_equal_fits(bench, long_rows, model, head)
                take_times(bench, rows, model, head)
        for head in HEADS:
            take_times_of_attacks(bench, rows, head)
    if arguments.json:
        arguments.json.write_text(json.dumps(bench.found, indent=1) + "\n")


if __name__ == "__main__":
    main()

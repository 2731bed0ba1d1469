"""Examples a second: our engine against `textattack.Attacker`, side by side.

    python -m benchmarks.attack [--small] [--json FILE]

The same victims, attack settings, resources and examples (the embedded AG News). Sides:

engine    trainables/attacks, many examples at once (attack.at_once); on several cores as in a
          sweep: one worker per core, each with a part of the examples
attacker  textattack.Attacker with its own HuggingFaceModelWrapper, which pads to the victim's
          maximum length (96), its own classes wherever we have faster ones, and transformers'
          models as they are
unpadded  the same, but with our Victim as the wrapper: texts sorted by length, padded to the
          longest of a batch, and our matrix multiplication

On several cores the last two have as many threads: `Attacker`'s own workers are for GPUs only. The
sides take turns within each round, so that other load affects all of them; a figure is the median
of the rounds, with lowest and highest. On one core of a busy machine read CPU time; on several
cores read wall-clock time, because CPU time includes threads that wait for each other. Each side
draws its random numbers from its own seed. For the engine, the time is also split by part.

BERT-Attack is measured at 4 candidates a word. TextAttack scores every combination of a word's
pieces (with the recipe's 8 candidates, 8 to the power of the number of pieces) and then does not
use the scores.

The small victim is the embedded BERT, fine-tuned; the larger ones have random weights and a few
steps of training. Examples get the labels that the victim gives them, so that none is skipped.
"""

import argparse
import contextlib
import copy
import io
import json
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import cache, wraps
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from transformers import BertConfig

from search_spaces.catalog import Catalog, attack_settings
from search_spaces.space import AttackSettings
from trainables import speed
from trainables.assets import EMBEDDED, Assets
from trainables.attacks.resources import masked_language_model, prepare_textattack
from trainables.cell import Part
from trainables.data import Example, Splits, attacked_examples, load_splits
from trainables.heads import build_head
from trainables.heads.base import Head, HeadSpec
from trainables.speed.linear import Linear

prepare_textattack("embedded")

import textattack  # noqa: E402
from textattack.models.wrappers import HuggingFaceModelWrapper, ModelWrapper  # noqa: E402

from trainables.attacks import offline, recipes  # noqa: E402
from trainables.attacks.engine import Victim, attack_examples  # noqa: E402
from trainables.speed.texts import Text  # noqa: E402

DATASET = "ag_news"
MAX_LENGTH = 96
SEED = 0
ATTACKS = ("textfooler", "textbugger", "bert_attack", "misspellings")
CHANGED: dict[str, dict[str, Any]] = {"bert_attack": {"max_candidates": 4}}
RIGHT_ENOUGH = 0.8


@cache
def load_rows() -> Splits:
    data = Catalog().dataset(DATASET)
    return load_splits(DATASET, data, Assets("embedded").dataset_files(DATASET, data))


def as_transformers_has_it(model: Any) -> Any:
    """A copy whose linear layers are torch's own again."""
    plain = copy.deepcopy(model)
    for module in plain.modules():
        if isinstance(module, Linear):
            module.__class__ = torch.nn.Linear
    return plain


@cache
def plain_masked_lm() -> tuple[Any, Any]:
    model, tokenizer = masked_language_model("embedded")
    return as_transformers_has_it(model), tokenizer


def make_attack(
    name: str, victim: ModelWrapper, own: bool = False, masked_lm: Any = None, **changed: Any
) -> Any:
    """An attack at embedded settings on texts of one column; `own`: of TextAttack's classes.

    masked_lm: model and tokenizer that BERT-Attack asks, of the embedded resources if None.
    """
    catalog = Catalog()
    data = catalog.dataset(DATASET)
    settings = attack_settings(catalog.attack(name), data, "textattack", "embedded")
    masked_lm = masked_lm or masked_language_model("embedded")
    with speed.off() if own else nullcontext():
        return recipes.build_attack(
            name,
            victim,
            {**settings, **changed},
            "embedded",
            masked_lm,
            data.columns,
            data.attacked,
        )


@dataclass(frozen=True)
class Size:
    """A victim's size; of a random one layers and width are given."""

    name: str
    layers: int | None = None
    width: int = 0


SIZES = [Size("3 M"), Size("22 M", 6, 384), Size("110 M", 12, 768)]


def fine_tuned(size: Size, train: Sequence[Example], test: Sequence[Example]) -> Head:
    """A victim; one that is not random is right about most of `test`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(EMBEDDED / "bert", folder, dirs_exist_ok=True)
        if size.layers is not None:
            BertConfig(
                vocab_size=30522,
                num_hidden_layers=size.layers,
                hidden_size=size.width,
                num_attention_heads=size.width // 64,
                intermediate_size=4 * size.width,
            ).save_pretrained(folder)
        torch.manual_seed(SEED)
        pretrained = size.layers is None
        head = build_head("mlp_ft", HeadSpec(folder, False, 4, None, MAX_LENGTH, pretrained))
    rate = 3e-4 if size.width < 768 else 1e-4
    optimizer = torch.optim.AdamW(head.parameters(), lr=rate)
    for step in range(400 if pretrained else 16):
        head.train()
        rows = [train[(step * 16 + i) % len(train)] for i in range(16)]
        logits = head([row.texts for row in rows])
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor([row.label for row in rows]))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        if step % 20 == 19 and accuracy(head, test) >= RIGHT_ENOUGH:
            break
    return head.eval()


def accuracy(head: Head, examples: Sequence[Example]) -> float:
    predicted = head.predict([e.texts for e in examples]).argmax(dim=1)
    return float((predicted == torch.tensor([e.label for e in examples])).float().mean())


def as_predicted(head: Head, examples: Sequence[Example]) -> list[Example]:
    labels = head.predict([e.texts for e in examples]).argmax(dim=1).tolist()
    return [replace(e, label=label) for e, label in zip(examples, labels, strict=True)]


def run_engine(name: str, head: Head, examples: Sequence[Example]) -> int:
    """Attack all; returns the number of queries."""

    def attack() -> Any:
        return make_attack(name, Victim(head), **CHANGED.get(name, {}))

    at_once = AttackSettings().at_once
    records = attack_examples(attack, examples, ["text"], SEED, DATASET, name, at_once=at_once)
    return sum(record["queries"] for record in records)


def run_attacker(name: str, victim: ModelWrapper, examples: Sequence[Example]) -> int:
    masked_lm = plain_masked_lm()
    attack = make_attack(name, victim, own=True, masked_lm=masked_lm, **CHANGED.get(name, {}))
    dataset = textattack.datasets.Dataset([(e.texts[0], e.label) for e in examples])
    arguments = textattack.AttackArgs(
        num_examples=len(examples), random_seed=SEED, disable_stdout=True, silent=True
    )
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        results = textattack.Attacker(attack, dataset, arguments).attack_dataset()
    return sum(result.num_queries for result in results)


class Workers:
    """The engine in a process a core, of one thread each; on one core in this process."""

    def __init__(self, head: Head, cores: int) -> None:
        self.head, self.cores = head, cores
        # One pool a core, so that each process has its own part in every round.
        self.processes = [
            ProcessPoolExecutor(
                1, get_context("spawn"), initializer=_begin_worker, initargs=(head,)
            )
            for _ in range(cores)
        ]

    def run(self, name: str, examples: Sequence[Example]) -> tuple[int, float]:
        """Queries, and CPU seconds of the processes beside this one."""
        if self.cores == 1:
            return run_engine(name, self.head, examples), 0.0
        running = [
            process.submit(_run_part, name, Part(number, self.cores).share(examples))
            for number, process in enumerate(self.processes)
        ]
        queries, seconds = zip(*(part.result() for part in running), strict=True)
        return sum(queries), sum(seconds)

    def close(self) -> None:
        for process in self.processes:
            process.shutdown()


_head: Head  # of a worker


def _begin_worker(head: Head) -> None:
    global _head
    torch.set_num_threads(1)
    _head = head


def _run_part(name: str, examples: Sequence[Example]) -> tuple[int, float]:
    before = time.process_time()
    queries = run_engine(name, _head, examples)
    return queries, time.process_time() - before


Side = Callable[[], tuple[int, float]]


def sides(name: str, workers: Workers, examples: Sequence[Example]) -> dict[str, Side]:
    head: Any = workers.head
    head.tokenizer.model_max_length = MAX_LENGTH
    padded = HuggingFaceModelWrapper(as_transformers_has_it(head.model), head.tokenizer)
    return {
        "engine": lambda: workers.run(name, examples),
        "attacker": lambda: (run_attacker(name, padded, examples), 0.0),
        "unpadded": lambda: (run_attacker(name, Victim(head), examples), 0.0),
    }


@dataclass
class Measured:
    """Seconds an example of one side, by wall clock and CPU, and queries."""

    victim: str
    attack: str
    cores: int
    side: str
    wall: list[float]
    cpu: list[float]
    queries: float


def measure(
    victim: str, name: str, workers: Workers, examples: Sequence[Example], rounds: int
) -> list[Measured]:
    torch.set_num_threads(workers.cores)
    runs = sides(name, workers, examples)
    found = {side: Measured(victim, name, workers.cores, side, [], [], 0) for side in runs}
    runs["engine"]()  # tables are loaded, pages are warm
    for _ in range(rounds):
        for side, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            queries, elsewhere = run()
            found[side].queries = queries / len(examples)
            found[side].wall.append((time.perf_counter() - wall) / len(examples))
            spent = time.process_time() - cpu + elsewhere
            found[side].cpu.append(spent / len(examples))
    return list(found.values())


class Parts:
    """Seconds by part; a part that calls another is not charged for it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.inside = ["the search and the rest"]
        self.since = time.perf_counter()

    def _charge(self) -> None:
        now = time.perf_counter()
        self.seconds[self.inside[-1]] += now - self.since
        self.since = now

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._charge()
        self.inside.append(name)
        try:
            yield
        finally:
            self._charge()
            self.inside.pop()

    def timed(self, owner: Any, method: str, name: str) -> Any:
        """A patch under which the time within `owner.method` is that of part `name`."""
        function = getattr(owner, method)

        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return patch.object(owner, method, run)


def where_time_goes(name: str, head: Any, examples: Sequence[Example]) -> dict[str, float]:
    """Milliseconds an example of the engine, by part, on one core."""
    torch.set_num_threads(1)
    run_engine(name, head, examples[:1])  # workers have their own tables
    parts = Parts()
    timed = [
        (type(head), "score", "victim's forward"),
        (type(head), "encode", "victim's tokenizer"),
        (offline.EmbeddedSentenceEncoder, "encode", "sentence encoder"),
        (offline.EmbeddedPartOfSpeech, "_get_pos", "tagger"),
        (Text, "replace_words_at_indices", "text building"),
        (recipes.BertAttackSwap, "_get_transformations", "masked language model"),
    ]
    with ExitStack() as stack:
        for owner, method, part in timed:
            stack.enter_context(parts.timed(owner, method, part))
        run_engine(name, head, examples)
        parts._charge()
    return {part: 1000 * seconds / len(examples) for part, seconds in parts.seconds.items()}


def table(results: Sequence[Measured]) -> str:
    """Examples a second as Markdown; the ratio is that of CPU seconds an example."""
    lines = [
        "| victim | cores | attack | side | examples/s (min–max) | CPU ms per example (min–max) "
        "| engine × faster (CPU) | (wall) | queries per example |",
        "| --- | --: | --- | --- | --: | --: | --: | --: | --: |",
    ]
    engine: Any = None
    for r in results:
        engine = r if r.side == "engine" else engine
        cpu, wall = (
            statistics.median(theirs / own for theirs, own in zip(of(r), of(engine), strict=True))
            for of in (lambda m: m.cpu, lambda m: m.wall)
        )
        lines.append(
            f"| {r.victim} | {r.cores} | {r.attack} | {r.side} "
            f"| {1 / statistics.median(r.wall):.2f} ({1 / max(r.wall):.2f}–{1 / min(r.wall):.2f}) "
            f"| {1000 * statistics.median(r.cpu):,.0f} "
            f"({1000 * min(r.cpu):,.0f}–{1000 * max(r.cpu):,.0f}) "
            f"| {cpu:.1f} | {wall:.1f} | {r.queries:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Attack speed, side by side with TextAttack's.")
    parser.add_argument("--small", action="store_true", help="the 3 M victim, 2 examples")
    parser.add_argument("--victims", default="3 M,22 M,110 M", help="some of: 3 M,22 M,110 M")
    parser.add_argument("--attacks", default=",".join(ATTACKS), help="some of the four")
    parser.add_argument("--cores", default="1,2", help="numbers of cores (default: 1,2)")
    parser.add_argument("--examples", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if arguments.small:
        arguments.victims, arguments.cores = "3 M", "1"
        arguments.examples, arguments.rounds = 2, 3
    splits = load_rows()
    held_out = attacked_examples(splits.test, 100)
    results: list[Measured] = []
    profile: list[dict[str, Any]] = []
    for size in SIZES:
        if size.name not in arguments.victims.split(","):
            continue
        head = fine_tuned(size, splits.train, held_out)
        millions = sum(p.numel() for p in head.parameters()) / 1e6
        print(f"victim {size.name}: {millions:.1f} M, accuracy {accuracy(head, held_out):.2f}")
        examples = as_predicted(head, held_out[: arguments.examples])
        for cores in map(int, arguments.cores.split(",")):
            with contextlib.closing(Workers(head, cores)) as workers:
                for name in arguments.attacks.split(","):
                    measured = measure(size.name, name, workers, examples, arguments.rounds)
                    results += measured
                    print(table(measured), flush=True)
        for name in arguments.attacks.split(","):
            parts = where_time_goes(name, head, examples)
            profile.append({"victim": size.name, "attack": name, **parts})
    print("\n" + table(results))
    if arguments.json:
        found = {"measured": [asdict(each) for each in results], "milliseconds": profile}
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

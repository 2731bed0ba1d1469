"""Attacks on a victim that behaves like a GPU: one at a time, many at once, in several processes.

    python -m benchmarks.latency [--small] [--json FILE]

The victim takes a fixed time a call and a time a text (by default 8 ms and 0.05 ms, as a model of
base size on a GPU), during which it sleeps and no one else has it. Sides:

one at a time   one process, one example at a time, 32 texts a call
at once         one process, `attack.at_once` examples at a time
copies          several processes, each with its own copy of the model on the one GPU
server          several processes without a GPU, before one process that has the victim and answers
                all that wait in one call

Search and constraints are the real ones, with the embedded resources; scores are made up from
words, in microseconds. `busy` is the share of wall-clock time in which the victim works. With fewer
cores than processes the CPUs are the limit, not the victim: `CPU ms` an example says how many cores
it would take to keep it busy.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any
from zlib import crc32

import torch

from trainables.attacks.resources import prepare_textattack
from trainables.cell import Part
from trainables.data import Example, attacked_examples
from trainables.heads.base import Head, Texts

prepare_textattack("embedded")

from benchmarks.attack import (  # noqa: E402
    ATTACKS,
    CHANGED,
    DATASET,
    SEED,
    load_rows,
    make_attack,
)
from trainables.attacks.engine import Victim, attack_examples  # noqa: E402

CLASSES = 4
ONE_CALL = 32  # texts a call, as TextAttack has it
context = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Speed:
    """Seconds that the victim takes a call, and more a text; the texts of a call at most."""

    call: float
    text: float
    texts: int


class Gpu:
    """The one GPU, as a process has it that holds a copy of the model: others wait meanwhile."""

    def __init__(self, speed: Speed, lock: Any, busy: Any) -> None:
        self.speed, self.lock, self.busy = speed, lock, busy

    def read(self, texts: Texts) -> None:
        for start in range(0, len(texts), self.speed.texts):
            with self.lock:
                self.work(min(self.speed.texts, len(texts) - start))

    def work(self, texts: int) -> None:
        began = time.perf_counter()
        time.sleep(self.speed.call + self.speed.text * texts)
        self.busy.value += time.perf_counter() - began


class Remote:
    """The victim's process, as one that has no GPU sees it."""

    def __init__(self, server: Connection) -> None:
        self.server = server

    def read(self, texts: Texts) -> None:
        self.server.send(texts)
        self.server.recv()


class Words(Head):
    """Each word adds a score to a class."""

    def __init__(self, gpu: Gpu | Remote) -> None:
        super().__init__()
        self.gpu = gpu

    def is_batch_invariant(self, texts: Texts) -> bool:
        return True

    def predict(self, texts: Texts) -> torch.Tensor:
        self.gpu.read(texts)
        return torch.tensor([scores(text[0]) for text in texts])


def scores(text: str) -> list[float]:
    words = [of_word(word) for word in text.split()] or [(0.0,) * CLASSES]
    return [sum(each) / len(words) ** 0.5 for each in zip(*words, strict=True)]


@lru_cache(2**16)
def of_word(word: str) -> tuple[float, ...]:
    return tuple(crc32(f"{word}/{label}".encode()) % 1000 / 500 for label in range(CLASSES))


def labelled(rows: Sequence[Example]) -> list[Example]:
    """With the labels that the victim gives them, so that none is skipped."""
    label = [max(range(CLASSES), key=scores(row.texts[0]).__getitem__) for row in rows]
    return [replace(row, label=each) for row, each in zip(rows, label, strict=True)]


def attack(name: str, gpu: Gpu | Remote, examples: Sequence[Example], at_once: int) -> float:
    """Attack all; CPU seconds of this process."""
    head = Words(gpu)
    began = time.process_time()
    records = attack_examples(
        lambda: make_attack(name, Victim(head), **CHANGED.get(name, {})),
        examples,
        ["text"],
        SEED,
        DATASET,
        name,
        at_once=at_once,
    )
    assert all(record["status"] != "error" for record in records)
    return time.process_time() - began


def worker(gpu: Gpu | Remote, todo: Connection, examples: Sequence[Example], at_once: int) -> None:
    """In a process of its own: attack when told to, by the attack's name."""
    torch.set_num_threads(1)
    while name := todo.recv():
        todo.send(attack(name, gpu, examples, at_once))


@dataclass
class Measured:
    """Of one side: examples a second, and the victim's share of the wall clock that it is busy;
    milliseconds an example of all processes' CPUs, and of the victim."""

    attack: str
    side: str
    processes: int
    at_once: int
    examples_per_second: float
    busy: float
    cpu_ms: float
    victim_ms: float


def measure(
    side: str, processes: int, at_once: int, speed: Speed, rows: Sequence[Example], names: list[str]
) -> Iterator[Measured]:
    lock, busy = context.Lock(), context.Value("d", 0.0)
    gpu = Gpu(speed, lock, busy)
    told, asked, started = [], [], []
    for number in range(processes):
        tell, todo = context.Pipe()
        told.append(tell)
        of_it: Gpu | Remote = gpu
        if side == "server":
            server, client = context.Pipe()
            asked.append(server)
            of_it = Remote(client)
        part = Part(number, processes).share(rows)
        started.append(context.Process(target=worker, args=(of_it, todo, part, at_once)))
        started[-1].start()
    for name in (names[0], *names):  # the first time everything is loaded
        busy.value, began = 0.0, time.perf_counter()
        for tell in told:
            tell.send(name)
        cpu = sum(answers(told, asked, gpu))
        wall = time.perf_counter() - began
        count = len(rows)
        found = Measured(
            name, side, processes, at_once, count / wall, busy.value / wall,
            1000 * cpu / count, 1000 * busy.value / count,
        )  # fmt: skip
        yield found
    for tell, process in zip(told, started, strict=True):
        tell.send("")
        process.join()


def answers(told: Sequence[Connection], asked: Sequence[Connection], gpu: Gpu) -> Iterator[float]:
    """What each worker says at its end; meanwhile all texts that wait are read in one call."""
    running = list(told)
    while running:
        ready = wait([*running, *asked])
        for connection in running[:]:
            if connection in ready:
                running.remove(connection)
                yield connection.recv()
        waiting = [connection for connection in asked if connection in ready]
        if waiting:
            gpu.work(sum(len(connection.recv()) for connection in waiting))
            for connection in waiting:
                connection.send(None)


def main() -> None:
    parser = argparse.ArgumentParser(description="Attacks on a victim that behaves like a GPU.")
    parser.add_argument("--small", action="store_true", help="2 examples a process, 2 processes")
    parser.add_argument("--attacks", default=",".join(ATTACKS), help="some of the four")
    parser.add_argument("--examples", type=int, default=64)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--call", type=float, default=8.0, help="milliseconds a call")
    parser.add_argument("--text", type=float, default=0.05, help="milliseconds a text")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if arguments.small:
        arguments.examples, arguments.processes = 4, 2
    rows = labelled(attacked_examples(load_rows().test, arguments.examples))
    names = arguments.attacks.split(",")
    call, text = arguments.call / 1000, arguments.text / 1000
    results: list[Measured] = []
    for side, processes, at_once, texts in (
        ("one at a time", 1, 1, ONE_CALL),
        ("at once", 1, arguments.at_once, 10**9),
        ("copies", arguments.processes, arguments.at_once, 10**9),
        ("server", arguments.processes, arguments.at_once, 10**9),
    ):
        _, *measured = measure(side, processes, at_once, Speed(call, text, texts), rows, names)
        results += measured
    print(as_table(results))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(each) for each in results], indent=1) + "\n")


def as_table(results: Sequence[Measured]) -> str:
    lines = [
        "| attack | side | processes | at once | examples/s | × one at a time | victim busy, % "
        "| CPU ms an example | victim's ms an example |",
        "| --- | --- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    alone = {r.attack: r.examples_per_second for r in results if r.side == "one at a time"}
    for r in sorted(results, key=lambda r: list(alone).index(r.attack)):
        lines.append(
            f"| {r.attack} | {r.side} | {r.processes} | {r.at_once} | {r.examples_per_second:.1f} "
            f"| {r.examples_per_second / alone[r.attack]:.1f} | {100 * r.busy:.0f} "
            f"| {r.cpu_ms:.0f} | {r.victim_ms:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()

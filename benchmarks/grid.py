"""A slice of the embedded grid: a sweep, against a script that runs one process per cell.

    python -m benchmarks.grid [--small] [--json FILE]

sweep    python -m orchestrator.sweep
script   benchmarks/one_cell.py for each cell, run by xargs, as many at once as the sweep has slots:
         the Trainer of transformers fits, textattack.Attacker attacks

The slice is {sst2, ag_news, dbpedia_14} × bert-embedded × {mlp_ft, mvp} × 4 attacks: 24 cells on 6
fits; like the whole grid, 4 cells per fit. Both sides have the space's own settings, the same rows,
attacked examples, resources and threads. The sides take turns; a figure is the median of the
rounds, with lowest and highest.

`in fits` and `in attacks` are seconds summed over all of them, as each side measures its own; the
script's attacks include loading what an attack needs. The sweep starts Ray and MLflow, keeps every
example and writes its report; a sweep of one tiny cell (`fixed`), in turn with the others, measures
this fixed cost. Accuracies show that both sides do the same work: initialisation and row order are
drawn differently, so they agree up to chance. One of a cell's 5 examples is 20 points; the fits'
accuracy on the whole test set says more.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import (
    Costs,
    described,
    in_turns,
    machine,
    measure,
    spread,
    table,
)
from orchestrator.plan.plan import make_plan
from search_spaces.cell import Cell
from search_spaces.space import load
from trainables.assets import Assets
from trainables.store import Store

MODEL, HEADS = "model=bert-embedded", "head=mlp_ft,mvp"
ONLY = ("dataset=sst2,ag_news,dbpedia_14", MODEL, HEADS)
SMALL = ("dataset=sst2", MODEL, HEADS, "attack=textfooler")
FEWER_ROWS = ("fit.train_examples=600",)
TINY = ("fit.train_examples=16", "attack.examples=1")
ACCURACIES = ("test_accuracy", "clean_accuracy", "accuracy_under_attack")
WHOLE_GRID = 420  # cells of the embedded space


@dataclass(frozen=True)
class Slice:
    """What is run: choices and settings as a sweep takes them, slots, and a folder to work in."""

    only: tuple[str, ...]
    sets: tuple[str, ...]
    slots: int
    folder: Path

    def cells(self, store: Store) -> list[Cell]:
        space = load("embedded", self.only, self.sets)
        return [planned.cell for planned in make_plan(space, Assets("embedded"), store).cells]

    def one_tiny_cell(self) -> "Slice":
        only = ("dataset=sst2", MODEL, "head=mlp_ft", "attack=misspellings")
        return Slice(only, TINY, self.slots, self.folder)

    def environment(self) -> dict[str, str]:
        """Threads as many as the space gives a cell; Ray sets the same for its workers."""
        threads = str(load("embedded").resources.fit.cpus)
        return {"OMP_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "false"}


def sweep(slice: Slice, name: str, number: int) -> Costs:
    """A sweep of the slice into a fresh store."""
    store = Store(str(slice.folder / f"{name}-{number}"))
    command = [sys.executable, "-m", "orchestrator.sweep", "--store", store.url]
    command += [part for only in slice.only for part in ("--only", only)]
    command += [part for setting in slice.sets for part in ("--set", setting)]
    command += ["--max-concurrent", str(slice.slots)]
    usage = measure(command, slice.environment(), slice.folder / f"{name}-{number}.log")
    cells = slice.cells(store)
    fits = {cell.fit.key: store.read_fit(cell.fit.key) for cell in cells}
    results = [
        {
            **store.read_result(cell.key)["metrics"],
            "test_accuracy": fits[cell.fit.key]["test_accuracy"],
        }
        for cell in cells
    ]
    return {
        **usage.costs(),
        "fits_s": sum(fit["seconds"] for fit in fits.values()),
        "attacks_s": sum(result["attack_seconds"] for result in results),
        **means(results),
    }


def script(slice: Slice, number: int) -> Costs:
    """A process a cell, as many at once as the sweep has slots."""
    folder = slice.folder / f"script-{number}"
    folder.mkdir()
    files = []
    for cell in slice.cells(Store(str(folder))):
        files.append(folder / f"{cell.key}.json")
        files[-1].write_text(cell.model_dump_json())
    listed = folder / "cells.txt"
    listed.write_text("".join(f"{file}\n" for file in files))
    run = (sys.executable, "-m", "benchmarks.one_cell")
    command = ["xargs", "-a", str(listed), "-P", str(slice.slots), "-n", "1", *run]
    usage = measure(command, slice.environment(), slice.folder / f"script-{number}.log")
    results = [json.loads(file.with_suffix(".out").read_text()) for file in files]
    return {
        **usage.costs(),
        "fits_s": sum(result["fit_seconds"] for result in results),
        "attacks_s": sum(result["attack_seconds"] for result in results),
        **means(results),
    }


def means(results: Sequence[dict[str, Any]]) -> Costs:
    """Accuracies in %, over cells."""
    return {name: 100 * statistics.mean(each[name] for each in results) for name in ACCURACIES}


def figures(found: dict[str, list[Costs]]) -> str:
    """A row a side."""

    def row(side: str) -> dict[str, str]:
        def of(name: str, digits: int = 1) -> str:
            return spread([costs[name] for costs in found[side]], digits)

        def accuracy(name: str) -> str:
            return "–" if side == "fixed" else of(name)

        return {
            "side": side,
            "wall clock, s": of("wall_s"),
            "CPU, s": of("cpu_s"),
            "in fits, s": of("fits_s"),
            "in attacks, s": of("attacks_s"),
            "memory (PSS), GB": of("pss_gb", 2),
            "memory (RSS), GB": of("rss_gb", 2),
            "processes": of("processes", 0),
            "at once": of("at_once", 0),
            "fits' test accuracy, %": accuracy("test_accuracy"),
            "clean, %": accuracy("clean_accuracy"),
            "under attack, %": accuracy("accuracy_under_attack"),
        }

    return table([row(side) for side in found])


def ratios(found: dict[str, list[Costs]]) -> dict[str, list[float]]:
    """The script's costs as multiples of the sweep's, round by round."""
    names = {"wall clock": "wall_s", "CPU seconds": "cpu_s", "memory (PSS)": "pss_gb"}
    rounds = list(zip(found["script"], found["sweep"], strict=True))
    return {
        name: [script[cost] / sweep[cost] for script, sweep in rounds]
        for name, cost in names.items()
    }


def whole_grid(found: dict[str, list[Costs]], cells: int) -> dict[str, list[float]]:
    """Minutes that the whole grid would take if its cells were all like the slice's."""
    rounds = zip(found["sweep"], found["fixed"], strict=True)
    each = [(sweep["wall_s"] - fixed["wall_s"]) / cells for sweep, fixed in rounds]
    fixed = [costs["wall_s"] for costs in found["fixed"]]
    return {
        "sweep": [(f + WHOLE_GRID * e) / 60 for f, e in zip(fixed, each, strict=True)],
        "script": [costs["wall_s"] / cells * WHOLE_GRID / 60 for costs in found["script"]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="A sweep against one process per cell.")
    parser.add_argument("--small", action="store_true", help="2 cells, 600 rows, one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slots", type=int, default=2, help="cells at once, on either side")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if arguments.small:
        arguments.rounds = 1
    only, sets = (SMALL, FEWER_ROWS) if arguments.small else (ONLY, ())
    where = machine()
    with tempfile.TemporaryDirectory() as folder:
        slice = Slice(only, sets, arguments.slots, Path(folder))
        cells = slice.cells(Store(folder))
        sides = {
            "fixed": partial(sweep, slice.one_tiny_cell(), "fixed"),
            "sweep": partial(sweep, slice, "sweep"),
            "script": partial(script, slice),
        }
        found = in_turns(sides, arguments.rounds)
    times, minutes = ratios(found), whole_grid(found, len(cells))
    print(f"{described(where)}; {len(cells)} cells, {arguments.slots} slots\n")
    print(figures(found))
    print(f"\nThe script takes, times what the sweep does: {listed(times)}.")
    if not arguments.small:
        print(
            f"\nExtrapolated, not measured, to {WHOLE_GRID} cells, in minutes, were they all like "
            f"these: {listed(minutes)}."
        )
    if arguments.json:
        said = {"machine": where, "cells": [cell.key for cell in cells], "rounds": found}
        said |= {"times": times, "extrapolated minutes": minutes}
        arguments.json.write_text(json.dumps(said, indent=1) + "\n")


def listed(found: dict[str, list[float]]) -> str:
    return ", ".join(f"{name} {spread(values)}" for name, values in found.items())


if __name__ == "__main__":
    main()

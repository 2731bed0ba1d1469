"""How well the embedded space's fits train, and what they take: accuracy beside CPU seconds.

    python -m benchmarks.embedded_fits [--only AXIS=VALUES] [--set PATH=VALUE] [--seeds 0-2]
                                       [--space FILE] [--json FILE] [--against FILE]

Each fit of a space of packaged data sets and models is made whole, from building the head to the
record, in one process with one thread. Its CPU time is counted, so other load on the machine does
not. By model, data set and head, and in all: the mean test accuracy in %, with the lowest, and the
CPU seconds of one seed's fits. `--against` shows those of an earlier `--json` beside them, over the
fits that both have.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.side_by_side import described, machine, table
from orchestrator.plan.plan import make_plan
from search_spaces.axes import as_seeds
from search_spaces.cell import Fit
from search_spaces.space import load
from trainables.assets import Assets
from trainables.fit import Fitted, fine_tune, fresh_head, load_data
from trainables.store import Store

ASSETS = Assets("embedded")


class Made(NamedTuple):
    """A fit that was made: its accuracies are shares."""

    dataset: str
    model: str
    head: str
    seed: int
    test: float
    validation: float
    cpu_seconds: float

    @property
    def place(self) -> tuple[str, str, str, int]:
        return self.dataset, self.model, self.head, self.seed


def made(fit: Fit) -> Made:
    splits = load_data(fit, ASSETS)  # cached: shared by consecutive fits
    began = time.process_time()
    *_, fitted = fine_tune(fit, fresh_head(fit, ASSETS), splits)
    assert isinstance(fitted, Fitted)
    record = fitted.record
    return Made(
        fit.dataset,
        fit.model,
        fit.head,
        fit.seed,
        record["test_accuracy"],
        record["validation_accuracy"],
        time.process_time() - began,
    )


def figures(now: Sequence[Made], before: Sequence[Made]) -> str:
    """Tables by head, by data set, by both and in all. before: those of another run, or none."""
    both = {each.place for each in now} & {each.place for each in before}
    sides = {"": list(now)}
    if before:
        sides = {
            " before": [each for each in before if each.place in both],
            " now": [each for each in now if each.place in both],
        }
    by: dict[str, Callable[[Made], str]] = {
        "model": lambda each: each.model,
        "data set": lambda each: each.dataset,
        "head": lambda each: each.head,
        "data set, head": lambda each: f"{each.dataset} {each.head}",
        "in all": lambda each: "all",
    }
    return "\n\n".join(table(_rows(name, of, sides)) for name, of in by.items())


def _rows(
    name: str, of: Callable[[Made], str], sides: dict[str, list[Made]]
) -> list[dict[str, str]]:
    groups = list(dict.fromkeys(of(each) for fits in sides.values() for each in fits))
    rows = []
    for group in groups:
        row = {name: group}
        for side, fits in sides.items():
            own = [each for each in fits if of(each) == group]
            row["fits" + side] = str(len(own))
            row["test" + side] = f"{100 * statistics.mean(each.test for each in own):.1f}"
            row["lowest" + side] = f"{100 * min(each.test for each in own):.1f}"
            seeds = len({each.seed for each in own})
            row["CPU s" + side] = f"{sum(each.cpu_seconds for each in own) / seeds:.1f}"
        rows.append(row)
    return rows


def read(file: Path) -> list[Made]:
    return [Made(*each) for each in json.loads(file.read_text())["fits"]]


def fits_of(
    space: str, only: Iterable[str], sets: Iterable[str], seeds: Sequence[int]
) -> list[Fit]:
    plan = make_plan(load(space, only, sets, seeds), ASSETS, Store("no_such_store"))
    return [cells[0].fit for cells in plan.fits.values()]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Accuracy and CPU seconds of the embedded fits.")
    parser.add_argument("--space", default="embedded", help="a name or file (default: embedded)")
    parser.add_argument("--only", action="append", default=[], help="AXIS=VALUES, as of a sweep")
    parser.add_argument("--set", action="append", default=[], help="PATH=VALUE, as of a sweep")
    parser.add_argument("--seeds", default="0-2", help="as of a sweep (default: 0-2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the fits there")
    parser.add_argument("--against", type=Path, metavar="FILE", help="an earlier --json")
    arguments = parser.parse_args(argv)
    where, before = machine(), read(arguments.against) if arguments.against else []
    torch.set_num_threads(1)
    fits = fits_of(arguments.space, arguments.only, arguments.set, as_seeds(arguments.seeds))
    done = []
    for number, fit in enumerate(fits, start=1):
        done.append(made(fit))
        print(f"{number} of {len(fits)}: {done[-1]}", file=sys.stderr, flush=True)
    print(f"{described(where)}; {' '.join(arguments.set)}\n\n{figures(done, before)}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": where, "fits": done}, indent=1) + "\n")


if __name__ == "__main__":
    main()

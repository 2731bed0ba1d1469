"""Seconds that a sweep adds to a cell: what it takes beyond the cells' own fits and attacks.

    python -m benchmarks.overhead [--small] [--json FILE]

Cells with almost no compute (no_op.py): sst2, a linear head on hashed words trained on 16 rows,
four attacks that propose nothing, on 5 examples each; 75 seeds make 75 fits and 300 cells. With S
slots,

    overhead of a cell = ((W − F) S − (C − C_F)) / (n − n_F)

where W is the sweep's wall-clock time, C the compute in its records (seconds of fits and of
examples), n its number of cells; F, C_F and n_F are those of a sweep with one cell per slot. So the
costs paid once per sweep (start) and once per slot (imports) are left out.

Where it goes: `before` the first cell starts, `between` that and the last result, and `after` it
(the report, and what is still to be uploaded to MLflow), by the times of the store's files. `alone`
runs the same cells one after another in one process without Ray and MLflow (trainables/cell.py):
what a cell takes there beyond its compute is the worker's share, the rest is the orchestrator's.
CPU seconds are those of the sweep's whole process tree: on a busy machine they are the ones to
read.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.side_by_side import Costs, described, in_turns, machine, measure, spread, table
from orchestrator.plan.plan import make_plan
from search_spaces.cell import Cell
from search_spaces.space import load
from trainables.assets import Assets
from trainables.cell import Worker
from trainables.store import Store

ATTACKS = 4
TARGET = 0.3  # seconds per cell
SPACE = """\
name: overhead
assets: embedded
axes: {{dataset: [sst2], model: [bert-embedded], head: [hashed_words], attack: [{attacks}]}}
fit: {{train_examples: 16, max_epochs: 1, learning_rate: 1.0e-2}}
attack: {{examples: 5, protocol: mvp, resources: embedded}}
"""
HEAD = "about: Weights of hashed words.\nkind: benchmarks.no_op:HashedWords\n"
ATTACK = (
    "about: Proposes nothing.\nkind: benchmarks.no_op:nothing\nsettings: {{number: {number}}}\n"
)


def write_space(folder: Path) -> Path:
    """The space and its catalog. The attacks differ in a setting that nothing reads."""
    names = [f"nothing_{number}" for number in range(ATTACKS)]
    files = {"space.yaml": SPACE.format(attacks=", ".join(names))}
    files["catalog/heads/hashed_words.yaml"] = HEAD
    for number, name in enumerate(names):
        files[f"catalog/attacks/{name}.yaml"] = ATTACK.format(number=number)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder / "space.yaml"


def cells_of(space: Path, seeds: int, only: Sequence[str], store: Store) -> list[Cell]:
    loaded = load(str(space), only, (), list(range(seeds)))
    return [planned.cell for planned in make_plan(loaded, Assets("embedded"), store).cells]


def computed(store: Store, cells: Iterable[Cell]) -> float:
    """Seconds of fits and of attacked examples, as the store's records have them."""
    fits = {cell.fit.key for cell in cells}
    attacks = sum(store.read_result(cell.key)["metrics"]["attack_seconds"] for cell in cells)
    return float(attacks + sum(store.read_fit(key)["seconds"] for key in fits))


def sweep(
    space: Path, name: str, seeds: int, slots: int, only: Sequence[str], number: int
) -> Costs:
    """A sweep of `seeds` seeds into a fresh store."""
    folder = space.parent / f"{name}-{number}"
    store = Store(str(folder))
    command = [sys.executable, "-m", "orchestrator.sweep", "--space", str(space)]
    command += ["--store", store.url, "--seeds", f"0-{seeds - 1}"]
    command += [part for each in only for part in ("--only", each)]
    command += ["--max-concurrent", str(slots)]
    began = time.time()
    usage = measure(command, {"OMP_NUM_THREADS": "1"}, space.parent / f"{name}-{number}.log")
    cells = cells_of(space, seeds, only, store)
    begun = min(file.stat().st_mtime for file in folder.glob("cells/*/cell.json")) - began
    ended = max(file.stat().st_mtime for file in folder.glob("cells/*/result.json")) - began
    phases = {"before_s": begun, "between_s": ended - begun, "after_s": usage.wall - ended}
    counts = {"cells": len(cells), "computed_s": computed(store, cells)}
    return {**usage.costs(), **phases, **counts}


def alone(space: Path, seeds: int, number: int) -> Costs:
    """The same cells by one worker in this process; the first cell, which imports, is left out."""
    store = Store(str(space.parent / f"alone-{number}"))
    cells = cells_of(space, seeds, (), store)
    worker = Worker(store, Assets("embedded"))
    wall = 0.0
    for cell in cells:
        started = time.perf_counter()
        for progress in worker.run(cell):
            last = progress
        if last["phase"] == "failed":
            raise RuntimeError(f"{cell.key}: {last['error']}")
        wall += time.perf_counter() - started if cell is not cells[0] else 0.0
    rest = computed(store, cells) - computed(store, cells[:1])
    return {"wall_s": wall, "cells": len(cells) - 1, "computed_s": rest}


def overheads(found: dict[str, list[Costs]], slots: int) -> dict[str, list[float]]:
    """Seconds a cell, round by round: in all and by where they go."""

    def a_cell(whole: Costs, fixed: Costs, phase: str) -> float:
        return (whole[phase] - fixed[phase]) * slots / (whole["cells"] - fixed["cells"])

    rounds = list(zip(found["sweep"], found["fixed"], found["alone"], strict=True))
    compute = [
        (w["computed_s"] - f["computed_s"]) / (w["cells"] - f["cells"]) for w, f, _ in rounds
    ]
    worker = [(a["wall_s"] - a["computed_s"]) / a["cells"] for *_, a in rounds]
    names = ("wall_s", "before_s", "between_s", "after_s")
    by_phase = {name: [a_cell(w, f, name) for w, f, _ in rounds] for name in names}
    return {
        "overhead": [w - c for w, c in zip(by_phase["wall_s"], compute, strict=True)],
        "before the first cell (planning)": by_phase["before_s"],
        "between the first and the last": [
            b - c for b, c in zip(by_phase["between_s"], compute, strict=True)
        ],
        "of this, in the worker itself": worker,
        "after the last cell (report, MLflow)": by_phase["after_s"],
        "compute, not included above": compute,
        "CPU seconds, including compute": [
            (w["cpu_s"] - f["cpu_s"]) / (w["cells"] - f["cells"]) for w, f, _ in rounds
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Seconds that a sweep adds to a cell.")
    parser.add_argument("--small", action="store_true", help="40 cells, one round")
    parser.add_argument("--seeds", type=int, default=75, help="four cells each (default: 75)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if arguments.small:
        arguments.seeds, arguments.rounds = 10, 1
    where, slots = machine(), arguments.slots
    with tempfile.TemporaryDirectory() as folder:
        space = write_space(Path(folder))
        one_each = ("attack=nothing_0",)
        sides = {
            "fixed": partial(sweep, space, "fixed", slots, slots, one_each),
            "sweep": partial(sweep, space, "sweep", arguments.seeds, slots, ()),
            "alone": partial(alone, space, arguments.seeds),
        }
        found = in_turns(sides, arguments.rounds)
    seconds = overheads(found, slots)
    cells = found["sweep"][0]["cells"]
    walls = {side: spread([costs["wall_s"] for costs in found[side]]) for side in found}
    print(f"{described(where)}; {cells} cells, {slots} slots\n")
    print(f"wall clock: sweep {walls['sweep']} s, one cell per slot {walls['fixed']} s\n")
    print(table([{"": n, "seconds per cell": spread(v, 3)} for n, v in seconds.items()]))
    met = statistics.median(seconds["overhead"]) <= TARGET
    print(f"\ntarget: at most {TARGET} s per cell; met: {'yes' if met else 'no'}")
    if arguments.json:
        said = {"machine": where, "slots": slots, "rounds": found, "seconds per cell": seconds}
        arguments.json.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()

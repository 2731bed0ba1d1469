"""Read a space's results from a store: finished cells, and what is attacked so far of others.

Keys are made of the digests of data and models and of the installed versions. A machine that only
reads may have other versions and no models at all; there a cell that is not found by its key is
looked for by all else that was asked for: the same names and settings.
"""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from orchestrator.plan import Plan, PlannedCell
from orchestrator.report.results import Absent, CellResult, Outcomes, Record, Results, Transfer
from search_spaces.cell import Cell
from trainables.results import attack_metrics
from trainables.store import Store

AT_ONCE = 16  # cells read at a time: an object store takes 10 ms and more for each file


def read(plan: Plan, store: Store, from_elsewhere: bool = False) -> Results:
    """The results of a plan's cells.

    from_elsewhere: take cells of other versions of libraries, data and models too.
    """
    here = _Here(plan, store, from_elsewhere)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        found = list(threads.map(partial(_read, store, here), plan.cells))
    cells = [each for each in found if isinstance(each, CellResult)]
    absent = [each for each in found if isinstance(each, Absent)]
    finished = (each for each in cells if each.final)
    return Results(plan.space.name, store.url, cells, absent, transfers(finished, store))


def transfers(cells: Iterable[CellResult], store: Store) -> list[Transfer]:
    """All pairs of a source cell and a target fit of its data set, the source's own among them.

    Of a source only the examples in its own sample count. A pair of which nothing was replayed (no
    example was found, or it was never asked for) is left out.
    """
    by_dataset: dict[str, list[CellResult]] = {}
    for result in cells:
        by_dataset.setdefault(result.cell.fit.dataset, []).append(result)
    found = []
    for sources in by_dataset.values():
        targets = {source.cell.fit.key: source.cell.fit for source in sources}
        with ThreadPoolExecutor(AT_ONCE) as threads:
            records = list(threads.map(store.transfer, targets))
        for source in sources:
            sample = set(source.outcomes.ids.tolist())
            for target, record in zip(targets.values(), records, strict=True):
                if counts := _counts(record.get(source.cell.log), sample):
                    found.append(Transfer(source.cell, target, *counts))
    return found


def _counts(entry: Record | None, sample: set[int]) -> tuple[int, int, int] | None:
    if entry is None:
        return None
    replayed, right_before, fooled = (
        len(sample.intersection(entry[name])) for name in ("replayed", "right_before", "fooled")
    )
    return (replayed, right_before, fooled) if replayed else None


def read_all(store: Store, like: Results) -> Results:
    """All finished cells of a store at the places of other results, whatever their settings."""
    wanted = {tuple(result.cell.axes().values()) for result in like.cells}
    names = {_name(result.cell.key) for result in like.cells}
    keys = sorted(key for key in store.cells_done() if _name(key) in names)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        cells = [Cell.model_validate(cell) for cell in threads.map(store.read_cell, keys)]
        kept = [cell for cell in cells if tuple(cell.axes().values()) in wanted]
        found = list(threads.map(partial(_finished, store), kept))
    return Results(like.space, store.url, found)


class _Here:
    """What the store has, listed once."""

    def __init__(self, plan: Plan, store: Store, from_elsewhere: bool) -> None:
        self.store = store
        self.fits = store.fits_done()
        self.logs = store.logs_begun()
        self.others: dict[str, list[str]] = {}  # by name: keys of cells that the plan has not
        if from_elsewhere:
            planned = {planned.cell.key for planned in plan.cells}
            for key in sorted(store.cells_done() - planned):
                self.others.setdefault(_name(key), []).append(key)

    def same_but_elsewhere(self, cell: Cell) -> Cell | None:
        for key in self.others.get(_name(cell.key), []):
            other = Cell.model_validate(self.store.read_cell(key))
            if _asked(other) == _asked(cell):
                return other
        return None


def _read(store: Store, here: _Here, planned: PlannedCell) -> CellResult | Absent:
    cell = planned.cell
    if planned.status == "not_applicable":
        return Absent(cell.axes(), planned.status, planned.reason)
    if planned.status == "done":
        return _finished(store, cell)
    if (other := here.same_but_elsewhere(cell)) is not None:
        return _finished(store, other)
    if cell.log in here.logs and cell.fit.key in here.fits:
        return _unfinished(store, cell)
    return Absent(cell.axes(), planned.status, planned.reason)


def _finished(store: Store, cell: Cell) -> CellResult:
    result = store.read_result(cell.key)
    sample = result["sample"]

    def records() -> list[Record]:
        attacked = store.attacked(cell.log)
        return [attacked[id] for id in sample]

    return CellResult(
        cell=cell,
        metrics=result["metrics"],
        outcomes=Outcomes.of(records()),
        fit=store.read_fit(cell.fit.key),
        evaluations=_evaluations(store, cell),
        records=records,
        interval=result.get("interval"),
    )


def _unfinished(store: Store, cell: Cell) -> CellResult:
    def records() -> list[Record]:
        return list(store.attacked(cell.log).values())

    attacked = records()
    return CellResult(
        cell=cell,
        metrics=attack_metrics(attacked),
        outcomes=Outcomes.of(attacked),
        fit=store.read_fit(cell.fit.key),
        evaluations=_evaluations(store, cell),
        records=records,
        final=False,
    )


def _evaluations(store: Store, cell: Cell) -> list[Record]:
    return list(store.evaluations(cell.fit.key).values()) if cell.fit.evaluate_also else []


def _name(key: str) -> str:
    """The readable part of a key."""
    return key.rpartition("-")[0]


def _asked(cell: Cell) -> str:
    """All that a cell was asked to be, but for the digests of files and versions of libraries."""

    def without(part: Any) -> Any:
        if not isinstance(part, dict):
            return part
        left_out = ("digest", "versions", "resources", "format", "split_into_words")
        return {k: without(v) for k, v in part.items() if k not in left_out}

    identity = [without(cell.identity), cell.attack_resources, cell.examples, cell.precision]
    return json.dumps(identity, sort_keys=True)

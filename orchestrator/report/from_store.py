"""Read a space's results from a store: finished cells, and what is attacked so far of others.

A cell that is not found by its key is looked up by its settings (plan/elsewhere.py). What is
damaged counts as missing.
"""

from collections.abc import Iterable
from functools import partial
from typing import cast

from orchestrator.plan.elsewhere import Elsewhere, name_of
from orchestrator.plan.plan import Plan, PlannedCell
from orchestrator.report.registry import registry_of
from orchestrator.report.results import Absent, CellResult, Outcomes, Results, Transfer, by_scores
from search_spaces.cell import Cell
from trainables.files import at_once
from trainables.metrics import attack_metrics, why_not_of
from trainables.records import (
    Evaluation,
    ExampleRecord,
    FitRecord,
    Replayed,
    is_of_weights,
    weights_name,
)
from trainables.store import Store


def read_store(plan: Plan, store: Store, from_elsewhere: bool = False) -> Results:
    """The results of a plan's cells.

    from_elsewhere: include cells of other versions of libraries, data and models.
    """
    here = _Here(plan, store, from_elsewhere)
    every = at_once(partial(_read, store, here), plan.cells)
    cells = [each for each in every if isinstance(each, CellResult)]
    absent = [each for each in every if isinstance(each, Absent)]
    finished = [each for each in cells if each.final]
    return Results(
        plan.space.name,
        store.url,
        cells,
        absent,
        transfers(finished, store),
        registry_of(plan.space),
        by_scores(finished, store.cells_done(), partial(_finished, store)),
    )


def transfers(cells: Iterable[CellResult], store: Store) -> list[Transfer]:
    """All pairs of a source cell and a target fit of its data set, the source's own among them.

    Only examples in a source's own sample count. A pair without replays (no adversarial example was
    found, or no replay was asked for) is left out.
    """
    by_dataset: dict[str, list[CellResult]] = {}
    for result in cells:
        by_dataset.setdefault(result.cell.fit.dataset, []).append(result)
    pairs = []
    for sources in by_dataset.values():
        targets = {source.cell.fit.key: source.cell.fit for source in sources}
        records = at_once(store.transfer, targets)
        for source in sources:
            sample = set(source.outcomes.ids.tolist())
            for target, record in zip(targets.values(), records, strict=True):
                if counts := _counts(
                    record.get(source.cell.log), cast(FitRecord, source.fit), sample
                ):
                    pairs.append(Transfer(source.cell, target, *counts))
    return pairs


def _counts(
    entry: Replayed | None, source: FitRecord, sample: set[int]
) -> tuple[int, int, int] | None:
    weights = weights_name(source)
    if entry is None or entry.get("found_on", weights) not in (weights, None):
        return None
    lists = entry["replayed"], entry["right_before"], entry["fooled"]
    replayed, right_before, fooled = (len(sample.intersection(ids)) for ids in lists)
    return (replayed, right_before, fooled) if replayed else None


def read_baseline(store: Store, like: Results) -> Results:
    """All finished cells of a store at the places of other results, whatever their settings."""
    places = {tuple(result.cell.axes().values()) for result in like.cells}
    names = {name_of(result.cell.key) for result in like.cells}
    keys = sorted(key for key in store.cells_done() if name_of(key) in names)
    asked = at_once(partial(store.sound, store.read_cell), keys)
    cells = [Cell.model_validate(cell) for cell in asked if cell is not None]
    kept = [cell for cell in cells if tuple(cell.axes().values()) in places]
    finished = at_once(partial(_finished, store), kept)
    return Results(like.space, store.url, [each for each in finished if each is not None])


class _Here:
    """What the store has, listed once."""

    def __init__(self, plan: Plan, store: Store, from_elsewhere: bool) -> None:
        self.fits = store.fits_read()
        self.logs = store.logs_begun()
        planned = {planned.cell.key for planned in plan.cells}
        self.others = Elsewhere(store, planned) if from_elsewhere else None

    def finished_elsewhere(self, cell: Cell, store: Store) -> CellResult | None:
        other = None if self.others is None else self.others.find(cell)
        return None if other is None else _finished(store, other)


def _read(store: Store, here: _Here, planned: PlannedCell) -> CellResult | Absent:
    cell = planned.cell
    if planned.status == "not_applicable":
        return Absent(cell.axes(), planned.status, planned.reason)
    result = _finished(store, cell) if planned.status == "done" else None
    result = result or here.finished_elsewhere(cell, store)
    if result is None and cell.log in here.logs and cell.fit.key in here.fits:
        result = _unfinished(store, cell, here.fits[cell.fit.key])
    return result or Absent(cell.axes(), planned.status, planned.reason)


def _finished(store: Store, cell: Cell) -> CellResult | None:
    """A finished cell; None if its fit or attacked examples are missing or damaged."""
    result = store.sound(store.read_result, cell.key)
    fit = store.sound(store.read_fit, cell.fit.key)
    if result is None or fit is None or not is_of_weights(result, fit):
        return None
    attacked = store.attacked(cell.log)
    if why_not_of(result, attacked):
        return None
    sample = result["sample"]

    def records() -> list[ExampleRecord]:
        attacked = store.attacked(cell.log)
        return [attacked[id] for id in sample]

    return CellResult(
        cell=cell,
        metrics=result["metrics"],
        outcomes=Outcomes.of(attacked[id] for id in sample),
        fit=fit,
        evaluations=_evaluations(store, cell),
        records=records,
        interval=result.get("interval"),
    )


def _unfinished(store: Store, cell: Cell, fit: FitRecord) -> CellResult | None:
    def records() -> list[ExampleRecord]:
        attacked = store.attacked(cell.log).values()
        return [record for record in attacked if is_of_weights(record, fit)]

    attacked = records()
    if not attacked:
        return None
    return CellResult(
        cell=cell,
        metrics=attack_metrics(attacked),
        outcomes=Outcomes.of(attacked),
        fit=fit,
        evaluations=_evaluations(store, cell),
        records=records,
        final=False,
    )


def _evaluations(store: Store, cell: Cell) -> list[Evaluation]:
    return list(store.evaluations(cell.fit.key).values()) if cell.fit.evaluate_also else []

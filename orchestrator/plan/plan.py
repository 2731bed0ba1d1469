"""Space → plan: which cells there are, which share a fit, what is done already, what it will cost.

Resolves the space (cells.py) and reads the store; changes nothing and imports neither torch
nor Ray, so that `--dry-run` answers at once.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args

from orchestrator.plan.cells import ThisMachine, resolve
from orchestrator.plan.costs import Costs
from orchestrator.plan.elsewhere import Elsewhere
from orchestrator.plan.rates import Rates, measured
from orchestrator.plan.sizes import Sizes
from search_spaces.cell import Cell, Fit
from search_spaces.space import Space
from trainables.assets import Assets
from trainables.files import at_once
from trainables.metrics import why_not_of
from trainables.records import FitRecord, Result, is_of_weights
from trainables.store import Store

PlanStatus = Literal["done", "todo", "failed", "not_applicable"]


@dataclass(frozen=True)
class PlannedCell:
    """A cell; failed ones are run again, those that are not_applicable have a reason."""

    cell: Cell
    status: PlanStatus
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """All cells of a space in a fixed order, the fits stored already, and what each will cost."""

    space: Space
    cells: list[PlannedCell]
    fits_done: frozenset[str]
    costs: Costs = field(default_factory=Costs, compare=False)

    def with_status(self, *statuses: PlanStatus) -> list[Cell]:
        return [planned.cell for planned in self.cells if planned.status in statuses]

    @property
    def todo(self) -> list[Cell]:
        """Cells to run: those never finished, failed ones among them."""
        return self.with_status("todo", "failed")

    @property
    def applicable(self) -> list[Cell]:
        return self.with_status("todo", "failed", "done")

    @property
    def fits(self) -> dict[str, list[Cell]]:
        """Applicable cells by fit key."""
        grouped: dict[str, list[Cell]] = {}
        for cell in self.applicable:
            grouped.setdefault(cell.fit.key, []).append(cell)
        return grouped

    @property
    def fits_todo(self) -> dict[str, Cell]:
        """A cell of each fit that is to be made, by its key."""
        return {cell.fit.key: cell for cell in self.todo if cell.fit.key not in self.fits_done}

    def estimated_seconds(self) -> float:
        """Compute left, in seconds of one trial at a time."""
        fits = (self.costs.of(cell, "fit") for cell in self.fits_todo.values())
        attacks = (self.costs.of(cell, "attack") for cell in self.todo)
        return sum(cost.seconds for cost in (*fits, *attacks))

    def fit_cost(self, cell: Cell) -> float:
        """Expected seconds of a cell's fit."""
        return self.costs.of(cell, "fit").seconds

    def attack_cost(self, cell: Cell) -> float:
        """Expected seconds of a cell's attack."""
        return self.costs.of(cell, "attack").seconds

    def to_json(self) -> dict[str, Any]:
        """The documented object of `--dry-run --json` (orchestrator/README.md, "Plan first")."""
        cells = [
            {
                "key": planned.cell.key,
                **planned.cell.axes(),
                "fit": planned.cell.fit.key,
                "status": planned.status,
                "reason": planned.reason,
            }
            for planned in self.cells
        ]
        fits = [
            {"key": key, "cells": [cell.key for cell in cells], "done": key in self.fits_done}
            for key, cells in self.fits.items()
        ]
        statuses = [planned.status for planned in self.cells]
        totals = {
            "cells": len(self.cells),
            **{s: statuses.count(s) for s in get_args(PlanStatus)},
            "fits": len(fits),
            "fits_done": sum(fit["done"] is True for fit in fits),
            "fits_shared": sum(len(cells) > 1 for cells in self.fits.values()),
            "estimated_seconds": self.estimated_seconds(),
        }
        return {"space": self.space.name, "cells": cells, "fits": fits, "totals": totals}


def make_plan(
    space: Space,
    assets: Assets,
    store: Store,
    provisional: bool = False,
    trusted: Collection[str] = (),
    reading: bool = False,
) -> Plan:
    """Resolve a space into a plan. Raises BadInput for a missing asset or a broken data file.

    A cell is done when its result, its fit's record and its attacked examples are there, are whole
    and belong together. What is damaged in the store counts as missing (`Store.damaged`).

    provisional: what the hub has and this machine lacks is planned without its digest.
    trusted: keys of cells whose results need not be checked again.
    reading: nothing is to be run, so only the store is needed: a cell whose data, models or code
    this machine lacks is looked up in the store by its settings.
    """
    machine = ThisMachine(assets, provisional, reading)
    resolved = list(resolve(space, machine))
    if machine.lacks:
        others = Elsewhere(store, [cell.key for cell, _ in resolved])
        resolved = [(others.find(cell) or cell, reason) for cell, reason in resolved]
    fits, results = store.fits_read(), store.results_read()
    failed = store.cells_with("error.txt", (cell.key for cell, _ in resolved)) - results.keys()

    def planned(cell: Cell, reason: str) -> PlannedCell:
        if reason:
            return PlannedCell(cell, "not_applicable", reason)
        if cell.key in results:
            fit, result = fits.get(cell.fit.key), results[cell.key]
            why = "" if cell.key in trusted else _why_not_done(cell, result, fit, store)
            return PlannedCell(cell, "todo", why) if why else PlannedCell(cell, "done")
        if cell.key in failed:
            return PlannedCell(cell, "failed", f"see {store.error_path(cell.key)}")
        return PlannedCell(cell, "todo")

    cells = at_once(lambda each: planned(*each), resolved)
    planned_fits = {cell.fit.key for cell, _ in resolved}
    fits_done = frozenset(store.fits_with_weights(fits) & planned_fits)

    def rates() -> Rates:
        rehearsal = store.read_rehearsal(space.name) or {"figures": []}
        asked = _asked(cells, results, store)
        return measured(fits.values(), asked, rehearsal["figures"])

    return Plan(space, cells, fits_done, Costs(rates, Sizes(assets)))


def _asked(
    planned: list[PlannedCell], results: dict[str, Result], store: Store
) -> Iterator[tuple[Cell, Result]]:
    """Results with their cells: those of the plan, and of the others, which are read for it, those
    that may tell what one that is to be run will take."""
    cells = {each.cell.key: each.cell for each in planned if each.status != "not_applicable"}
    yield from ((cells[key], result) for key, result in results.items() if key in cells)

    def place(of: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(of[axis] for axis in ("dataset", "model", "head", "training", "attack"))

    known = {place(cells[key].axes()) for key in results if key in cells}
    wanted = {place(e.cell.axes()) for e in planned if e.status in ("todo", "failed")} - known
    others = [key for key, r in results.items() if key not in cells and place(r) in wanted]
    asked = at_once(partial(store.sound, store.read_cell), others)
    for key, record in zip(others, asked, strict=True):
        if record is not None:
            yield Cell.model_validate(record), results[key]


def _why_not_done(cell: Cell, result: Result, fit: FitRecord | None, store: Store) -> str:
    """Why a cell that has a result is run again; empty if it is not.

    Its fit and its attacked examples must be there and be unchanged.
    """
    if fit is None:
        return "the record of its fit is missing"
    if not is_of_weights(result, fit):
        return "its fit was made again since, with other weights"
    if _not_evaluated(cell.fit, store):
        return "its fit is to be evaluated on another data set"
    return why_not_of(result, store.attacked(cell.log))


def _not_evaluated(fit: Fit, store: Store) -> bool:
    """Whether a stored fit lacks an evaluation on another data set that is asked for now."""
    asked = {other.stored_as for other in fit.evaluate_also}
    return bool(asked) and not asked <= set(store.evaluations(fit.key))

"""Read a space's results from MLflow alone: finished cells, as the sweep logged them."""

from collections import Counter
from collections.abc import Collection
from functools import cache
from typing import cast

from orchestrator.plan.scores import distinct_scores
from orchestrator.report.results import Absent, CellResult, Outcomes, Results, by_scores
from orchestrator.tracking.read import LoggedCell, LoggedSweep, read_runs
from orchestrator.tracking.where import OPTION
from search_spaces.cell import ALL_AXES, Axes, Cell


def read_experiment(space: str, tracking_uri: str, given_by: str = OPTION) -> Results:
    """The results of an experiment. Raises BadInput where it cannot be read.

    given_by: as `read_runs` takes it.
    """
    sweep = read_runs(space, tracking_uri, given_by)
    planned = {cell["key"]: cell["status"] for cell in (sweep.plan or {"cells": []})["cells"]}
    order = {key: number for number, key in enumerate(planned)}
    left_out = {key for key, status in planned.items() if status == "not_applicable"}
    cells = [_result(logged) for logged in sweep.cells if logged.cell["key"] not in left_out]
    cells.sort(key=lambda result: (order.get(result.cell.key, len(order)), result.cell.key))
    there = {result.cell.key: result for result in cells}
    shown = _of_one_kind(cells, planned)
    return Results(
        space,
        tracking_uri,
        shown,
        _absent(sweep, shown),
        by_scores=by_scores(shown, there, lambda cell: there.get(cell.key)),
    )


def _of_one_kind(cells: list[CellResult], planned: Collection[str]) -> list[CellResult]:
    """Those whose examples are drawn, and whose scores are followed, as most of the plan's cells
    have it: an experiment may have several kinds, and no figure is of two. One at each place."""
    of_the_plan = [result for result in cells if result.cell.key in planned] or cells
    kinds = Counter(
        (result.cell.sample, result.cell.scores, len(result.cell.fit.data.labels) > 2)
        for result in of_the_plan
    )
    if not kinds:
        return []
    # With two classes several kinds of scores have the same cells.
    sample, scores, _ = max(kinds, key=lambda kind: (kind[2], kinds[kind]))
    at: dict[tuple[object, ...], CellResult] = {}
    for result in cells:
        cell = result.cell
        classes = len(cell.fit.data.labels)
        same = distinct_scores(cell.scores, classes) == distinct_scores(scores, classes)
        if cell.sample == sample and same:
            at.setdefault(tuple(cell.axes().values()), result)
    return list(at.values())


def _result(logged: LoggedCell) -> CellResult:
    records = cache(logged.examples)
    return CellResult(
        cell=Cell.model_validate(logged.cell),
        metrics=logged.result["metrics"],
        outcomes=Outcomes.of(records()),
        fit=logged.fit,
        evaluations=list(logged.evaluations.values()),
        records=records,
        interval=logged.result.get("interval"),
    )


def _absent(sweep: LoggedSweep, cells: list[CellResult]) -> list[Absent]:
    """Cells of the sweep's plan that have no run."""
    logged = {result.cell.key for result in cells}
    return [
        Absent(cast(Axes, {a: cell[a] for a in ALL_AXES}), cell["status"], cell["reason"])
        for cell in (sweep.plan or {"cells": []})["cells"]
        if cell["key"] not in logged
    ]

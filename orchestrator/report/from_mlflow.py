"""Read a space's results from MLflow alone: finished cells, as the sweep logged them."""

from collections import Counter
from collections.abc import Collection
from functools import cache
from typing import cast

from orchestrator.report.results import Absent, CellResult, Outcomes, Results
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
    cells = _of_one_sample(cells, planned)
    cells.sort(key=lambda result: (order.get(result.cell.key, len(order)), result.cell.key))
    return Results(space, tracking_uri, cells, _absent(sweep, cells))


def _of_one_sample(cells: list[CellResult], planned: Collection[str]) -> list[CellResult]:
    """Without those whose examples are drawn otherwise than the plan's cells draw them: an
    experiment may have both, and no figure is of both."""
    of_the_plan = [result for result in cells if result.cell.key in planned]
    samples = Counter(result.cell.sample for result in of_the_plan or cells)
    sample = max(samples, key=samples.__getitem__, default=None)
    return [result for result in cells if result.cell.sample == sample]


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

"""Read a space's finished cells back from MLflow alone, as they were logged (logged.py)."""

import json
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator import logged
from orchestrator.checks import check_tracking_server, masked
from orchestrator.tracking import artifacts_of, connect, failures, is_complete, search, why
from search_spaces.errors import BadInput, nearest

Record = dict[str, Any]
AT_ONCE = 8  # runs read at a time


@dataclass(frozen=True)
class LoggedCell:
    """One finished cell: what the store keeps of it, and its examples when they are asked for.

    fit: without `spec`, which is the cell's `fit`. evaluations: as `Store.evaluations` gives them.
    examples: reads the attacked examples, in the order of the sample; raises BadInput.
    """

    run_id: str
    cell: Record
    result: Record
    fit: Record
    evaluations: dict[str, Record]
    examples: Callable[[], list[Record]]


@dataclass(frozen=True)
class LoggedSweep:
    """All finished cells of a space, and its plan, or None where the sweep has not logged one."""

    plan: Record | None
    cells: list[LoggedCell]


def read_runs(space: str, tracking_uri: str) -> LoggedSweep:
    """Read an experiment; changes nothing.

    Raises BadInput where the server or database cannot be used, has no such experiment, or has
    runs that were logged by an older version.
    """
    check_tracking_server(tracking_uri)
    _check_file(tracking_uri)
    try:
        return _read(connect(tracking_uri), space, tracking_uri)
    except failures() as error:
        raise BadInput(why(error, tracking_uri, space)) from None


def _read(client: Any, space: str, uri: str) -> LoggedSweep:
    experiment = client.get_experiment_by_name(space)
    if experiment is None or experiment.lifecycle_stage == "deleted":
        names = [found.name for found in client.search_experiments()]
        raise BadInput(f"no experiment {space!r} at {masked(uri)}; {nearest(space, names)}")
    runs: dict[str, Any] = {}
    finished = "tags.kind = 'cell' and attributes.status = 'FINISHED'"
    for run in search(client, experiment.experiment_id, finished):
        key = run.data.tags["cell_key"]
        if key not in runs or is_complete(run):
            runs[key] = run
    old = [run for run in runs.values() if not is_complete(run)]
    if old:
        raise BadInput(
            f"{len(old)} of {len(runs)} runs of {space} at {masked(uri)} were logged by an older "
            "version; log them anew from their store: python -m orchestrator.track sync "
            f"--space {space} --store STORE --tracking-uri {masked(uri)}"
        )
    parents = search(client, experiment.experiment_id, "tags.kind = 'sweep'")
    with ThreadPoolExecutor(AT_ONCE) as threads:
        cells = list(threads.map(partial(_read_cell, uri), runs.values()))
    return LoggedSweep(_read_plan(parents[0], uri) if parents else None, cells)


def _read_cell(uri: str, run: Any) -> LoggedCell:
    def examples() -> list[Record]:
        try:
            return logged.records_of(_text(run, uri, logged.EXAMPLES))
        except failures() as error:
            raise BadInput(why(error, uri, run.data.tags["cell_key"])) from None

    record = json.loads(_text(run, uri, logged.CELL))
    return LoggedCell(run_id=run.info.run_id, examples=examples, **record)


def _read_plan(parent: Any, uri: str) -> Record | None:
    there = {found.path for found in artifacts_of(parent, uri).list_artifacts()}
    return json.loads(_text(parent, uri, logged.PLAN)) if logged.PLAN in there else None


def _text(run: Any, uri: str, name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return Path(artifacts_of(run, uri).download_artifacts(name, folder)).read_text("utf-8")


def _check_file(uri: str) -> None:
    """Raises BadInput where a database's file is not there: to open it would make one."""
    kind, _, path = uri.partition(":///")
    if kind.startswith("sqlite") and not Path(path).is_file():
        raise BadInput(f"--tracking-uri {masked(uri)}: no such file")

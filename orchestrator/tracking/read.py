"""Read a space's finished cells back from MLflow alone, as they were logged (runs.py)."""

import json
import shlex
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.cli.command import called
from orchestrator.tracking import runs as logged
from orchestrator.tracking.causes import why
from orchestrator.tracking.check import check_tracking_server
from orchestrator.tracking.client import artifacts_of, connect, failures, import_mlflow, search
from orchestrator.tracking.database import Damaged, to_read
from orchestrator.tracking.tracker import experiment_is_deleted, is_cell, is_complete, is_sweep
from orchestrator.tracking.where import OPTION, Where, as_we_write_it, file_of, without
from search_spaces.errors import BadInput, nearest
from trainables.files import at_once
from trainables.records import Evaluation, ExampleRecord, FitMeasured, Result


@dataclass(frozen=True)
class LoggedCell:
    """One finished cell: what the store keeps of it, and its examples when they are asked for.

    fit: without `spec`, which is the cell's `fit`. evaluations: as `Store.evaluations` gives them.
    examples: reads the attacked examples, in the order of the sample; raises BadInput.
    """

    run_id: str
    cell: dict[str, Any]
    result: Result
    fit: FitMeasured
    evaluations: dict[str, Evaluation]
    examples: Callable[[], list[ExampleRecord]]


@dataclass(frozen=True)
class LoggedSweep:
    """All finished cells of a space, and its plan, or None if the sweep has not logged one."""

    plan: dict[str, Any] | None
    cells: list[LoggedCell]


def read_runs(space: str, tracking_uri: str, given_by: str = OPTION) -> LoggedSweep:
    """Read an experiment; changes nothing.

    given_by: the option or variable that named the URI; empty for a store's own database. Raises
    BadInput where the server or database cannot be used, has no such experiment, or has runs that
    were logged by an older version.
    """
    tracking_uri = as_we_write_it(tracking_uri)
    file = file_of(tracking_uri)
    there = Where(tracking_uri, given_by, file, own=not given_by)
    check_tracking_server(tracking_uri, given_by)
    import_mlflow()
    try:
        with to_read(there) as uri:
            return _read(connect(uri), space, there)
    except Damaged as damage:
        raise BadInput(f"{damage}; {_instead(there)}") from None
    except failures() as error:
        raise BadInput(why(error, there, space)) from None


def _store_of(file: Path | None) -> str | None:
    """The store that a database's file is in."""
    return str(file.parent) if file is not None and (file.parent / "cells").is_dir() else None


def _instead(there: Where) -> str:
    if there.own:
        return f"the next sweep, or {called('track')} sync, rebuilds it from the store"
    return f"{without(there.given_by)} to read the store"


def _read(client: Any, space: str, there: Where) -> LoggedSweep:
    experiment = client.get_experiment_by_name(space)
    if experiment is None:
        names = [each.name for each in client.search_experiments()]
        raise BadInput(f"no experiment {space!r} at {there.shown}; {nearest(space, names)}")
    if experiment.lifecycle_stage == "deleted":
        raise BadInput(experiment_is_deleted(experiment, there))
    runs: dict[str, Any] = {}
    finished = "tags.kind = 'cell' and attributes.status = 'FINISHED'"
    for run in search(client, experiment.experiment_id, finished):
        key = run.data.tags.get("cell_key")
        if is_cell(run) and (key not in runs or is_complete(run)):
            runs[key] = run
    old = [run for run in runs.values() if not is_complete(run)]
    if old:
        where = f" --tracking-uri {there.to_paste}" if there.given_by else ""
        store = shlex.quote(_store_of(there.file) or "STORE")
        raise BadInput(
            f"{len(old)} of {len(runs)} runs of {space} at {there.shown} were logged by an older "
            f"version; log them again from their store: {called('track')} sync "
            f"--space {shlex.quote(space)} --store {store}{where}"
        )
    parents = search(client, experiment.experiment_id, "tags.kind = 'sweep'")
    parent = next((run for run in parents if is_sweep(run)), None)
    cells = at_once(partial(_read_cell, there), runs.values())
    return LoggedSweep(None if parent is None else _read_plan(parent, there.uri), cells)


def _read_cell(there: Where, run: Any) -> LoggedCell:
    def examples() -> list[ExampleRecord]:
        try:
            return logged.records_of(_text(run, there.uri, logged.EXAMPLES))
        except failures() as error:
            raise BadInput(why(error, there, run.data.tags["cell_key"])) from None

    record = json.loads(_text(run, there.uri, logged.CELL))
    return LoggedCell(run_id=run.info.run_id, examples=examples, **record)


def _read_plan(parent: Any, uri: str) -> dict[str, Any] | None:
    names = {file.path for file in artifacts_of(parent, uri).list_artifacts()}
    return json.loads(_text(parent, uri, logged.PLAN)) if logged.PLAN in names else None


def _text(run: Any, uri: str, name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return Path(artifacts_of(run, uri).download_artifacts(name, folder)).read_text("utf-8")

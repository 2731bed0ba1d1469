"""The only module that talks to MLflow, from the driver alone.

Experiment = space; one parent run "sweep"; under it one run a cell, found again by its cell key.
What a run holds stands in logged.py, and all of it comes from the store, so whatever a dead driver
or an unreachable server left out is logged later. Every call may be made again after any failure,
an answer that was lost included: a run is searched for before it is made, metrics carry their run's
start as timestamp (the same point logged again is the same point), a file is put whole, and a run
is FINISHED when all of it is there. The parent is RUNNING as long as its report is older than its
cells. A run of an older format (the tag `log_format`) counts as not finished: it is completed.
"""

import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orchestrator import logged, views
from orchestrator.checks import check_tracking_server, masked
from orchestrator.logged import FORMAT, Summary
from search_spaces.cell import Cell
from search_spaces.errors import BadInput
from trainables.assets import Assets
from trainables.store import Store

# MLflow's own client tries for minutes by itself, and a call it repeats can make a second run.
CLIENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",  # seconds
    # Every failure is raised too, and said in one line here; what it prints of runs is no news.
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def tracking_uri(store: Store, given: str | None) -> str:
    """The tracking server asked for, or a database in the store's folder (here, if it has none)."""
    return given or f"sqlite:///{store.local_folder or '.'}/mlflow.db"


def open_tracker(
    space: str, store: Store, assets: Assets, given_uri: str | None, to_write: bool
) -> "Tracker":
    """Reach MLflow; where there is something to log, show that it can be written.

    Raises BadInput where that fails.
    """
    tracker = tracker_for(space, store, assets, given_uri)
    tracker.open(to_write)
    return tracker


def tracker_for(space: str, store: Store, assets: Assets, given_uri: str | None) -> "Tracker":
    """A tracker that is still to be opened, which can take seconds, in any thread.

    Raises BadInput where no server answers. Artifacts go through it, without one into the store.
    """
    uri = tracking_uri(store, given_uri)
    check_tracking_server(uri)
    served = uri.startswith(("http://", "https://"))
    artifacts = None
    if not served and store.local_folder is not None:
        artifacts = f"{store.local_folder}/mlflow-artifacts"
    # Here, because the same packages may be imported by another thread while this one is opened.
    _import_mlflow()
    return Tracker(uri, space, artifacts, assets)


def _import_mlflow() -> None:
    for name, value in CLIENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    import mlflow  # noqa: F401


def connect(uri: str) -> Any:
    """MLflow's client. Raises what is wrong with a database; of a server nothing is asked yet."""
    _import_mlflow()
    from mlflow import MlflowClient

    if not uri.startswith(("http://", "https://")):
        _connect_once(uri)
    return MlflowClient(tracking_uri=uri)


def failures() -> tuple[type[Exception], ...]:
    """What MLflow raises where a server or a database cannot be used."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, OSError, ImportError


def search(client: Any, experiment_id: str, filter_string: str) -> list[Any]:
    """All runs of an experiment that match, however many."""
    runs: list[Any] = []
    token = None
    while True:
        page = client.search_runs(
            [experiment_id], filter_string, max_results=1000, page_token=token
        )
        runs += page
        token = page.token
        if not token:
            return runs


def artifacts_of(run: Any, uri: str) -> Any:
    """Where a run keeps its files. The client's own way asks the server for the run again."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(run.info.artifact_uri, tracking_uri=uri)


def is_complete(run: Any) -> bool:
    """Whether all of a run is there, in the present format."""
    return run.info.status == "FINISHED" and run.data.tags.get("log_format") == FORMAT


def why(error: Exception, uri: str, space: str) -> str:
    """What is wrong with a server at the start, and what to do, in one line."""
    uri = masked(uri)
    from mlflow.exceptions import MlflowException, RestException

    status = _http_status(error)
    if status == 401:
        return (
            f"the tracking server {uri} wants another user or password; set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    if status == 403:
        return (
            f"the tracking server {uri} does not let this user write to the "
            f"experiment {space}; ask for the permission EDIT"
        )
    if isinstance(error, RestException):
        strange = "error_code" not in error.json
    else:
        strange = isinstance(error, MlflowException) and "API request to end" in error.message
    if strange:
        return f"the server at {uri} does not answer as MLflow does"
    return f"--tracking-uri {uri}: cannot be used: {line(error)}"


def may_pass(error: Exception) -> bool:
    """Whether the same call may succeed later: a server away or failing, a full disk."""
    status = _http_status(error)
    if status is not None:
        return status >= 500 or status in (408, 429)
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError)


def line(error: Exception) -> str:
    """What happened, in one line without passwords: the innermost cause, which says the most."""
    from mlflow.exceptions import RestException

    inner: BaseException = error
    while not isinstance(inner, RestException):
        deeper = inner.__cause__ or inner.__context__
        if deeper is None:
            break
        inner = deeper
    kind = "" if isinstance(inner, RestException) else f"{type(inner).__name__}: "
    return masked(f"{kind}{inner}".strip().splitlines()[0])[:200]


class Tracker:
    """Logs finished cells of one space. Methods raise whatever MLflow does, unless they say so."""

    def __init__(self, uri: str, space: str, artifacts: str | None, assets: Assets) -> None:
        """artifacts: where MLflow keeps files; None leaves that to the tracking server.

        assets: where the cells' data sets were read, for the runs' inputs.
        """
        self.uri, self.space, self.artifacts, self.assets = uri, space, artifacts, assets
        self.shown_uri = masked(uri)
        self._experiment_id = ""
        self._parent: Any = None
        self._complete: set[str] | None = None

    def open(self, to_write: bool) -> None:
        """Reach the server and find the space's experiment, or make it. Raises BadInput.

        to_write: mark the parent run as running too, so that a missing permission shows now.
        """
        try:
            self.client = connect(self.uri)
            if not self._experiment():
                raise BadInput(f"the server at {self.shown_uri} does not answer as MLflow does")
            if to_write:
                self._begin()
        except failures() as error:
            raise BadInput(why(error, self.uri, self.space)) from None

    def log_sweep(self, summary: Summary) -> None:
        """Show a sweep that is beginning; its run is marked as running."""
        try:
            self._show(self._begin(), summary)
        except Exception:
            self._forget()
            raise

    def log_cell(self, cell: Cell, store: Store) -> bool:
        """Log one finished cell: params, metrics, its fit's curve, data sets, examples.

        Returns False for a cell that is logged already. What a dead driver left is completed.
        """
        try:
            complete = self._complete_cells()
            if cell.key in complete:
                return False
            done = self._log_cell(cell, store)
        except Exception:
            self._forget()
            raise
        complete.add(cell.key)
        return done

    def log_summary(self, make: Callable[[], Summary], environment: dict[str, Any] | None) -> bool:
        """Put the report on the parent run; returns False where it is up to date.

        make: called where it is not. environment: as the store keeps it.
        """
        try:
            parent = self._find_parent()
            if parent is not None and is_complete(parent):
                return False
            summary = make()
            parent = self._begin()
            self._remove_others(parent, summary.files)
            self._show(parent, summary)
            run_id = str(parent.info.run_id)
            times = summary.times
            self.client.log_batch(
                run_id,
                # At the sweep's end, so that of several sweeps the last one's are shown.
                metrics=[] if times is None else _metrics(times.metrics(), [], times.ended_at),
                tags=_run_tags(logged.sweep_tags(environment)),
            )
            self.client.set_terminated(run_id, "FINISHED")
        finally:
            self._forget()
        return True

    def _log_cell(self, cell: Cell, store: Store) -> bool:
        from mlflow.entities import Param

        result, fit = store.read_result(cell.key), store.read_fit(cell.fit.key)
        others = store.evaluations(cell.fit.key)
        attacked = store.attacked(cell.log)
        files = {
            logged.EXAMPLES: logged.table([attacked[id] for id in result["sample"]]).encode(),
            logged.CELL: logged.cell_record(cell, result, fit, others).encode(),
        }
        parent = self._begin()
        seconds = float(result["metrics"]["attack_seconds"] or 0.0)
        run = self._keep_one(self._search(f"tags.cell_key = '{cell.key}'"))
        if run is not None and is_complete(run):
            return False
        if run is None:
            run = self._create(cell, parent, seconds)
        else:
            self._reopen(run, cell, files)
        run_id, start = str(run.info.run_id), int(run.info.start_time)
        self._put(run, files)
        self.client.log_batch(
            run_id,
            metrics=_metrics(logged.metrics(result, fit, others), logged.curve(fit), start),
            params=[Param(name, str(value)) for name, value in logged.params(cell).items()],
        )
        self.client.log_inputs(run_id, logged.inputs(cell, self.assets))
        self.client.set_terminated(run_id, "FINISHED", end_time=start + round(1000 * seconds))
        return True

    def _create(self, cell: Cell, parent: Any, seconds: float) -> Any:
        """A new run of a cell. MLflow then shows its attack's seconds as its duration."""
        return self.client.create_run(
            self._experiment(),
            start_time=round(1000 * (time.time() - seconds)),
            run_name=logged.run_name(cell),
            tags={**logged.tags(cell), "mlflow.parentRunId": parent.info.run_id},
        )

    def _show(self, parent: Any, summary: Summary) -> None:
        """The summary on the pages of the sweep's run and of the experiment."""
        self._put(parent, summary.files)
        experiment = self.client.get_experiment(self._experiment())
        note = logged.short(
            f"{views.links(experiment.experiment_id, summary.axes['dataset'])}\n\n{summary.note}"
        )
        for name, value in {"mlflow.note.content": note, **views.tags(summary.axes)}.items():
            if experiment.tags.get(name) != value:
                self.client.set_experiment_tag(experiment.experiment_id, name, value)
        self.client.set_tag(parent.info.run_id, "mlflow.note.content", logged.short(summary.note))

    def _put(self, run: Any, files: Mapping[str, bytes]) -> None:
        """Write artifacts of a run, each whole."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            artifacts_of(run, self.uri).log_artifacts(folder)

    def _reopen(self, run: Any, cell: Cell, files: Mapping[str, bytes]) -> None:
        """Make a run that is not complete ready to be logged again, in the present format."""
        run_id = run.info.run_id
        self.client.update_run(run_id, status="RUNNING", name=logged.run_name(cell))
        self.client.log_batch(run_id, tags=_run_tags(logged.tags(cell)))
        self._remove_others(run, files)

    def _remove_others(self, run: Any, files: Mapping[str, bytes]) -> None:
        """Remove what an older format or an older report left among a run's artifacts."""
        artifacts = artifacts_of(run, self.uri)
        kept = {name.partition("/")[0] for name in files}
        for found in artifacts.list_artifacts():
            if found.path not in kept:
                artifacts.delete_artifacts(found.path)

    def _complete_cells(self) -> set[str]:
        """Keys of the cells whose runs are complete, read once."""
        if self._complete is None:
            runs: dict[str, list[Any]] = {}
            for run in self._search("tags.kind = 'cell'"):
                runs.setdefault(run.data.tags["cell_key"], []).append(run)
            kept = {key: self._keep_one(same) for key, same in runs.items()}
            self._complete = {key for key, run in kept.items() if is_complete(run)}
        return self._complete

    def _begin(self) -> Any:
        """The parent run, which is made where there is none, and marked as running."""
        if self._parent is None:
            parent = self._find_parent() or self.client.create_run(
                self._experiment(),
                run_name="sweep",
                tags=logged.sweep_tags(None),
            )
            if parent.info.status != "RUNNING":
                self.client.update_run(parent.info.run_id, status="RUNNING")
            self._parent = parent
        return self._parent

    def _find_parent(self) -> Any:
        """The one parent run, or None; children of parents that are too many move to it."""
        parents = self._search("tags.kind = 'sweep'")
        if len(parents) > 1:
            first = min(parents, key=_rank)
            for other in parents:
                for child in self._search(f"tags.`mlflow.parentRunId` = '{other.info.run_id}'"):
                    self.client.set_tag(child.info.run_id, "mlflow.parentRunId", first.info.run_id)
        return self._keep_one(parents)

    def _keep_one(self, runs: list[Any]) -> Any:
        """Of several runs of the same thing keep a finished or else the oldest; None of none."""
        ranked = sorted(runs, key=_rank)
        for run in ranked[1:]:
            self.client.delete_run(run.info.run_id)
        return ranked[0] if ranked else None

    def _experiment(self) -> str:
        """The id of the space's experiment, which is made where there is none."""
        if not self._experiment_id:
            experiment = self.client.get_experiment_by_name(self.space)
            if experiment is not None and experiment.lifecycle_stage == "deleted":
                raise BadInput(
                    f"the experiment {self.space} at {self.shown_uri} is deleted; restore it with "
                    f"`mlflow experiments restore -x {experiment.experiment_id}`"
                )
            self._experiment_id = (
                experiment.experiment_id
                if experiment is not None
                else self.client.create_experiment(self.space, artifact_location=self.artifacts)
            )
        return self._experiment_id

    def _forget(self) -> None:
        """Look up by name again what runs and experiments there are, and mark the parent again."""
        self._experiment_id, self._parent = "", None

    def _search(self, filter_string: str) -> list[Any]:
        return search(self.client, self._experiment(), filter_string)


def _metrics(
    single: Mapping[str, float], curve: list[tuple[str, float, int]], timestamp: int
) -> list[Any]:
    """As MLflow's metrics; timestamp in milliseconds."""
    from mlflow.entities import Metric

    points = [(name, value, 0) for name, value in single.items()] + curve
    return [Metric(name, value, timestamp, step) for name, value, step in points]


def _run_tags(tags: Mapping[str, str]) -> list[Any]:
    from mlflow.entities import RunTag

    return [RunTag(name, value) for name, value in tags.items()]


def _rank(run: Any) -> tuple[bool, bool, int, str]:
    finished = run.info.status == "FINISHED"
    return not is_complete(run), not finished, run.info.start_time, run.info.run_id


def _http_status(error: Exception) -> int | None:
    """The HTTP status of a failed call, MLflow's own for a database, or None."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return error.get_http_status_code()
    response = getattr(error, "response", None)
    return None if response is None else int(response.status_code)


def _connect_once(uri: str) -> None:
    """Raises what is wrong with a database at once; MLflow would try for two minutes."""
    from sqlalchemy import create_engine

    engine = create_engine(uri)
    try:
        engine.connect().close()
    finally:
        engine.dispose()

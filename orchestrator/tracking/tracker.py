"""Logs a sweep to MLflow, from the driver alone; its client is client.py's.

Experiment = space; one parent run "sweep"; under it one run a cell, found again by its cell key.
What a run holds is defined in runs.py, and all of it comes from the store, so whatever a dead
driver or an unreachable server left out is logged later. Every call can be retried after any
failure, a lost answer included: a run is searched for before it is created, metrics carry their
run's start as timestamp (the same point logged again is the same point), a file is written whole,
and a run is FINISHED when all of it is there. The parent is RUNNING as long as its report is older
than its cells. A run of an older format (the tag `log_format`) counts as not finished: it is
completed.

What people add stays: notes, names, tags and files. The tags `log_note`, `log_name` and `log_files`
say what we wrote last.
"""

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestrator.tracking import notes, views
from orchestrator.tracking import runs as logged
from orchestrator.tracking.causes import may_pass, why
from orchestrator.tracking.check import check_tracking_server
from orchestrator.tracking.client import artifacts_of, connect, failures, import_mlflow, search
from orchestrator.tracking.database import (
    Damaged,
    check,
    is_locked,
    relocate,
    relocate_run,
    set_aside,
)
from orchestrator.tracking.runs import FORMAT, Summary
from orchestrator.tracking.where import OPTION, Where, file_of, where, without
from search_spaces.cell import Cell
from search_spaces.errors import BadInput
from trainables.assets import Assets
from trainables.records import Environment
from trainables.store import Store

NOTE, PARENT, SOURCE = "mlflow.note.content", "mlflow.parentRunId", "mlflow.source.name"
KIND = "mlflow.experimentKind"
# What we wrote as a run's note, name and files.
LOG_NOTE, LOG_NAME, LOG_FILES = "log_note", "log_name", "log_files"
OUR_TAGS = {
    *("kind", "log_format", "version", "cell_key", "fit_key", "attack_resources"),
    *("fit_ran_on", "fit_device", "fit_deterministic", "attack_ran_on", "attack_device"),
    *(LOG_NOTE, LOG_NAME, LOG_FILES),
}
OUR_FILES = (logged.EXAMPLES, logged.CELL, logged.PLAN, "space.yaml", "environment.json")

LOCKED_FOR = 120.0  # seconds to wait for a database that another program has locked
LOOK_EVERY = 1.0


def open_tracker(
    space: str, store: Store, assets: Assets, given_uri: str | None, to_write: bool
) -> "Tracker":
    """Reach MLflow; to_write: make sure that it can be written.

    Raises BadInput where that fails.
    """
    tracker = tracker_for(space, store, assets, given_uri)
    tracker.open(to_write)
    return tracker


def tracker_for(space: str, store: Store, assets: Assets, given_uri: str | None) -> "Tracker":
    """A tracker that is still to be opened, which can take seconds, in any thread.

    Raises BadInput where no server answers. Artifacts go through it, or without one into the store.
    """
    there = where(store, given_uri)
    check_tracking_server(there.uri, there.given_by)
    # Here, because another thread may import the same packages while the tracker is opened.
    import_mlflow()
    return Tracker.at(there, space, assets)


def is_complete(run: Any) -> bool:
    """Whether all of a run is there, in the present format."""
    return run.info.status == "FINISHED" and run.data.tags.get("log_format") == FORMAT


def experiment_is_deleted(experiment: Any, where: Where) -> str:
    """That an experiment is deleted, and the command that brings it back."""
    return (
        f"the experiment {experiment.name} at {where.shown} is deleted; restore it with: "
        f"MLFLOW_TRACKING_URI={where.to_paste} mlflow experiments restore "
        f"-x {experiment.experiment_id}"
    )


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Tracker:
    """Logs finished cells of one space. Unless noted, methods raise what MLflow raises."""

    def __init__(self, uri: str, space: str, artifacts: str | None, assets: Assets) -> None:
        """artifacts: where MLflow keeps files; None leaves that to the tracking server.

        assets: where the cells' data sets were read, for the runs' inputs.
        """
        self.where = Where(
            uri, OPTION, file_of(uri), None if artifacts is None else Path(artifacts)
        )
        self.space, self.assets = space, assets
        self._experiment_id = ""
        self._parent: Any = None
        self._complete: set[str] | None = None
        self._parents: dict[str, str] = {}  # the parent of each cell's run that was there, by id
        self._running: set[str] = set()  # ids of runs that are RUNNING because of this tracker
        self._before = ""  # the parent run's status, as long as nothing is logged
        self._ended = threading.Event()

    @classmethod
    def at(cls, where: Where, space: str, assets: Assets) -> "Tracker":
        """A tracker for a place that may be the store's own database."""
        tracker = cls(where.uri, space, None, assets)
        tracker.where = where
        return tracker

    @property
    def shown_uri(self) -> str:
        return self.where.shown

    def open(self, to_write: bool, say: Callable[[str], None] = _to_stderr) -> None:
        """Reach the server and find the space's experiment, or make it. Raises BadInput.

        A store's own database is repaired first: its locations if the store was moved, and a
        damaged one is set aside. to_write: mark the parent run as running too, so that a missing
        permission shows now. say: called with a line for the user.
        """
        until = time.monotonic() + LOCKED_FOR
        reported = False
        while True:
            try:
                self._open(to_write, say)
                return
            except failures() as error:
                self._forget()
                if not is_locked(error) or time.monotonic() > until or self._ended.is_set():
                    raise BadInput(why(error, self.where, self.space)) from None
            if not reported:
                say(f"{self.where.named} is locked by another program; waiting for it")
                reported = True
            self._ended.wait(LOOK_EVERY)

    def may_pass(self, error: Exception) -> bool:
        """Whether a retry may succeed. A place outside of the store that this user may not write
        stays so: it is another machine's or another user's."""
        if isinstance(error, PermissionError | NotADirectoryError) and error.filename is not None:
            folder = self.where.artifacts
            return folder is not None and Path(error.filename).is_relative_to(folder.parent)
        return may_pass(error)

    def stop_waiting(self) -> None:
        """Have `open` give up where it waits for a lock."""
        self._ended.set()

    def end(self, status: str = "KILLED") -> None:
        """End the runs that this tracker has left running, in a sweep that is interrupted.

        The next sweep completes them. A parent run that was finished before and of which nothing
        has changed is finished again. Failures are ignored.
        """
        self.stop_waiting()
        for run_id in list(self._running):
            with suppress(Exception):
                if self.client.get_run(run_id).info.status == "RUNNING":
                    as_before = self._before == "FINISHED"
                    self.client.set_terminated(run_id, "FINISHED" if as_before else status)
                self._running.discard(run_id)

    def _open(self, to_write: bool, say: Callable[[str], None]) -> None:
        try:
            check(self.where)
        except Damaged as damage:
            if not self.where.own or self.where.file is None:
                raise BadInput(
                    f"{damage}; move the file away, or {without(self.where.given_by)}"
                ) from None
            aside = set_aside(self.where.file)
            say(f"{damage}; it is kept as {aside}, and all finished cells are logged again")
        if self.where.own and self.where.file is not None and self.where.artifacts is not None:
            relocate(self.where.file, self.where.artifacts, self.space)
        self.client = connect(self.where.uri)
        if not self._experiment():
            raise BadInput(f"the server at {self.shown_uri} does not answer as MLflow does")
        if to_write:
            self._begin()

    def log_sweep(self, summary: Summary) -> None:
        """Show a sweep that is beginning; its run is marked as running."""
        try:
            parent = self._begin()
            self._before = ""
            self._put_listed(parent, summary.files)
            self._show(parent, summary)
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

    def log_summary(self, make: Callable[[], Summary], environment: Environment | None) -> bool:
        """Put the report on the parent run; returns False where it is up to date.

        make: called where it is not. environment: as the store keeps it.
        """
        try:
            found = self._find_parent()
            if found is not None and is_complete(found):
                self._running.discard(found.info.run_id)  # The answer to that was lost.
                return False
            summary = make()
            begun = self._begin()
            parent = found or begun  # As it is now: people write in it while a sweep runs.
            listed = self._put_listed(parent, summary.files)
            self._show(parent, summary)
            self._remove_others(parent, summary.files, listed)
            self._adopt(parent)
            run_id = str(parent.info.run_id)
            times = summary.times
            # At the sweep's end, so that of several sweeps the last one's are shown.
            ended = round(1000 * time.time()) if times is None else times.ended_at
            figures = {**summary.metrics, **({} if times is None else times.metrics())}
            self.client.log_batch(
                run_id,
                metrics=_metrics(figures, [], ended),
                tags=_run_tags(logged.sweep_tags(environment)),
            )
            self.client.set_terminated(run_id, "FINISHED")
            self._running.discard(run_id)
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
        self._before = ""
        seconds = float(result["metrics"]["attack_seconds"] or 0.0)
        run = self._keep_one(
            [run for run in self._search(f"tags.cell_key = '{cell.key}'") if is_cell(run)]
        )
        if run is not None and is_complete(run):
            self._running.discard(run.info.run_id)
            return False
        if run is None:
            run = self._create(cell, parent, seconds)
        else:
            self._reopen(run, cell)
        run_id, start = str(run.info.run_id), int(run.info.start_time)
        self._running.add(run_id)
        self._put(run, files)
        self.client.log_batch(
            run_id,
            metrics=_metrics(logged.metrics(result, fit, others), logged.curve(fit), start),
            params=[Param(name, str(value)) for name, value in logged.params(cell).items()],
            tags=_run_tags(logged.places(result, fit)),
        )
        self.client.log_inputs(run_id, logged.inputs(cell, self.assets))
        self.client.set_terminated(run_id, "FINISHED", end_time=start + round(1000 * seconds))
        self._running.discard(run_id)
        return True

    def _create(self, cell: Cell, parent: Any, seconds: float) -> Any:
        """A new run of a cell. MLflow then shows its attack's seconds as its duration."""
        return self.client.create_run(
            self._experiment(),
            start_time=round(1000 * (time.time() - seconds)),
            run_name=logged.run_name(cell),
            tags={
                **logged.tags(cell),
                LOG_NAME: logged.run_name(cell),
                "mlflow.parentRunId": parent.info.run_id,
            },
        )

    def _show(self, parent: Any, summary: Summary) -> None:
        """A summary on the pages of the sweep's run and of the experiment."""
        experiment = self.client.get_experiment(self._experiment())
        id = experiment.experiment_id
        tags = views.tags(summary.axes)
        if KIND in experiment.tags:  # People choose it on the page as well.
            del tags[KIND]
        for name, value in tags.items():
            if experiment.tags.get(name) != value:
                self.client.set_experiment_tag(id, name, value)
        links = views.links(id, summary.axes["dataset"])
        current = experiment.tags
        for name, value in _description(current, f"{links}\n\n{summary.note}").items():
            self.client.set_experiment_tag(id, name, value)
        if described := _description(parent.data.tags, summary.note):
            self.client.log_batch(parent.info.run_id, tags=_run_tags(described))

    def _put_listed(self, parent: Any, files: Mapping[str, bytes]) -> list[str]:
        """Write files of the sweep's run; returns all that sweeps have written there.

        They are listed before they are written and until they are removed: a file that is not
        listed is a person's. A list too long for a tag is cut: what it lacks is never removed.
        """
        listed = sorted({*_listed(parent), *files})
        self._set_list(parent, listed)
        self._put(parent, files)
        return listed

    def _remove_others(self, parent: Any, files: Mapping[str, bytes], listed: list[str]) -> None:
        """Remove what an earlier sweep has written and this one has not."""
        others = sorted(set(listed) - set(files))
        if parent.data.tags.get("log_format") != FORMAT:
            others += logged.OLDER
        if others:
            artifacts = artifacts_of(self._in_its_place(parent), self.where.uri)
            for name in others:
                _remove(artifacts, name)
            for folder in sorted({str(Path(name).parent) for name in others} - {"."}, reverse=True):
                if not artifacts.list_artifacts(folder):
                    _remove(artifacts, folder)
            self.client.set_tag(parent.info.run_id, LOG_FILES, _as_list(files))

    def _set_list(self, parent: Any, names: Iterable[str]) -> None:
        listed = _as_list(names)
        if parent.data.tags.get(LOG_FILES) != listed:
            self.client.set_tag(parent.info.run_id, LOG_FILES, listed)

    def _put(self, run: Any, files: Mapping[str, bytes]) -> None:
        """Write artifacts of a run, each whole."""
        run = self._in_its_place(run)
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            artifacts_of(run, self.where.uri).log_artifacts(folder)

    def _in_its_place(self, run: Any) -> Any:
        """The run, whose files are in the store from now on if its database is."""
        if relocate_run(self.where, run.info.run_id, run.info.artifact_uri):
            return self.client.get_run(run.info.run_id)
        return run

    def _reopen(self, run: Any, cell: Cell) -> None:
        """Make a run that is not complete ready to be logged again, in the present format.

        Its name stays where a person has changed it.
        """
        run_id, name = run.info.run_id, run.info.run_name
        tags = logged.tags(cell)
        if name == run.data.tags.get(LOG_NAME):
            name = tags[LOG_NAME] = logged.run_name(cell)
        self._running.add(run_id)
        self.client.update_run(run_id, status="RUNNING", name=name)
        if run.data.tags.get("log_format") != FORMAT:
            artifacts = artifacts_of(self._in_its_place(run), self.where.uri)
            for older in logged.OLDER:
                _remove(artifacts, older)
        self.client.log_batch(run_id, tags=_run_tags(tags))

    def _adopt(self, parent: Any) -> None:
        """Move cells whose parent run was deleted under the sweep's run."""
        here = {parent.info.run_id: True}
        for run_id, other in self._parents.items():
            if other not in here:
                here[other] = self._is_there(other)
            if not here[other]:
                self.client.set_tag(run_id, PARENT, parent.info.run_id)

    def _is_there(self, run_id: str) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_run(run_id).info.lifecycle_stage == "active"
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def _complete_cells(self) -> set[str]:
        """Keys of the cells whose runs are complete, read once."""
        if self._complete is None:
            runs: dict[str, list[Any]] = {}
            for run in self._search("tags.kind = 'cell'"):
                if is_cell(run):
                    runs.setdefault(run.data.tags["cell_key"], []).append(run)
            kept = {key: self._keep_one(same) for key, same in runs.items()}
            self._parents = {
                run.info.run_id: run.data.tags.get(PARENT, "") for run in kept.values()
            }
            self._complete = {key for key, run in kept.items() if is_complete(run)}
        return self._complete

    def _begin(self) -> Any:
        """The parent run, created if there is none, and marked as running."""
        if self._parent is None:
            parent = self._find_parent() or self.client.create_run(
                self._experiment(),
                run_name=logged.RUN_NAME,
                tags=logged.sweep_tags(None),
            )
            if parent.info.run_id not in self._running:
                self._before = parent.info.status
            self._running.add(parent.info.run_id)
            if parent.info.status != "RUNNING":
                self.client.update_run(parent.info.run_id, status="RUNNING")
            self._parent = parent
        return self._parent

    def _find_parent(self) -> Any:
        """The one parent run, or None; children of duplicate parents move to it."""
        parents = [run for run in self._search("tags.kind = 'sweep'") if is_sweep(run)]
        if len(parents) > 1:
            first = self._ranked(parents)[0]
            for other in parents:
                for child in self._search(f"tags.`{PARENT}` = '{other.info.run_id}'"):
                    if is_cell(child):
                        self.client.set_tag(child.info.run_id, PARENT, first.info.run_id)
        return self._keep_one(parents)

    def _keep_one(self, runs: list[Any]) -> Any:
        """Of several runs of the same thing keep a finished one or else the oldest, and all to
        which a person has added something; returns the first of them, or None."""
        ranked = self._ranked(runs)
        for run in ranked[1:]:
            if not self._is_touched(run):
                self.client.delete_run(run.info.run_id)
        return ranked[0] if ranked else None

    def _ranked(self, runs: list[Any]) -> list[Any]:
        if len(runs) < 2:
            return runs
        return sorted(runs, key=lambda run: (not self._is_touched(run), *_rank(run)))

    def _is_touched(self, run: Any) -> bool:
        """Whether a person has added something to a run, or changed its name."""
        tags = run.data.tags
        if any(name not in OUR_TAGS and not name.startswith("mlflow.") for name in tags):
            return True
        if notes.by_a_person(tags.get(NOTE) or "", tags.get(LOG_NOTE) or ""):
            return True
        if run.info.run_name != tags.get(LOG_NAME, run.info.run_name):
            return True
        listed = _listed(run)
        names = {*_names(artifacts_of(run, self.where.uri))}
        names -= {*OUR_FILES, *logged.OLDER, *listed}
        # Reports of older versions are not listed.
        return any(listed or not name.startswith("report/") for name in names)

    def _experiment(self) -> str:
        """The id of the space's experiment, which is created if there is none."""
        if not self._experiment_id:
            experiment = self.client.get_experiment_by_name(self.space)
            if experiment is not None and experiment.lifecycle_stage == "deleted":
                raise BadInput(experiment_is_deleted(experiment, self.where))
            self._experiment_id = (
                experiment.experiment_id
                if experiment is not None
                else self.client.create_experiment(self.space, artifact_location=self._location())
            )
        return self._experiment_id

    def _location(self) -> str | None:
        folder = self.where.artifacts
        return None if folder is None else folder.absolute().as_uri()

    def _forget(self) -> None:
        """Look up runs and experiments by name again, and mark the parent again."""
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


def is_cell(run: Any) -> bool:
    """Whether a run is a cell's: people use the same tags on their own runs as well."""
    tags = run.data.tags
    return (
        tags.get("kind") == "cell"
        and "cell_key" in tags
        and tags.get(SOURCE, logged.SOURCE) == logged.SOURCE
    )


def is_sweep(run: Any) -> bool:
    tags = run.data.tags
    if SOURCE not in tags:  # As the first versions logged it.
        return bool(run.info.run_name == logged.RUN_NAME)
    return bool(tags[SOURCE] == logged.SOURCE)


def _names(artifacts: Any, folder: str | None = None) -> list[str]:
    """All files of a run."""
    names = []
    for entry in artifacts.list_artifacts(folder):
        names += _names(artifacts, entry.path) if entry.is_dir else [str(entry.path)]
    return names


def _listed(run: Any) -> list[str]:
    """What sweeps have written to their run, as far as listed."""
    with suppress(ValueError):
        names = json.loads(run.data.tags.get(LOG_FILES, "[]"))
        return [name for name in names if isinstance(name, str) and ".." not in name.split("/")]
    return []


def _as_list(names: Iterable[str]) -> str:
    listed = sorted(names)
    while len(text := json.dumps(listed)) > logged.LONGEST_NOTE:
        listed.pop()
    return text


def _description(tags: Mapping[str, str], note: str) -> dict[str, str]:
    """Tags that put a description below what people wrote there; none if it is there already."""
    current = tags.get(NOTE) or ""
    text, remembered = notes.merged(current, note, tags.get(LOG_NOTE) or "")
    return {} if text == current else {LOG_NOTE: remembered, NOTE: text}


def _remove(artifacts: Any, name: str) -> None:
    """Remove a file if it exists."""
    folder = name.rpartition("/")[0]
    if name in {entry.path for entry in artifacts.list_artifacts(folder or None)}:
        artifacts.delete_artifacts(name)

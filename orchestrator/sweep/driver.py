"""The driver of a sweep: run what a plan lacks, as the store's only driver, and log it.

run/ talks to Ray, the uploader (tracking/upload.py) to MLflow, the view (follow/live.py) to the
terminal. Here they meet: what a trial reports goes to the view, to MLflow, and with the driver's
heartbeat into the store.
"""

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial

from rich.console import Console

from orchestrator.cli.command import called, how_to_go_on, stopped
from orchestrator.cli.damage import set_aside
from orchestrator.follow.comparison import compared_before
from orchestrator.follow.live import View
from orchestrator.follow.progress import Progress
from orchestrator.follow.time_spent import Times, TimeSpent
from orchestrator.plan.plan import Plan, make_plan
from orchestrator.report.from_store import read_store
from orchestrator.report.registry import registry_of
from orchestrator.report.results import Results
from orchestrator.run.budget import Budget
from orchestrator.run.connect import close_ray, open_ray, ray_ends_on_failure
from orchestrator.run.environment import environment
from orchestrator.run.imported import all_resources
from orchestrator.run.lease import Lease
from orchestrator.run.nodes import check_attacks_on_nodes, nodes
from orchestrator.run.options import RayOptions
from orchestrator.run.slots import PHASES
from orchestrator.sweep.summary import beginning, summary
from orchestrator.tracking.tracker import Tracker, tracker_for
from orchestrator.tracking.upload import Uploader
from search_spaces.cell import Cell
from search_spaces.errors import BadInput
from trainables.assets import Assets
from trainables.files import StoreError
from trainables.records import TrialReport
from trainables.scratch import remove_leftovers
from trainables.speed.imports import gc_paused
from trainables.store import Store

WORKERS_END_WITHIN = 1.0  # seconds
ENDS_WITHIN = 3.0  # seconds to wait for the tracker after a failed start


@dataclass(frozen=True)
class Outcome:
    """The outcome of a sweep.

    plan: as it is at the end. results: what the report is made of. failures: the last line of each
    failed cell's traceback, by key. not_uploaded: keys of finished cells that MLflow lacks. times:
    where the time went; None where nothing was run.
    """

    plan: Plan
    results: Results
    failures: dict[str, str]
    not_uploaded: list[str]
    times: Times | None


def drive(
    plan: Plan,
    store: Store,
    assets: Assets,
    console: Console,
    tracking_uri: str | None,
    ray: RayOptions,
    budget: Budget,
    rehearse: bool = True,
) -> Outcome:
    """Run what is missing and log what is not logged.

    rehearse: before the first fit on a GPU (run/rehearsal.py).

    Raises BadInput before anything is run, and StoreFailed afterwards.
    """
    time_spent = TimeSpent()
    registry_of(plan.space).claims()  # The report at the end reads them.
    store.check_writable()
    with Lease(store) as lease, leftovers_go(), ray_ends_on_failure():
        store.remove_leftovers(plan.fits_todo)
        remove_leftovers()
        say = partial(console.print, markup=False, soft_wrap=True)
        for line in set_aside(plan, store):
            say(line)
        with gc_paused():
            rehearsal = partial(_rehearse, plan, store, assets, say) if rehearse else None
            tracker = _open(plan, store, assets, tracking_uri, ray, rehearsal)
            from orchestrator.report import contents  # With matplotlib.
        finished = plan.with_status("done")
        if not plan.todo:
            console.print(f"nothing to do: all {len(finished)} cells of {plan.space.name} are done")
        failures: dict[str, str] = {}
        left_out: list[str] = []
        times: Callable[[], Times | None] = cache(time_spent.total if plan.todo else lambda: None)
        with (
            begun(),
            Uploader(tracker, store, say) as uploader,
            ThreadPoolExecutor(1) as background,
        ):
            if plan.todo:
                store.write_environment(plan.space.name, environment(nodes()))
                uploader.begin(beginning(plan, store))
            for cell in finished:
                uploader.add(cell)
            last = plan
            trusted = {cell.key for cell in finished}  # not those that finish in this sweep
            if plan.todo:
                progress = Progress(plan, comparison=compared_before(plan, store))
                lease.progress = lambda: progress.snapshot().to_json()
                stop = Stop(store, lease)
                view = View(progress, console)
                failures = _run_missing(
                    plan, store, assets, view, time_spent, uploader, finished, stop, ray, budget
                )
                close_ray(background)  # It takes seconds, and so does the report.
                last = make_plan(plan.space, assets, store, trusted=trusted)
            results = Results(last.space.name, store.url, [])
            if finished:
                results = read_store(last, store)
                files = cache(partial(contents.files, results))
                if plan.todo or not _has_report(last, store):
                    _write(results, files(), store, say)
                left_out = uploader.finish(lambda: summary(last, store, results, files(), times()))
        spent = times()
        if spent is not None:
            _write_times(plan.space.name, spent, store, say)
    return Outcome(last, results, failures, left_out, spent)


def _rehearse(plan: Plan, store: Store, assets: Assets, say: Callable[[str], None]) -> None:
    from orchestrator.run.rehearsal import is_due, run_rehearsal

    if is_due(plan):
        run_rehearsal(plan, store, assets, say)


def _open(
    plan: Plan,
    store: Store,
    assets: Assets,
    tracking_uri: str | None,
    ray: RayOptions,
    rehearse: Callable[[], None] | None,
) -> Tracker:
    """Reach MLflow and, if there is something to run, Ray, in parallel: each takes seconds."""
    tracker = tracker_for(plan.space.name, store, assets, tracking_uri)
    thread = ThreadPoolExecutor(1)
    try:
        opened = thread.submit(tracker.open, to_write=bool(plan.todo))
        if plan.todo:
            open_ray(plan.todo, PHASES, store, ray)
            if ray.address is not None:
                check_attacks_on_nodes(all_resources(plan.todo, plan.fits_todo.values()))
            if rehearse is not None:
                rehearse()
        opened.result()
    except BaseException:
        tracker.stop_waiting()
        wait([opened], ENDS_WITHIN)
        tracker.end()
        raise
    finally:
        thread.shutdown(wait=False)  # A server may keep it waiting.
    return tracker


@contextmanager
def leftovers_go() -> Iterator[None]:
    """Remove what killed workers leave behind, during a sweep or when Ray ends."""
    try:
        yield
    except BaseException:
        time.sleep(WORKERS_END_WITHIN)  # Workers end when Ray is gone, and nothing waits for them.
        raise
    finally:
        remove_leftovers()


def _has_report(plan: Plan, store: Store) -> bool:
    from orchestrator.report.folder import folder_of, is_current

    finished = [cell.key for cell in plan.with_status("done")]
    return is_current(folder_of(plan.space.name, store), finished)


def _write(
    results: Results, files: dict[str, bytes], store: Store, say: Callable[[str], None]
) -> None:
    from orchestrator.report import folder

    try:
        folder.write(files, folder.folder_of(results.space, store), results.finished)
    except (OSError, BadInput) as error:
        say(f"the report is not written: {error}; {called('report')} makes it later")


def _write_times(space: str, spent: Times, store: Store, say: Callable[[str], None]) -> None:
    try:
        store.write_times(space, spent.to_json())
    except OSError as error:
        say(f"where the time went cannot be written: {error}")


class StoreFailed(Exception):
    """The store could no longer be read or written during a sweep."""


@contextmanager
def begun() -> Iterator[None]:
    """Within it something is computed, so that a failing store is no longer bad input.

    Raises StoreFailed.
    """
    try:
        yield
    except StoreError as error:
        raise StoreFailed(str(error)) from error


class Stop:
    """Why no more cells are handed out; empty as long as they are."""

    def __init__(self, store: Store, lease: Lease) -> None:
        self.store, self.lease = store, lease
        self._unwritable = ""

    def after_failure(self) -> None:
        """A cell failed: if the store is the cause, all others would fail as well."""
        try:
            self.store.try_to_write()
        except OSError as error:
            self._unwritable = str(error)

    def reason(self) -> str:
        if self.lease.lost.is_set():
            return f"another sweep took over {self.store.url} while this one was suspended"
        return self._unwritable


def _run_missing(
    plan: Plan,
    store: Store,
    assets: Assets,
    view: View,
    time_spent: TimeSpent,
    uploader: Uploader,
    finished: list[Cell],
    stop: Stop,
    ray: RayOptions,
    budget: Budget,
) -> dict[str, str]:
    from orchestrator.run.cells import CannotGoOn, run_cells

    failures: dict[str, str] = {}
    fits = len(view.progress.fits)
    view.console.print(f"{len(plan.todo)} cells to run on {fits} new fits; {len(finished)} done")
    with view:

        def listen(cell: Cell, progress: TrialReport) -> None:
            view.update(cell, progress)
            time_spent.update(cell, progress)
            if progress["phase"] == "done":
                finished.append(cell)
                uploader.add(cell)
            if progress["phase"] == "failed":
                failures[cell.key] = progress["error"]
                stop.after_failure()

        try:
            expected = view.progress.expected
            say = partial(view.console.print, markup=False, soft_wrap=True)
            run_cells(plan, store, assets.location, listen, stop.reason, ray, budget, expected, say)
            reason = stop.reason()
        except CannotGoOn as error:
            reason = str(error)
    if reason:
        print(stopped(reason), file=sys.stderr)
    elif budget.refused and (left := len(plan.todo) - view.progress.ended):
        print(f"{budget.what_is_left(left)}; {how_to_go_on()}", file=sys.stderr)
    return failures

"""The driver of a sweep: run what a plan lacks, as the store's only driver, and log it.

Ray lies behind connect.py and run.py, MLflow behind the uploader (upload.py), the terminal behind
the view (live.py). Here they meet: what a trial reports goes to the view, to MLflow, and with the
driver's heartbeat into the store.
"""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from rich.console import Console

from orchestrator.connect import close_ray, open_ray
from orchestrator.environment import environment
from orchestrator.lease import Lease
from orchestrator.live import View
from orchestrator.plan import Plan, make_plan
from orchestrator.progress import Progress
from orchestrator.slots import PHASES
from orchestrator.time_spent import Times, TimeSpent
from orchestrator.track import beginning, summary
from orchestrator.tracking import Tracker, tracker_for
from orchestrator.upload import Uploader
from search_spaces.cell import Cell
from trainables.assets import Assets
from trainables.imports import much_stays
from trainables.scratch import remove_leftovers
from trainables.store import Store

if TYPE_CHECKING:
    from orchestrator.report.contents import Report


def drive(
    plan: Plan,
    store: Store,
    assets: Assets,
    console: Console,
    tracking_uri: str | None,
    ray_address: str | None,
    max_concurrent: int | None,
    verbose: bool,
) -> tuple[dict[str, str], list[str], Times | None]:
    """Run what is missing and log what is not logged.

    Returns the failed cells' last lines, the keys of finished cells that MLflow has not got, and
    where the time went if any was spent on cells. Raises BadInput before anything is run.
    """
    time_spent = TimeSpent()
    store.check_writable()
    with Lease(store) as lease:
        store.remove_leftovers()
        remove_leftovers()
        with much_stays():
            tracker = _open(plan, store, assets, tracking_uri, ray_address, verbose)
            from orchestrator.report import contents  # With matplotlib.
        finished = plan.with_status("done")
        if not plan.todo:
            console.print(f"nothing to do: all {len(finished)} cells of {plan.space.name} are done")
        failures: dict[str, str] = {}
        left_out: list[str] = []
        times: Callable[[], Times | None] = cache(time_spent.total if plan.todo else lambda: None)
        say = partial(console.print, markup=False, soft_wrap=True)
        with Uploader(tracker, store, say) as uploader, ThreadPoolExecutor(1) as beside:
            if plan.todo:
                store.write_environment(plan.space.name, environment())
                uploader.begin(beginning(plan, store))
            for cell in finished:
                uploader.add(cell)
            if plan.todo:
                progress = Progress(plan)
                lease.progress = lambda: progress.snapshot().to_json()
                failures = _run_missing(
                    plan, store, assets, View(progress, console), time_spent, uploader, finished,
                    Stop(store, lease), ray_address, max_concurrent, verbose,
                )  # fmt: skip
                close_ray(beside)  # It takes seconds, and so does the report.
            if finished:
                last = make_plan(plan.space, assets, store)
                report = cache(partial(contents.make, last, store))
                if plan.todo:
                    _write(report(), store, say)
                left_out = uploader.finish(lambda: summary(last, store, report(), times()))
        spent = times()
        if spent is not None:
            _write_times(plan.space.name, spent, store, say)
        remove_leftovers()  # Of workers that were killed in mid-sweep.
    return failures, left_out, spent


def _open(
    plan: Plan,
    store: Store,
    assets: Assets,
    tracking_uri: str | None,
    ray_address: str | None,
    verbose: bool,
) -> Tracker:
    """Reach MLflow and, if there is something to run, Ray: each takes seconds, so at once."""
    tracker = tracker_for(plan.space.name, store, assets, tracking_uri)
    with ThreadPoolExecutor(1) as thread:
        opened = thread.submit(tracker.open, to_write=bool(plan.todo))
        try:
            if plan.todo:
                open_ray(plan.todo, PHASES, store, ray_address, verbose)
            opened.result()
        except BaseException:
            tracker.stop_waiting()
            wait([opened])
            tracker.end()
            raise
    return tracker


def _write(report: "Report", store: Store, say: Callable[[str], None]) -> None:
    from orchestrator.report import contents

    try:
        contents.write(report.files, contents.folder_of(report.results.space, store))
    except OSError as error:
        say(f"the report cannot be written: {error}; python -m orchestrator.report makes it later")


def _write_times(space: str, spent: Times, store: Store, say: Callable[[str], None]) -> None:
    try:
        store.write_times(space, spent.to_json())
    except OSError as error:
        say(f"where the time went cannot be written: {error}")


class Stop:
    """Why no more cells are handed out, in words; empty as long as they are."""

    def __init__(self, store: Store, lease: Lease) -> None:
        self.store, self.lease = store, lease
        self._unwritable = ""

    def after_failure(self) -> None:
        """A cell failed: if that is the store's doing, all others would fail as well."""
        try:
            self.store.try_to_write()
        except OSError as error:
            self._unwritable = str(error)

    def reason(self) -> str:
        if self.lease.lost.is_set():
            return f"another sweep took {self.store.url} over while this one stood still"
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
    ray_address: str | None,
    max_concurrent: int | None,
    verbose: bool,
) -> dict[str, str]:
    from orchestrator.run import RayDied, run_cells

    failures: dict[str, str] = {}
    fits = len(view.progress.fits)
    view.console.print(f"{len(plan.todo)} cells to run on {fits} new fits; {len(finished)} done")
    with view:

        def listen(cell: Cell, progress: dict[str, Any]) -> None:
            view.update(cell, progress)
            time_spent.update(cell, progress)
            if progress["phase"] == "done":
                finished.append(cell)
                uploader.add(cell)
            if progress["phase"] == "failed":
                failures[cell.key] = progress["error"]
                stop.after_failure()

        try:
            run_cells(
                plan, store, assets.location, listen, stop.reason,
                ray_address, max_concurrent, verbose,
            )  # fmt: skip
            reason = stop.reason()
        except RayDied as error:
            reason = str(error)
    if reason:
        print(
            f"stopped: {reason}. What is done is kept; the same command goes on from there",
            file=sys.stderr,
        )
    return failures

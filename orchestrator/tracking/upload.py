"""Upload finished cells in a thread of its own: a slow or dead MLflow never holds up a sweep.

One writer, one queue. While the server does not answer everything stays queued and is retried; what
it refuses is retried once, then left out and reported. What is left out in the end is still in the
store, from which `python -m orchestrator.track sync` uploads it later.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from types import TracebackType

from orchestrator.tracking.causes import cause, line
from orchestrator.tracking.runs import Summary
from orchestrator.tracking.tracker import Tracker
from search_spaces.cell import Cell
from trainables.store import Store

RETRY_AFTER = 5.0  # seconds between retries while the server does not answer
STOP_WITHIN = 3.0  # seconds
GIVE_UP_AFTER = 60.0  # seconds without any success, once nothing else is left to do


@dataclass(frozen=True)
class Job:
    """Something to upload: its name for messages, and what does it (False: was there already)."""

    name: str
    log: Callable[[], bool]


class Uploader:
    """A context manager: `add` cells while they finish, `finish` before leaving.

    After an exception it uploads no more, and ends the runs that are still running as KILLED;
    without one, it ends as FAILED those of which nothing was finished.
    """

    def __init__(self, tracker: Tracker, store: Store, say: Callable[[str], None]) -> None:
        """say: called from the thread, with one line for the user."""
        self.tracker, self.store, self.say = tracker, store, say
        self.uploaded = 0
        self.summary_uploaded = False
        self._cells: set[str] = set()
        self._pending: dict[str, Job] = {}
        self._refused: dict[str, str] = {}
        self._last: Job | None = None
        self._succeeded_at = time.monotonic()
        self._making = False
        self._away = False
        self._stopped = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="upload to MLflow", daemon=True)

    def __enter__(self) -> "Uploader":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        # A call that hangs ends with the process.
        self._thread.join(timeout=STOP_WITHIN / 3)
        status = "FAILED" if kind is None else "KILLED"
        end = threading.Thread(target=self.tracker.end, args=(status,), daemon=True)
        end.start()
        end.join(timeout=2 * STOP_WITHIN / 3)

    def begin(self, summary: Summary) -> None:
        """Queue what the sweep's own run shows while it runs; returns at once."""

        def log() -> bool:
            self.tracker.log_sweep(summary)
            return True

        self._add(Job("the plan", log))

    def add(self, cell: Cell) -> None:
        """Queue a finished cell; returns at once. What MLflow has already is not uploaded again."""
        self._cells.add(cell.key)
        self._add(Job(cell.key, partial(self.tracker.log_cell, cell, self.store)))

    def finish(self, make: Callable[[], Summary]) -> list[str]:
        """Upload what is left and then the summary; returns the keys of cells not uploaded.

        make: called at most once, in the thread, and only where MLflow lacks the summary. Returns
        in any case when nothing could be uploaded for `GIVE_UP_AFTER` seconds.
        """
        make = cache(partial(self._make, make))
        with self._changed:
            self._last = Job(
                "the comparison",
                lambda: self.tracker.log_summary(
                    make, self.store.read_environment(self.tracker.space)
                ),
            )
            self._succeeded_at = time.monotonic()
            self._changed.notify_all()
            while self._pending or self._last is not None:
                left = self._succeeded_at + GIVE_UP_AFTER - time.monotonic()
                if left <= 0 and not self._making:
                    break
                self._changed.wait(max(left, 1.0))
            return [key for key in (*self._refused, *self._pending) if key in self._cells]

    def _add(self, job: Job) -> None:
        with self._changed:
            self._pending[job.name] = job
            self._changed.notify_all()

    def _make(self, make: Callable[[], Summary]) -> Summary:
        """Make the summary; the time it takes does not count as the server's silence."""
        self._making = True
        try:
            return make()
        finally:
            with self._changed:
                self._making = False
                self._succeeded_at = time.monotonic()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                done = self._upload(job)
            except Exception as error:
                if self.tracker.may_pass(error):
                    self._wait(job, error)
                else:
                    self._refuse(job, error)
            else:
                self._succeed(job, done)

    def _next(self) -> Job | None:
        """The next job, the summary after all others; None at the end."""
        with self._changed:
            while not (self._pending or self._last is not None or self._stopped):
                self._changed.wait()
            if self._stopped:
                return None
            return next(iter(self._pending.values()), self._last)

    def _upload(self, job: Job) -> bool:
        try:
            return job.log()
        except Exception as error:
            if self.tracker.may_pass(error):
                raise
            # The refusal may be due to outdated knowledge of the server: everything is read again.
            return job.log()

    def _succeed(self, job: Job, done: bool) -> None:
        if self._away:
            self.say(f"MLflow at {self.tracker.shown_uri} answers again")
        with self._changed:
            self._away = False
            self._succeeded_at = time.monotonic()
            if job is self._last:
                self.summary_uploaded = done
            self.uploaded += done and job.name in self._cells
            self._drop(job)

    def _refuse(self, job: Job, error: Exception) -> None:
        reason = line(error)
        if reason not in self._refused.values():
            self.say(f"not uploaded to MLflow: {job.name}: {reason}")
        with self._changed:
            self._refused[job.name] = reason
            self._drop(job)

    def _drop(self, job: Job) -> None:
        if job is self._last:
            self._last = None
        else:
            del self._pending[job.name]
        self._changed.notify_all()

    def _wait(self, job: Job, error: Exception) -> None:
        if not self._away:
            self.say(
                f"MLflow at {self.tracker.shown_uri} cannot be written "
                f"({cause(error, self.tracker.where)}); "
                f"retrying every {RETRY_AFTER:.0f} s; the sweep continues"
            )
        with self._changed:
            self._away = True
            if job is not self._last:
                # To the end of the queue: a cell that always fails must not block the others.
                self._pending[job.name] = self._pending.pop(job.name)
            self._changed.wait_for(lambda: self._stopped, timeout=RETRY_AFTER)

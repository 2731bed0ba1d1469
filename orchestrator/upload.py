"""Upload finished cells in a thread of its own: a slow or dead MLflow never holds up a sweep.

One writer, one queue. While the server is away everything stays queued and is tried again; what it
refuses is tried once more and then left out, and said. Whatever is left out in the end lies in the
store, from which `python -m orchestrator.track sync` uploads it later.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType

from orchestrator.tracking import Tracker, line, may_pass
from search_spaces.cell import Cell
from trainables.store import Store

RETRY_AFTER = 5.0  # seconds between tries while the server is away
GIVE_UP_AFTER = 60.0  # seconds without any success, once nothing else is left to do


class Uploader:
    """A context manager: `add` cells while they finish, `finish` before leaving.

    Left by an exception it uploads no more.
    """

    def __init__(self, tracker: Tracker, store: Store, say: Callable[[str], None]) -> None:
        """say: called from the thread, with one line for people."""
        self.tracker, self.store, self.say = tracker, store, say
        self.uploaded = 0
        self.summary_uploaded = False
        self._pending: dict[str, Cell] = {}
        self._refused: dict[str, str] = {}
        self._summary: str | None = None
        self._succeeded_at = time.monotonic()
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
        self._thread.join(timeout=1.0)

    def add(self, cell: Cell) -> None:
        """Queue a finished cell; returns at once. What MLflow has already is not uploaded again."""
        with self._changed:
            self._pending[cell.key] = cell
            self._changed.notify_all()

    def finish(self, summary: str) -> list[str]:
        """Upload what is left and then the summary; returns the keys of cells not uploaded.

        Returns in any case when nothing could be uploaded for `GIVE_UP_AFTER` seconds.
        """
        with self._changed:
            self._summary = summary
            self._succeeded_at = time.monotonic()
            self._changed.notify_all()
            while self._pending or self._summary is not None:
                left = self._succeeded_at + GIVE_UP_AFTER - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return [*self._refused, *self._pending]

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                done = self._upload(job)
            except Exception as error:
                if may_pass(error):
                    self._wait(job, error)
                else:
                    self._refuse(job, error)
            else:
                self._succeed(job, done)

    def _next(self) -> Cell | str | None:
        """The next cell, after all cells the summary, or None at the end."""
        with self._changed:
            while not (self._pending or self._summary is not None or self._stopped):
                self._changed.wait()
            if self._stopped:
                return None
            return next(iter(self._pending.values()), self._summary)

    def _upload(self, job: Cell | str) -> bool:
        try:
            return self._log(job)
        except Exception as error:
            if may_pass(error):
                raise
            # What the server refuses may be due to what was known of it: all is read anew.
            return self._log(job)

    def _log(self, job: Cell | str) -> bool:
        if isinstance(job, Cell):
            return self.tracker.log_cell(job, self.store)
        return self.tracker.log_summary(job)

    def _succeed(self, job: Cell | str, done: bool) -> None:
        if self._away:
            self.say(f"MLflow at {self.tracker.shown_uri} answers again")
        with self._changed:
            self._away = False
            self._succeeded_at = time.monotonic()
            if isinstance(job, Cell):
                self.uploaded += done
            else:
                self.summary_uploaded = done
            self._drop(job)

    def _refuse(self, job: Cell | str, error: Exception) -> None:
        reason = line(error)
        if reason not in self._refused.values():
            what = job.key if isinstance(job, Cell) else "the comparison"
            self.say(f"not uploaded to MLflow: {what}: {reason}")
        with self._changed:
            if isinstance(job, Cell):
                self._refused[job.key] = reason
            self._drop(job)

    def _drop(self, job: Cell | str) -> None:
        if isinstance(job, Cell):
            del self._pending[job.key]
        else:
            self._summary = None
        self._changed.notify_all()

    def _wait(self, job: Cell | str, error: Exception) -> None:
        if not self._away:
            self.say(
                f"MLflow at {self.tracker.shown_uri} cannot be written ({line(error)}); "
                f"trying again every {RETRY_AFTER:.0f} s, nothing else waits for it"
            )
        with self._changed:
            self._away = True
            if isinstance(job, Cell):
                # To the end of the queue: one cell that never passes must not hold up the others.
                self._pending[job.key] = self._pending.pop(job.key)
            self._changed.wait_for(lambda: self._stopped, timeout=RETRY_AFTER)

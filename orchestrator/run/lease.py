"""One sweep per store: a second driver is refused, a dead one is replaced.

Each driver keeps a small file in the store's `drivers/` with a counter (its heartbeat). It is dead
when its process is gone from this machine, or when its counter has not advanced for `DEAD_AFTER`
seconds, as observed by another driver: clocks are never compared. A driver first announces that it
wants the store, looks for others, and only then holds it; if two want it at once, the one with the
smaller id gets it. So two never hold it together, on a disk or on an object store.

The file also has the sweep's progress, for `--status`; the lease does not depend on it.
"""

import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

from search_spaces.errors import BadInput
from trainables.process import is_gone, this_process
from trainables.records import Driver
from trainables.store import Store

BEAT = 5.0  # seconds between heartbeats
DEAD_AFTER = 4 * BEAT
LOOK_EVERY = 0.5


class Lease:
    """A context manager: within it this process is the store's only driver.

    Entering raises BadInput where another one is alive. `lost` is set when another driver took over
    the store, which happens only after a long silence: this one must stop then. `progress`, once
    set, is called at each heartbeat for what others may read about this sweep.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.id = uuid.uuid4().hex
        self.lost = threading.Event()
        self.left = threading.Event()
        self.writing = threading.Lock()
        self.progress: Callable[[], dict[str, Any]] | None = None
        process = this_process()
        self.says: Driver = {
            "machine": process["machine"],
            "pid": process["pid"],
            "started": process.get("started"),
            "count": 0,
            "state": "wanting",
        }

    def __enter__(self) -> "Lease":
        watch = Watch(self)
        while watch.others():
            watch.refuse_if_held()
            time.sleep(LOOK_EVERY)
        self._say("wanting")
        threading.Thread(target=self._beat, name="lease", daemon=True).start()
        try:
            while others := watch.others():
                watch.refuse_if_held()
                if any(driver["state"] == "wanting" and id < self.id for id, driver in others):
                    raise BadInput(f"another sweep on {self.store.url} is just starting")
                time.sleep(LOOK_EVERY)
        except BaseException:
            self.__exit__()
            raise
        self._say("holding")
        return self

    def __exit__(self, *_: object) -> None:
        # If the store cannot be reached, the next driver notices that this one is dead.
        with self.writing, suppress(OSError):
            self.left.set()
            self.store.remove_driver(self.id)

    def _say(self, state: Literal["wanting", "holding"]) -> None:
        self.says["state"] = state
        self.says["count"] += 1
        if self.progress is not None:
            # A failing callback must not stop the heartbeat: a silent driver is presumed dead.
            with suppress(Exception):
                self.says["progress"] = self.progress()
        self.store.write_driver(self.id, self.says)

    def _beat(self) -> None:
        while not self.left.wait(BEAT):
            # The disk is full or the network is down: retry.
            with self.writing, suppress(OSError):
                if self.left.is_set():
                    return
                if self.id not in self.store.drivers():
                    self.lost.set()
                    return
                self._say(self.says["state"])


class Watch:
    """Who else is at the store, and which of them are alive."""

    def __init__(self, lease: Lease) -> None:
        self.store, self.id = lease.store, lease.id
        self.counts: dict[str, tuple[int, float]] = {}
        self.alive: set[str] = set()

    def others(self) -> list[tuple[str, Driver]]:
        """The other drivers that are not known to be dead; dead ones' files are removed."""
        others = []
        for id, driver in self.store.drivers().items():
            if id == self.id:
                continue
            count, since = self.counts.setdefault(id, (driver["count"], time.monotonic()))
            if driver["count"] != count:
                self.alive.add(id)
                self.counts[id] = (driver["count"], time.monotonic())
            elif is_gone(driver) or time.monotonic() - since > DEAD_AFTER:
                self.store.remove_driver(id)
                continue
            others.append((id, driver))
        return others

    def refuse_if_held(self) -> None:
        """Raises BadInput where a driver that is alive holds the store."""
        for id, driver in self.store.drivers().items():
            if id in self.alive and driver["state"] == "holding":
                raise BadInput(
                    f"another sweep writes to {self.store.url} (process {driver['pid']} on "
                    f"{driver['machine'].split()[0]}); wait for it, or give another --store"
                )

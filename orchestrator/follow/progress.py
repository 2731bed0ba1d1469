"""The state of a running sweep: the trials' progress records, added up.

The view in the terminal (live.py) shows it, and the driver keeps it in the store with its
heartbeat (run/lease.py), where `--status` finds it. Knows nothing of Ray.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from pydantic import TypeAdapter

from orchestrator.follow.comparison import Compared, Comparison
from orchestrator.follow.eta import Estimator, Left, Names, Task
from orchestrator.plan.compared import pairs
from orchestrator.plan.plan import Plan
from search_spaces.cell import Axis, Cell
from trainables.records import TrialReport

MINUTE = 60.0
ETA_EVERY = 5.0  # seconds: for tens of thousands of cells it costs a tenth of a second
LISTED = 100  # running cells that a snapshot names; a large cluster runs more
# What the seconds of a task depend on.
FIT_NAMES: tuple[Axis, ...] = ("dataset", "model", "head", "training")
ATTACK_NAMES: tuple[Axis, ...] = ("attack", "model", "dataset", "head", "training")


@dataclass(frozen=True)
class RunningCell:
    """phase: starting, fit or attack; `finished` of `total` training or attacked examples.

    share: that is finished. Where a training adds rows the total grows, and the share stays.
    """

    key: str
    phase: str
    finished: int
    total: int
    share: float = 0.0


@dataclass(frozen=True)
class Snapshot:
    """A sweep at one moment. Cells that were done before it began are not counted.

    examples_per_second: attacked over the last minute; None in the first seconds.
    eta: None as long as too little is known. best, worst: (cell key, accuracy under attack).
    started, updated: ISO 8601, by the driver's clock. compared: with cells done before it began.
    """

    space: str
    cells: int
    done: int
    failed: int
    fits: int
    fits_done: int
    running: int
    running_cells: list[RunningCell]
    examples_per_second: float | None
    eta: Left | None
    best: tuple[str, float] | None
    worst: tuple[str, float] | None
    seconds: float
    started: str
    updated: str
    compared: Compared | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(record: dict[str, Any]) -> "Snapshot":
        """Raises ValueError if it is not one, such as that of another version."""
        return TypeAdapter(Snapshot).validate_python(record)


class Progress:
    """`update` it with each progress record of a cell; `snapshot` may be called by any thread."""

    def __init__(
        self,
        plan: Plan,
        clock: Callable[[], float] = time.monotonic,
        comparison: Comparison | None = None,
    ) -> None:
        """clock: seconds. comparison: with the plan's cells that are done."""
        self.space, self.clock = plan.space.name, clock
        self.comparison = comparison or Comparison(pairs(plan.applicable))
        todo = plan.todo
        self.fits = {cell.fit.key for cell in todo} - plan.fits_done
        self.cells = len(todo)
        self.done = self.failed = self.fits_done = self.attacked = 0
        self.began, self.began_at = clock(), _now()
        self._running: dict[str, TrialReport] = {}
        self._shares: dict[str, float] = {}  # of each cell's fit that is being made
        # The last record of each part of divided attacks, including parts that have ended.
        self._parts: dict[str, dict[int, TrialReport]] = {}
        self._not_failed: dict[str, set[str]] = {}  # cells of each fit
        for cell in todo:
            self._not_failed.setdefault(cell.fit.key, set()).add(cell.key)
        self._best: tuple[str, float] | None = None
        self._worst: tuple[str, float] | None = None
        self._lately: deque[tuple[float, int]] = (
            deque()
        )  # when, and how many examples were attacked
        self._plain_fits = plan.costs.times_plain
        self._estimator = _estimator(plan, self.fits)
        self._expected: dict[tuple[str, Names, float], float | None] = {}  # until more is known
        self._eta: tuple[float, Left | None] | None = None  # when it was computed, and the result
        self._lock = threading.Lock()

    @property
    def ended(self) -> int:
        return self.done + self.failed

    def update(self, cell: Cell, record: TrialReport) -> TrialReport | None:
        """Take in one progress record; returns the one before it of the cell."""
        with self._lock:
            self._expected.clear()
            if "part" in record:
                self._take_part(cell, record, self.clock())
                return None
            before = self._running.get(cell.key)
            self._take(cell, record, before, self.clock())
            return before

    def snapshot(self) -> Snapshot:
        with self._lock:
            now = self.clock()
            return Snapshot(
                space=self.space,
                cells=self.cells,
                done=self.done,
                failed=self.failed,
                fits=len(self.fits),
                fits_done=self.fits_done,
                running=len(self._running),
                running_cells=[
                    RunningCell(
                        key,
                        "starting" if record["phase"] == "begun" else record["phase"],
                        record.get("finished", 0),
                        record.get("total", 0),
                        self._share(key, record),
                    )
                    for key, record in list(self._running.items())[:LISTED]
                ],
                examples_per_second=self._rate(now),
                eta=self._left(now),
                best=self._best,
                worst=self._worst,
                seconds=now - self.began,
                started=self.began_at,
                updated=_now(),
                compared=self.comparison.so_far(),
            )

    def expected(self, cell: Cell, phase: str) -> float | None:
        """Expected seconds of a cell's fit or attack, if this sweep has measured similar ones."""
        with self._lock:
            units = self._plain_fits(cell) if phase == "fit" else cell.examples
            task = phase, _names(cell, phase), units
            if task not in self._expected:
                self._expected[task] = self._estimator.expected(*task)
            return self._expected[task]

    def _take(
        self, cell: Cell, record: TrialReport, before: TrialReport | None, now: float
    ) -> None:
        phase, fit, attack = record["phase"], ("fit", cell.fit.key), ("attack", cell.key)
        estimator = self._estimator
        self._running[cell.key] = record
        if phase != "fit":
            self._shares.pop(cell.key, None)
        if phase == "begun":
            estimator.begin(fit if fit in estimator.open else attack, now)
        if phase == "fit":
            estimator.begin(fit, now)
            units, share = self._plain_fits(cell), self._share(cell.key, record)
            self._shares[cell.key] = share
            estimator.report(fit, share * units, share * units if "found" in record else None)
        if record.get("fit_done"):
            self._fit_done(cell, record, before, now)
        if phase in ("attack", "done"):
            earlier = before if before is not None and before["phase"] == "attack" else None
            found = record.get("found", earlier.get("found", 0) if earlier else 0)
            self._running[cell.key] = {**record, "found": found}
            so_far = earlier.get("finished", 0) if earlier else 0
            self._attack(record["finished"] - max(so_far, found), now)
            estimator.report(attack, record["finished"], found)
        if phase == "done":
            self.done += 1
            accuracy = record["metrics"]["accuracy_under_attack"]
            self._rank(cell.key, accuracy)
            self.comparison.note(cell.key, accuracy)
            examples, seconds = (
                record["metrics"]["num_examples"],
                record["metrics"]["attack_seconds"],
            )
            if examples and seconds is not None:
                estimator.finish(attack, seconds / examples, now)
            estimator.drop(attack, now)
        if phase == "failed":
            self.failed += 1
            estimator.drop(attack, now)
            self._give_up_fit(cell, now)
        if phase == "died":
            estimator.put_back(fit, now)
            estimator.put_back(attack, now)
        if phase in ("done", "failed"):
            for index in self._parts.pop(cell.key, {}):
                estimator.drop((attack, index), now)
        # If a trial ends with its fit, the cell will be handed out again for its attack.
        if phase in ("done", "failed", "died") or record.get("last"):
            estimator.put_back(attack, now)
            del self._running[cell.key]

    def _share(self, key: str, record: TrialReport) -> float:
        share = record.get("finished", 0) / max(record.get("total", 0), 1)
        return max(self._shares.get(key, 0.0), share)

    def _take_part(self, cell: Cell, record: TrialReport, now: float) -> None:
        """The part's examples count; the cell is running as long as one of its parts is."""
        (index, of), phase, attack = record["part"], record["phase"], ("attack", cell.key)
        estimator, task = self._estimator, (attack, index)
        if cell.key not in self._parts:
            self._parts[cell.key] = {}
            estimator.divide(attack, of)
        parts = self._parts[cell.key]
        before: TrialReport = parts.get(index, {"phase": "begun"})
        so_far, found = before.get("finished", 0), before.get("found", 0)
        parts[index] = part = record.copy()
        part.setdefault("finished", so_far)
        part.setdefault("found", found)
        if phase == "begun":
            estimator.begin(task, now)
        new = part["finished"] - max(so_far, part["found"])
        self._attack(new, now)
        estimator.report(task, part["finished"], part["found"])
        if phase == "part_done" and "error" not in record:
            if record["attacked"]:
                estimator.finish(task, record["spent"]["attack"] / record["attacked"], now)
            estimator.drop(task, now)
        if phase in ("part_done", "died"):
            estimator.put_back(task, now)
        if any(each["phase"] in ("begun", "attack") for each in parts.values()):
            finished = sum(each["finished"] for each in parts.values())
            self._running[cell.key] = {
                "phase": "attack",
                "finished": finished,
                "total": cell.examples,
            }
        else:
            self._running.pop(cell.key, None)

    def _fit_done(
        self, cell: Cell, record: TrialReport, before: TrialReport | None, now: float
    ) -> None:
        fit = ("fit", cell.fit.key)
        if before is not None and before["phase"] == "fit":
            self.fits_done += 1
        if (seconds := record.get("fit_seconds")) is not None:
            self._estimator.finish(fit, seconds / self._plain_fits(cell), now)
        self._estimator.drop(fit, now)
        self._estimator.begin(("attack", cell.key), now)

    def _give_up_fit(self, cell: Cell, now: float) -> None:
        """A fit is tried again as long as one of its cells has not failed."""
        fit = ("fit", cell.fit.key)
        self._estimator.put_back(fit, now)
        self._not_failed[cell.fit.key].discard(cell.key)
        if not self._not_failed[cell.fit.key]:
            self._estimator.drop(fit, now)

    def _attack(self, examples: int, now: float) -> None:
        if examples > 0:
            self.attacked += examples
            self._lately.append((now, examples))

    def _left(self, now: float) -> Left | None:
        if self._eta is None or now - self._eta[0] >= ETA_EVERY or not self._estimator.open:
            self._eta = now, self._estimator.left(now)
        return self._eta[1]

    def _rate(self, now: float) -> float | None:
        """Examples attacked per second in the last minute, or since the start if that is later."""
        while self._lately and self._lately[0][0] < now - MINUTE:
            self._lately.popleft()
        passed = min(now - self.began, MINUTE)
        return sum(count for _, count in self._lately) / passed if passed >= 1.0 else None

    def _rank(self, key: str, accuracy: float | None) -> None:
        if accuracy is not None:
            if self._best is None or accuracy > self._best[1]:
                self._best = key, accuracy
            if self._worst is None or accuracy < self._worst[1]:
                self._worst = key, accuracy


def _names(cell: Cell, phase: str) -> Names:
    axes = cell.axes()
    return tuple(str(axes[name]) for name in (FIT_NAMES if phase == "fit" else ATTACK_NAMES))


def _estimator(plan: Plan, fits: set[str]) -> Estimator:
    """Units of a fit are fits by standard training: the longest training would be a surprise else,
    as long as none by it has ended."""
    times_plain = plan.costs.times_plain
    tasks: dict[Any, Task] = {}
    for cell in plan.todo:
        if (fit := ("fit", cell.fit.key)) not in tasks and cell.fit.key in fits:
            tasks[fit] = Task("fit", _names(cell, "fit"), units=times_plain(cell))
        tasks["attack", cell.key] = Task("attack", _names(cell, "attack"), units=cell.examples)
    earlier = []
    for phase, cell, measured in plan.costs.earlier(plan.applicable):
        units = times_plain(cell) if phase == "fit" else 1.0
        earlier += [(phase, _names(cell, phase), seconds / units) for seconds in measured]
    return Estimator(tasks, earlier)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")

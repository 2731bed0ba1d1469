"""Where a sweep's time went: its slots times its seconds, each counted once.

A slot is what one attack holds; a fit that holds more occupies several. Its input is the progress
records that the view gets too (progress.py); knows nothing of Ray.

fits          fine-tuning
victim        queries to attacked models
constraints   checks of perturbed texts: sentence encoder, tagger, word vectors
search        the rest of attacks: finding what to change, building texts
loading       the rest of trials: imports, models, data, writing to the store
waiting       slots without a trial, between the first trial and the last
overhead      before the first trial, such as Ray's start; and after the last: report, tracking
"""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from pydantic import TypeAdapter

from search_spaces.cell import Cell
from trainables.records import TrialReport
from trainables.store import Store

IN_TRIALS = ("fits", "victim", "constraints", "search", "loading")
PARTS = (*IN_TRIALS, "waiting", "overhead")


@dataclass(frozen=True)
class Times:
    """slots: on average. seconds: of the sweep. ended: ISO 8601. The others: slots × seconds."""

    slots: float
    seconds: float
    ended: str
    fits: float
    victim: float
    constraints: float
    search: float
    loading: float
    waiting: float
    overhead: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def parts(self) -> dict[str, float]:
        """Seconds of slots by what they were spent on."""
        return {name: getattr(self, name) for name in PARTS}

    @property
    def ended_at(self) -> int:
        """Milliseconds since 1970."""
        return round(1000 * datetime.fromisoformat(self.ended).timestamp())

    def metrics(self) -> dict[str, float]:
        """As MLflow's metrics."""
        parts = {f"time/{name}": value for name, value in self.parts().items()}
        return {"slots": self.slots, "seconds": self.seconds, **parts}

    def __str__(self) -> str:
        whole = max(self.slots * self.seconds, 1e-9)
        shares = ", ".join(f"{name} {part / whole:.0%}" for name, part in self.parts().items())
        return f"{self.slots:.3g} slots × {self.seconds:.0f} s: {shares}"


def read_times(space: str, store: Store) -> Times | None:
    """Where the time of a space's last sweep went; None if no sweep of this version wrote it."""
    try:
        times = TypeAdapter(Times).validate_python(store.read_times(space))
        datetime.fromisoformat(times.ended)
    except ValueError:
        return None
    return times


@dataclass
class Trial:
    """A running trial: when it began, how many slots it holds, and the seconds it reported."""

    began: float
    holds: float
    fit: float = 0.0
    attack: float = 0.0
    victim: float = 0.0
    constraints: float = 0.0


class TimeSpent:
    """`update` it with each progress record, then ask for the `total`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds; the sweep begins now."""
        self.clock = clock
        self.began = clock()
        self._trials: dict[Any, Trial] = {}  # those running, by cell and part
        self._spent = dict.fromkeys(IN_TRIALS, 0.0)
        self._slots = 1.0  # now
        self._before = 0.0  # overhead before the first trial
        self._room = 0.0  # slots × seconds since the first trial began, until `_until`
        self._until: float | None = None
        self._after: tuple[float, float] = self.began, 0.0  # the last trial's end; room until then
        self._lock = threading.Lock()

    def update(self, cell: Cell, record: TrialReport) -> None:
        with self._lock:
            now, phase = self.clock(), record["phase"]
            name = cell.key, *record.get("part", ())
            if phase == "begun":
                self._begin(name, record, now)
            if trial := self._trials.get(name):
                self._take(trial, record, now)
                if phase in ("done", "failed", "died", "part_done") or record.get("last"):
                    self._end(name, now)

    def total(self) -> Times:
        """Until now; trials that are still running count as ended."""
        with self._lock:
            now = self.clock()
            for name in list(self._trials):
                self._end(name, now)
            ended, room = self._after
            overhead = self._before + (now - ended) * self._slots
            waiting = max(room - sum(self._spent.values()), 0.0)
            parts = {**self._spent, "waiting": waiting, "overhead": overhead}
            seconds = max(now - self.began, 1e-9)
            return Times(
                slots=round(sum(parts.values()) / seconds, 3),
                seconds=round(seconds, 3),
                ended=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
                **{part: round(value, 3) for part, value in parts.items()},
            )

    def _begin(self, name: Any, record: TrialReport, now: float) -> None:
        if self._until is None:
            self._slots = record["slots"]
            self._before = (now - self.began) * max(self._slots, record["holds"])
        self._pass(now)
        self._trials[name] = Trial(now, record["holds"])
        # Ray may have placed more trials than expected.
        self._slots = max(record["slots"], sum(each.holds for each in self._trials.values()))

    def _take(self, trial: Trial, record: TrialReport, now: float) -> None:
        if record["phase"] == "fit":
            trial.fit = now - trial.began  # Until it reports its own, or if it never does.
        # Where a fit went on from a snapshot, its seconds are also those of earlier trials.
        trial.fit = min(record.get("fit_seconds", trial.fit), now - trial.began)
        if spent := record.get("spent"):
            trial.attack = spent["attack"]
            trial.victim = spent["victim"]
            trial.constraints = spent["constraints"]

    def _end(self, name: Any, now: float) -> None:
        self._pass(now)
        trial = self._trials.pop(name)
        lived = now - trial.began
        # A trial's clock is not ours: what it reports is limited to what was observed here.
        slots = trial.holds * min(lived / max(trial.fit + trial.attack, 1e-9), 1.0)
        self._spent["fits"] += slots * trial.fit
        self._spent["victim"] += slots * trial.victim
        self._spent["constraints"] += slots * trial.constraints
        self._spent["search"] += slots * (trial.attack - trial.victim - trial.constraints)
        self._spent["loading"] += trial.holds * lived - slots * (trial.fit + trial.attack)
        self._after = now, self._room

    def _pass(self, now: float) -> None:
        """Account for the time since the last event at the current number of slots."""
        if self._until is not None:
            self._room += (now - self._until) * self._slots
        self._until = now

"""How long a sweep will still take, with an 80 % prediction interval, from its tasks so far.

A task is a fit, or the attack of a cell. We model the logarithm of its seconds as a sum: one term
for each of its names (a data set, a model, an attack, ...), and noise. The terms are learnt from
the tasks measured, by a Bayesian linear regression for each kind of task. The prior of a term is
normal around 0 with standard deviation `UNKNOWN`, so a data set that was not reached yet makes all
of its tasks uncertain together.

The time left is drawn many times: the seconds of all tasks left, with an overhead for each (such
as loading) as measured so far, divided by the slots that work at once; plus a part of the longest
of these tasks, for slots that are idle at the end. Shown are the median of the draws and the
interval that holds 80 % of them; in tests/test_eta.py it covers the truth in about as many
simulated sweeps. It is wide as long as, for example, an attack was not tried at all. Slots that
come or go later are not modelled.

Times are seconds on any monotonic clock. Nothing here knows of plans, Ray or a store.
"""

from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

UNKNOWN = 0.8  # standard deviation of a name's term: two names of three within a factor of 2.2
ANYTHING = 10.0  # the same for the term that all tasks of a kind share
MISFIT = 0.12  # the same for an error common to all tasks left of a kind
NOISE = 0.3  # prior of the standard deviation of the noise, ...
NOISE_WEIGHT = 5.0  # ... and its weight, in tasks
ENOUGH = 3  # measured tasks of each kind before anything is shown
TOO_WIDE = 12.0  # high over low: a wider interval is not shown
DRAWS = 400
QUANTILES = 0.1, 0.5, 0.9  # of the draws: low, middle and high
RECENT = 30.0  # seconds over which the number of working slots is averaged
MAX_DONE_BY_TIME = 0.9  # elapsed time alone never counts for more than this share of a task

Names = tuple[str, ...]
ALL, EARLIER = "all", "earlier sweeps"


@dataclass(frozen=True)
class Left:
    """Seconds left: the median, and an 80 % prediction interval."""

    low: float
    middle: float
    high: float

    def __str__(self) -> str:
        if self.high == 0:
            return "nothing left"
        unit, name = _unit(self.middle)
        low, middle, high = (_rounded(part / unit) for part in (self.low, self.middle, self.high))
        return f"about {middle} {name} left ({low} to {high})"


def seconds_in_words(seconds: float) -> str:
    """`50 s`, `12 min`, `3.5 h`."""
    unit, name = _unit(seconds)
    return f"{_rounded(seconds / unit)} {name}"


def _unit(seconds: float) -> tuple[int, str]:
    units = [(172800, 86400, "days"), (5400, 3600, "h"), (90, 60, "min")]
    return next(((unit, name) for least, unit, name in units if seconds >= least), (1, "s"))


@dataclass
class Task:
    """kind: tasks of a kind share a regression. names: what the seconds depend on, always the
    same number of them. units: of work, to which measured seconds refer: examples; of a fit, fits
    by standard training that would take as long."""

    kind: str
    names: Names
    units: float = 1.0
    done: float = 0.0  # units, including `found`
    found: float = 0.0  # units that were done before it began
    since: float | None = None  # when it began; None: not running


class Estimator:
    """Estimates the time `left` from reports on each task."""

    def __init__(
        self,
        tasks: Mapping[Hashable, Task],
        earlier: Iterable[tuple[str, Names, float]] = (),
    ) -> None:
        """earlier: kind, names and seconds a unit of tasks that other sweeps measured."""
        self.open = dict(tasks)
        self._known = {task.kind: _Regression() for task in self.open.values()}
        for kind, names, seconds in earlier:
            if kind in self._known:
                self._known[kind].learn(names, seconds, earlier=True)
        # Of tasks that ran here: how many, their measured seconds, and those they held a slot.
        self._finished, self._worked, self._spent = 0, 0.0, 0.0
        self._running = 0
        self._counts: deque[tuple[float, int]] = deque()  # (when, how many run from then on)

    def begin(self, name: Hashable, now: float) -> None:
        task = self.open.get(name)
        if task is not None and task.since is None:
            task.since = now
            self._count(+1, now)

    def divide(self, name: Hashable, count: int) -> None:
        """Replace a task by `count` equal ones, called (name, 0), (name, 1), ..."""
        if task := self.open.pop(name, None):
            for index in range(count):
                self.open[name, index] = Task(task.kind, task.names, task.units / count)

    def report(self, name: Hashable, done: float, found: float | None = None) -> None:
        """Units done so far. found: those of them that were done before the task began."""
        if task := self.open.get(name):
            task.done = done
            task.found = task.found if found is None else found

    def put_back(self, name: Hashable, now: float) -> None:
        """A task has stopped before it was done: it will be started again."""
        task = self.open.get(name)
        if task is not None and task.since is not None:
            task.since = None
            self._count(-1, now)

    def drop(self, name: Hashable, now: float) -> None:
        """Forget a task that will not be done, or was done without a measurement."""
        self.put_back(name, now)
        self.open.pop(name, None)

    def finish(self, name: Hashable, seconds: float, now: float) -> None:
        """seconds: measured, a unit of work."""
        if task := self.open.get(name):
            self._known[task.kind].learn(task.names, seconds)
            if task.since is not None:
                self._finished += 1
                self._worked += seconds * (task.units - task.found)
                self._spent += now - task.since
            self.drop(name, now)

    def expected(self, kind: str, names: Names, units: float = 1.0) -> float | None:
        """Seconds of a task, from start to end; None before one of its kind has ended here."""
        known = self._known.get(kind)
        if known is None or not known.tasks_here:
            return None
        return known.seconds(names) * units + self._overhead()

    def left(self, now: float) -> Left | None:
        """Seconds left; None if too little is known."""
        if not self.open:
            return Left(0.0, 0.0, 0.0)
        slots = min(self._slots(now), len(self.open))
        kinds = {task.kind for task in self.open.values()}
        if slots == 0 or any(self._known[kind].tasks < ENOUGH for kind in kinds):
            return None
        random = np.random.default_rng(0)  # The same draws each time: only what is known changes.
        total, longest = np.zeros(DRAWS), np.zeros(DRAWS)
        for kind in sorted(kinds):
            known = self._known[kind]
            units: dict[Names, list[float]] = {}
            for task in self.open.values():
                if task.kind == kind:
                    units.setdefault(task.names, []).append(self._units_left(task, known, now))
            of_kind, longest_of_kind = known.draw(units, random)
            total += of_kind
            longest = np.maximum(longest, longest_of_kind)
        total += len(self.open) * self._overhead()
        longest += self._overhead()
        # When few tasks are left some slots are idle, at most for as long as the longest takes.
        idle = random.uniform(size=DRAWS) * (1 - 1 / max(slots, 1.0)) * longest
        seconds = np.maximum(total / slots + idle, longest)
        low, middle, high = (float(each) for each in np.quantile(seconds, QUANTILES))
        return None if high > TOO_WIDE * low else Left(low, middle, high)

    def _units_left(self, task: Task, known: "_Regression", now: float) -> float:
        units, done = task.units - task.found, task.done - task.found
        if task.since is not None:
            passed = (now - task.since - self._overhead()) / known.seconds(task.names)
            done = max(done, min(passed, MAX_DONE_BY_TIME * units))
        return max(units - done, 0.0)

    def _overhead(self) -> float:
        """Seconds of a slot that a task takes beyond those measured: loading, imports, waiting."""
        return max(self._spent - self._worked, 0.0) / max(self._finished, 1)

    def _count(self, more: int, now: float) -> None:
        self._running += more
        self._counts.append((now, self._running))

    def _slots(self, now: float) -> float:
        """How many tasks run at once, on average over the last seconds."""
        while len(self._counts) > 1 and self._counts[1][0] <= now - RECENT:
            self._counts.popleft()
        begins = [max(when, now - RECENT) for when, _ in self._counts]
        spans = np.diff([*begins, now])
        if not begins or spans.sum() <= 0:
            return float(self._running)
        return float(np.average([count for _, count in self._counts], weights=spans))


class _Regression:
    """Logarithms of seconds a unit, as sums of terms: of all tasks, and of each of their names."""

    def __init__(self) -> None:
        self.tasks = self.tasks_here = 0
        self._columns: dict[Hashable, int] = {}
        # Of the rows learnt (each a 1 in the column of each of its terms) and their logarithms y:
        self._rows = np.zeros((0, 0))  # rows' @ rows
        self._products = np.zeros(0)  # rows' @ y
        self._squares = 0.0  # y @ y
        self._fitted: tuple[np.ndarray, np.ndarray, float] | None = None

    def learn(self, names: Names, seconds: float, earlier: bool = False) -> None:
        """earlier: measured by another sweep, on machines and with settings of its own."""
        columns = self._row(names, earlier)
        logarithm = float(np.log(max(seconds, 1e-6)))
        self._rows[np.ix_(columns, columns)] += 1.0
        self._products[columns] += logarithm
        self._squares += logarithm**2
        self.tasks += 1
        self.tasks_here += not earlier
        self._fitted = None

    def seconds(self, names: Names) -> float:
        """Expected seconds a unit: the median."""
        columns = self._row(names)
        return float(np.exp(self._fit()[0][columns].sum()))

    def draw(
        self, units: Mapping[Names, list[float]], random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Seconds of all tasks, and of the longest of them. units: of each task, by its names."""
        rows = [self._row(names) for names in units]
        terms, covariance, noise = self._fit()
        spread = np.linalg.cholesky(covariance)
        drawn = terms + random.standard_normal((DRAWS, len(terms))) @ spread.T
        each = np.exp(np.array([drawn[:, columns].sum(axis=1) for columns in rows]))
        sums = np.array([[sum(of)] for of in units.values()])
        squares = np.array([[float(np.square(of).sum())] for of in units.values()])
        most = np.array([[max(of)] for of in units.values()])
        variance = (each**2 * squares).sum(axis=0) * np.exp(noise) * np.expm1(noise)
        total = (each * sums).sum(axis=0) * np.exp(noise / 2)
        total += random.standard_normal(DRAWS) * np.sqrt(variance)
        misfit = np.exp(MISFIT * random.standard_normal(DRAWS))
        return misfit * np.maximum(total, 0.0), misfit * (each * most).max(axis=0)

    def _row(self, names: Names, earlier: bool = False) -> list[int]:
        """The columns of a task's terms, which are added if they are new."""
        keys: list[Hashable] = [ALL, *enumerate(names), *([EARLIER] if earlier else [])]
        new = [key for key in keys if key not in self._columns]
        if new:
            for key in new:
                self._columns[key] = len(self._columns)
            self._rows = np.pad(self._rows, (0, len(new)))
            self._products = np.pad(self._products, (0, len(new)))
            self._fitted = None
        return [self._columns[key] for key in keys]

    def _fit(self) -> tuple[np.ndarray, np.ndarray, float]:
        """The terms' mean and covariance, and the variance of the noise."""
        if self._fitted is None:
            wide: dict[Hashable, float] = {ALL: ANYTHING, EARLIER: ANYTHING}
            precision = np.diag([wide.get(key, UNKNOWN) ** -2.0 for key in self._columns])
            noise = NOISE**2
            for _ in range(5):  # Terms and noise depend on each other; this is close enough.
                covariance = np.linalg.inv(self._rows / noise + precision)
                terms = covariance @ self._products / noise
                residuals = self._squares - 2 * terms @ self._products + terms @ self._rows @ terms
                learnt = self.tasks - np.trace(covariance @ self._rows) / noise
                believed = NOISE_WEIGHT * NOISE**2
                noise = (believed + max(float(residuals), 0.0)) / (
                    NOISE_WEIGHT + max(float(learnt), 0.0)
                )
            self._fitted = terms, covariance, noise
        return self._fitted


def _rounded(number: float) -> str:
    """Two significant digits: the estimate is no better."""
    return f"{number:.1f}".removesuffix(".0") if number < 9.95 else f"{number:.0f}"

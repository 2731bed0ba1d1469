"""The estimated time left, in simulated sweeps with durations from a known distribution."""

import heapq
import math
import random
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.follow.eta import Estimator, Left, Task, seconds_in_words

ATTACKS, MODELS, DATASETS, HEADS = 4, 3, 5, 4
PASSES = 10  # of a second training
EXAMPLES = 5
OVERHEAD = 1.0  # seconds of a slot that no measurement has


class Sweep:
    """Fits first, each with its first attack, then the other attacks; 2 slots or more.

    A task's seconds are a product of a factor for each of its names and one of its own. trainings:
    the second takes about PASSES times a fit, as its units say, and is attacked with more queries.
    """

    def __init__(self, seed: int, slots: int, trainings: int = 1) -> None:
        draw = random.Random(seed)

        def factors(count: int) -> list[float]:
            return [math.exp(draw.gauss(0, 0.6)) for _ in range(count)]

        attacks, models = factors(ATTACKS), factors(MODELS)
        datasets, heads = factors(DATASETS), factors(HEADS)
        self.slots = slots
        self.tasks: dict[Any, Task] = {}
        self.seconds: dict[Any, float] = {}
        places = list(product(*map(range, (DATASETS, MODELS, HEADS, trainings))))
        draw.shuffle(places)
        passes, harder = [1.0], [1.0]
        if trainings > 1:
            passes.append(math.exp(draw.gauss(0, 0.4)))  # off by so much, ...
            harder.append(math.exp(draw.gauss(0.3, 0.3)))
            places.sort(key=lambda place: -place[3])  # ... and begins first
        for d, m, h, t in places:
            fit = ("fit", d, m, h, t)
            names = (str(d), str(m), str(h), str(t))
            self.tasks[fit] = Task("fit", names, units=PASSES if t else 1)
            seconds = 10 * datasets[d] * models[m] * heads[h] * passes[t]
            self.seconds[fit] = seconds * math.exp(draw.gauss(0, 0.4))
            for a in range(ATTACKS):
                attack = ("attack", d, m, h, t, a)
                names = (str(a), str(m), str(d), str(h), str(t))
                self.tasks[attack] = Task("attack", names, units=EXAMPLES)
                seconds = datasets[d] * models[m] * attacks[a] * harder[t]
                self.seconds[attack] = seconds * math.exp(draw.gauss(0, 0.4))

    def run(self, ask_at: Sequence[float] = ()) -> tuple[float, list[Left | None]]:
        """The seconds it took, and the estimates of the time left at each request."""
        estimator = Estimator({name: Task(**vars(task)) for name, task in self.tasks.items()})
        fits = [name for name in self.tasks if name[0] == "fit"]
        attacks: list[Any] = []
        running: list[tuple[float, Any]] = []
        now, said, ask = 0.0, [], list(ask_at)

        def begin(name: Any) -> None:
            estimator.begin(name, now)
            takes = OVERHEAD + self.seconds[name] * self.tasks[name].units
            heapq.heappush(running, (now + takes, name))

        while fits or attacks or running:
            while len(running) < self.slots and (fits or attacks):
                begin(fits.pop(0) if fits else attacks.pop(0))
            until, name = heapq.heappop(running)
            while ask and ask[0] < until:
                now = ask.pop(0)
                said.append(estimator.left(now))
            now = until
            estimator.finish(name, self.seconds[name], now)
            if name[0] == "fit":
                first, *others = [("attack", *name[1:], a) for a in range(ATTACKS)]
                begin(first)
                attacks += others
        assert estimator.left(now) == Left(0, 0, 0)
        return now, said


@pytest.mark.parametrize(("slots", "trainings"), [(2, 1), (8, 1), (4, 2)])
def test_the_spread_holds_the_truth_in_most_sweeps(slots: int, trainings: int) -> None:
    """The target is 80 %; of the 40 sweeps, the same each time, at least 70 %."""
    sweeps = 40
    shares = (0.25, 0.5, 0.75)
    held = dict.fromkeys(shares, 0)
    for seed in range(sweeps):
        total, _ = Sweep(seed, slots, trainings).run()
        _, said = Sweep(seed, slots, trainings).run([share * total for share in shares])
        for share, left in zip(shares, said, strict=True):
            truth = (1 - share) * total
            held[share] += left is not None and left.low <= truth <= left.high
    assert all(count >= 0.7 * sweeps for count in held.values()), held


def test_the_spread_narrows_while_a_sweep_goes_on() -> None:
    total, _ = Sweep(0, 2).run()
    _, said = Sweep(0, 2).run([share * total for share in (0.25, 0.5, 0.75, 0.9)])
    widths = [left.high - left.low for left in said if left is not None]
    assert len(widths) == 4 and widths == sorted(widths, reverse=True)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(0.0, 1e6), min_size=1, max_size=12),
    st.lists(st.floats(0.0, 1e4), min_size=12, max_size=12),
)
def test_it_is_never_negative_and_nothing_at_the_end(
    seconds: list[float], waits: list[float]
) -> None:
    tasks: dict[Any, Task] = {n: Task("fit", (str(n % 3),)) for n in range(len(seconds))}
    estimator = Estimator(tasks)
    now = 0.0
    for name, (each, wait) in enumerate(zip(seconds, waits, strict=False)):
        estimator.begin(name, now)
        for _ in range(2):
            now += wait
            left = estimator.left(now)
            assert left is None or 0 <= left.low <= left.middle <= left.high < math.inf
        estimator.finish(name, each, now)
    assert estimator.left(now) == Left(0, 0, 0)


def test_nothing_is_said_while_too_little_is_known() -> None:
    tasks: dict[Any, Task] = {n: Task("fit", ("mvp",)) for n in range(5)}
    tasks["attack"] = Task("attack", ("textfooler",))
    estimator = Estimator(tasks)
    now = 0.0
    for name in range(5):
        estimator.begin(name, now)
        assert estimator.left(now + 5) is None
        now += 10
        estimator.finish(name, 10.0, now)
    estimator.begin("attack", now)
    assert estimator.left(now) is None, "no attack was ever measured"


def test_what_earlier_sweeps_took_counts_until_this_one_turns_out_slower() -> None:
    earlier = [("fit", (str(n % 4),), 10.0) for n in range(40)]
    estimator = Estimator({n: Task("fit", (str(n % 4),)) for n in range(40)}, earlier)
    estimator.begin(0, 0.0)
    first = estimator.left(0.0)
    assert first is None or first.low < 400 < first.high
    now = 0.0
    for name in range(20):
        estimator.begin(name, now)
        now += 50
        estimator.finish(name, 50.0, now)
    estimator.begin(20, now)
    left = estimator.left(now)
    assert left is not None and left.low < 20 * 50 < left.high and left.low > 20 * 25


def test_it_counts_down_while_a_long_task_runs() -> None:
    estimator = Estimator({n: Task("fit", ("mvp",)) for n in range(8)})
    for name in range(6):
        estimator.begin(name, 100.0 * name)
        estimator.finish(name, 100.0, 100.0 * (name + 1))
    estimator.begin(6, 600.0)
    said = [estimator.left(600.0 + passed) for passed in (0, 30, 60, 90)]
    middles = [left.middle for left in said if left is not None]
    assert len(middles) == 4 and middles == sorted(middles, reverse=True)


def test_what_failed_or_was_found_done_is_not_waited_for() -> None:
    estimator = Estimator({n: Task("attack", ("textfooler",), units=100) for n in range(6)})
    for name in range(4):
        estimator.begin(name, 100.0 * name)
        estimator.finish(name, 1.0, 100.0 * (name + 1))
    estimator.begin(4, 400.0)
    before = estimator.left(400.0)
    estimator.drop(5, 400.0)
    without = estimator.left(400.0)
    estimator.report(4, 90, found=90)
    found = estimator.left(400.0)
    assert before and without and found
    assert before.middle > 1.5 * without.middle and without.middle > 5 * found.middle


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (Left(0, 0, 0), "nothing left"),
        (Left(31.2, 40, 61), "about 40 s left (31 to 61)"),
        (Left(530, 720, 961), "about 12 min left (8.8 to 16)"),
        (Left(7000, 7200, 90000), "about 2 h left (1.9 to 25)"),
        (Left(2e5, 3e5, 4e5), "about 3.5 days left (2.3 to 4.6)"),
    ],
)
def test_it_is_said_as_people_say_it(left: Left, words: str) -> None:
    assert str(left) == words


def test_the_parts_of_a_task_are_tasks_that_run_side_by_side() -> None:
    def left(slots: int) -> Left:
        tasks: dict[Any, Task] = {n: Task("attack", ("a",), 40.0) for n in range(5)}
        estimator = Estimator(tasks)
        for name in range(4):
            estimator.begin(name, 0.0)
            estimator.finish(name, 1.0, 40.0)
        estimator.divide(4, 4)
        for part in range(slots):
            estimator.begin((4, part), 40.0)
        for part in range(slots):
            estimator.report((4, part), 1.0)
        found = estimator.left(80.0)
        assert found is not None
        for part in range(4):
            estimator.finish((4, part), 1.0, 80.0)
        assert estimator.left(80.0) == Left(0, 0, 0)
        return found

    assert left(slots=4).high < left(slots=1).low


def test_seconds_are_said_in_the_unit_that_fits() -> None:
    said = [seconds_in_words(seconds) for seconds in (0, 5.04, 89, 90, 5400, 200000)]
    assert said == ["0 s", "5 s", "89 s", "1.5 min", "1.5 h", "2.3 days"]

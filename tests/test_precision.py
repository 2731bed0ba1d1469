"""A cell may stop attacking early: by a rule valid under repeated checks, and reproducibly."""

import json
from contextlib import suppress
from math import comb
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from commands import kill_when, options, run, start
from hypothesis import assume, given
from hypothesis import strategies as st

from orchestrator.plan.plan import make_plan
from search_spaces.space import load
from trainables.assets import Assets
from trainables.cell import Worker
from trainables.data import Example
from trainables.precision import (
    in_random_order,
    interval,
    is_narrow,
    released,
    until_narrow,
)
from trainables.store import Store

REPOSITORY = Path(__file__).parent.parent
STATUSES = st.lists(st.sampled_from(["failed", "successful", "skipped", "error"]), max_size=80)
COUNTS = st.integers(1, 300).flatmap(
    lambda total: st.integers(0, total).flatmap(
        lambda attacked: st.tuples(st.integers(0, attacked), st.just(attacked), st.just(total))
    )
)
PRECISION = 0.15
DIES_AFTER = 4  # examples


def examples(count: int) -> list[Example]:
    return [Example(id, (f"text {id}",), 0) for id in range(count)]


# The interval


@given(COUNTS)
def test_the_interval_holds_what_is_seen_and_keeps_to_what_is_possible(
    counts: tuple[int, int, int],
) -> None:
    right, attacked, total = counts
    low, high = interval(right, attacked, total)
    assert right / total <= low <= high <= (right + total - attacked) / total
    if attacked:
        assert low - 1 / total <= right / attacked <= high + 1 / total


@given(st.integers(1, 10_000), st.data())
def test_when_all_are_attacked_the_interval_is_the_figure(total: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, total))
    assert interval(right, total, total) == (right / total, right / total)
    assert is_narrow(right, total, total, 1e-9)


@given(COUNTS)
def test_right_and_wrong_are_treated_alike(counts: tuple[int, int, int]) -> None:
    right, attacked, total = counts
    low, high = interval(right, attacked, total)
    assert interval(attacked - right, attacked, total) == pytest.approx((1 - high, 1 - low))


@given(COUNTS)
def test_one_more_right_example_lowers_neither_end(counts: tuple[int, int, int]) -> None:
    right, attacked, total = counts
    assume(right < attacked)
    low, high = interval(right, attacked, total)
    lower, higher = interval(right + 1, attacked, total)
    assert low <= lower and high <= higher


@pytest.mark.parametrize("total", [1, 2, 17, 40])
def test_the_interval_is_that_of_exact_arithmetic_ties_included(total: int) -> None:
    """k of N are ruled out by s of t where 1 / ((t + 1) hypergeometric(s; N, k, t)) is over 20."""
    for attacked in range(total + 1):
        for right in range(attacked + 1):
            possible = range(right, total - attacked + right + 1)
            seen = {k: comb(k, right) * comb(total - k, attacked - right) for k in possible}
            kept = [k for k in possible if 20 * (attacked + 1) * seen[k] >= comb(total, attacked)]
            assert interval(right, attacked, total) == (kept[0] / total, kept[-1] / total)


@pytest.mark.parametrize("total", [5, 30, 60])
def test_the_chance_of_ever_missing_the_figure_is_at_most_5_percent(total: int) -> None:
    """Exactly and for every figure: the chances of all paths that have not missed it yet."""
    ends = {
        (right, attacked): interval(right, attacked, total)
        for attacked in range(1, total + 1)
        for right in range(attacked + 1)
    }
    for right_ones in range(total + 1):
        figure = right_ones / total
        paths = {0: 1.0}  # by how many were right so far
        for attacked in range(1, total + 1):
            longer: dict[int, float] = {}
            for right, chance in paths.items():
                next_right = (right_ones - right) / (total - attacked + 1)
                longer[right] = longer.get(right, 0) + chance * (1 - next_right)
                longer[right + 1] = longer.get(right + 1, 0) + chance * next_right
            paths = {
                right: chance
                for right, chance in longer.items()
                if chance > 0
                and ends[right, attacked][0] - 1e-9 <= figure <= ends[right, attacked][1] + 1e-9
            }
        assert sum(paths.values()) >= 0.95


def test_examples_that_end_in_errors_do_not_make_it_miss_more_often() -> None:
    generator = np.random.default_rng(0)
    total, runs, missed = 60, 400, 0
    for _ in range(runs):
        error = generator.random(total) < 0.2
        right = (generator.random(total) < 0.4) & ~error
        figure = right.sum() / (~error).sum()
        errors, rights = np.cumsum(error), np.cumsum(right)
        ends = (
            interval(int(rights[t]), int(t + 1 - errors[t]), int(total - errors[t]))
            for t in range(total)
        )
        missed += any(not low - 1e-9 <= figure <= high + 1e-9 for low, high in ends)
    assert missed / runs <= 0.05


# Where a cell stops


@given(STATUSES, st.floats(0.05, 0.4), st.data())
def test_where_it_stops_depends_on_nothing_but_the_outcomes_in_order(
    statuses: list[str], precision: float, data: st.DataObject
) -> None:
    """Whatever was attacked before, and in whatever order, the same examples count."""
    order = examples(len(statuses))
    everything = {id: {"status": status} for id, status in enumerate(statuses)}
    sample = [example.id for example in until_narrow(order, everything, precision)]
    before = data.draw(st.sets(st.sampled_from(range(len(statuses))))) if statuses else set()
    finished = {id: everything[id] for id in before}
    for example in until_narrow(order, finished, precision):
        finished[example.id] = everything[example.id]
    assert [example.id for example in until_narrow(order, finished, precision)] == sample
    assert sample == list(range(len(sample)))
    assert set(finished) == before | set(sample)


@given(STATUSES, st.floats(0.01, 0.49), st.floats(0.01, 0.49))
def test_more_precision_never_takes_fewer_examples(
    statuses: list[str], one: float, other: float
) -> None:
    order = examples(len(statuses))
    finished = {id: {"status": status} for id, status in enumerate(statuses)}
    finer, coarser = sorted((one, other))
    assert len(list(until_narrow(order, finished, coarser))) <= len(
        list(until_narrow(order, finished, finer))
    )


@given(STATUSES, st.floats(0.05, 0.4), st.integers(1, 64), st.randoms())
def test_examples_attacked_at_once_are_those_that_are_needed_one_by_one(
    statuses: list[str], precision: float, at_once: int, random: Random
) -> None:
    """However many run, and in whatever order they end; errors alone may need fewer in the end."""
    order = examples(len(statuses))
    everything = {id: {"status": status} for id, status in enumerate(statuses)}
    needed = [example.id for example in until_narrow(order, everything, precision)]
    finished: dict[int, Any] = {}
    running: list[int] = []
    to_come = released(order, finished, precision)
    while True:
        while len(running) < at_once and (example := next(to_come, None)) is not None:
            running.append(example.id)
        if not running:
            break
        id = running.pop(random.randrange(len(running)))
        finished[id] = everything[id]
    assert [example.id for example in until_narrow(order, finished, precision)] == needed
    if "error" in statuses:
        assert set(finished) >= set(needed)
    else:
        assert set(finished) == set(needed)


def test_several_are_released_at_once_until_the_end_may_be_near() -> None:
    order = examples(200)
    finished: dict[int, Any] = {}
    to_come = released(order, finished, 0.1)
    first = list(iter(lambda: next(to_come, None), None))
    assert 20 < len(first) < 100
    finished |= {example.id: {"status": "failed"} for example in first[:-1]}
    assert next(to_come) is None


def test_without_a_precision_all_are_attacked() -> None:
    order = examples(50)
    finished = {id: {"status": "failed"} for id in range(50)}
    assert list(until_narrow(order, finished, None)) == order


def test_the_order_is_the_same_each_time_and_has_each_example_once() -> None:
    order = in_random_order(examples(100))
    assert order == in_random_order(examples(100))
    assert sorted(example.id for example in order) == list(range(100)) != [e.id for e in order]


# Cells, attacked in this process

SPACE = {
    "only": [
        "dataset=sst2", "model=bert-embedded", "head=mlp_ft,mvp", "attack=misspellings",
    ],
    "sets": ["fit.train_examples=32", "fit.max_epochs=1", "attack.examples=30"],
}  # fmt: skip
TIMES = ("attack_seconds", "examples_per_second")


class Dying(Store):
    """A store whose process is interrupted after a few examples of a cell."""

    def add_attacked(self, log: str, *records: Any) -> None:
        for record in records:
            super().add_attacked(log, record)
            if len(list(Path(self.url).glob(f"attacks/{log}/*.json"))) == DIES_AFTER:
                raise KeyboardInterrupt


def run_cells(store: Store, *sets: str) -> dict[str, Any]:
    """Results by head, without those of cells that died."""
    space = load("embedded", only=SPACE["only"], sets=[*SPACE["sets"], *sets])
    found = {}
    for cell in make_plan(space, Assets("embedded"), store).todo:
        with suppress(KeyboardInterrupt):
            progress = list(Worker(store, Assets("embedded")).run(cell))
            assert progress[-1]["phase"] == "done", progress[-1]
            counted = [record["finished"] for record in progress if record["phase"] != "fit"]
            assert counted == sorted(counted), "what is attacked cannot become less"
            result = store.read_result(cell.key)
            result["metrics"] = {k: v for k, v in result["metrics"].items() if k not in TIMES}
            found[cell.fit.head] = result
    return found


def logs(store: Path) -> dict[tuple[str, int], str]:
    """Every attacked example by head and id, with the seconds its attack took."""
    records = [
        (path.parent.name, json.loads(line))
        for path in store.glob("attacks/*/*.json*")
        for line in (
            path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        )
    ]
    return {(log.split("-")[3], record["id"]): json.dumps(record) for log, record in records}


@pytest.fixture(scope="module")
def early(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    store = tmp_path_factory.mktemp("early")
    return store, run_cells(Store(str(store)), f"attack.precision={PRECISION}")


def test_cells_stop_early_and_attack_nothing_else(early: tuple[Path, dict[str, Any]]) -> None:
    store, results = early
    for head, result in results.items():
        low, high = result["interval"]
        assert low <= result["metrics"]["accuracy_under_attack"] <= high
        assert high - low <= 2 * PRECISION + 1e-9
        assert 0 < len(result["sample"]) == result["metrics"]["num_examples"] < 30
        assert {id for name, id in logs(store) if name == head} == set(result["sample"])


def test_all_heads_attack_in_the_same_order(early: tuple[Path, dict[str, Any]]) -> None:
    samples = [result["sample"] for result in early[1].values()]
    shortest = min(len(sample) for sample in samples)
    assert len(samples) == 2
    assert samples[0][:shortest] == samples[1][:shortest]


def test_a_cell_that_died_stops_at_the_same_example(
    early: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    setting = f"attack.precision={PRECISION}"
    assert run_cells(Dying(str(tmp_path)), setting) == {}
    before = logs(tmp_path)
    assert len(before) == 2 * DIES_AFTER
    assert run_cells(Store(str(tmp_path)), setting) == early[1]
    after = logs(tmp_path)
    assert {name: after[name] for name in before} == before
    assert set(after) == set(logs(early[0]))


@pytest.mark.slow
def test_a_cell_that_was_attacked_in_full_before_has_the_same_result(
    early: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    store = Store(str(tmp_path))
    full = run_cells(store)
    attacked = logs(tmp_path)
    assert all("interval" not in result for result in full.values())
    assert run_cells(store, f"attack.precision={PRECISION}") == early[1]
    assert logs(tmp_path) == attacked
    for head, result in early[1].items():
        low, high = result["interval"]
        assert low <= full[head]["metrics"]["accuracy_under_attack"] <= high


# The command line

ASKED = options(SPACE["only"], SPACE["sets"])


@pytest.mark.slow
def test_a_killed_sweep_resumed_gives_the_result_of_one_undisturbed(
    early: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    asked = [*ASKED, "--store", str(tmp_path), "--precision", str(PRECISION)]
    kill_when(lambda: len(list(tmp_path.glob("attacks/*/*.json"))) >= 3, start("sweep", *asked))
    before = logs(tmp_path)
    done = run("sweep", *asked)
    assert done.returncode == 0, done.stderr
    after = logs(tmp_path)
    assert {name: after[name] for name in before} == before
    assert set(after) == set(logs(early[0]))
    for result in early[1].values():
        resumed = Store(str(tmp_path)).read_result(result["key"])
        assert resumed["sample"] == result["sample"]
        assert resumed["interval"] == result["interval"]
    again = run("sweep", *asked)
    assert "nothing to do: all 2 cells" in again.stdout


@pytest.mark.parametrize("precision", ["0", "0.7", "nan", "nearly"])
def test_a_precision_that_is_none_is_refused(precision: str, tmp_path: Path) -> None:
    asked = [*ASKED, "--store", str(tmp_path / "store"), "--precision", precision]
    refused = run("sweep", *asked)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1 and "precision" in refused.stderr
    assert not (tmp_path / "store").exists()

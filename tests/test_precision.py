"""A cell may stop attacking early: by a rule that many looks do not break, and reproducibly."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.data import Example
from trainables.precision import in_random_order, interval, until_narrow

REPOSITORY = Path(__file__).parent.parent
STATUSES = st.lists(st.sampled_from(["failed", "successful", "skipped", "error"]), max_size=80)


def examples(count: int) -> list[Example]:
    return [Example(id, (f"text {id}",), 0) for id in range(count)]


@given(st.lists(st.booleans(), min_size=1, max_size=200), st.data())
def test_the_interval_shrinks_to_the_figure(outcomes: list[bool], data: st.DataObject) -> None:
    total, right = len(outcomes), sum(outcomes)
    assert interval(right, total, total) == (right / total, right / total)
    attacked = data.draw(st.integers(0, total))
    low, high = interval(sum(outcomes[:attacked]), attacked, total)
    assert 0 <= low <= high <= 1
    # What is seen already bounds the figure.
    seen = sum(outcomes[:attacked])
    assert low >= seen / total - 1e-12 and high <= (seen + total - attacked) / total + 1e-12


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9])
def test_looking_after_every_example_misses_the_figure_in_at_most_5_percent(share: float) -> None:
    generator = np.random.default_rng(0)
    total, runs, missed = 100, 300, 0
    for _ in range(runs):
        order = generator.permutation(np.arange(total) < share * total)
        ends = [interval(int(n), t, total) for t, n in enumerate(np.cumsum(order), start=1)]
        missed += any(not low - 1e-9 <= share <= high + 1e-9 for low, high in ends)
    assert missed / runs <= 0.05


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


def test_without_a_precision_all_are_attacked() -> None:
    order = examples(50)
    finished = {id: {"status": "failed"} for id in range(50)}
    assert list(until_narrow(order, finished, None)) == order


def test_the_order_is_the_same_each_time_and_has_each_example_once() -> None:
    order = in_random_order(examples(100))
    assert order == in_random_order(examples(100))
    assert sorted(example.id for example in order) == list(range(100)) != [e.id for e in order]


CELLS = [
    "--only", "dataset=sst2", "--only", "model=bert-embedded", "--only", "head=mlp_ft,mvp",
    "--only", "attack=misspellings", "--set", "fit.train_examples=32", "--set", "fit.max_epochs=1",
    "--set", "attack.examples=30",
]  # fmt: skip


def sweep(store: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.sweep", *CELLS, "--store", str(store), *arguments],
        capture_output=True, text=True, timeout=400,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip


def results(store: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in store.glob("cells/*/result.json")]
    return {result["head"]: result for result in found if "interval" in result}


def test_a_sweep_stops_early_and_a_stopped_one_stops_at_the_same_place(tmp_path: Path) -> None:
    first = sweep(tmp_path / "first", "--precision", "0.25")
    assert first.returncode == 0, first.stderr
    early = results(tmp_path / "first")
    assert all(0 < len(result["sample"]) < 30 for result in early.values())
    shortest = min(len(result["sample"]) for result in early.values())
    assert len({tuple(result["sample"][:shortest]) for result in early.values()}) == 1
    for result in early.values():
        low, high = result["interval"]
        assert low <= result["metrics"]["accuracy_under_attack"] <= high <= low + 0.5001

    # All examples, then only some: nothing is left to attack, and the figures are the same.
    assert sweep(tmp_path / "second").returncode == 0
    logs = {path: path.read_text() for path in (tmp_path / "second").glob("attacks/*/*.jsonl")}
    assert sweep(tmp_path / "second", "--precision", "0.25").returncode == 0
    assert {path: path.read_text() for path in logs} == logs
    late = results(tmp_path / "second")
    for head, result in early.items():
        assert late[head]["sample"] == result["sample"]
        assert late[head]["interval"] == result["interval"]
        assert late[head]["key"] == result["key"]


@pytest.mark.parametrize("precision", ["0", "0.7", "nearly"])
def test_a_precision_that_is_none_is_refused(precision: str, tmp_path: Path) -> None:
    refused = sweep(tmp_path, "--precision", precision)
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1

"""The searcher hands out every cell once, one fit before its siblings, whatever fails."""

import random
from collections import Counter
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.search import Searcher

from orchestrator.plan import make_plan
from orchestrator.schedule import FitFirst
from search_spaces.cell import Cell
from search_spaces.space import load
from trainables.assets import Assets
from trainables.store import Store


@cache
def sixteen_cells() -> tuple[Cell, ...]:
    only = ["dataset=sst2,ag_news", "model=bert-embedded", "head=mlp_ft,mvp"]
    plan = make_plan(load("embedded", only=only), Assets("embedded"), Store("/nonexistent"))
    return tuple(plan.todo)


@settings(deadline=None, max_examples=60)
@given(
    chosen=st.sets(st.integers(0, 15), min_size=1),
    stored=st.sets(st.integers(0, 3)),
    at_once=st.integers(1, 6),
    seed=st.integers(0, 10**6),
    failing=st.floats(0, 0.6),
)
def test_every_cell_once_and_no_fit_twice(
    chosen: set[int], stored: set[int], at_once: int, seed: int, failing: float
) -> None:
    cells = [sixteen_cells()[number] for number in sorted(chosen)]
    fits = sorted({cell.fit.key for cell in cells})
    done_before = {fits[number] for number in stored if number < len(fits)}
    searcher = FitFirst(
        cells,
        done_before,
        config_of=lambda cell: {"key": cell.key},
        fit_cost=lambda cell: 1.0,
        max_concurrent=at_once,
    )
    by_key = {cell.key: cell for cell in cells}
    draw = random.Random(seed)
    fitted, running, handed = set(done_before), {}, []
    while True:
        suggested: Any = searcher.suggest(f"t{len(handed)}")
        if suggested == Searcher.FINISHED:
            break
        if suggested is not None:
            cell = by_key[suggested["key"]]
            running[f"t{len(handed)}"] = cell
            handed.append(cell.key)
            fitting = Counter(c.fit.key for c in running.values() if c.fit.key not in fitted)
            assert all(count == 1 for count in fitting.values()), "a fit is trained twice at once"
            assert len(running) <= at_once
            continue
        assert running, "nothing runs and nothing is handed out: the sweep would hang"
        trial = draw.choice(sorted(running))
        cell = running.pop(trial)
        if draw.random() < failing:
            searcher.on_trial_complete(trial, error=draw.random() < 0.5)
            continue
        fitted.add(cell.fit.key)
        searcher.on_trial_result(trial, {"fit_done": True})
        searcher.on_trial_complete(trial, {"phase": "done"})
    assert sorted(handed) == sorted(by_key)


def test_the_longest_fit_goes_first() -> None:
    costs = {"mvp": 9.0, "mlp_ft": 1.0}
    searcher = FitFirst(
        sixteen_cells(),
        [],
        config_of=lambda cell: {"head": cell.fit.head},
        fit_cost=lambda cell: costs[cell.fit.head],
        max_concurrent=4,
    )
    first = [searcher.suggest(str(number)) for number in range(4)]
    assert [config["head"] for config in first if config] == ["mvp", "mvp", "mlp_ft", "mlp_ft"]

"""Each second of each slot is counted once, whatever happens to trials."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.follow.time_spent import PARTS, TimeSpent
from orchestrator.plan.plan import make_plan
from search_spaces.cell import Cell
from search_spaces.space import load
from trainables.assets import Assets
from trainables.store import Store

ATTACK = {"attack": 12.0, "victim": 6.0, "constraints": 4.0}


class Clock:
    """Seconds that pass only when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def cells() -> list[Cell]:
    only = ["dataset=sst2", "model=bert-embedded", "head=mlp_ft"]
    return make_plan(load("embedded", only=only), Assets("embedded"), Store("/nonexistent")).todo


def test_of_two_slots_of_which_one_waits_for_the_fit() -> None:
    clock = Clock()
    spent = TimeSpent(clock)
    leader, sibling, *_ = cells()
    begun = {"phase": "begun", "slots": 2, "holds": 1.0}
    clock.now = 10.0
    spent.update(leader, begun)
    clock.now = 35.0
    spent.update(leader, {"phase": "attack", "fit_done": True, "fit_seconds": 20.0})
    spent.update(sibling, {**begun, "part": [0, 2]})
    clock.now = 50.0
    spent.update(leader, {"phase": "done", "spent": ATTACK})
    spent.update(sibling, {"phase": "part_done", "spent": ATTACK, "part": [0, 2]})
    clock.now = 53.0
    times = spent.total()
    assert (times.slots, times.seconds) == (2, 53)
    assert times.parts() == {
        "fits": 20.0, "victim": 12.0, "constraints": 8.0, "search": 4.0,
        "loading": 5.0 + 3.0 + 3.0, "waiting": 25.0, "overhead": 2 * 10.0 + 2 * 3.0,
    }  # fmt: skip
    assert str(times) == (
        "2 slots × 53 s: fits 19%, victim 11%, constraints 8%, search 4%, loading 10%, "
        "waiting 24%, overhead 25%"
    )


def test_a_fit_on_what_four_attacks_could_have_takes_the_place_of_four() -> None:
    clock = Clock()
    spent = TimeSpent(clock)
    (cell, *_) = cells()
    spent.update(cell, {"phase": "begun", "slots": 4, "holds": 4.0})
    clock.now = 10.0
    spent.update(cell, {"phase": "attack", "fit_done": True, "fit_seconds": 9.0, "last": True})
    assert spent.total().parts() == {
        **dict.fromkeys(PARTS, 0.0), "fits": 36.0, "loading": 4.0,
    }  # fmt: skip


def test_a_fit_that_went_on_from_a_snapshot_counts_what_it_took_here() -> None:
    clock = Clock()
    spent = TimeSpent(clock)
    (cell, *_) = cells()
    spent.update(cell, {"phase": "begun", "slots": 1, "holds": 1.0})
    clock.now = 10.0
    spent.update(cell, {"phase": "attack", "fit_done": True, "fit_seconds": 3600.0})
    clock.now = 30.0
    attack = {"attack": 16.0, "victim": 10.0, "constraints": 2.0}
    spent.update(cell, {"phase": "done", "spent": attack})
    assert spent.total().parts() == {
        **dict.fromkeys(PARTS, 0.0), "fits": 10.0, "victim": 10.0, "constraints": 2.0,
        "search": 4.0, "loading": 4.0,
    }  # fmt: skip


@settings(deadline=None)
@given(st.integers(0, 10**6))
def test_all_adds_up_and_nothing_is_negative(seed: int) -> None:
    draw = random.Random(seed)
    clock = Clock()
    spent = TimeSpent(clock)
    running: dict[Any, tuple[Cell, dict[str, Any]]] = {}
    some = cells()
    for _ in range(60):
        clock.now += draw.expovariate(1.0)
        cell = draw.choice(some)
        part = {"part": [draw.randrange(3), 3]} if draw.random() < 0.5 else {}
        name = cell.key, *part.get("part", ())
        if name not in running:
            begun = {"phase": "begun", "slots": draw.randint(1, 4), "holds": draw.choice([1.0, 2])}
            spent.update(cell, {**begun, **part})
            running[name] = cell, part
            continue
        record: dict[str, Any] = {"phase": draw.choice(["fit", "attack", "died", "done", "failed"])}
        if record["phase"] != "fit":
            record["spent"] = {what: draw.random() * second for what, second in ATTACK.items()}
            record["spent"]["attack"] = sum(record["spent"].values())
        spent.update(cell, {**record, **part})
        if record["phase"] in ("died", "done", "failed"):
            del running[name]
    times = spent.total()
    assert min(times.parts().values()) >= 0
    assert sum(times.parts().values()) == pytest.approx(times.slots * times.seconds, rel=0.01)
    assert times.seconds == pytest.approx(clock.now, abs=1e-3)

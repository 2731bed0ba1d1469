"""What is brought forward for a first comparison: which cells, how many, and at what price."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.search import Searcher
from stores import write

from benchmarks.simulated_cluster import Case, gpu_nodes, laptop, simulate
from orchestrator.plan.compared import pairs
from orchestrator.plan.costs import Cost, Costs, Phase
from orchestrator.plan.plan import Plan, make_plan
from orchestrator.run.order import FIRST, MOST, MOST_BESIDE_FITS, brought_forward
from orchestrator.run.schedule import FitFirst
from orchestrator.run.slots import Shape
from search_spaces.cell import Cell
from search_spaces.space import load
from trainables.assets import Assets
from trainables.store import Store

Price = Callable[[Cell], float]


class Prices(Costs):
    """Costs as given."""

    def __init__(self, fit: Price, attack: Price) -> None:
        super().__init__()
        self.prices: dict[Phase, Price] = {"fit": fit, "attack": attack}

    def of(self, cell: Cell, phase: Phase, gpu: str | None = None) -> Cost:
        return Cost(self.prices[phase](cell), "measured")


def plan(
    only: Sequence[str] = (),
    space: str = "embedded",
    store: str = "/nonexistent",
    sets: Sequence[str] = (),
    fit: Price = lambda cell: 1.0,
    attack: Price = lambda cell: 1.0,
    **more: Any,
) -> Plan:
    loaded = load(space, only=only, sets=sets, **more)
    made = make_plan(loaded, Assets("embedded"), Store(store))
    return replace(made, costs=Prices(fit, attack))


def places(planned: Plan, rank: int = FIRST) -> set[tuple[str, str, str, str]]:
    ranks = brought_forward(planned)
    cells = (cell for cell in planned.applicable if ranks.get(cell.key) == rank)
    return {(c.fit.dataset, c.fit.model, c.fit.head, c.attack) for c in cells}


ATTACK_PRICES = {"textfooler": 1.0, "textbugger": 4.0, "bert_attack": 2.0, "misspellings": 3.0}


def cheap_mrpc(cell: Cell) -> float:
    return 1.0 if (cell.fit.dataset, cell.fit.model) == ("mrpc", "roberta-embedded") else 2.0


def test_the_cheapest_data_set_comes_first_under_the_two_cheapest_attacks() -> None:
    planned = plan(fit=cheap_mrpc, attack=lambda cell: ATTACK_PRICES[cell.attack])
    assert places(planned) == {
        ("mrpc", "roberta-embedded", head, attack)
        for head in ("mlp_ft", "mvp")
        for attack in ("textfooler", "bert_attack")
    }


def test_then_come_the_other_data_sets_and_then_their_other_attacks() -> None:
    planned = plan(fit=cheap_mrpc, attack=lambda cell: 0.01 * ATTACK_PRICES[cell.attack])
    waves = [places(planned, rank) for rank in range(6)]
    assert {len(wave) for wave in waves} == {4}
    assert sorted({data for data, *_ in wave}.pop() for wave in waves[:5]) == sorted(
        planned.space.axes.dataset
    )
    assert all({attack for *_, attack in w} == {"textfooler", "bert_attack"} for w in waves[:5])
    assert {attack for *_, attack in waves[5]} == {"misspellings", "textbugger"}


def test_of_several_seeds_the_first_comes_first() -> None:
    planned = plan(["dataset=sst2,mrpc"], seeds=[0, 1, 2])
    ranks = brought_forward(planned)
    seeds = {ranks[cell.key]: cell.fit.seed for cell in planned.todo if cell.key in ranks}
    assert [seeds[rank] for rank in sorted(seeds)] == sorted(seeds.values())


def test_what_was_begun_is_completed_first_and_what_is_there_is_not_made_again(
    tmp_path: Path,
) -> None:
    """Of the dearest data set three of the four cells are done; then all four."""
    at_home = {"dataset": "boolq", "model": "bert-embedded"}

    def dear(cell: Cell) -> float:
        return 9.0 if cell.fit.dataset == "boolq" else 4.0

    store = Store(str(tmp_path))
    home = [
        cell
        for cell in plan().todo
        if at_home.items() <= cell.axes().items()
        and cell.fit.head in ("mlp_ft", "mvp")
        and cell.attack in ("textfooler", "bert_attack")
    ]
    for cell in home[:-1]:
        write(cell, store, lambda _, id: "failed")
    begun = plan(store=store.url, fit=dear)
    last = home[-1]
    assert places(begun) == {("boolq", "bert-embedded", last.fit.head, last.attack)}
    write(last, store, lambda _, id: "failed")
    there = plan(store=store.url, fit=dear)
    assert not places(there) and len(places(there, FIRST + 1)) == 4
    assert "boolq" not in {data for data, *_ in places(there, FIRST + 1)}


@pytest.mark.parametrize(
    ("only", "compared"),
    [
        (["head=cls_prompt,lpft_dense,mvp"], {"cls_prompt", "lpft_dense"}),
        (["head=mlp_ft,project_cls"], {"mlp_ft", "project_cls"}),
        (["head=project_cls,mvp,mlp_ft"], {"mlp_ft", "mvp"}),
        (["head=mvp"], set()),
    ],
)
def test_without_mlp_ft_and_mvp_the_first_two_heads_are_compared(
    only: list[str], compared: set[str]
) -> None:
    planned = plan(only)
    assert {cell.fit.head for pair in pairs(planned.applicable) for cell in pair} == compared
    assert {head for _, _, head, _ in places(planned)} == compared


def test_a_head_that_a_model_cannot_have_is_compared_where_it_can_be() -> None:
    planned = plan(["head=mlp_ft,cls_prompt", "model=gpt2-embedded,bert-embedded"])
    assert {model for _, model, *_ in places(planned)} == {"bert-embedded"}


def test_the_two_trainings_of_one_head_are_compared() -> None:
    planned = plan(["head=mvp"], space="ablations")
    assert {cell.fit.training for pair in pairs(planned.applicable) for cell in pair} == {
        "standard",
        "standard_10pct",
    }


def test_a_grid_that_is_little_more_than_the_comparison_keeps_its_order() -> None:
    assert not brought_forward(plan(["dataset=sst2", "model=bert-embedded", "head=mlp_ft,mvp"]))


@settings(deadline=None, max_examples=60)
@given(
    prices=st.lists(st.floats(0.1, 20), min_size=1, max_size=40),
    gpus=st.sampled_from([0, 0.25]),
    seeds=st.integers(1, 2),
)
def test_only_a_small_part_is_brought_forward_and_always_in_pairs(
    prices: list[float], gpus: float, seeds: int
) -> None:
    sets = [f"resources.fit.gpus={bool(gpus):d}", f"resources.attack.gpus={gpus}"]
    planned = _planned(tuple(sets), seeds)
    price = {cell.key: prices[n % len(prices)] for n, cell in enumerate(planned.todo)}
    fit = {fit: prices[-n % len(prices)] for n, fit in enumerate(planned.fits)}
    costs = Prices(lambda cell: fit[cell.fit.key], lambda cell: price[cell.key])
    planned = replace(planned, costs=costs)
    ranks = brought_forward(planned)
    cells = [cell for cell in planned.todo if cell.key in ranks]
    spent = sum(price[c.key] for c in cells) + sum(fit[key] for key in {c.fit.key for c in cells})
    share = MOST_BESIDE_FITS if gpus and {*ranks.values()} > {FIRST} else MOST
    assert spent <= share * planned.estimated_seconds() * (1 + 1e-9)
    waves = Counter(ranks.values())
    assert [*sorted(waves)] == [*range(len(waves))] and {*waves.values()} <= {4}


@cache
def _planned(sets: tuple[str, ...], seeds: int) -> Plan:
    return plan(sets=sets, seeds=list(range(seeds)))


def searcher_of(
    planned: Plan, nodes: Sequence[Shape], max_concurrent: int | None = None
) -> FitFirst:
    return FitFirst(
        planned.todo,
        [],
        lambda task: {"key": task.cell.key, "phase": task.phase},
        planned.fit_cost,
        planned.attack_cost,
        nodes=lambda: nodes,
        verdict=lambda cell: "run again",
        give_up=lambda cell: None,
        max_concurrent=max_concurrent,
        ranks=brought_forward(planned),
    )


def run_one_by_one(searcher: FitFirst, planned: Plan) -> list[tuple[Cell, str]]:
    """What ends, in order, where one trial runs at once, in the order in which they are handed
    out."""
    cells = {cell.key: cell for cell in planned.todo}
    running: list[str] = []
    waiting: list[str] = []
    tasks: dict[str, tuple[Cell, str]] = {}
    ended: list[tuple[Cell, str]] = []
    for count in range(10_000):
        config: Any = searcher.suggest(f"t{count}")
        if config == Searcher.FINISHED:
            return ended
        if config is not None:
            tasks[f"t{count}"] = cells[config["key"]], config["phase"]
            waiting.append(f"t{count}")
        if config is None:
            trial = running.pop() if running else waiting.pop(0)
            cell, phase = tasks[trial]
            ended.append((cell, phase))
            if phase == "fit" and not searcher.ends_with_fit(trial):
                searcher.on_trial_result(trial, {"phase": "attack", "fit_done": True})
                tasks[trial] = cell, "attack"
                running.append(trial)
            elif phase == "fit":
                searcher.on_trial_complete(trial, {"phase": "attack", "fit_done": True})
            else:
                searcher.on_trial_complete(trial, {"phase": "done"})
    raise AssertionError("it does not end")


@pytest.mark.parametrize("resources", ["alike", "smaller"])
@pytest.mark.parametrize("max_concurrent", [None, 1])
def test_on_one_slot_nothing_comes_between_what_is_brought_forward(
    resources: str, max_concurrent: int | None
) -> None:
    """The first comparison, then the others; whatever waits for room meanwhile."""
    sets = ["resources.fit.cpus=2"] if resources == "smaller" else []
    cpus = 2 if resources == "smaller" else 1
    planned = plan(sets=sets, fit=cheap_mrpc)
    ranks = brought_forward(planned)
    searcher = searcher_of(planned, [(cpus, 0)], max_concurrent)
    ended = run_one_by_one(searcher, planned)
    assert len(ended) == len(planned.todo) + len(planned.fits)
    first = [(ranks[cell.key], phase) for cell, phase in ended[:6]]
    assert Counter(first) == {(FIRST, "fit"): 2, (FIRST, "attack"): 4}
    fits = {cell.fit.key for cell in planned.todo if cell.key in ranks}
    assert {cell.key for cell, _ in ended[: len(ranks) + len(fits)]} == {*ranks}
    assert (len(ranks) > 4) == (resources == "alike")


def test_no_other_attack_takes_the_gpu_that_fits_will_want_when_the_first_comparison_is_there() -> (
    None
):
    sets = ["resources.fit.gpus=1", "resources.attack.gpus=0.25"]
    planned = plan(sets=sets, fit=cheap_mrpc, attack=lambda cell: 0.5 * ATTACK_PRICES[cell.attack])
    ranks = brought_forward(planned)
    searcher = searcher_of(planned, [(4, 1), (4, 1)])

    def handed_out(name: str) -> list[tuple[str, bool]]:
        out = []
        while config := searcher.suggest(f"{name}{len(out)}"):
            out.append((config["phase"], ranks.get(config["key"]) == FIRST))
        return out

    assert handed_out("a") == [("fit", True)] * 2
    searcher.on_trial_complete("a0", {"phase": "attack", "fit_done": True})
    assert handed_out("b") == [("attack", True)] * 2
    searcher.on_trial_complete("a1", {"phase": "attack", "fit_done": True})
    rest = handed_out("c")
    assert rest[:2] == [("attack", True)] * 2 and ("fit", False) in rest[2:4]
    assert ("attack", False) not in rest


@pytest.mark.parametrize(
    "case",
    [
        laptop(1),
        laptop(2),
        laptop(16),
        Case("1 GPU", gpu_nodes(1), 1),
        Case("16 GPUs", gpu_nodes(16), 3),
        Case("2 nodes of 8 GPUs", gpu_nodes(2, 192, 8), 3),
        Case("4 GPUs and CPUs beside", [*gpu_nodes(4, 8), *[(16, 0)] * 8], 2, attack_gpus=0),
    ],
    ids=lambda case: case.name,
)
def test_the_first_comparison_is_there_in_a_tenth_of_the_time_and_costs_3_percent(
    case: Case,
) -> None:
    outcome, cluster = simulate(case)
    assert sorted(cluster.cells_run) == sorted(cluster.cells)
    assert outcome.first_comparison <= 0.1
    assert outcome.longer <= 0.03

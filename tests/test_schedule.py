"""The searcher hands out every cell once, a fit before its attacks, whatever fails or dies."""

import heapq
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import combinations
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.search import Searcher

from benchmarks.simulated_cluster import Case, gpu_nodes, simulate
from orchestrator.plan.plan import make_plan
from orchestrator.run.deaths import NODE_DEATH_KNOWN_AFTER, RESTARTS, Deaths, Verdict
from orchestrator.run.order import FIRST
from orchestrator.run.schedule import SMALLEST_PART, FitFirst, TrialTask, slots_held
from orchestrator.run.slots import Shape, Slots
from search_spaces.cell import Cell
from search_spaces.errors import BadInput
from search_spaces.space import PhaseResources, Resources, load
from trainables.assets import Assets
from trainables.cell import Part
from trainables.store import Store

ONE_CPU = Resources()
FITS_ON_GPUS = Resources(fit=PhaseResources(cpus=1, gpus=1), attack=PhaseResources(cpus=1))
ATTACKS_ON_SLICES = Resources(
    fit=PhaseResources(cpus=2, gpus=1), attack=PhaseResources(cpus=1, gpus=0.25)
)


@cache
def sixteen_cells(resources: Resources = ONE_CPU) -> tuple[Cell, ...]:
    """Of four fits."""
    only = ["dataset=sst2,ag_news", "model=bert-embedded", "head=mlp_ft,mvp"]
    plan = make_plan(load("embedded", only=only), Assets("embedded"), Store("/nonexistent"))
    return tuple(cell.model_copy(update={"resources": resources}) for cell in plan.todo)


def fit_first(
    cells: Sequence[Cell], nodes: Callable[[], Sequence[Shape]], **changes: Any
) -> FitFirst:
    arguments: dict[str, Any] = {
        "fits_done": [],
        "config_of": lambda task: {"key": task.cell.key, "phase": task.phase},
        "fit_cost": lambda cell: 1.0,
        "attack_cost": lambda cell: 1.0,
        "nodes": nodes,
        "verdict": lambda cell: "run again",
        "give_up": lambda cell: None,
    }
    return FitFirst(cells, **{**arguments, **changes})


def all_that_is_handed_out(searcher: FitFirst, name: str = "t") -> list[dict[str, Any]]:
    handed = []
    while config := searcher.suggest(f"{name}{len(handed)}"):
        handed.append(config)
    return handed


def phases(configs: Sequence[dict[str, Any]]) -> list[str]:
    return [config["phase"] for config in configs]


some_nodes = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0, 4.0]), st.sampled_from([0.0, 1.0, 2.0])), max_size=4
)


@settings(deadline=None, max_examples=200)
@given(
    chosen=st.sets(st.integers(0, 15), min_size=1),
    stored=st.sets(st.integers(0, 3)),
    at_once=st.none() | st.integers(1, 6),
    pending=st.sampled_from([1, 3]),
    resources=st.sampled_from([ONE_CPU, FITS_ON_GPUS, ATTACKS_ON_SLICES]),
    examples=st.sampled_from([7, 20, 133]),
    sizes=st.lists(some_nodes, min_size=1, max_size=5),
    seed=st.integers(0, 10**6),
    failing=st.floats(0, 0.5),
    dying=st.floats(0, 0.5),
    ranked=st.dictionaries(st.integers(0, 15), st.integers(FIRST, 2)),
)
def test_every_cell_once_no_fit_and_no_example_twice_whatever_the_cluster_does(
    chosen: set[int],
    stored: set[int],
    at_once: int | None,
    pending: int,
    resources: Resources,
    examples: int,
    sizes: list[list[Shape]],
    seed: int,
    failing: float,
    dying: float,
    ranked: dict[int, int],
) -> None:
    cells = [
        sixteen_cells(resources)[number].model_copy(update={"examples": examples})
        for number in sorted(chosen)
    ]
    fits = sorted({cell.fit.key for cell in cells})
    fitted = {fits[number] for number in stored if number < len(fits)}
    draw = random.Random(seed)
    ended: list[str] = []
    undecided: set[str] = set()
    failed: set[str] = set()
    attacked: dict[str, list[int]] = {cell.key: [] for cell in cells}

    def verdict(cell: Cell) -> Verdict:
        verdict: Verdict
        if cell.key in failed:
            failed.discard(cell.key)
            verdict = draw.choice(["run again", "failed", "failed"])
            ended.extend([cell.key] * (verdict == "failed"))
            return verdict
        verdict = draw.choice(["run again", "run again", "given up", "not known yet"])
        undecided.discard(cell.key)
        if verdict == "not known yet":
            undecided.add(cell.key)
        return verdict

    def attack(task: TrialTask, whole: bool) -> None:
        """Attack what is missing of a task's examples, some of it if the process dies then."""
        asked: Sequence[int] = range(examples)
        if task.part is not None:
            asked = task.part.share(asked)
            assert len(asked) >= SMALLEST_PART
        before = set(attacked[task.cell.key])
        missing = [example for example in asked if example not in before]
        attacked[task.cell.key] += missing if whole else missing[: draw.randint(0, len(missing))]

    searcher = fit_first(
        cells,
        lambda: draw.choice(sizes),
        config_of=vars,
        fits_done=set(fitted),
        attack_cost=lambda cell: 1.0 + cells.index(cell),
        verdict=verdict,
        give_up=lambda cell: ended.append(cell.key),
        pending=pending,
        max_concurrent=at_once,
        ranks={sixteen_cells(resources)[number].key: rank for number, rank in ranked.items()},
    )
    running: dict[str, TrialTask] = {}
    for count in range(10_000):
        suggested: Any = searcher.suggest(f"t{count}")
        if suggested == Searcher.FINISHED:
            break
        if suggested is not None:
            task = TrialTask(**suggested)
            assert (task.phase == "attack") == (task.cell.fit.key in fitted)
            beside = [each for each in running.values() if each.cell == task.cell]
            assert all(each.part is not None for each in [*beside, *[task] * bool(beside)])
            running[f"t{count}"] = task
            fitting = Counter(each.cell.fit.key for each in running.values())
            assert all(fitting[fit] <= 1 for fit in fits if fit not in fitted)
            assert at_once is None or len(running) <= at_once
            continue
        assert running or undecided or failed, (
            "nothing runs and nothing is handed out: it would hang"
        )
        if not running:
            continue
        trial = draw.choice(sorted(running))
        task = running.pop(trial)
        cell = task.cell
        if draw.random() < dying:
            if cell.fit.key in fitted:
                attack(task, whole=False)
            searcher.on_trial_complete(trial, error=True)
        elif task.part is not None and draw.random() < failing:
            attack(task, whole=False)
            searcher.on_trial_complete(trial, {"phase": "part_done", "error": "an error"})
        elif task.part is None and draw.random() < failing:
            failed.add(cell.key)
            searcher.on_trial_complete(trial, {"phase": "failed"})
        elif cell.fit.key not in fitted:
            fitted.add(cell.fit.key)
            if searcher.ends_with_fit(trial):
                searcher.on_trial_complete(trial, {"phase": "attack", "fit_done": True})
            else:
                assert resources.fit == resources.attack
                searcher.on_trial_result(trial, {"phase": "attack", "fit_done": True})
                running[trial] = task
        elif task.part is not None:
            attack(task, whole=True)
            searcher.on_trial_complete(trial, {"phase": "part_done"})
        else:
            attack(task, whole=True)
            assert sorted(attacked[cell.key]) == list(range(examples)), "each once, none left out"
            searcher.on_trial_complete(trial, {"phase": "done"})
            ended.append(cell.key)
    assert sorted(ended) == sorted(cell.key for cell in cells)


@settings(deadline=None, max_examples=200)
@given(
    costs=st.lists(st.floats(1, 20), min_size=1, max_size=16),
    slots=st.integers(1, 8),
    wrong=st.lists(st.floats(0.7, 1.4), min_size=16, max_size=16),
)
def test_no_slot_is_idle_for_long_at_the_end(
    costs: list[float], slots: int, wrong: list[float]
) -> None:
    """However unequal the attacks are, and although the expected costs are slightly wrong."""
    examples = 200
    cells = [cell.model_copy(update={"examples": examples}) for cell in sixteen_cells()]
    of = {cell.key: cost for cell, cost in zip(cells, costs, strict=False)}
    off = {cell.key: factor for cell, factor in zip(cells, wrong, strict=True)}
    searcher = fit_first(
        cells[: len(costs)],
        lambda: [(slots, 0)],
        config_of=vars,
        fits_done=fit_keys(),
        attack_cost=lambda cell: of[cell.key] * off[cell.key],
    )
    left = dict(of)
    running: list[tuple[float, str]] = []
    waiting: list[tuple[str, float]] = []
    now, done = 0.0, 0
    for count in range(10_000):
        suggested: Any = searcher.suggest(f"t{count}")
        if suggested == Searcher.FINISHED:
            break
        if suggested is not None:
            task = TrialTask(**suggested)
            key = task.cell.key
            takes = left[key] if task.part is None else of[key] / task.part.of
            left[key] -= takes
            done += task.part is None
            waiting.append((f"t{count}", takes))
        while waiting and len(running) < slots:
            name, takes = waiting.pop(0)
            heapq.heappush(running, (now + takes, name))
        if suggested is None:
            now, name = heapq.heappop(running)
            searcher.on_trial_complete(name, {"phase": "part_done"})
    assert done == len(costs) and sum(map(abs, left.values())) < 1e-6
    assert now <= 1.4 * sum(costs) / slots + 2 * max(costs) * SMALLEST_PART / examples


def test_what_is_not_the_longest_is_not_divided_nor_what_stops_early_nor_what_is_small() -> None:
    def handed(slots: int, count: int = 4, **changes: Any) -> list[Any]:
        cells = [cell.model_copy(update={"examples": 100, **changes}) for cell in sixteen_cells()]
        searcher = fit_first(
            cells[:count], lambda: [(slots, 0)], config_of=vars, fits_done=fit_keys()
        )
        return [config["part"] for config in all_that_is_handed_out(searcher)]

    assert handed(slots=3, count=16)[:2] == [None, None]
    assert handed(slots=8)[:4] == [Part(number, 4) for number in range(4)]
    assert handed(slots=8, precision=0.1) == [None] * 4
    assert handed(slots=8, examples=2 * SMALLEST_PART - 1) == [None] * 4


def test_a_leader_whose_attack_will_be_divided_is_done_with_its_fit() -> None:
    (cell, *_) = sixteen_cells()
    for examples, divided in ((100, True), (10, False)):
        alone = cell.model_copy(update={"examples": examples})
        searcher = fit_first([alone], lambda: [(2, 0)])
        assert phases(all_that_is_handed_out(searcher)) == ["fit"]
        assert searcher.ends_with_fit("t0") == divided


def test_the_longest_fit_and_then_the_longest_attack_goes_first() -> None:
    fit_costs = {"mvp": 9.0, "mlp_ft": 1.0}
    attack_costs = {"textfooler": 2.0, "textbugger": 3.0, "bert_attack": 4.0, "misspellings": 1.0}
    cells = {cell.key: cell for cell in sixteen_cells()}
    searcher = fit_first(
        list(cells.values()),
        lambda: [(1, 0)] * 16,
        fit_cost=lambda cell: fit_costs[cell.fit.head],
        attack_cost=lambda cell: attack_costs[cell.attack],
    )
    fits = all_that_is_handed_out(searcher, "fit")
    assert [cells[c["key"]].fit.head for c in fits] == ["mvp", "mvp", "mlp_ft", "mlp_ft"]
    assert {cells[c["key"]].attack for c in fits} == {"bert_attack"}  # each goes on to attack
    searcher.on_trial_result("fit0", {"phase": "attack", "fit_done": True})
    attacks = all_that_is_handed_out(searcher)
    assert [cells[c["key"]].attack for c in attacks] == ["textbugger", "textfooler", "misspellings"]


def test_where_both_phases_want_the_same_fits_go_first() -> None:
    searcher = fit_first(sixteen_cells(), lambda: [(2, 0)])
    assert phases(all_that_is_handed_out(searcher)) == ["fit", "fit", "fit"]  # the third waits
    searcher.on_trial_result("t0", {"phase": "attack", "fit_done": True})
    assert all_that_is_handed_out(searcher) == []
    searcher.on_trial_complete("t0", {"phase": "done"})
    # The last fit waits now, and no other is left: an attack may wait behind it.
    assert phases(all_that_is_handed_out(searcher, "u")) == ["fit", "attack"]


def test_attacks_run_beside_fits_on_what_fits_do_not_want() -> None:
    searcher = fit_first(sixteen_cells(FITS_ON_GPUS), lambda: [(2, 1), (4, 0)])
    assert phases(all_that_is_handed_out(searcher)) == ["fit", "fit"]
    searcher.on_trial_complete("t0", {"phase": "attack", "fit_done": True})
    # The one that waited has the GPU now, another waits for it; four attacks run.
    assert sorted(phases(all_that_is_handed_out(searcher, "u"))) == [*["attack"] * 4, "fit"]
    assert Counter(task.phase for task in searcher.out.values()) == {"fit": 2, "attack": 4}


def test_more_is_handed_out_as_nodes_come_and_less_as_they_go() -> None:
    nodes: list[Shape] = []
    searcher = fit_first(
        sixteen_cells(ATTACKS_ON_SLICES), lambda: nodes, fits_done=fit_keys(), pending=2
    )
    assert len(all_that_is_handed_out(searcher, "a")) == 2  # so that an autoscaler sees them
    nodes += [(4.0, 1.0)]
    assert len(all_that_is_handed_out(searcher, "b")) == 6  # 4 run, and 4 wait
    nodes += [(4.0, 1.0)]
    assert len(all_that_is_handed_out(searcher, "c")) == 8  # 8 run, and 8 wait
    nodes.clear()
    searcher.on_trial_complete("a0", {"phase": "done"})
    assert all_that_is_handed_out(searcher, "d") == []


def test_never_more_than_max_concurrent() -> None:
    searcher = fit_first(sixteen_cells(), lambda: [(64, 0)], max_concurrent=3)
    assert len(all_that_is_handed_out(searcher)) == 3


def test_when_stopped_nothing_more_is_handed_out_and_nothing_is_waited_for() -> None:
    reason = ""
    searcher = fit_first(sixteen_cells(), lambda: [(1, 0)] * 2, stopped=lambda: reason)
    assert searcher.suggest("first") is not None
    reason = "the store cannot be written"
    assert searcher.suggest("second") == Searcher.FINISHED


def fit_keys() -> set[str]:
    return {cell.fit.key for cell in sixteen_cells()}


def test_slots_are_of_single_nodes_and_pending_trials_move_up() -> None:
    slots = Slots()
    slots.resize([(3, 0), (3, 0)])
    assert slots.place("a", (2, 0)) and slots.place("b", (2, 0))
    assert not slots.place("c", (2, 0)), "two CPUs are free, on two nodes"
    slots.wait("c", (2, 0))
    slots.give_back("a")
    assert "c" in slots.placed and not slots.pending
    slots.resize([(3, 0)])
    assert len(slots.placed) == len(slots.pending) == 1


def test_only_deaths_on_living_nodes_use_up_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    living = {"home", "spot"}
    deaths = Deaths(lambda: living, home="home")
    for _ in range(RESTARTS):
        deaths.record("cell", "home")
        assert deaths.verdict("cell") == "run again"
    deaths.record("cell", "spot")
    assert deaths.verdict("cell") == "not known yet", (
        "the node may be dead, and Ray not know it yet"
    )
    living.remove("spot")
    assert deaths.verdict("cell") == "run again"
    deaths.record("cell", "home")
    assert deaths.verdict("cell") == "given up"
    assert deaths.counted("cell") == RESTARTS + 1

    for _ in range(RESTARTS + 1):
        deaths.record("other", "elsewhere")
        assert deaths.verdict("other") == "run again", "nodes die as often as they like"
    living.add("elsewhere")
    assert deaths.verdict("other") == "not known yet"
    later = NODE_DEATH_KNOWN_AFTER + 1
    monkeypatch.setattr("time.monotonic", lambda now=deaths.died["other"][-1][1]: now + later)
    assert deaths.verdict("other") == "given up"


def test_room_for_a_whole_gpu_is_one_that_nobody_uses() -> None:
    slots = Slots()
    slots.resize([(64, 4)])
    assert all(slots.place(f"a{number}", (4, 0.25)) for number in range(16))
    on_each = {next(iter(held.gpus)): name for name, (*_, held) in slots.placed.items()}
    for name in on_each.values():
        slots.give_back(name)
    assert not slots.place("fit", (4, 1)), "a quarter of each of four GPUs is free"
    for name in [name for name, (*_, held) in slots.placed.items() if 2 in held.gpus]:
        slots.give_back(name)
    assert slots.place("fit", (4, 1))
    assert slots.capacity((4, 1)) == 4 and slots.capacity((1, 0.4)) == 8
    assert slots.capacity((1, 0.1)) == 40 and slots.capacity((1, 3)) == 1


@pytest.mark.parametrize(
    ("gpus", "hint"), [("1.5", "1 or 2"), ("0.00001", "at least"), (".inf", "finite")]
)
def test_gpus_that_ray_cannot_give_are_refused_when_a_space_is_read(gpus: str, hint: str) -> None:
    with pytest.raises(BadInput, match=f"resources.attack.gpus.*{hint}"):
        load("embedded", sets=[f"resources.attack.gpus={gpus}"])


shapes = st.tuples(st.sampled_from([1, 2, 4]), st.sampled_from([0, 0.1, 0.25, 0.3, 0.5, 1, 2, 3]))


@settings(deadline=None, max_examples=300)
@given(
    nodes=st.lists(
        st.tuples(st.sampled_from([4, 16]), st.sampled_from([0, 1, 2, 4])), min_size=1, max_size=3
    ),
    trials=st.lists(shapes, max_size=40),
    seed=st.integers(0, 10**6),
)
def test_a_trial_has_room_where_one_gpu_or_enough_whole_ones_are_free(
    nodes: list[Shape], trials: list[Shape], seed: int
) -> None:
    """Against a search through all GPUs of all nodes, in fractions without rounding."""
    draw = random.Random(seed)
    slots = Slots()
    slots.resize(nodes)
    ordered = sorted(nodes, key=lambda node: (node[1], node[0]))
    placed: dict[str, Shape] = {}

    def left() -> list[tuple[float, list[Fraction]]]:
        free = [(cpus, [Fraction(1)] * int(gpus)) for cpus, gpus in ordered]
        for name, (cpus, gpus) in placed.items():
            _, node, held = slots.placed[name]
            parts = {number: Fraction(part, 10_000) for number, part in held.gpus.items()}
            assert sum(parts.values()) == Fraction(str(gpus))
            assert len(parts) == (1 if 0 < gpus < 1 else gpus), "a fraction is of one GPU"
            for number, part in parts.items():
                free[node][1][number] -= part
            free[node] = (free[node][0] - cpus, free[node][1])
        assert all(cpus >= 0 and all(0 <= gpu <= 1 for gpu in gpus) for cpus, gpus in free)
        return free

    for count, (cpus, gpus) in enumerate(trials):
        need = Fraction(str(gpus))
        has_room = any(
            cpus <= free_cpus
            and any(
                all(gpu >= min(need, Fraction(1)) for gpu in chosen)
                for chosen in combinations(free_gpus, math.ceil(need))
            )
            for free_cpus, free_gpus in left()
        )
        assert slots.place(f"t{count}", (cpus, gpus)) == has_room
        if has_room:
            placed[f"t{count}"] = (cpus, gpus)
        if placed and draw.random() < 0.4:
            name = draw.choice(sorted(placed))
            del placed[name]
            slots.give_back(name)
    left()
    for name in placed:
        slots.give_back(name)
    placed.clear()
    for shape in {*trials}:
        many = Slots()
        many.resize(nodes)
        count = 0
        while many.place(f"m{count}", shape):
            count += 1
        assert count == slots.capacity(shape)


def test_fractions_leave_gpus_alone_for_which_a_trial_waits() -> None:
    slots = Slots()
    slots.resize([(64, 2)])
    for number in range(8):
        assert slots.place(f"a{number}", (1, 0.25))
    slots.wait("fit", (1, 1))
    beside = [name for name, (*_, held) in slots.placed.items() if 1 in held.gpus]
    for count, name in enumerate(beside, 1):
        assert not slots.place(f"b{count}", (1, 0.25)), "it would never be a whole GPU"
        slots.give_back(name)
        assert ("fit" in slots.placed) == (count == 4)
    slots.give_back("fit")
    assert slots.place("after", (1, 0.25))


def test_a_fit_that_was_lost_gets_a_gpu_while_attacks_are_left() -> None:
    resources = Resources(fit=PhaseResources(gpus=1), attack=PhaseResources(gpus=0.5))
    cells = sixteen_cells(resources)
    stored = {cell.fit.key for cell in cells} - {cells[0].fit.key}
    searcher = fit_first(cells, lambda: [(8, 2)], fits_done=stored)
    assert phases(all_that_is_handed_out(searcher, "a")) == ["fit", "attack", "attack", "attack"]
    searcher.on_trial_complete("a0", error=True)  # and the attack that waited has half of its GPU
    (fit,) = [
        n
        for n, config in enumerate(all_that_is_handed_out(searcher, "b"))
        if config["phase"] == "fit"
    ]
    assert f"b{fit}" in searcher.slots.pending
    (beside,) = [name for name, (*_, held) in searcher.slots.placed.items() if 0 in held.gpus]
    searcher.on_trial_complete(beside, {"phase": "done"})
    assert f"b{fit}" in searcher.slots.placed
    assert len(searcher.queues["attack"]) > 0


@pytest.mark.parametrize(("died", "times"), [(True, 1 + RESTARTS), (False, 2)])
def test_a_part_that_was_lost_with_its_process_or_failed_is_handed_out_again(
    died: bool, times: int
) -> None:
    cell = sixteen_cells()[0].model_copy(update={"examples": 100})
    searcher = fit_first([cell], lambda: [(2, 0)], config_of=vars, fits_done=[cell.fit.key])
    handed = []
    for count in range(20):
        config: Any = searcher.suggest(f"t{count}")
        if config == Searcher.FINISHED:
            break
        handed.append(TrialTask(**config).part)
        result = {"phase": "part_done"}
        badly = handed[-1] == Part(0, 4)
        if badly and not died:
            result["error"] = "a reason"
        searcher.on_trial_complete(f"t{count}", result, error=badly and died)
    assert Counter(handed) == {
        Part(0, 4): times,
        Part(1, 4): 1,
        Part(2, 4): 1,
        Part(3, 4): 1,
        None: 1,
    }
    assert handed[-1] is None, "the cell itself ends it"


def test_a_fit_on_a_whole_gpu_holds_as_many_slots_as_attacks_fit_there() -> None:
    resources = Resources(
        fit=PhaseResources(cpus=4, gpus=1), attack=PhaseResources(cpus=4, gpus=0.3)
    )
    (cell, *_) = sixteen_cells(resources)
    assert slots_held(cell, "fit") == 3
    assert slots_held(cell, "attack") == 1


@pytest.mark.parametrize(
    "case",
    [
        Case("4 GPUs", gpu_nodes(4), 1),
        Case("4 GPUs and CPUs beside", [*gpu_nodes(4, 8), *[(16, 0)] * 8], 2, attack_gpus=0),
        Case("8 GPUs, each lost once a day", gpu_nodes(8), 2, attack_gpus=0.25, lifetime=24),
        Case("nodes of 8 GPUs, each lost once a day", gpu_nodes(2, 192, 8), 4, 0.25, 24),
    ],
    ids=lambda case: case.name,
)
def test_a_simulated_cluster_is_used_within_a_tenth_of_the_bound(case: Case) -> None:
    """In the median of three: a long attack whose parts were lost twice is not divided again."""
    ratios = []
    for number in range(1 if case.lifetime is None else 3):
        outcome, cluster = simulate(replace(case, name=f"{case.name} {number}"))
        assert sorted(cluster.cells_run) == sorted(cluster.cells)
        assert sorted(cluster.fits_run) == sorted({cell.fit.key for cell in cluster.cells.values()})
        assert (outcome.nodes_lost > 0) == (case.lifetime is not None)
        ratios.append(outcome.ratio)
    assert 1 <= median(ratios) <= 1.1

"""How well the real plan and the real searcher use a cluster, in simulated time.

    python -m benchmarks.simulated_cluster [--small] [--json FILE]

The paper's grid (with more seeds: 30,000 cells) or the embedded one is planned as `--dry-run` plans
it, the real searcher hands the cells out, and a discrete-event cluster "runs" them: no Ray, no
models, no waiting. The cluster starts pending trials in the order in which they were handed out,
each on a random node with room, as Ray does, whatever the searcher expects. Starting a trial takes
no time here.

Durations are drawn, seeded: what the model of cost expects of a fit or an attack on one GPU
(orchestrator/plan/cost_model.py; nothing is measured), times a log-normal factor (sigma 0.3) that
the searcher does not know. It knows the rates of a sweep with one seed, drawn in the same way, as
if read from a store.

Each case is run twice, the second time without what is brought forward for a first comparison
(orchestrator/run/order.py): *first comparison at* is when it is there, as a share of the makespan;
*longer* is how much longer the makespan is for it.

The bound is the larger of two: total work divided by all slots, for the scarcer resource; and the
longest fit plus the smallest part that an attack on it is divided into. No schedule is shorter; the
best one may be longer.
"""

import argparse
import hashlib
import heapq
import json
import multiprocessing
import random
import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from orchestrator.follow.comparison import Comparison
from orchestrator.plan.compared import pairs
from orchestrator.plan.costs import Costs
from orchestrator.plan.plan import Plan, make_plan
from orchestrator.plan.rates import Rates, attack_task, fit_task
from orchestrator.run.cells import PENDING_HERE, PENDING_ON_A_CLUSTER
from orchestrator.run.order import brought_forward
from orchestrator.run.schedule import SMALLEST_PART, FitFirst
from orchestrator.run.slots import Held, Room, Shape, shape
from search_spaces.cell import Cell
from search_spaces.space import load
from trainables.assets import Assets
from trainables.cell import Part
from trainables.store import Store

HOUR = 3600.0
SIGMA = 0.3


@dataclass(frozen=True)
class Case:
    """A cluster and a grid. attack_gpus: of an attack; None: what the space says. lifetime: mean
    hours until a node is lost, back after `away` hours."""

    name: str
    nodes: Sequence[Shape]
    seeds: int
    attack_gpus: float | None = None
    lifetime: float | None = None
    away: float = 0.1
    space: str = "paper"
    pending: int = PENDING_ON_A_CLUSTER


@dataclass(frozen=True)
class Outcome:
    """The outcome of a case; times in hours, planning in seconds, memory in MB."""

    name: str
    cells: int
    fits: int
    bound: float
    makespan: float
    ratio: float
    gpus_busy: float
    cpus_busy: float
    nodes_lost: int
    planning_seconds: float
    searcher_seconds: float
    peak_memory: float
    first_comparison: float
    longer: float


def gpu_nodes(count: int, cpus: int = 16, gpus: int = 1) -> list[Shape]:
    return [(cpus, gpus)] * count


def laptop(slots: int) -> Case:
    """The embedded grid on a machine of its own."""
    name = f"embedded grid, 1 node of {slots} CPU{'s' * (slots > 1)}"
    return Case(name, [(slots, 0)], 1, space="embedded", pending=PENDING_HERE)


SEEDS = 100  # 30,000 cells
CASES = [
    laptop(1),
    laptop(2),
    laptop(16),
    Case("1 GPU", gpu_nodes(1), 1),
    Case("1 GPU", gpu_nodes(1), SEEDS),
    Case("4 GPUs", gpu_nodes(4), 1),
    Case("4 GPUs", gpu_nodes(4), SEEDS),
    Case("16 GPUs", gpu_nodes(16), 3),
    Case("16 GPUs", gpu_nodes(16), SEEDS),
    Case("64 GPUs", gpu_nodes(64), SEEDS),
    Case("256 GPUs", gpu_nodes(256), SEEDS),
    Case("2 nodes of 8 GPUs", gpu_nodes(2, 192, 8), SEEDS),
    Case("2 nodes of 8 GPUs, a third of one an attack", gpu_nodes(2, 192, 8), 20, attack_gpus=0.33),
    Case("8 nodes of 8 GPUs, each lost once a day", gpu_nodes(8, 192, 8), SEEDS, lifetime=24),
    Case("16 GPUs and 512 more CPUs", [*gpu_nodes(16, 8), *[(16, 0)] * 32], 20, attack_gpus=0),
    Case("64 GPUs, each lost once a day", gpu_nodes(64), 20, lifetime=24),
]
SMALL = [
    laptop(2),
    Case("4 GPUs", gpu_nodes(4), 1),
    Case("16 GPUs", gpu_nodes(16), 3),
    Case("4 GPUs and 128 more CPUs", [*gpu_nodes(4, 8), *[(16, 0)] * 8], 3, attack_gpus=0),
    Case("16 GPUs, each lost once a day", gpu_nodes(16), 3, lifetime=24),
    Case("2 nodes of 8 GPUs, each lost once a day", gpu_nodes(2, 192, 8), 3, lifetime=24),
]


def drawn(mean: float, key: str) -> float:
    """A duration by its mean, the same for equal keys without their hash, which versions change."""
    name = key.rpartition("-")[0]
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return mean * random.Random(seed).lognormvariate(-SIGMA * SIGMA / 2, SIGMA)


def plan_of(case: Case) -> tuple[Plan, Costs, float]:
    """The case's grid, planned for an empty store with known rates; what each cell costs in the
    mean; and how long planning took."""
    started = time.perf_counter()
    share = case.attack_gpus
    sets = [] if share is None else [f"resources.attack.gpus={share}"]
    space = load(case.space, sets=sets, seeds=list(range(case.seeds)))
    assets = Assets(space.assets, local_only=True)
    with tempfile.TemporaryDirectory() as store:
        plan = make_plan(space, assets, Store(store), provisional=True)
        expected, rates = plan.costs, Rates()
        for cell in plan.todo:
            if cell.fit.seed == 0:
                took = drawn(expected.of(cell, "fit").seconds, f"earlier {cell.fit.key}")
                rates.add_fit(fit_task(cell.fit), expected.device(cell, "fit"), took)
                took = drawn(expected.of(cell, "attack").seconds, f"earlier {cell.key}")
                each = took / cell.examples
                rates.add_examples(attack_task(cell), expected.device(cell, "attack"), each)
    plan = replace(plan, costs=Costs(lambda: rates, expected.sizes))
    return plan, expected, time.perf_counter() - started


@dataclass
class Trial:
    """A trial of a cell, or of a part of its attack: `left` seconds of the work it is at.

    cost: what the searcher expects.
    """

    cell: Cell
    phase: str
    part: Part | None
    cost: float
    shape: Shape
    left: float = 0.0
    node: int = -1
    held: Held | None = None
    began: float = 0.0


class Cluster:
    """Runs what a searcher hands out, in simulated seconds."""

    def __init__(self, case: Case, plan: Plan, expected: Costs, ranks: Mapping[str, int]) -> None:
        self.case, self.expected = case, expected
        self.draw = random.Random(case.name)
        self.now = 0.0
        self.up = dict(enumerate(case.nodes))
        self.free = {node: Room.on(size) for node, size in self.up.items()}
        self.events: list[tuple[float, int, str, Any]] = []
        self.count = 0
        self.trials: dict[str, Trial] = {}
        self.pending: list[str] = []
        self.attacks_left: dict[str, float] = {}  # of cells whose attack was begun
        self.parts_left: dict[tuple[str, Part], float] = {}
        self.busy = [0.0, 0.0]  # CPU and GPU seconds
        self.capacity: list[tuple[float, float, float]] = []  # from when on: CPUs and GPUs
        self.fits_run: list[str] = []
        self.cells_run: list[str] = []
        self.comparison = Comparison(pairs(plan.applicable))
        self.compared_at: float | None = None
        self.lost = 0
        self.searcher_seconds = 0.0
        cells = {cell.key: cell for cell in plan.todo}
        self.cells = cells
        self.searcher = FitFirst(
            cells.values(),
            plan.fits_done,
            vars,
            plan.fit_cost,
            plan.attack_cost,
            nodes=lambda: list(self.up.values()),
            verdict=lambda cell: "run again",
            give_up=lambda cell: None,
            pending=case.pending,
            ranks=ranks,
        )
        if case.lifetime:
            for node in self.up:
                self._later(self._lifetime(), "lost", node)
        self._note_capacity()

    def run(self) -> None:
        """Run to the end. Raises RuntimeError if nothing runs but cells are left."""
        while not self._hand_out():
            self._start_pending()
            if not self.trials or not self.events:
                raise RuntimeError("nothing runs but cells are left")
            self.now, _, what, which = heapq.heappop(self.events)
            if what == "lost":
                self._lose(which)
            elif what == "back":
                self.up[which] = self.case.nodes[which]
                self.free[which] = Room.on(self.up[which])
                self._later(self._lifetime(), "lost", which)
                self._note_capacity()
            elif which in self.trials and self.trials[which].began == what[1]:
                self._work_done(which)

    def _later(self, seconds: float, what: Any, which: Any) -> None:
        self.count += 1
        heapq.heappush(self.events, (self.now + seconds, self.count, what, which))

    def _lifetime(self) -> float:
        assert self.case.lifetime is not None
        return self.draw.expovariate(1 / (self.case.lifetime * HOUR))

    def _note_capacity(self) -> None:
        cpus, gpus = (sum(node[which] for node in self.up.values()) for which in (0, 1))
        self.capacity.append((self.now, cpus, gpus))

    def _hand_out(self) -> bool:
        """Take all that the searcher gives now; returns whether that was the last."""
        started = time.perf_counter()
        while True:
            name = f"t{self.count}"
            self.count += 1
            config: Any = self.searcher.suggest(name)
            if config is None or config == Searcher.FINISHED:
                self.searcher_seconds += time.perf_counter() - started
                return config is not None
            self.trials[name] = Trial(**config, shape=shape(config["cell"], config["phase"]))
            self.pending.append(name)

    def _start_pending(self) -> None:
        full: set[Shape] = set()
        still = []
        for name in self.pending:
            trial = self.trials[name]
            if trial.shape in full or not self._start(name, trial):
                full.add(trial.shape)
                still.append(name)
        self.pending = still

    def _start(self, name: str, trial: Trial) -> bool:
        for node in self.draw.sample(list(self.free), len(self.free)):
            if (held := self.free[node].take(trial.shape)) is not None:
                trial.node, trial.held = node, held
                self._work(name, trial)
                return True
        return False

    def _work(self, name: str, trial: Trial) -> None:
        """Begin what the trial is to do next: its fit or its attack."""
        cell = trial.cell
        if trial.phase == "fit":
            trial.left = drawn(self.expected.of(cell, "fit").seconds, cell.fit.key)
        else:
            whole = drawn(self.expected.of(cell, "attack").seconds, cell.key)
            left = self.attacks_left.setdefault(cell.key, whole)
            if trial.part is not None:
                left = self.parts_left.setdefault((cell.key, trial.part), left / trial.part.of)
            trial.left = max(left, 0.0)
        trial.began = self.now
        self._later(trial.left, ("done", self.now), name)

    def _work_done(self, name: str) -> None:
        trial = self.trials[name]
        self._count_busy(trial)
        if trial.phase == "fit":
            self.fits_run.append(trial.cell.fit.key)
            if not self.searcher.ends_with_fit(name):
                self._tell(lambda: self.searcher.on_trial_result(name, {"fit_done": True}))
                trial.phase = "attack"
                self._work(name, trial)
                return
            result = {"phase": "attack", "fit_done": True}
        else:
            self._attacked(trial, trial.left)
            if trial.part is None:
                self.cells_run.append(trial.cell.key)
                self.comparison.note(trial.cell.key, 0.0)
                if self.compared_at is None and self.comparison.so_far() is not None:
                    self.compared_at = self.now
            result = {"phase": "done"}
        self._stop(name)
        self._tell(lambda: self.searcher.on_trial_complete(name, result))

    def _attacked(self, trial: Trial, seconds: float) -> None:
        self.attacks_left[trial.cell.key] -= seconds
        if trial.part is not None:
            self.parts_left[trial.cell.key, trial.part] -= seconds

    def _lose(self, node: int) -> None:
        """A node is lost: its fits restart from the beginning, its attacks continue."""
        self.lost += 1
        for name, trial in list(self.trials.items()):
            if trial.node == node:
                self._count_busy(trial)
                if trial.phase == "attack":
                    self._attacked(trial, self.now - trial.began)
                self._stop(name)
                self.searcher.on_trial_complete(name, error=True)
        del self.up[node], self.free[node]
        self._later(self.case.away * HOUR, "back", node)
        self._note_capacity()

    def _stop(self, name: str) -> None:
        trial = self.trials.pop(name)
        if trial.held is not None:
            self.free[trial.node].give_back(trial.held)

    def _count_busy(self, trial: Trial) -> None:
        for which in (0, 1):
            self.busy[which] += trial.shape[which] * (self.now - trial.began)

    def _tell(self, call: Any) -> None:
        started = time.perf_counter()
        call()
        self.searcher_seconds += time.perf_counter() - started

    def capacity_used_up(self, work: float, which: int) -> float:
        """When the cluster, with its lost nodes, could first have done this much work (seconds)."""
        if not work:
            return 0.0
        ends = [*(since for since, *_ in self.capacity[1:]), float("inf")]
        for (since, *have), end in zip(self.capacity, ends, strict=True):
            if not have[which]:
                continue
            if work <= have[which] * (end - since):
                return since + work / have[which]
            work -= have[which] * (end - since)
        raise AssertionError("the cluster has no such resource")

    def capacity_until_now(self, which: int) -> float:
        """CPU or GPU seconds that the cluster had; 1 where it had none, to be divided by."""
        ends = [*(since for since, *_ in self.capacity[1:]), self.now]
        spans = zip(self.capacity, ends, strict=True)
        return sum(have[which] * (end - since) for (since, *have), end in spans) or 1.0


def simulate(case: Case) -> tuple[Outcome, Cluster]:
    """Plan and run a case."""
    plan, expected, planning_seconds = plan_of(case)
    longest_first = Cluster(case, plan, expected, {})
    longest_first.run()
    cluster = Cluster(case, plan, expected, brought_forward(plan))
    cluster.run()
    assert cluster.compared_at is not None
    work = [0.0, 0.0]
    chains: dict[str, tuple[float, float]] = {}
    for cell in plan.todo:
        fit = drawn(expected.of(cell, "fit").seconds, cell.fit.key)
        attack = drawn(expected.of(cell, "attack").seconds, cell.key)
        smallest = attack * min(SMALLEST_PART / cell.examples, 1.0)
        first = cell.fit.key not in chains
        for which in (0, 1):
            work[which] += shape(cell, "attack")[which] * attack
            work[which] += shape(cell, "fit")[which] * fit if first else 0.0
        chains[cell.fit.key] = (fit, max(smallest, chains.get(cell.fit.key, (0, 0))[1]))
    longest = max(fit + attack for fit, attack in chains.values())
    bound = max(longest, *(cluster.capacity_used_up(work[which], which) for which in (0, 1)))
    outcome = Outcome(
        name=case.name,
        cells=len(plan.todo),
        fits=len(chains),
        bound=bound / HOUR,
        makespan=cluster.now / HOUR,
        ratio=cluster.now / bound,
        gpus_busy=cluster.busy[1] / cluster.capacity_until_now(1),
        cpus_busy=cluster.busy[0] / cluster.capacity_until_now(0),
        nodes_lost=cluster.lost,
        planning_seconds=planning_seconds,
        searcher_seconds=cluster.searcher_seconds,
        peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        first_comparison=cluster.compared_at / cluster.now,
        longer=cluster.now / longest_first.now - 1,
    )
    return outcome, cluster


def outcome(case: Case) -> Outcome:
    return simulate(case)[0]


def table(outcomes: list[Outcome]) -> str:
    """As Markdown."""
    lines = [
        "| cluster | cells | fits | bound, h | makespan, h | ratio | GPUs busy | CPUs busy "
        "| nodes lost | planning, s | searcher, s | peak memory, MB | first comparison at "
        "| longer |",
        "| --- " + "| --: " * 13 + "|",
    ]
    for o in outcomes:
        lines.append(
            f"| {o.name} | {o.cells:,} | {o.fits:,} | {o.bound:,.1f} | {o.makespan:,.1f} "
            f"| {o.ratio:.3f} | {o.gpus_busy:.1%} | {o.cpus_busy:.1%} | {o.nodes_lost} "
            f"| {o.planning_seconds:.1f} | {o.searcher_seconds:.1f} | {o.peak_memory:.0f} "
            f"| {o.first_comparison:.1%} | {o.longer:+.1%} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate sweeps on up to 256 GPUs.")
    parser.add_argument("--small", action="store_true", help="a few small cases: some seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    # A process each: peak memory is a process's, and only ever grows.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        outcomes = list(pool.imap(outcome, SMALL if arguments.small else CASES))
    print(table(outcomes))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(each) for each in outcomes], indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Run the cells of a plan as one Ray Tune run, and report what became of them.

The driver receives every trial's reports: it feeds the view and hands finished cells to MLflow.
Nothing is read back from Ray's own records: the store is.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import ray
from ray import tune

from orchestrator.cli import stopping
from orchestrator.plan.costs import Phase
from orchestrator.plan.plan import Plan
from orchestrator.run import limits
from orchestrator.run.budget import Budget
from orchestrator.run.deaths import Deaths, Verdict, memory_as_cause
from orchestrator.run.health import IN_A_ROW, Health, How, Task
from orchestrator.run.imported import resources_in
from orchestrator.run.living import LivingNodes
from orchestrator.run.options import LOCAL, RayOptions
from orchestrator.run.order import brought_forward
from orchestrator.run.schedule import FitFirst, TrialTask, slots_held
from orchestrator.run.slots import PHASES, Shape, shape
from search_spaces.cell import Cell
from trainables.records import TrialReport
from trainables.scratch import scratch
from trainables.store import Store
from trainables.trial import CellTrial, TrialConfig

OTHER_NODE_WITHIN = 900.0  # seconds: an autoscaler starts one in some minutes
# How many cells of a phase may always wait for room: on a cluster an autoscaler then adds nodes.
PENDING_HERE, PENDING_ON_A_CLUSTER = 1, 8

Listener = Callable[[Cell, TrialReport], None]


class CannotGoOn(Exception):
    """Nothing more can be run: the driver's own node of Ray has died, or no node is healthy."""


def run_cells(
    plan: Plan,
    store: Store,
    assets: str,
    listener: Listener,
    stopped: Callable[[], str] = str,
    options: RayOptions = LOCAL,
    budget: Budget | None = None,
    expected: Callable[[Cell, str], float | None] = lambda cell, phase: None,
    say: Callable[[str], object] = print,
) -> None:
    """Run `plan.todo` to the end, on the Ray that this process has opened (connect.py).

    listener: called in this process with every report of every trial. stopped: when it gives a
    reason, no more cells are begun; nor are those that would not end within the budget, as
    `expected` estimates in seconds of a cell's fit or attack, or else as was measured. say: called
    with a line when a node is left out. Raises CannotGoOn.
    """
    run = _Run(plan, store, assets, listener, stopped, options, budget, expected, say)
    run.to_the_end()


class _Run:
    """One Tune run: what is known of its trials, and what Tune asks and tells."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        assets: str,
        listener: Listener,
        stopped: Callable[[], str],
        options: RayOptions,
        budget: Budget | None,
        expected: Callable[[Cell, str], float | None],
        say: Callable[[str], object],
    ) -> None:
        self.say = say
        self.plan, self.store, self.assets = plan, store, assets
        self.listener, self.budget, self.expected = listener, budget, expected
        self.cells = {cell.key: cell for cell in plan.todo}
        self.nodes = LivingNodes()
        self.home = ray.get_runtime_context().get_node_id()
        self.deaths = Deaths(self.nodes.living, self.home)
        self.oom_kills = limits.oom_kills()
        self.health = Health()
        self.shapes = {phase: {shape(cell, phase) for cell in plan.todo} for phase in PHASES}
        self.avoids: dict[Task, tuple[set[str], Shape]] = {}  # of tasks that have not begun
        self.stuck_since: float | None = None
        self.nodes_may_come = options.address is not None
        self.left_out: set[str] = set()  # nodes, as was last said
        self.begun_on: dict[Task, str] = {}  # the node of each task that runs
        self.lost_gpu: dict[Task, tuple[How, str]] = {}  # of tasks whose process is ending
        self.lost_gpu_of: set[str] = set()  # cells whose process died of it the last time
        self.failed_once: set[str] = set()  # cells that were, or will be, run once more
        self.to_run_again: set[str] = set()
        self.failed: set[str] = set()
        self.last_words: dict[str, str] = {}  # what is known of each cell's last death
        self.searcher = FitFirst(
            self.cells.values(),
            plan.fits_done,
            self.config_of,
            fit_cost=plan.fit_cost,
            attack_cost=plan.attack_cost,
            nodes=lambda: self.nodes.shapes(without=self.left_out),
            verdict=self.verdict,
            give_up=self.give_up,
            pending=PENDING_HERE if options.address is None else PENDING_ON_A_CLUSTER,
            max_concurrent=options.max_concurrent,
            stopped=stopped,
            in_time=self.in_time,
            ranks=brought_forward(plan),
        )
        self.verbose = options.verbose

    def to_the_end(self) -> None:
        self.keep_health()
        try:
            self.run_trials()
        finally:
            self.keep_health()

    def run_trials(self) -> None:
        with scratch("tune") as folder:
            tuner = tune.Tuner(
                tune.with_resources(CellTrial, _resources_of(self.cells)),
                tune_config=tune.TuneConfig(
                    search_alg=self.searcher,
                    num_samples=-1,
                    reuse_actors=True,
                    trial_dirname_creator=lambda trial: str(trial.trial_id),
                ),
                run_config=tune.RunConfig(
                    name=self.plan.space.name,
                    storage_path=folder,
                    stop=self.ends,
                    callbacks=[_Listen(self)],
                    verbose=2 if self.verbose else 0,
                    # The searcher hands out again what died; Tune would count lost nodes as
                    # failures.
                    failure_config=tune.FailureConfig(max_failures=0),
                    # A checkpoint, even an empty one, fails on a node that does not see `folder`.
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                ),
            )
            tuner.fit()

    def config_of(self, task: TrialTask) -> TrialConfig:
        room = self.room(task.cell, task.phase)
        avoid = self.health.avoid(task.cell.key, room)
        part = task.part and (task.part.number, task.part.of)
        self.avoids[task.cell.key, part] = avoid, shape(task.cell, task.phase)
        return {
            "key": task.cell.key,
            "cell": task.cell.model_dump_json(),
            "store": self.store.local_folder or self.store.url,
            "assets": self.assets,
            "phase": task.phase,
            "part": part,
            "avoid": sorted(avoid),
        }

    def in_time(self, task: TrialTask) -> bool:
        """Whether a task is expected to end within the budget."""
        if self.budget is None:
            return True
        phase: Phase = "fit" if task.phase == "fit" else "attack"
        seconds = self.expected(task.cell, phase) or self.plan.costs.measured(task.cell, phase)
        return self.budget.allows(seconds and seconds / (task.part.of if task.part else 1))

    def ends(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Whether a trial ends with this report: its fit was all it had to do, or time is over."""
        if self.budget is not None and self.budget.ends(result):
            return True
        return bool(result.get("fit_done")) and self.searcher.ends_with_fit(trial_id)

    def check_alive(self) -> None:
        stopping.check()
        if self.budget is not None:
            self.budget.hear_again()
        # Ray ends a driver whose node dies, but for some deaths: then it would wait forever.
        living = self.nodes.living()
        if self.home not in living:
            raise CannotGoOn("Ray's own processes on this machine died")
        self.look_at_health()

    def look_at_health(self) -> None:
        """Say which nodes get no more cells, and which do again. Raises CannotGoOn."""
        wanted = [phase for phase in PHASES if self.searcher.wants(phase)]
        if not self.health.nodes or not wanted:
            return
        shapes = set().union(*(self.shapes[phase] for phase in wanted))
        rooms = [self.nodes.with_room(each) for each in shapes]
        by_shape = [(room, self.health.left_out(room)) for room in rooms]
        left_out = {
            node
            for node in set().union(*rooms)
            if all(node in out for room, out in by_shape if node in room)
        }
        if left_out != self.left_out:
            before, self.left_out = self.left_out, left_out
            for node in left_out - before:
                self.say(
                    f"node {self.nodes.address(node)} gets no more cells: {IN_A_ROW} in a row ended"
                    f" badly there; an error was: {self.health.last_error(node)}"
                )
            for node in (before - left_out) & self.nodes.living():
                self.say(f"node {self.nodes.address(node)} gets cells again")
            self.keep_health()
        self.check_not_stuck(any(room and room == out for room, out in by_shape))

    def check_not_stuck(self, all_left_out: bool) -> None:
        """Raises CannotGoOn where no node is left for some task and none has come for a while.

        So it is where all nodes are left out and nothing runs on them that may end well, or where
        a task was to avoid some nodes and the others are gone.
        """
        waits = any(
            avoid and self.nodes.with_room(needed) <= avoid
            for avoid, needed in self.avoids.values()
        )
        stuck = waits or (all_left_out and not self.begun_on)
        now = time.monotonic()
        self.stuck_since = (self.stuck_since or now) if stuck else None
        patience = OTHER_NODE_WITHIN if self.nodes_may_come else 0.0
        if self.stuck_since is not None and now - self.stuck_since >= patience:
            raise CannotGoOn(
                "cells wait for another node than those on which they ended badly, and none comes"
                if waits and not all_left_out
                else "no node is left whose GPUs work"
            )

    def room(self, cell: Cell, phase: str) -> set[str]:
        """The nodes that have room for a phase of a cell while nothing else runs there."""
        return self.nodes.with_room(shape(cell, phase))

    def keep_health(self) -> None:
        with suppress(OSError):  # It is for --status alone.
            nodes = self.health.to_json(self.nodes.addresses, self.left_out)
            self.store.write_nodes(self.plan.space.name, {"nodes": nodes})

    def verdict(self, cell: Cell) -> Verdict:
        """What becomes of a cell that failed or whose process died."""
        if cell.key in self.to_run_again:
            self.to_run_again.discard(cell.key)
            return "run again"
        return "failed" if cell.key in self.failed else self.deaths.verdict(cell.key)

    def hear(self, config: TrialConfig, result: Mapping[str, Any]) -> None:
        """Pass a trial's result on as a report, without Tune's own keys."""
        key, part = config["key"], config["part"]
        cell = self.cells[key]
        report = cast(
            TrialReport,
            {name: result[name] for name in TrialReport.__annotations__ if name in result},
        )
        if result.get("done") is True:
            report["last"] = True
        if report["phase"] == "begun":
            report["slots"] = self.searcher.attack_slots(cell)
            report["holds"] = slots_held(cell, config["phase"])
            self.begun_on[key, part] = report["node"]
            self.avoids.pop((key, part), None)
        self.note_health((key, part), report)
        if report["phase"] in ("gpu_lost", "no_gpu"):
            return  # The process ends now, and that is reported.
        if report["phase"] == "failed":
            if self.is_worth_another_node(cell, config["phase"]):
                self.to_run_again.add(key)
                report = {"phase": "died"}
            else:
                self.failed.add(key)
        if part is not None:
            report["part"] = part
        if report.get("last") or report["phase"] == "died":
            del self.begun_on[key, part]
        self.listener(cell, report)

    def note_health(self, task: Task, report: TrialReport) -> None:
        """Note for the health of the node how a task ended there."""
        phase, node = report["phase"], self.begun_on[task]
        if phase in ("gpu_lost", "no_gpu"):
            self.lost_gpu[task] = "gpu_lost" if phase == "gpu_lost" else "no_gpu", report["error"]
        elif phase == "failed" or (phase == "part_done" and "error" in report):
            self.health.ended_badly(node, task[0], "failed", report["error"])
            self.keep_health()
        elif phase in ("done", "part_done") or "fit_seconds" in report:
            self.health.ended_well(node)

    def is_worth_another_node(self, cell: Cell, phase: str) -> bool:
        """Whether a cell that failed is run once more: on another node, where there is one."""
        room = self.room(cell, phase)
        others = room - self.health.avoid(cell.key, room) - self.health.bad_on[cell.key]
        if cell.key in self.failed_once or not others:
            return False
        self.failed_once.add(cell.key)
        return True

    def died(self, config: TrialConfig, error: str) -> None:
        """A trial's process died: the cell is run again, or given up once that is known."""
        task: Task = config["key"], config["part"]
        key, part = task
        report: TrialReport = {"phase": "died"}
        how: How
        how, last_words = self.lost_gpu.pop(task, ("died", error))
        node = self.begun_on.pop(task, None) or self.nodes.named_in(error)
        self.avoids.pop(task, None)
        if node is not None:
            self.health.ended_badly(node, key, how, _last_line(last_words))
            self.keep_health()
        if part is None:
            # A process that reported the loss of its GPU did not die with its node.
            self.deaths.record(key, node if how == "died" else None)
            self.last_words[key] = last_words
            (self.lost_gpu_of.discard if how == "died" else self.lost_gpu_of.add)(key)
        else:
            report["part"] = part
        self.listener(self.cells[key], report)

    def give_up(self, cell: Cell) -> None:
        """A cell's process died too often: it has failed."""
        last_words = self.last_words[cell.key]
        with suppress(OSError):  # The listener hears of it in any case.
            self.store.write_error(cell.key, last_words)
        error = f"its process died {self.deaths.counted(cell.key)} times on living nodes"
        here = self.deaths.last_node(cell.key) == self.home and limits.oom_kills() > self.oom_kills
        if cause := memory_as_cause(last_words, here):
            error += f", {cause}"
        elif cell.key in self.lost_gpu_of:
            error += f"; the last error was: {last_words}"
        self.listener(cell, {"phase": "failed", "error": error})

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles what it is given for Tuner.restore, which a sweep never uses.
        return {}


def _resources_of(cells: Mapping[str, Cell]) -> Callable[[dict[str, Any]], Any]:
    """What a trial holds, given its config. Tune pickles this with the trial's class."""
    usual = next((cell.attack_resources for cell in cells.values()), "")

    def resources(config: dict[str, Any]) -> Any:
        cell = cells[config["key"]]
        cpus, gpus = shape(cell, config["phase"])
        # TextAttack is imported with one set of resources, and Tune reuses a process for an equal
        # request only. To a request of one bundle the two strategies are the same.
        strategy = "PACK" if resources_in(cell, config["phase"]) == usual else "STRICT_PACK"
        bundles = [{"CPU": cpus, "GPU": gpus}]
        if not config["avoid"]:
            return tune.PlacementGroupFactory(bundles, strategy=strategy)
        others = {"ray.io/node-id": f"!in({','.join(config['avoid'])})"}
        return tune.PlacementGroupFactory(
            bundles, strategy=strategy, bundle_label_selector=[others]
        )

    return resources


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason is known"])[-1]


class _Listen(tune.Callback):
    """Passes every trial's results and deaths to a run, in the driver."""

    def __init__(self, run: _Run) -> None:
        self.run = run

    def on_step_begin(self, iteration: int, trials: Any, **_: Any) -> None:
        # Called regularly, also while no trial reports; an exception ends the run.
        self.run.check_alive()

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: Mapping[str, Any], **_: Any
    ) -> None:
        self.run.hear(trial.config, result)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        file = Path(trial.local_path or "", trial.run_metadata.error_filename or "")
        self.run.died(trial.config, file.read_text() if file.is_file() else "")

    def __getstate__(self) -> dict[str, Any]:
        return {}  # As for a run.

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
from orchestrator.run.deaths import Deaths, memory_as_cause
from orchestrator.run.options import LOCAL, RayOptions
from orchestrator.run.schedule import FitFirst, TrialTask, slots_held
from orchestrator.run.slots import shape
from search_spaces.cell import Cell
from trainables.records import TrialReport
from trainables.scratch import scratch
from trainables.store import Store
from trainables.trial import CellTrial, TrialConfig

NODES_READ_EVERY = 5.0  # seconds
# How many cells of a phase may always wait for room: on a cluster an autoscaler then adds nodes.
PENDING_HERE, PENDING_ON_A_CLUSTER = 1, 8

Listener = Callable[[Cell, TrialReport], None]


class RayDied(Exception):
    """The driver's own node of Ray has died: nothing more can be run."""


def run_cells(
    plan: Plan,
    store: Store,
    assets: str,
    listener: Listener,
    stopped: Callable[[], str] = str,
    options: RayOptions = LOCAL,
    budget: Budget | None = None,
    expected: Callable[[Cell, str], float | None] = lambda cell, phase: None,
) -> None:
    """Run `plan.todo` to the end, on the Ray that this process has opened (connect.py).

    listener: called in this process with every report of every trial. stopped: when it gives a
    reason, no more cells are begun; nor are those that would not end within the budget, as
    `expected` estimates in seconds of a cell's fit or attack, or else as was measured. Raises
    RayDied.
    """
    _Run(plan, store, assets, listener, stopped, options, budget, expected).to_the_end()


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
    ) -> None:
        self.plan, self.store, self.assets = plan, store, assets
        self.listener, self.budget, self.expected = listener, budget, expected
        self.cells = {cell.key: cell for cell in plan.todo}
        self.nodes = _Nodes()
        self.home = ray.get_runtime_context().get_node_id()
        self.deaths = Deaths(self.nodes.living, self.home)
        self.oom_kills = limits.oom_kills()
        self.begun_on: dict[str, str] = {}  # the node of each cell that runs
        self.last_words: dict[str, str] = {}  # what Ray said of each cell's last death
        self.searcher = FitFirst(
            self.cells.values(),
            plan.fits_done,
            self.config_of,
            fit_cost=plan.fit_cost,
            attack_cost=plan.attack_cost,
            nodes=self.nodes.shapes,
            verdict=lambda cell: self.deaths.verdict(cell.key),
            give_up=self.give_up,
            pending=PENDING_HERE if options.address is None else PENDING_ON_A_CLUSTER,
            max_concurrent=options.max_concurrent,
            stopped=stopped,
            in_time=self.in_time,
        )
        self.verbose = options.verbose

    def to_the_end(self) -> None:
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
                    stop=self.ends_with_fit,
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
        return {
            "key": task.cell.key,
            "cell": task.cell.model_dump_json(),
            "store": self.store.local_folder or self.store.url,
            "assets": self.assets,
            "phase": task.phase,
            "part": task.part and (task.part.number, task.part.of),
        }

    def in_time(self, task: TrialTask) -> bool:
        """Whether a task is expected to end within the budget."""
        if self.budget is None:
            return True
        phase: Phase = "fit" if task.phase == "fit" else "attack"
        seconds = self.expected(task.cell, phase) or self.plan.costs.measured(task.cell, phase)
        return self.budget.allows(seconds and seconds / (task.part.of if task.part else 1))

    def ends_with_fit(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        return bool(result.get("fit_done")) and self.searcher.ends_with_fit(trial_id)

    def check_alive(self) -> None:
        stopping.check()
        # Ray ends a driver whose node dies, but for some deaths: then it would wait forever.
        if self.home not in self.nodes.living():
            raise RayDied("Ray's own processes on this machine died")

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
            if part is None:
                self.begun_on[key] = report["node"]
        if part is not None:
            report["part"] = part
        self.listener(cell, report)

    def died(self, config: TrialConfig, error: str) -> None:
        """A trial's process died: the cell is run again, or given up once that is known."""
        key, part = config["key"], config["part"]
        report: TrialReport = {"phase": "died"}
        if part is None:
            self.deaths.record(key, self.begun_on.pop(key, None))
            self.last_words[key] = error
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
        strategy = "PACK" if cell.attack_resources == usual else "STRICT_PACK"
        return tune.PlacementGroupFactory([{"CPU": cpus, "GPU": gpus}], strategy=strategy)

    return resources


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


class _Nodes:
    """The cluster's living nodes, read from Ray every few seconds."""

    def __init__(self) -> None:
        self._read_at = float("-inf")
        self._nodes: dict[str, dict[str, float]] = {}

    def living(self) -> set[str]:
        """Their ids."""
        return set(self._read())

    def shapes(self) -> list[tuple[float, float]]:
        """CPUs and GPUs of each."""
        return [(each.get("CPU", 0.0), each.get("GPU", 0.0)) for each in self._read().values()]

    def _read(self) -> dict[str, dict[str, float]]:
        if time.monotonic() - self._read_at > NODES_READ_EVERY:
            self._read_at = time.monotonic()
            self._nodes = {
                node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]
            }
        return self._nodes

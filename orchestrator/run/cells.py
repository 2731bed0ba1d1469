"""Run the cells of a plan as one Ray Tune run, and say what became of them.

The driver listens to every trial's
reports: it feeds the view and hands finished cells to MLflow. Nothing is read back from Ray's own
records: the store is.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from orchestrator.cli import stopping
from orchestrator.plan.plan import Plan
from orchestrator.run import limits
from orchestrator.run.budget import Budget
from orchestrator.run.deaths import Deaths, memory_as_cause
from orchestrator.run.slots import shape
from search_spaces.cell import Cell
from trainables.scratch import scratch
from trainables.store import Store

NODES_READ_EVERY = 5.0  # seconds
# Cells of a phase that may wait for room at least: on a cluster they make an autoscaler add nodes.
PENDING_HERE, PENDING_ON_A_CLUSTER = 1, 8

Listener = Callable[[Cell, dict[str, Any]], None]


class RayDied(Exception):
    """The node of Ray that the driver speaks through has died: nothing more can be run."""


def run_cells(
    plan: Plan,
    store: Store,
    assets: str,
    listener: Listener,
    stopped: Callable[[], str] = str,
    ray_address: str | None = None,
    max_concurrent: int | None = None,
    verbose: bool = False,
    budget: Budget | None = None,
    expected: Callable[[Cell, str], float | None] = lambda cell, phase: None,
) -> None:
    """Run `plan.todo` to the end, calling `listener` in this process with every progress record.

    On the Ray that this process has opened for it (connect.py): at `ray_address`, or its own.

    Besides those of trainables/cell.py there are the phases `begun` (on some `node`; `slots`: how
    many attacks may run at once on the cluster as it is now, `holds`: so many of them the trial
    takes the place of), and `died` (its process; it will be run again, or reported as failed). The
    records of a part of a cell's attack have `part`: which, and of how many.

    When `stopped` gives a reason, no more cells are begun; nor are those that would not end within
    the budget, as `expected` tells in seconds of a cell's fit or attack, or else the plan's rates.

    Raises RayDied.
    """
    import ray
    from ray import tune

    from orchestrator.run.listen import Listen
    from orchestrator.run.schedule import FitFirst, Task, slots_held
    from trainables.trial import CellTrial

    cells = {cell.key: cell for cell in plan.todo}
    usual = next((cell.attack_resources for cell in cells.values()), "")
    nodes = _Nodes()
    home = ray.get_runtime_context().get_node_id()
    deaths = Deaths(nodes.living, home)
    oom_kills = limits.oom_kills()
    begun_on: dict[str, str] = {}
    last_words: dict[str, str] = {}

    def config_of(task: Task) -> dict[str, Any]:
        return {
            "key": task.cell.key,
            "cell": task.cell.model_dump_json(),
            "store": store.local_folder or store.url,
            "assets": assets,
            "phase": task.phase,
            "part": task.part and list(task.part),
        }

    def resources_of(config: dict[str, Any]) -> Any:
        cell = cells[config["key"]]
        cpus, gpus = shape(cell, config["phase"])
        # TextAttack is imported with one set of resources, and Tune reuses a process for an equal
        # request only. To a request of one bundle the two strategies are the same.
        strategy = "PACK" if cell.attack_resources == usual else "STRICT_PACK"
        return tune.PlacementGroupFactory([{"CPU": cpus, "GPU": gpus}], strategy=strategy)

    def hear(config: dict[str, Any], report: dict[str, Any]) -> None:
        key, part = config["key"], config["part"]
        if report["phase"] == "begun":
            slots = searcher.attack_slots(cells[key])
            report = {**report, "slots": slots, "holds": slots_held(cells[key], config["phase"])}
            if part is None:
                begun_on[key] = report["node"]
        listener(cells[key], report if part is None else {**report, "part": part})

    def died(config: dict[str, Any], error: str) -> None:
        key, part = config["key"], config["part"]
        if part is None:
            deaths.record(key, begun_on.pop(key, None))
            last_words[key] = error
        listener(cells[key], {"phase": "died"} if part is None else {"phase": "died", "part": part})

    def in_time(task: Task) -> bool:
        if budget is None:
            return True
        cell, phase = task.cell, task.phase
        rate = (
            plan.rates.fit_seconds(cell.fit) if phase == "fit" else plan.rates.attack_seconds(cell)
        )
        seconds = expected(cell, phase) or rate
        return budget.allows(seconds and seconds / (task.part.of if task.part else 1))

    def check_alive() -> None:
        stopping.check()
        # Ray ends a driver whose node dies, but for some deaths: then it would wait forever.
        if home not in nodes.living():
            raise RayDied("Ray's own processes on this machine died")

    def ends_with_fit(trial_id: str, report: Mapping[str, Any]) -> bool:
        return bool(report.get("fit_done")) and searcher.ends_with_fit(trial_id)

    def again(cell: Cell) -> bool | None:
        verdict = deaths.again(cell.key)
        if verdict is False:
            with suppress(OSError):  # The listener is told all the same.
                store.write_error(cell.key, last_words[cell.key])
            error = f"its process died {deaths.counted(cell.key)} times on living nodes"
            here = deaths.last_node(cell.key) == home and limits.oom_kills() > oom_kills
            if cause := memory_as_cause(last_words[cell.key], here):
                error += f", {cause}"
            listener(cell, {"phase": "failed", "error": error})
        return verdict

    searcher = FitFirst(
        cells.values(),
        plan.fits_done,
        config_of,
        fit_cost=plan.fit_cost,
        attack_cost=plan.attack_cost,
        nodes=nodes.shapes,
        again=again,
        pending=PENDING_HERE if ray_address is None else PENDING_ON_A_CLUSTER,
        max_concurrent=max_concurrent,
        stopped=stopped,
        in_time=in_time,
    )
    with scratch("tune") as folder:
        tuner = tune.Tuner(
            tune.with_resources(CellTrial, resources_of),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=-1,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                name=plan.space.name,
                storage_path=folder,
                stop=ends_with_fit,
                callbacks=[Listen(hear, died, check_alive)],
                verbose=2 if verbose else 0,
                # The searcher hands out again what died; Tune would count lost nodes as failures.
                failure_config=tune.FailureConfig(max_failures=0),
                # A checkpoint, even an empty one, fails on a node that does not see `folder`.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        tuner.fit()


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
        import ray

        if time.monotonic() - self._read_at > NODES_READ_EVERY:
            self._read_at = time.monotonic()
            self._nodes = {
                node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]
            }
        return self._nodes

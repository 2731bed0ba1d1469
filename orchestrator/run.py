"""Run the cells of a plan as one Ray Tune run, and say what became of them.

Ray lives here, in listen.py and in schedule.py. The driver listens to every trial's reports: it
feeds the view and hands finished cells to MLflow. Nothing is read back from Ray's own records: the
store is.
"""

import logging
import os
import tempfile
from collections.abc import Callable
from typing import Any

from orchestrator.plan import Plan
from search_spaces.cell import Cell, Fit
from search_spaces.errors import BadInput
from search_spaces.space import PhaseResources

# A trial whose process died (a node lost, out of memory) is started again this often. What the
# trial itself raises is recorded and not retried: it would only happen again.
RESTARTS = 3

Listener = Callable[[Cell, dict[str, Any]], None]


def run_cells(
    plan: Plan,
    store_url: str,
    assets: str,
    listener: Listener,
    ray_address: str | None = None,
    max_concurrent: int | None = None,
    verbose: bool = False,
) -> None:
    """Run `plan.todo` to the end, calling `listener` in this process with every progress record.

    Raises BadInput where no Ray cluster answers at `ray_address`.
    """
    _quiet(verbose)
    from ray import tune

    from orchestrator.listen import Listen
    from orchestrator.schedule import FitFirst
    from trainables.trial import CellTrial

    cells = {cell.key: cell for cell in plan.todo}
    cpus = _connect(ray_address, verbose)

    def config_of(cell: Cell) -> dict[str, Any]:
        phase = "fit" if cell.fit.key not in stored else "attack"
        return {
            "key": cell.key,
            "cell": cell.model_dump_json(),
            "store": store_url,
            "assets": assets,
            "phase": phase,
        }

    def resources_of(config: dict[str, Any]) -> Any:
        resources = cells[config["key"]].resources
        wanted: PhaseResources = getattr(resources, config["phase"])
        return tune.PlacementGroupFactory([{"CPU": wanted.cpus, "GPU": wanted.gpus}])

    stored = set(plan.fits_done)

    def hear(key: str, report: dict[str, Any]) -> None:
        if report.get("fit_done"):
            stored.add(cells[key].fit.key)
        listener(cells[key], report)

    def lost(key: str) -> None:
        error = f"its process died {RESTARTS + 1} times"
        listener(cells[key], {"phase": "failed", "error": error})

    searcher = FitFirst(
        cells.values(),
        plan.fits_done,
        config_of,
        fit_cost=lambda cell: plan.rates.fit_seconds(cell.fit) or _texts_per_row(cell.fit),
        max_concurrent=max_concurrent or max(cpus, 1),
    )
    with tempfile.TemporaryDirectory(prefix="tune-") as scratch:
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
                storage_path=scratch,
                callbacks=[Listen(hear, lost)],
                verbose=2 if verbose else 0,
                failure_config=tune.FailureConfig(max_failures=RESTARTS),
                # A checkpoint, even an empty one, fails on a node that does not see `scratch`.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        tuner.fit()


def _texts_per_row(fit: Fit) -> int:
    """What a fit's cost grows with, for want of measured rates."""
    prompts = fit.data.prompts if fit.head_entry.uses_prompts else None
    return len(prompts.templates) if prompts else 1


def _connect(address: str | None, verbose: bool) -> int:
    """Connect to a cluster, or start Ray on this machine; returns its number of CPUs."""
    import ray

    try:
        ray.init(
            address=address,
            include_dashboard=False if address is None else None,
            log_to_driver=verbose,
            logging_level=logging.INFO if verbose else logging.ERROR,
            configure_logging=True,
        )
    except ConnectionError as error:
        raise BadInput(
            f"no Ray cluster answers at {address} ({str(error).splitlines()[0]}); "
            "leave --ray-address out to run on this machine"
        ) from None
    return int(ray.cluster_resources().get("CPU", 1))


def _quiet(verbose: bool) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "0")
    # Tune's own loggers write a file a report; the store and MLflow have it already.
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    if not verbose:
        os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
        os.environ.setdefault("TUNE_WARN_THRESHOLD_S", "60")
        logging.getLogger("ray").setLevel(logging.ERROR)

"""Run replays on Ray: one task per target fit, as many at once as there is room for."""

import os
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.cli import stopping
from orchestrator.run.connect import end_ray, open_ray
from orchestrator.run.deaths import RESTARTS, memory_as_cause
from orchestrator.run.options import RayOptions
from orchestrator.run.slots import shape
from search_spaces.cell import Cell, Fit
from trainables.assets import Assets
from trainables.cell import use_threads
from trainables.device import NoGPU, device_of, gpu_works, prepare
from trainables.store import Store
from trainables.transfer import Sources, replay

LOOK_EVERY = 5.0  # seconds between two looks at whether to stop

# Called with a target, the last counts of `replay`, and the traceback if it failed.
Listener = Callable[[Cell, dict[str, int], str], None]


def run_replays(
    targets: Sequence[Cell],
    sources: dict[str, Sources],
    store: Store,
    assets: Assets,
    listener: Listener,
    stopped: Callable[[], str],
    options: RayOptions,
) -> None:
    """Replay the sources of each target's data set on its fit; `listener` is called as each ends.

    targets: a cell of each fit; a task holds what the cell's attack would. sources: by data set.
    When `stopped` gives a reason, running tasks are abandoned. Raises BadInput where no Ray cluster
    answers at the address, where not all of its nodes see the store, and where this machine,
    without a cluster, lacks what a task needs.
    """
    try:
        open_ray(targets, ["attack"], store, options)
        import ray

        task = ray.remote(max_retries=RESTARTS)(_replay_all)
        shared = {dataset: ray.put(examples) for dataset, examples in sources.items()}
        waiting, out = list(targets), dict[Any, Cell]()
        at_most = options.max_concurrent
        while (waiting or out) and not stopped():
            stopping.check()
            while waiting and (at_most is None or len(out) < at_most):
                cell = waiting.pop(0)
                cpus, gpus = shape(cell, "attack")
                reference = task.options(num_cpus=cpus, num_gpus=gpus).remote(
                    cell.fit.model_dump_json(),
                    shared[cell.fit.dataset],
                    store.local_folder or store.url,
                    assets.location,
                    cpus,
                    gpus,
                )
                out[reference] = cell
            for reference in ray.wait(list(out), timeout=LOOK_EVERY)[0]:
                try:
                    counts, error = ray.get(reference)
                except ray.exceptions.RayError as death:
                    counts, error = {}, f"{death}\n{memory_as_cause(str(death), False)}"
                listener(out.pop(reference), counts, error)
    finally:
        end_ray()


def _replay_all(
    fit: str, sources: Sources, store: str, assets: str, cpus: float, gpus: float
) -> tuple[dict[str, int], str]:
    """On a worker: the last counts of `replay`, and the traceback if it failed."""
    counts: dict[str, int] = {}
    prepare(gpus)
    try:
        device = device_of(gpus)
        use_threads(int(cpus))
        target = Fit.model_validate_json(fit)
        for counts in replay(target, sources, Store(store), Assets(assets), device):  # noqa: B007
            pass
    except Exception as error:
        if gpus and not isinstance(error, NoGPU) and not gpu_works():
            os._exit(1)  # Ray runs it again in another process.
        return counts, traceback.format_exc()
    return counts, ""

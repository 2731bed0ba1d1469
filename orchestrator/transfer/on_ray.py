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
from search_spaces.errors import BadInput
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
    When `stopped` gives a reason, running tasks are abandoned. A node on which a task finds no GPU
    that it can use gets no more, and the task runs elsewhere. Raises BadInput where no Ray cluster
    answers at the address, where not all of its nodes see the store, where this machine, without a
    cluster, lacks what a task needs, and where no node is left with a GPU that can be used.
    """
    try:
        open_ray(targets, ["attack"], store, options)
        import ray

        task = ray.remote(max_retries=RESTARTS)(_replay_all)
        shared = {dataset: ray.put(examples) for dataset, examples in sources.items()}
        waiting, out = list(targets), dict[Any, Cell]()
        at_most = options.max_concurrent
        without_gpu: dict[str, str] = {}  # ids of nodes, and what was said there
        while (waiting or out) and not stopped():
            stopping.check()
            _check_others_are_left(without_gpu)
            while waiting and (at_most is None or len(out) < at_most):
                cell = waiting.pop(0)
                cpus, gpus = shape(cell, "attack")
                others = {"ray.io/node-id": f"!in({','.join(sorted(without_gpu))})"}
                reference = task.options(
                    num_cpus=cpus, num_gpus=gpus, label_selector=others if without_gpu else None
                ).remote(
                    cell.fit.model_dump_json(),
                    shared[cell.fit.dataset],
                    store.local_folder or store.url,
                    assets.location,
                    cpus,
                    gpus,
                )
                out[reference] = cell
            for reference in ray.wait(list(out), timeout=LOOK_EVERY)[0]:
                cell, node = out.pop(reference), ""
                try:
                    counts, error, node = ray.get(reference)
                except ray.exceptions.RayError as death:
                    counts, error = {}, f"{death}\n{memory_as_cause(str(death), False)}"
                if node:
                    without_gpu[node] = error.rstrip().splitlines()[-1]
                    waiting.append(cell)
                else:
                    listener(cell, counts, error)
    finally:
        end_ray()


def _check_others_are_left(without_gpu: dict[str, str]) -> None:
    """Raises BadInput where tasks would wait for a node for ever."""
    import ray

    with_gpus = (each for each in ray.nodes() if each["Alive"] and each["Resources"].get("GPU"))
    if without_gpu and not {node["NodeID"] for node in with_gpus} - set(without_gpu):
        *_, why = without_gpu.values()
        raise BadInput(f"no node is left with a GPU that can be used ({why})")


def _replay_all(
    fit: str, sources: Sources, store: str, assets: str, cpus: float, gpus: float
) -> tuple[dict[str, int], str, str]:
    """On a worker: the last counts of `replay`, the traceback if it failed, and the id of this node
    if it has no GPU that can be used."""
    counts: dict[str, int] = {}
    prepare(gpus)
    try:
        device = device_of(gpus)
        use_threads(int(cpus))
        target = Fit.model_validate_json(fit)
        for counts in replay(target, sources, Store(store), Assets(assets), device):  # noqa: B007
            pass
    except NoGPU:
        import ray

        return counts, traceback.format_exc(), ray.get_runtime_context().get_node_id()
    except Exception:
        if gpus and not gpu_works():
            os._exit(1)  # Ray runs it again in another process.
        return counts, traceback.format_exc(), ""
    return counts, "", ""

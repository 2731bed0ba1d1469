"""Connect to a Ray cluster, or start Ray on this machine."""

import gc
import logging
import math
import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from orchestrator.cli import stopping
from orchestrator.run import limits
from orchestrator.run.nodes import check_room_on_nodes, check_store_on_nodes
from orchestrator.run.options import RayOptions, no_cluster
from orchestrator.run.ray_folder import RayFolder
from orchestrator.run.slots import shape
from search_spaces.cell import Cell
from search_spaces.errors import BadInput, first_line
from trainables.store import Store

IN_A_SLURM_JOB = "SLURM_JOB_ID"

_folders: list[RayFolder] = []  # of the Ray that runs on this machine


def open_ray(
    cells: Iterable[Cell], phases: Iterable[str], store: Store, options: RayOptions
) -> None:
    """Connect to a cluster, or start Ray on this machine, to run these phases of these cells.

    Raises BadInput where no cluster answers at the address, not all of its nodes see the store, or
    none has room for a cell, in a Slurm job; and where Ray does not start on this machine or this
    machine lacks what a phase needs.
    """
    _prepare_environment(options)
    _connect(options)
    cells = list(cells)
    if options.address is not None:
        check_store_on_nodes(store)
        if IN_A_SLURM_JOB in os.environ:  # No node comes later, for which a cell could wait.
            for needs in {cell.resources for cell in cells}:
                check_room_on_nodes(needs)
        return
    for phase in phases:
        for needed in sorted({shape(cell, phase) for cell in cells}):
            _check_fits_here(phase, *needed)


def close_ray(background: Executor) -> None:
    """Leave the cluster, or end the Ray of this machine, in a thread of `background`.

    A Ray object that another thread releases meanwhile would end this process at once, without an
    exception: garbage is collected before.
    """
    gc.collect()
    background.submit(end_ray)


def end_ray() -> None:
    """Leave the cluster, or end the Ray of this machine, if there is one."""
    if "ray" in sys.modules:
        import ray

        ray.shutdown()
    while _folders:
        _folders.pop().remove()


@contextmanager
def ray_ends_on_failure() -> Iterator[None]:
    """If an exception leaves the block, a signal's included, Ray ends with it."""
    try:
        yield
    except BaseException:
        end_ray()
        raise


def _prepare_environment(options: RayOptions) -> None:
    """What Ray reads from the environment when it is imported or started."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "0")
    # Tune's own loggers write a file for each report; the store and MLflow have it already.
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    # The searcher decides how many trials wait. Tune's own limit, one, would also start them one by
    # one, each with its 10 s of imports.
    os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", "100000")
    # cli/stopping.py handles signals; Tune would handle Ctrl-C itself.
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
    # Tune's own records, for Tuner.restore: written at the end and never read.
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "1e9")
    if options.address is None:
        # Ray listens on all interfaces, so that others can join. No one joins a Ray of our own,
        # and this setting makes Ray use only 127.0.0.1, on Linux too.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        # Under `uv run` Ray packs the current folder for other machines, of which there are none.
        os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
        # Ray keeps a token in the home folder, which may be missing or read-only, unless given one.
        if "RAY_AUTH_TOKEN_PATH" not in os.environ:
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    # A notebook's back end, for example, cannot be imported in Ray's processes.
    os.environ["MPLBACKEND"] = "agg"
    if not options.verbose:
        os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
        os.environ.setdefault("TUNE_WARN_THRESHOLD_S", "60")
        # A death that is run again is no error, and the sweep reports one that is not.
        os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
        logging.getLogger("ray").setLevel(logging.ERROR)
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)


def _connect(options: RayOptions) -> None:
    import ray

    address, verbose = options.address, options.verbose
    if address is None:
        _folders.append(RayFolder())
    how: dict[str, Any] = {"address": address} if address is not None else _on_this_machine()
    try:
        # If Ray is interrupted while it starts, it leaves processes behind.
        with stopping.held_back(), _signals_stay_ours():
            ray.init(
                **how,
                log_to_driver=verbose,
                logging_level=logging.INFO if verbose else logging.ERROR,
                configure_logging=True,
            )
    except ConnectionError as error:
        raise no_cluster(str(address), first_line(error)) from None
    except Exception as error:  # Ray raises nothing more specific when a process of its own fails.
        if address is not None:
            raise
        why = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(
            f"Ray does not start on this machine ({why}); its logs are in "
            f"{_folders[-1].logs / 'session_latest' / 'logs'}"
        ) from error


@contextmanager
def _signals_stay_ours() -> Iterator[None]:
    """Keep Ray from handling SIGTERM, in Python (to exit) and natively (to print its stack)."""
    from ray._private import utils

    take, utils.set_sigterm_handler = utils.set_sigterm_handler, lambda handler: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = take
        stopping.listen_again()


def _on_this_machine() -> dict[str, Any]:
    """The arguments to start a Ray of our own: what this process may use of the machine."""
    # "local" starts a Ray of our own; None would join one that was left running here.
    how: dict[str, Any] = {"address": "local", "include_dashboard": False}
    how["_temp_dir"] = _folders[-1].path
    if not os.environ.keys() & {"RAY_OVERRIDE_RESOURCES", "RAY_USE_MULTIPROCESSING_CPU_COUNT"}:
        how["num_cpus"] = limits.cpus()
    memory = limits.memory_limit()
    if memory < math.inf and memory < _memory_of_the_machine():
        # As Ray divides the memory that it finds.
        how |= {"_memory": int(0.7 * memory), "object_store_memory": int(0.3 * memory)}
    return how


def _memory_of_the_machine() -> float:
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _check_fits_here(phase: str, cpus: float, gpus: float) -> None:
    """Raises BadInput where this machine lacks what a phase needs: it would wait forever."""
    import ray

    for needed, unit, name in ((cpus, "CPU", "cpus"), (gpus, "GPU", "gpus")):
        # Not ray.cluster_resources(): at first it may know of none.
        here = sum(node["Resources"].get(unit, 0.0) for node in ray.nodes() if node["Alive"])
        if needed > here:
            raise BadInput(
                f"each {phase} needs {needed:g} {unit}s and this machine has {here:g}; give --set "
                f"resources.{phase}.{name}={here:g}, or --ray-address for a cluster that has them"
            )

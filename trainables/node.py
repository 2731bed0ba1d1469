"""What this machine lacks to run trials, each in a line that says what to do about it."""

import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.specifiers import SpecifierSet

from trainables.attacks.resources import identity, why_not_importable
from trainables.device import gpu_works
from trainables.ran_on import driver_version

OURS = "robustness-sweep"  # as a package
# The oldest driver for Linux that a major version of CUDA runs on (NVIDIA's release notes).
OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}


@dataclass(frozen=True)
class Needs:
    """What trials need of a machine.

    resources: those of attacks, by name. gpus: whether a phase holds a GPU. disk: free bytes.
    """

    resources: tuple[str, ...]
    gpus: bool
    disk: float


def lacks(needs: Needs) -> Iterator[str]:
    """A line for each thing that is missing here."""
    lines = [lacks_python(), *map(lacks_for_attacks, needs.resources)]
    lines += [lacks_gpu() if needs.gpus else "", lacks_disk(needs.disk)]
    return (line for line in lines if line)


def lacks_python() -> str:
    try:
        wanted = wanted_python()
    except metadata.PackageNotFoundError:
        return f"{OURS} is not installed for {sys.executable}: pip install it"
    here = ".".join(map(str, sys.version_info[:3]))
    if here in SpecifierSet(wanted):
        return ""
    return f"Python {here} is not {wanted}: make the virtual environment with another one"


def wanted_python() -> str:
    """The versions of Python that this package runs on. Raises PackageNotFoundError."""
    return metadata.metadata(OURS)["Requires-Python"]


def lacks_for_attacks(resources: str) -> str:
    """Why attacks cannot run here with a set of resources; empty if they can."""
    try:
        if resources != "textattack":
            identity(resources)
        why = why_not_importable(resources)
    except metadata.PackageNotFoundError as error:
        why = f"No package {error.name}"
    if not why:
        return ""
    return (
        f"attacks with the resources {resources} cannot run ({why}): install the extra "
        f"`{resources}`, pip install -c constraints.txt -e '.[{resources}]'"
    )


def lacks_gpu() -> str:
    """Why torch cannot compute on a GPU here; empty if it can."""
    import torch

    cuda = torch.version.cuda
    if cuda is None:
        return (
            f"torch {torch.__version__} is built without CUDA: install the build for GPUs, which "
            "constraints.txt and the package index give"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        available = torch.cuda.is_available()
    driver = driver_version()
    if not available:
        if driver is None:
            return "no GPU and no NVIDIA driver (nvidia-smi): use an image that has the driver"
        oldest = OLDEST_DRIVER.get(int(cuda.split(".")[0]), 0)
        if int(driver.split(".")[0]) < oldest:
            return (
                f"NVIDIA driver {driver} is too old for torch {torch.__version__}, whose CUDA "
                f"{cuda} needs {oldest} or newer: update it, or use a newer image"
            )
        return f"torch {torch.__version__} finds no GPU (driver {driver}): look at nvidia-smi"
    if gpu_works():
        return ""
    major, minor = torch.cuda.get_device_capability()
    return (
        f"{torch.cuda.get_device_name()} (compute capability {major}.{minor}) cannot compute with "
        f"torch {torch.__version__}, made for {' '.join(torch.cuda.get_arch_list())}: use a newer "
        "GPU, or look at nvidia-smi"
    )


def lacks_disk(needed: float) -> str:
    """Whether the disk of the caches, where models and data go, is too full for so many bytes."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home())
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free >= needed:
        return ""
    return (
        f"{free / 1e9:.1f} GB are free in {there}, and models and data need about "
        f"{needed / 1e9:.1f} GB: use a larger disk"
    )

"""What a sweep ran with: versions, hardware, and the commit of this code. Kept with its results.

Versions, hardware and commit are of the driver's machine, which may compute nothing; `nodes` are
those that the cluster had at the start. Where a number was made is kept with it: `ran_on` of each
fit and attacked example (trainables/ran_on.py). What it depends on is in its cell's key.
"""

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

from orchestrator import __version__
from trainables.ran_on import cpu_name, output_of
from trainables.records import Commit, Environment, Node

HERE = Path(__file__).resolve()
LIBRARIES = (
    "torch", "transformers", "textattack", "tokenizers", "datasets", "ray", "mlflow", "numpy",
    "pyarrow", "safetensors",
)  # fmt: skip


def environment(nodes: list[Node]) -> Environment:
    """What this process runs with; a library that is not installed is left out.

    nodes: of the cluster (nodes.py).
    """
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "versions": _versions(),
        "hardware": {
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "memory": _memory(),
            "gpus": output_of("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") or [],
        },
        "nodes": nodes,
        "git": _git(),
    }


def _versions() -> dict[str, str]:
    found = {"robustness-sweep": __version__}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _git() -> Commit | None:
    """The commit, and whether tracked files were changed."""
    here = ("git", "-C", str(HERE.parent))
    # A package installed below another project's checkout is not part of its commit.
    if output_of(*here, "ls-files", "--error-unmatch", HERE.name) is None:
        return None
    commit = output_of(*here, "rev-parse", "HEAD")
    changed = output_of(*here, "status", "--porcelain", "--untracked-files=no")
    if not commit or changed is None:
        return None
    return {"commit": commit[0], "dirty": bool(changed)}

"""What a sweep ran with: versions, hardware, and the commit of this code. Kept with its results.

It describes the driver's machine. What a result depends on is in its cell's key, wherever it ran.
"""

import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from orchestrator import __version__
from trainables.records import Commit, Environment

HERE = Path(__file__).resolve()
LIBRARIES = (
    "torch", "transformers", "textattack", "tokenizers", "datasets", "ray", "mlflow", "numpy",
    "pyarrow", "safetensors",
)  # fmt: skip


def environment() -> Environment:
    """What this process runs with; a library that is not installed is left out."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "versions": _versions(),
        "hardware": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "memory": _memory(),
            "gpus": _lines("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") or [],
        },
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


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _git() -> Commit | None:
    """The commit, and whether tracked files were changed."""
    here = ("git", "-C", str(HERE.parent))
    # A package installed below another project's checkout is not part of its commit.
    if _lines(*here, "ls-files", "--error-unmatch", HERE.name) is None:
        return None
    commit = _lines(*here, "rev-parse", "HEAD")
    changed = _lines(*here, "status", "--porcelain", "--untracked-files=no")
    if not commit or changed is None:
        return None
    return {"commit": commit[0], "dirty": bool(changed)}


def _lines(*command: str) -> list[str] | None:
    """What a program prints, or None if it is missing or fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.splitlines() if done.returncode == 0 else None

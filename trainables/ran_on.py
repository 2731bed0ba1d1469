"""Where a number was made: the device, the torch build and what its products are computed in.

`ran_on` is kept with each fit; `short` is a line of it, kept with each attacked example. Equal keys
made at different places can have numbers that differ: the report says so. In no key and no digest.
"""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from platform import machine
from typing import Any

from trainables.records import FitMeasured, RanOn

PROC = Path("/proc")
CPU = "cpu"


def ran_on(device: Any, dtype: Any = None, tf32: bool = False) -> RanOn:
    """What computes on a device of torch, in this process as it is set now.

    device: a torch.device or its name. dtype: that products are computed in; None: torch's default.
    tf32: whether those of float32 are in tf32, even if this process is not set so now.
    """
    import torch

    place = torch.device(device)
    on_gpu = place.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(place) if on_gpu else place.type,
        "cpu": cpu_name(),
        "threads": None if on_gpu else torch.get_num_threads(),
        "torch": torch.__version__,
        "dtype": str(dtype or torch.get_default_dtype()).removeprefix("torch."),
        "tf32": tf32 or _tf32(),
        "driver": driver_version() if on_gpu else None,
    }


def where_runs(head: Any) -> RanOn:
    """Where a head computes."""
    weight = next(head.parameters())
    dtype = "bfloat16" if head.dtype == "bf16" else weight.dtype
    return ran_on(weight.device, dtype, head.dtype == "tf32")


def short(made: RanOn) -> str:
    """`NVIDIA A10G, torch 2.13.0+cu130, float32`: two that are equal should give equal numbers.

    A CPU comes with its name and threads.
    """
    device = made["device"]
    if device == CPU:
        threads = made.get("threads")
        counted = f", {threads} thread{'s' * (threads != 1)}" if threads else ""
        device = f"{CPU} ({made.get('cpu') or 'unknown'}{counted})"
    products = "tf32" if made.get("tf32") else made.get("dtype", "float32")
    return f"{device}, torch {made['torch']}, {products}"


def line_of(fit: FitMeasured) -> str:
    """Where a fit was made, as `short`, and what it was begun on, if that was another device.

    Empty if the fit is of a version that did not record it.
    """
    if "ran_on" not in fit:
        return ""
    return ", begun on ".join([short(fit["ran_on"]), *fit.get("begun_on", [])])


def device_of(line: str) -> str:
    """The `device` of a line that `short` made: a GPU's name, or `cpu`."""
    device = line.rpartition(", torch ")[0]
    return CPU if device.startswith(f"{CPU} (") else device


@cache
def cpu_name() -> str:
    """The processor's model, or its architecture where the system names no model."""
    try:
        lines = (PROC / "cpuinfo").read_text().splitlines()
    except OSError:
        return machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else machine()


@cache
def driver_version() -> str | None:
    """The version of NVIDIA's driver; None where there is none."""
    try:
        text = (PROC / "driver/nvidia/version").read_text()
    except OSError:
        text = ""
    if found := re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", text):
        return found[1]
    lines = output_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return lines[0].strip() if lines else None


def output_of(*command: str) -> list[str] | None:
    """The lines a program prints, or None if it is missing or fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.splitlines() if done.returncode == 0 else None


def _tf32() -> bool:
    import torch

    matmul: Any = torch.backends.cuda.matmul
    try:
        return bool(matmul.allow_tf32)
    except RuntimeError:  # set by torch's newer interface, which the older one refuses to read
        return bool(matmul.fp32_precision == "tf32")

"""How much of this machine a process may use: its CPUs and its memory, by affinity and cgroups.

Ray counts the CPUs of the whole machine, or what the topmost cgroup allows: it does not see a
batch system's or a container's limit further down.
"""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUPS, OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def cpus() -> int:
    """CPUs that this process may use, whole ones, one at least."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # Not on Linux.
        allowed = os.cpu_count() or 1
    return max(1, math.floor(min(allowed, cpu_quota())))


def cpu_quota(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> float:
    """CPUs that the cgroups of this process allow, infinite if they set no limit."""
    quotas = [math.inf]
    for folder in _folders("cpu", cgroups, own):
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            quotas.append(float(quota) / float(period))  # ValueError if there is none: "max"
        with suppress(OSError, ValueError):
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
            quotas.append(float(quota) / float(period) if float(quota) > 0 else math.inf)
    return min(quotas)


def memory_limit(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> float:
    """Bytes that the cgroups of this process allow, infinite if they set no limit."""
    limits = [math.inf]
    for folder in _folders("memory", cgroups, own):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):
                limits.append(float((folder / name).read_text()))
    return min(limits)


def oom_kills(
    cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS, of_all: Path = Path("/proc/vmstat")
) -> int:
    """Processes that the kernel has killed for lack of memory so far, in the cgroup of this one."""
    counters = [
        folder / name
        for folder in _folders("memory", cgroups, own)
        for name in ("memory.events", "memory.oom_control")
    ]
    for counter in (*counters, of_all):
        with suppress(OSError, ValueError):
            for line in counter.read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0


def _folders(controller: str, cgroups: Path, own: Path) -> Iterator[Path]:
    """A controller's cgroups that hold this process, the innermost first, of either version.

    In a container the path of the innermost may be the host's and lead nowhere here.
    """
    with suppress(OSError, ValueError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            within = Path(path.lstrip("/"))
            for root in (controllers, controller) if controllers else ("", "unified"):
                yield from (cgroups / root / part for part in (within, *within.parents))

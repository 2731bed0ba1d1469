"""What a command and its child processes cost; and medians with lowest and highest.

Seconds of wall clock and CPU, and memory. The process tree is sampled: its CPU seconds are the last
that were seen of each process, which misses at most its last 0.2 s. Memory is sampled every 2 s:
`pss` counts a shared page once, `rss` once per process.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from orchestrator.run.environment import environment

REPOSITORY = Path(__file__).resolve().parent.parent
CPU_EVERY, MEMORY_EVERY = 0.2, 2.0  # seconds
GONE_WITHIN = 30.0  # seconds: processes that a command leaves running would slow down the next one
Costs = dict[str, float]


@dataclass
class Usage:
    """Seconds, highest memory in bytes, and how many processes: in all, and most at once."""

    wall: float = 0.0
    cpu: float = 0.0
    pss: float = 0.0
    rss: float = 0.0
    processes: int = 0
    at_once: int = 0

    def costs(self) -> Costs:
        """By name, memory in GB."""
        gigabytes = {"pss_gb": self.pss / 1e9, "rss_gb": self.rss / 1e9}
        seconds = {"wall_s": self.wall, "cpu_s": self.cpu}
        return {**seconds, **gigabytes, "processes": self.processes, "at_once": self.at_once}


class Tree:
    """A process and all its descendants, including those whose parent has ended."""

    def __init__(self, pid: int) -> None:
        self.root = psutil.Process(pid)
        self.cpu: dict[psutil.Process, float] = {}
        self.usage = Usage()

    def living(self) -> list[psutil.Process]:
        """Whatever has a parent in the tree, or was seen in it before its parent died."""
        found = {self.root, *self.cpu}
        others = {p: parent for p in psutil.process_iter() if (parent := parent_of(p)) is not None}
        before = 0
        while len(found) > before:
            before, pids = len(found), {process.pid for process in found}
            found |= {process for process, parent in others.items() if parent in pids}
        return [p for p in found if p in others and status(p) != psutil.STATUS_ZOMBIE]

    def see_cpu(self) -> None:
        for process in self.living():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                self.cpu[process] = times.user + times.system

    def see_memory(self) -> None:
        living = self.living()
        memory = [found for process in living if (found := memory_of(process)) is not None]
        self.usage.pss = max(self.usage.pss, sum(pss for pss, _ in memory))
        self.usage.rss = max(self.usage.rss, sum(rss for _, rss in memory))
        self.usage.at_once = max(self.usage.at_once, len(living))


def parent_of(process: psutil.Process) -> int | None:
    """Its parent's id; None if the process has ended."""
    try:
        return int(process.ppid())
    except psutil.Error:
        return None


def status(process: psutil.Process) -> str:
    try:
        return str(process.status())
    except psutil.Error:
        return str(psutil.STATUS_ZOMBIE)


def memory_of(process: psutil.Process) -> tuple[float, float] | None:
    """Proportional and resident set size; None if the process has ended."""
    try:
        full = process.memory_full_info()
    except psutil.Error:
        return None
    return getattr(full, "pss", full.rss), full.rss


def measure(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Usage:
    """Run a command to its end. Raises RuntimeError with its last lines if it fails."""
    started = time.perf_counter()
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        tree = Tree(process.pid)
        memory_seen = float("-inf")
        while process.poll() is None:
            tree.see_cpu()
            if time.perf_counter() - memory_seen > MEMORY_EVERY:
                memory_seen = time.perf_counter()
                tree.see_memory()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(CPU_EVERY)
    usage = tree.usage
    usage.wall = time.perf_counter() - started
    if process.returncode:
        last = "\n".join(log.read_text().splitlines()[-20:])
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{last}")
    psutil.wait_procs(tree.living(), timeout=GONE_WITHIN)
    usage.cpu, usage.processes = sum(tree.cpu.values()), len(tree.cpu)
    return usage


def in_turns(sides: Mapping[str, Callable[[int], Costs]], rounds: int) -> dict[str, list[Costs]]:
    """What each side costs in each round; who begins changes from round to round."""
    found: dict[str, list[Costs]] = {side: [] for side in sides}
    for number in range(rounds):
        order = list(sides) if number % 2 == 0 else list(sides)[::-1]
        for side in order:
            costs = sides[side](number)
            found[side].append(costs)
            said = "  ".join(f"{name} {value:.2f}" for name, value in costs.items())
            print(f"round {number + 1} of {rounds}, {side}: {said}", file=sys.stderr, flush=True)
    return found


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Median (lowest–highest); only the value where there is one."""
    middle = f"{statistics.median(values):,.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the same columns as Markdown; the first column names the rows."""
    first, *others = rows[0]
    lines = [f"| {first} | {' | '.join(others)} |", "| --- |" + " --: |" * len(others)]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row.values()))} |" for row in rows)])


def machine() -> dict[str, Any]:
    """The machine of a measurement, as plain JSON."""
    return {**environment([]), "load": os.getloadavg(), "date": time.strftime("%Y-%m-%d")}


def described(machine: Mapping[str, Any]) -> str:
    hardware = machine["hardware"]
    memory = f"{hardware['memory'] / 2**30:.0f} GiB" if hardware["memory"] else "unknown memory"
    return (
        f"{machine['date']}, {hardware['cores']} cores of {hardware['cpu']}, {memory}, "
        f"Python {machine['python']}, load {machine['load'][0]:.1f} at the start"
    )

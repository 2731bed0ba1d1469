"""Who a process is, so that a file it left can be told from one that a living process needs.

A process number alone says nothing: two containers count from 1, and numbers are given out again.
So a process is named by its host, the host's boot, its PID namespace, its number and when it
started; only one of the same host, boot and namespace can be looked at, and is gone when no process
has that number and start any more. Elsewhere nothing is known.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path

from typing_extensions import NotRequired, TypedDict

PROC = Path("/proc")


class Process(TypedDict):
    """A process. machine: host, boot and PID namespace. started: in clock ticks since the boot;
    None where the system does not tell."""

    machine: str
    pid: int
    started: NotRequired[int | None]


def this_process() -> Process:
    return {"machine": this_machine(), "pid": os.getpid(), "started": _started(os.getpid())}


def this_machine() -> str:
    """A name that two processes share only where a process number means the same to both."""
    names = [socket.gethostname() or "localhost"]
    with suppress(OSError):
        names.append((PROC / "sys/kernel/random/boot_id").read_text().strip())
        names.append(str(os.stat(PROC / "self/ns/pid").st_ino))
    return " ".join(names)


def is_here(process: Process) -> bool:
    """Whether a process (as `this_process` names it) runs, or ran, where it can be looked at."""
    return bool(process.get("machine") == this_machine())


def is_gone(process: Process) -> bool:
    """Whether a process is known not to be there any more."""
    pid = process.get("pid")
    if not is_here(process) or not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass
    started, now = process.get("started"), _started(pid)
    return started is not None and now is not None and started != now


def _started(pid: int) -> int | None:
    try:
        # The name in parentheses may hold anything; the start is the 20th field after it.
        return int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None

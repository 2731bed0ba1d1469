"""Identify a process, to distinguish files that it left from files that a running process needs.

A process id alone is ambiguous: every container counts from 1, and ids are reused. So a process is
identified by host, boot, PID namespace, process id and start time. Only one of the same host, boot
and namespace can be checked: it is gone if no process has that id and start time. Of others nothing
is known.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path

from typing_extensions import NotRequired, TypedDict

PROC = Path("/proc")


class Process(TypedDict):
    """A process. machine: host, boot and PID namespace. started: in clock ticks since the boot;
    None where the system does not say."""

    machine: str
    pid: int
    started: NotRequired[int | None]


def this_process() -> Process:
    return {"machine": this_machine(), "pid": os.getpid(), "started": _started(os.getpid())}


def this_machine() -> str:
    """A name that two processes share only if process ids mean the same to both."""
    names = [socket.gethostname() or "localhost"]
    with suppress(OSError):
        names.append((PROC / "sys/kernel/random/boot_id").read_text().strip())
        names.append(str(os.stat(PROC / "self/ns/pid").st_ino))
    return " ".join(names)


def is_here(process: Process) -> bool:
    """Whether a process (from `this_process`) runs, or ran, where it can be checked."""
    return bool(process.get("machine") == this_machine())


def is_gone(process: Process) -> bool:
    """Whether a process is known to have ended."""
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
        # The name in parentheses may contain anything; the start is the 20th field after it.
        return int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None

"""Run the project's commands in separate processes, on a few cells by default."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
PATIENCE = 600.0  # seconds for anything that a test waits for
ONE_FIT = ("dataset=sst2", "model=bert-embedded", "head=mlp_ft")


def options(only: Iterable[str], sets: Iterable[str] = ()) -> list[str]:
    """The options that choose cells and settings."""
    chosen = [word for each in only for word in ("--only", each)]
    return chosen + [word for each in sets for word in ("--set", each)]


def small(
    head: str = "mlp_ft",
    attack: str = "textfooler,misspellings",
    examples: int = 2,
    train_examples: int = 32,
) -> list[str]:
    """The options of a sweep of few cells, on one data set and one model."""
    only = ("dataset=sst2", "model=bert-embedded", f"head={head}", f"attack={attack}")
    size = (f"attack.examples={examples}", f"fit.train_examples={train_examples}")
    return options(only, (*size, "fit.max_epochs=1"))


def environment(**more: str) -> dict[str, str]:
    """This process's environment, with the project importable from any folder."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), **more}


def command(name: str, *arguments: str) -> list[str]:
    """The arguments that start a command of the orchestrator as a process."""
    return [sys.executable, "-m", f"orchestrator.{name}", *arguments]


def run(
    name: str, *arguments: str, cwd: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of the orchestrator to its end; `more` is added to its environment."""
    return subprocess.run(
        command(name, *arguments), cwd=cwd, capture_output=True, text=True, timeout=PATIENCE,
        env=environment(**more),
    )  # fmt: skip


def start(name: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start a command of the orchestrator in a process group of its own, for `kill`."""
    return subprocess.Popen(
        command(name, *arguments), env=environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def kill(process: "subprocess.Popen[Any]") -> None:
    """Kill a process and all of its group."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def kill_when(condition: Callable[[], Any], process: "subprocess.Popen[Any]") -> None:
    """Kill a process and all of its group as soon as a condition is true."""
    wait_for(condition, process, every=0.02)
    kill(process)


def wait_for(
    condition: Callable[[], Any],
    process: "subprocess.Popen[Any] | None" = None,
    every: float = 0.1,
) -> Any:
    """The condition's value once it is true; fails if the process ends first."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert process is None or process.poll() is None, "it ended before"
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(every)
    return found


def table(output: str, begins: str = "|") -> list[str]:
    """The lines of the tables in a command's output."""
    return [line for line in output.splitlines() if line.startswith(begins)]

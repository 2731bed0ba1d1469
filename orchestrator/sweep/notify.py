"""`--notify`: a command of the user's that the shell runs when a sweep has ended, however it ended.

It gets the outcome in its environment. Whether it fails changes nothing.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field

from orchestrator.cli import stopping
from search_spaces.errors import BadInput

AT_MOST, STOPPED_AT_MOST = 60.0, 5.0  # seconds that the command may take
NOTIFY = "--notify: the command"
OUTCOMES = {0: "done", 1: "incomplete"}  # by exit code


@dataclass
class Ending:
    """How a sweep ends, as far as known."""

    space: str
    store: str
    cells: int
    done: Callable[[], int]
    report: str = ""  # until there is one
    code: int = 1
    failed: int = 0
    began: float = field(default_factory=time.monotonic)

    def environment(self, name: str) -> dict[str, str]:
        with suppress(Exception):  # The store may be what has failed.
            return self._environment(name, str(self.done()))
        return self._environment(name, "")

    def _environment(self, name: str, done: str) -> dict[str, str]:
        return {
            "SWEEP_OUTCOME": name,
            "SWEEP_EXIT_CODE": str(self.code),
            "SWEEP_SPACE": self.space,
            "SWEEP_STORE": self.store,
            "SWEEP_CELLS_DONE": done,
            "SWEEP_CELLS": str(self.cells),
            "SWEEP_FAILED": str(self.failed),
            "SWEEP_SECONDS": f"{time.monotonic() - self.began:.0f}",
            "SWEEP_REPORT": self.report,
        }


@contextmanager
def notified(command: str | None, ending: Ending) -> Iterator[None]:
    """Run the command when the block has ended, except after bad input: then nothing was run."""
    name, at_most = "", AT_MOST
    try:
        yield
        name = OUTCOMES[ending.code]
    except BadInput:
        command = None
        raise
    except BaseException as error:
        name, ending.code = "error", 1
        if stopping.asked() or isinstance(error, KeyboardInterrupt):
            name, at_most, ending.code = "stopped", STOPPED_AT_MOST, stopping.exit_code()
        raise
    finally:
        if command is not None:
            try:
                _run(command, ending.environment(name), at_most)
            except KeyboardInterrupt:
                if name not in OUTCOMES.values():
                    raise
                stopping.forget()  # The sweep has ended, and was not stopped.
                print(f"{NOTIFY} was ended by a signal", file=sys.stderr)


def _run(command: str, outcome: dict[str, str], at_most: float) -> None:
    wrong, process = "", None
    try:
        # A signal during its start would leave it running.
        with nullcontext() if stopping.asked() else stopping.held_back():
            process = subprocess.Popen(
                command,
                shell=True,
                env={**os.environ, **outcome},
                stdin=subprocess.DEVNULL,
                stdout=2,  # Standard output is the sweep's own, and may be JSON.
                start_new_session=True,
            )
        if code := process.wait(at_most):
            wrong = f"ended with code {code}"
    except subprocess.TimeoutExpired:
        wrong = f"did not end within {at_most:.0f} s and was killed"
    except (OSError, ValueError) as error:
        wrong = f"cannot be run: {error}"
    finally:
        if process is not None and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if wrong:
        print(f"{NOTIFY} {wrong}", file=sys.stderr)

"""What the commands of this package share as processes: output, signals, and how they end.

`run(main)` stands at the end of each command's module. `main` itself can be called by anybody, in
any process, and does none of this.
"""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from orchestrator.cli import stopping
from orchestrator.cli.addresses import masked
from orchestrator.cli.output import outlive_reader

SCRIPT = "robustness-sweep"  # as pyproject.toml installs `orchestrator.__main__:main`


def run(main: Callable[[], int], goes_on: bool = False) -> NoReturn:
    """Run a command in this process, which ends with its exit code.

    goes_on: whether the same command goes on from where it was stopped, and has something to keep.
    """
    outlive_reader()
    _have_a_home()

    def last_words() -> str:
        return f"stopped: what is done is kept; {how_to_go_on()}" if goes_on else "stopped"

    stopping.listen(last_words)
    code = 1
    try:
        code = main()
    except BaseException:
        if not stopping.asked():
            raise
    if stopping.asked():
        print(last_words(), file=sys.stderr)
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        # At once: a thread may wait for a server, and Ray's processes end with this one.
        os._exit(stopping.exit_code())
    sys.exit(code)


def _have_a_home() -> None:
    """Libraries ask for the home folder and fail where there is none; one that cannot be written
    does for them. A user id without a name, in a container say, has none unless it is set."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/"  # As container engines set it.


def same_command() -> str:
    """This process's command line as it was typed, fit for a shell."""
    typed = list(getattr(sys, "orig_argv", sys.argv))
    if _is_script(typed):
        del typed[0]  # The interpreter, which the script's first line names.
    return shlex.join(masked(word) for word in typed)


def called(name: str) -> str:
    """How the command of that name was called: what its help shows."""
    if _is_script(getattr(sys, "orig_argv", sys.argv)):
        return f"{SCRIPT} {name}"
    return f"python -m orchestrator.{name}"


def _is_script(typed: Sequence[str]) -> bool:
    return len(typed) > 1 and Path(typed[1]).name == SCRIPT


def how_to_go_on() -> str:
    return f"the same command goes on from there: {same_command()}"

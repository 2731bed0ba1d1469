"""What the commands of this package share as processes: output, signals, and how they end.

Each command's module ends with `run(main)`. `main` itself can be called in any process and does
none of this; `@reports_bad_input` makes it print bad input as one line.
"""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import NoReturn, ParamSpec

from orchestrator.cli import stopping
from orchestrator.cli.addresses import masked
from orchestrator.cli.output import outlive_reader
from search_spaces.errors import BadInput

P = ParamSpec("P")

SCRIPT = "robustness-sweep"  # as pyproject.toml installs `orchestrator.__main__:main`


def run(main: Callable[[], int], goes_on: bool = False) -> NoReturn:
    """Run a command in this process, which ends with its exit code.

    goes_on: whether the same command, when it is run again, continues where it was stopped.
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


def reports_bad_input(main: Callable[P, int]) -> Callable[P, int]:
    """A command's `main` that prints bad input as one line and then returns exit code 2."""

    @wraps(main)
    def reporting(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except BadInput as error:
            print(f"error: {error}", file=sys.stderr)
            return 2

    return reporting


def _have_a_home() -> None:
    """Libraries fail without a home folder; one that cannot be written is enough for them. A user
    id without a name, for example in a container, has none unless it is set."""
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
    """How the command of that name was called, for its help."""
    if _is_script(getattr(sys, "orig_argv", sys.argv)):
        return f"{SCRIPT} {name}"
    return f"python -m orchestrator.{name}"


def _is_script(typed: Sequence[str]) -> bool:
    return len(typed) > 1 and Path(typed[1]).name == SCRIPT


def stopped(reason: object) -> str:
    """What a command prints when it stops before it is done."""
    return f"stopped: {reason}. What is done is kept; {how_to_go_on()}"


def how_to_go_on() -> str:
    return f"the same command goes on from there: {same_command()}"

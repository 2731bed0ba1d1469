"""`robustness-sweep COMMAND`, or `python -m orchestrator COMMAND`: all commands under one name.

A command runs as `python -m orchestrator.COMMAND` does, in this process. Imports no command but the
one that is called.
"""

import os
import runpy
import sys

from orchestrator import __version__
from orchestrator.cli import output, stopping

COMMANDS = {
    "sweep": "plan the grid, run what is missing, show the comparison",
    "report": "compare the results of a sweep, finished or still running",
    "track": "upload results to MLflow, and look at them there",
    "transfer": "try the adversarial examples of each fit on the others",
    "assets": "list, fetch and verify the data and models a space needs",
    "catalog": "list, show and check what the names on the axes mean",
    "cluster": "check a cluster's file, prepare an AWS account",
}
USAGE = "usage: robustness-sweep COMMAND ..., or python -m orchestrator COMMAND ..."


def main() -> int:
    output.open_descriptors()
    stopping.quiet_before_begun()
    name, *arguments = sys.argv[1:] or [""]
    if name in COMMANDS:
        sys.argv[1:] = arguments
        _find_modules_here()
        runpy.run_module(f"orchestrator.{name}", run_name="__main__", alter_sys=True)
        return 0
    output.outlive_reader()
    if name in ("-h", "--help"):
        print(_help())
        return 0
    if name == "--version":
        print(f"robustness-sweep {__version__}")
        return 0
    print(f"error: {_wrong(name)}; see --help", file=sys.stderr)
    return 2


def _find_modules_here() -> None:
    """As `python -m` does: heads and attacks of the user's own are in the current folder."""
    here = os.getcwd()
    if not getattr(sys.flags, "safe_path", False) and not {"", here} & set(sys.path):
        sys.path.insert(0, here)


def _wrong(name: str) -> str:
    from search_spaces.errors import nearest

    return f"no command {name!r}; {nearest(name, COMMANDS)}" if name else "no command given"


def _help() -> str:
    commands = (f"  {name:10}{what}" for name, what in COMMANDS.items())
    options = ("  -h, --help  show this message", "  --version   show the version")
    last = "COMMAND --help shows the options of a command."
    return "\n".join((USAGE, "", "commands:", *commands, "", "options:", *options, "", last))


if __name__ == "__main__":
    sys.exit(main())

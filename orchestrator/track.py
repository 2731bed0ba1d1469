"""`python -m orchestrator.track sync` and `ui`: fill MLflow from a store, and look at it.

sync uploads what the store has and MLflow has not. A sweep uploads its cells itself: this is for
what was left out because the server was away, or for another server. The same cells are never
uploaded twice. ui serves MLflow's pages over the store's database, wherever the store lies.

Exit codes: 0 done (sync: MLflow has all finished cells of the space), 1 some could not be uploaded,
2 bad input.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator.arguments import Parser, add_plan_arguments, open_plan
from orchestrator.checks import masked
from orchestrator.command import called, run
from orchestrator.damage import say_damage
from orchestrator.logged import HOW_TO_READ, RUNNING, Summary, sweep_files
from orchestrator.plan import Plan
from orchestrator.report.comparison import headline
from orchestrator.time_spent import Times, read_times
from orchestrator.tracking import open_tracker
from orchestrator.upload import Uploader
from orchestrator.where import VARIABLE, Where, uri_of, where
from search_spaces.errors import BadInput
from trainables.store import Store

if TYPE_CHECKING:
    from orchestrator.report.contents import Report

SYNC = ("python", "-m", "orchestrator.track", "sync")
UI = (*SYNC[:-1], "ui")


def say_variable(there: Where, say: Callable[[str], None]) -> None:
    """Say that a variable of the environment names where the sweep is logged."""
    if there.given_by == VARIABLE:
        say(f"logging to MLflow at {there.shown}, as {VARIABLE} says")


def add_tracking_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tracking-uri",
        metavar="URI",
        help=f"MLflow server or database ({VARIABLE}, or else a database in the store)",
    )


def beginning(plan: Plan, store: Store) -> Summary:
    """What the sweep's run in MLflow shows while its cells run."""
    return Summary(RUNNING, sweep_files(plan, store), plan.space.axes.model_dump())


def summary(plan: Plan, store: Store, report: "Report", times: Times | None) -> Summary:
    """What it shows of a plan that has been run, as far as it went.

    times: where the last sweep's time went; None where that is not known.
    """
    results = report.results
    note = "\n".join([*HOW_TO_READ, "", headline(results)])
    files = {f"report/{name}": content for name, content in report.files.items()}
    files |= sweep_files(plan, store)
    return Summary(note, files, plan.space.axes.model_dump(), times)


def not_uploaded(keys: list[str], arguments: argparse.Namespace) -> str:
    """How many cells MLflow has not got, and the command that uploads them later."""
    command = [*SYNC, "--space", _from_anywhere(arguments.space)]
    for name in ("only", "set"):
        command += [word for value in getattr(arguments, name) for word in (f"--{name}", value)]
    for name in ("precision", "seeds"):
        value = getattr(arguments, name)
        command += [] if value is None else [f"--{name}", str(value)]
    store = Store(arguments.store)
    command += ["--store", store.local_folder or store.url]
    if arguments.assets is not None:
        command += ["--assets", _from_anywhere(arguments.assets)]
    there = where(store, arguments.tracking_uri)
    if there.given_by:
        uri = there.uri if there.file is None else uri_of(there.file)
        command += ["--tracking-uri", masked(uri)]
    cells = "1 finished cell is" if len(keys) == 1 else f"{len(keys)} finished cells are"
    return f"{cells} not uploaded to MLflow; upload later with: {shlex.join(command)}"


def _from_anywhere(name: str) -> str:
    """A file's or folder's path in full; any other name as it is."""
    return os.path.abspath(name) if os.path.exists(name) else name


def to_see(there: Where, store: Store) -> str:
    """How to see what was logged: an address, or a command for a shell in any folder."""
    if there.own and store.local_folder is not None:
        return shlex.join([*UI, "--store", store.local_folder])
    if there.file is not None:
        return shlex.join([*UI, "--tracking-uri", uri_of(there.file)])
    return f"{there.shown} ({there.given_by})" if there.given_by == VARIABLE else there.shown


def main(argv: list[str] | None = None) -> int:
    try:
        arguments = _parser().parse_args(argv)
        return _ui(arguments) if arguments.command == "ui" else _sync(arguments)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _sync(arguments: argparse.Namespace) -> int:
    from orchestrator.report import contents

    plan, store, assets = open_plan(arguments, reading=True)
    done, space = plan.with_status("done"), plan.space.name
    if not done:
        print(f"nothing to do: no cell of {space} is finished yet")
        say_damage(store)
        return 0
    say_variable(where(store, arguments.tracking_uri), lambda line: print(line, file=sys.stderr))
    tracker = open_tracker(space, store, assets, arguments.tracking_uri, to_write=False)
    with Uploader(tracker, store, lambda line: print(line, file=sys.stderr)) as uploader:
        for cell in done:
            uploader.add(cell)
        times = read_times(space, store)
        left_out = uploader.finish(lambda: summary(plan, store, contents.make(plan, store), times))
    there = f"MLflow at {tracker.shown_uri}"
    if uploader.uploaded or uploader.summary_uploaded:
        print(f"uploaded {uploader.uploaded} of {len(done)} finished cells of {space} to {there}")
    elif not left_out:
        print(f"nothing to do: {there} has all {len(done)} finished cells of {space}")
    say_damage(store)
    if left_out:
        print(not_uploaded(left_out, arguments), file=sys.stderr)
    return 1 if left_out else 0


def _ui(arguments: argparse.Namespace) -> int:
    from orchestrator.ui import serve

    store = Store(arguments.store)
    there = where(store, arguments.tracking_uri)
    if there.file is None:
        print(f"nothing to start: open {there.shown}")
        return 0
    say_variable(there, print)
    return serve(there, arguments.port)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 1 to 65535")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=called("track"),
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="sync|ui")
    sync = commands.add_parser("sync", help="upload what MLflow has not got")
    add_plan_arguments(sync)
    add_tracking_argument(sync)
    ui = commands.add_parser("ui", help="serve MLflow's pages over what was logged")
    ui.add_argument("--store", default="results", metavar="FOLDER", help="(results)")
    ui.add_argument("--port", type=_port, default=5000, help="on 127.0.0.1 (5000)")
    add_tracking_argument(ui)
    return parser


if __name__ == "__main__":
    run(main)

"""`python -m orchestrator.track sync`: upload to MLflow what the store has and MLflow has not.

A sweep uploads its cells itself. This is for what was left out because the server was away, or for
another server: the same cells are never uploaded twice. Exit codes: 0 MLflow has all finished cells
of the space, 1 some could not be uploaded, 2 bad input.
"""

import argparse
import shlex
import sys
from typing import TYPE_CHECKING

from orchestrator.arguments import Parser, add_plan_arguments, open_plan
from orchestrator.checks import masked
from orchestrator.command import run
from orchestrator.logged import Summary, sweep_files
from orchestrator.plan import Plan
from orchestrator.report.comparison import headline
from orchestrator.time_spent import Times, read_times
from orchestrator.tracking import open_tracker
from orchestrator.upload import Uploader
from search_spaces.errors import BadInput
from trainables.store import Store

if TYPE_CHECKING:
    from orchestrator.report.contents import Report

HOW_TO_READ = [
    "A run is a cell of the grid; the run *sweep* has the plan, the environment and the report.",
    "MLflow averages groups over the runs it has loaded, 100 at first; these are over all:",
]


def add_tracking_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="MLflow server or database (a database in the store)",
    )


def beginning(plan: Plan, store: Store) -> Summary:
    """What the sweep's run in MLflow shows while its cells run."""
    return Summary("Running.", sweep_files(plan, store), plan.space.axes.model_dump())


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
    command = ["python", "-m", "orchestrator.track", "sync", "--space", arguments.space]
    for name in ("only", "set"):
        command += [word for value in getattr(arguments, name) for word in (f"--{name}", value)]
    for name in ("precision", "seeds", "store", "assets", "tracking_uri"):
        value = getattr(arguments, name)
        command += [] if value is None else [f"--{name.replace('_', '-')}", masked(str(value))]
    cells = "1 finished cell is" if len(keys) == 1 else f"{len(keys)} finished cells are"
    return f"{cells} not uploaded to MLflow; upload later with: {shlex.join(command)}"


def main(argv: list[str] | None = None) -> int:
    try:
        return _sync(_parser().parse_args(argv))
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _sync(arguments: argparse.Namespace) -> int:
    from orchestrator.report import contents

    plan, store, assets = open_plan(arguments, reading=True)
    done, space = plan.with_status("done"), plan.space.name
    if not done:
        print(f"nothing to do: no cell of {space} is finished yet")
        return 0
    tracker = open_tracker(space, store, assets, arguments.tracking_uri, to_write=False)
    with Uploader(tracker, store, lambda line: print(line, file=sys.stderr)) as uploader:
        for cell in done:
            uploader.add(cell)
        times = read_times(space, store)
        left_out = uploader.finish(lambda: summary(plan, store, contents.make(plan, store), times))
    where = f"MLflow at {tracker.shown_uri}"
    if uploader.uploaded or uploader.summary_uploaded:
        print(f"uploaded {uploader.uploaded} of {len(done)} finished cells of {space} to {where}")
    elif not left_out:
        print(f"nothing to do: {where} has all {len(done)} finished cells of {space}")
    if left_out:
        print(not_uploaded(left_out, arguments), file=sys.stderr)
    return 1 if left_out else 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m orchestrator.track",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=["sync"])
    add_plan_arguments(parser)
    add_tracking_argument(parser)
    return parser


if __name__ == "__main__":
    run(main)

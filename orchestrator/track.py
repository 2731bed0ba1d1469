"""`python -m orchestrator.track sync` and `ui`: fill MLflow from a store, and look at it.

sync uploads what the store has and MLflow lacks. A sweep uploads its cells itself: this is for what
was left out because the server did not answer, or for another server. The same cells are never
uploaded twice. ui serves MLflow's pages over the store's database, wherever the store is.

Exit codes: 0 done (sync: MLflow has all finished cells of the space), 1 some could not be uploaded,
2 bad input.
"""

import argparse
import sys

from orchestrator.cli.arguments import Parser, add_plan_arguments, open_plan
from orchestrator.cli.command import called, reports_bad_input, run
from orchestrator.cli.damage import say_damage
from orchestrator.follow.time_spent import read_times
from orchestrator.plan.plan import Plan
from orchestrator.sweep.summary import summary
from orchestrator.tracking.options import add_tracking_argument, not_uploaded, say_variable
from orchestrator.tracking.runs import Summary
from orchestrator.tracking.tracker import open_tracker
from orchestrator.tracking.upload import Uploader
from orchestrator.tracking.where import where
from trainables.store import Store


@reports_bad_input
def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    return _ui(arguments) if arguments.command == "ui" else _sync(arguments)


def _sync(arguments: argparse.Namespace) -> int:
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
        left_out = uploader.finish(lambda: _summary(plan, store))
    there = f"MLflow at {tracker.shown_uri}"
    if uploader.uploaded or uploader.summary_uploaded:
        print(f"uploaded {uploader.uploaded} of {len(done)} finished cells of {space} to {there}")
    elif not left_out:
        print(f"nothing to do: {there} has all {len(done)} finished cells of {space}")
    say_damage(store)
    if left_out:
        print(not_uploaded(left_out, arguments), file=sys.stderr)
    return 1 if left_out else 0


def _summary(plan: Plan, store: Store) -> Summary:
    from orchestrator.report.contents import files
    from orchestrator.report.from_store import read_store

    results = read_store(plan, store)
    return summary(plan, store, results, files(results), read_times(plan.space.name, store))


def _ui(arguments: argparse.Namespace) -> int:
    from orchestrator.tracking.ui import serve

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
    sync = commands.add_parser("sync", help="upload what MLflow lacks")
    add_plan_arguments(sync)
    add_tracking_argument(sync)
    ui = commands.add_parser("ui", help="serve MLflow's pages over what was logged")
    ui.add_argument("--store", default="results", metavar="FOLDER", help="(results)")
    ui.add_argument("--port", type=_port, default=5000, help="on 127.0.0.1 (5000)")
    add_tracking_argument(ui)
    return parser


if __name__ == "__main__":
    run(main)

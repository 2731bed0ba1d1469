"""`python -m orchestrator.sweep`: plan the grid, run what is missing, show the comparison."""

import argparse
import json
import shlex
import sys
import time
from dataclasses import asdict

from rich.console import Console

from orchestrator.assets.needed import check_attack_resources
from orchestrator.cli.arguments import Parser, add_plan_arguments, open_plan
from orchestrator.cli.command import called, reports_bad_input, run, stopped
from orchestrator.cli.damage import say_damage
from orchestrator.plan.inputs import check_inputs
from orchestrator.plan.plan import Plan, make_plan
from orchestrator.run.budget import Budget
from orchestrator.run.options import RayOptions, add_ray_arguments, ray_options
from orchestrator.run.slots import PHASES
from orchestrator.sweep.costs import costs_of, in_words
from orchestrator.sweep.driver import Outcome, StoreFailed, drive
from orchestrator.sweep.dry_run import describe
from orchestrator.sweep.explain import explain
from orchestrator.sweep.node_types import price
from orchestrator.sweep.notify import Ending, notified
from orchestrator.sweep.status import show
from orchestrator.tracking.options import (
    add_tracking_argument,
    not_uploaded,
    say_variable,
    to_see,
)
from orchestrator.tracking.where import where
from search_spaces.errors import BadInput
from trainables.assets import Assets
from trainables.store import Store

EXAMPLES = """\
examples:
  python -m orchestrator.sweep                                  the embedded grid, on this machine
  python -m orchestrator.sweep --dry-run                        the plan, without running anything
  python -m orchestrator.sweep --rehearse                       does all of it work here
  python -m orchestrator.sweep --status                         how far it is, from any terminal
  python -m orchestrator.sweep --only head=mvp,mlp_ft --only dataset=sst2
  python -m orchestrator.sweep --set attack.examples=100 --seeds 0-2
  python -m orchestrator.sweep --space my_space.yaml --assets /data/assets --store /shared/results
  python -m orchestrator.sweep --ray-address auto --tracking-uri http://head:5000

exit codes: 0 all cells done, 1 some are not, 2 bad input (nothing was run), 128 + a signal's
number if one stopped it (130 Ctrl-C, 143 SIGTERM, 129 SIGHUP)

The command of --notify gets SWEEP_OUTCOME, SWEEP_EXIT_CODE, SWEEP_SPACE, SWEEP_STORE,
SWEEP_CELLS_DONE, SWEEP_CELLS, SWEEP_FAILED (in this run), SWEEP_SECONDS and SWEEP_REPORT in its
environment.
"""


@reports_bad_input
def main(argv: list[str] | None = None) -> int:
    return sweep(_parser().parse_args(argv))


def sweep(arguments: argparse.Namespace) -> int:
    """Parse, plan, run, report. Returns the exit code; raises BadInput before anything is run."""
    options = ray_options(arguments, arguments.verbose)
    if arguments.price and not arguments.dry_run:
        raise BadInput("--price is about what --dry-run shows; add --dry-run")
    plan, store, assets = open_plan(
        arguments,
        provisional=arguments.dry_run or arguments.explain is not None,
        reading=arguments.status,
    )
    if arguments.explain is not None:
        return _answer(explain(arguments.explain, plan, store), store)
    if arguments.status:
        return _answer(show(plan, store, arguments.json), store)
    notes = check_inputs(plan.todo, assets)
    if plan.todo:
        notes += check_attack_resources(plan.space, assets, planning=arguments.dry_run)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if arguments.dry_run:
        from orchestrator.sweep.power import power_of  # With numpy, scipy and the report.

        prices, power = dict(arguments.price), power_of(plan, store)
        if not arguments.json:
            told = [] if power is None else power.in_words()
            return _answer("\n".join([describe(plan, prices), *told]), store)
        costs = asdict(costs_of(plan, prices))
        can_tell = None if power is None else power.to_json()
        answer = {**plan.to_json(), "costs": costs, "power": can_tell}
        return _answer(json.dumps(answer, indent=2), store)
    if arguments.rehearse:
        return _rehearse(plan, store, assets, options)

    cells = [cell.key for cell in plan.with_status("done", "todo", "failed")]
    ending = Ending(
        plan.space.name,
        store.local_folder or store.url,
        len(cells),
        done=lambda: len(store.cells_with("result.json", cells)),
    )
    with notified(arguments.notify, ending):
        try:
            ending.code = _run(plan, store, assets, arguments, options, ending)
        except StoreFailed as error:
            print(stopped(error), file=sys.stderr)
            ending.code = 1
    return ending.code


def _rehearse(plan: Plan, store: Store, assets: Assets, options: RayOptions) -> int:
    """Rehearse, and show what the plan will cost by it. Raises BadInput where something breaks."""
    from orchestrator.run.connect import end_ray, open_ray, ray_ends_on_failure
    from orchestrator.run.rehearsal import run_rehearsal

    if not plan.todo:
        return _answer("nothing to rehearse: all is done", store)
    store.check_writable()
    with ray_ends_on_failure():
        open_ray(plan.todo, PHASES, store, options)
        run_rehearsal(plan, store, assets, print)
        end_ray()
    costs = costs_of(make_plan(plan.space, assets, store))
    return _answer("\n".join(in_words(costs)), store)


def _run(
    plan: Plan,
    store: Store,
    assets: Assets,
    arguments: argparse.Namespace,
    options: RayOptions,
    ending: Ending,
) -> int:
    """Run what is missing and show what there is. Returns the exit code."""
    console = Console(stderr=arguments.json, highlight=False, markup=False, emoji=False)
    started = time.perf_counter()
    say_variable(
        where(store, arguments.tracking_uri),
        lambda line: console.print(line, soft_wrap=True, markup=False),
    )
    budget: Budget = arguments.budget or Budget(None)
    with budget.used_up_by_signal():
        outcome = drive(
            plan,
            store,
            assets,
            console,
            arguments.tracking_uri,
            options,
            budget,
            rehearse=not arguments.no_rehearse,
        )
    ending.failed = len(outcome.failures)
    ending.report = _report(outcome.plan, store)
    if arguments.json:
        print(json.dumps(outcome.plan.to_json(), indent=2))
    else:
        _show_end(outcome, store, arguments, console, time.perf_counter() - started)
    for key, error in outcome.failures.items():
        place = shlex.quote(store.error_path(key))
        print(f"failed: {key}: {error} (traceback: {place})", file=sys.stderr)
    if outcome.not_uploaded:
        print(not_uploaded(outcome.not_uploaded, arguments), file=sys.stderr)
    return 1 if outcome.plan.todo else 0


def _answer(text: str, store: Store) -> int:
    """Print the answer, and damaged files that were found. Returns the exit code."""
    print(text)
    say_damage(store)
    return 0


def _report(plan: Plan, store: Store) -> str:
    """The report's page; empty if there is none."""
    from orchestrator.report.folder import folder_of

    page = folder_of(plan.space.name, store) / "index.html"
    return str(page) if page.is_file() else ""


def _show_end(
    outcome: Outcome,
    store: Store,
    arguments: argparse.Namespace,
    console: Console,
    seconds: float,
) -> None:
    from orchestrator.report.comparison import headline

    plan = outcome.plan
    done = plan.with_status("done")
    if done:
        console.print()
        print(headline(outcome.results))
    left_out = len(plan.with_status("not_applicable"))
    note = f" ({left_out} do not apply)" if left_out else ""
    console.print(
        f"\n{len(done)} of {len(plan.cells) - left_out} cells done{note}, in {seconds:.0f} s"
    )
    # Not by the console, which prints a tab as blanks: these lines are meant to be pasted.
    print(f"results: {shlex.quote(store.local_folder or store.url)}")
    if report := _report(plan, store):
        print(f"report:  {shlex.quote(report)}")
    print(f"MLflow:  {to_see(where(store, arguments.tracking_uri), store)}")
    if outcome.times is not None:
        console.print(f"time:    {outcome.times}", soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=called("sweep"),
        description="Fine-tune and attack every cell of a space that is not done yet, on Ray Tune.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_plan_arguments(parser)
    add = parser.add_argument
    add_tracking_argument(parser)
    add_ray_arguments(parser, "trials")
    add(
        "--budget",
        type=Budget,
        metavar="TIME",
        help="start only what should end within this time from now, e.g. 8h or 1h30m; "
        "then end as usual",
    )
    add(
        "--price",
        type=price,
        action="append",
        default=[],
        metavar="TYPE=DOLLARS",
        help="what an hour of a node costs you, e.g. g5.4xlarge=0.55, for the costs that "
        "--dry-run shows",
    )
    add(
        "--notify",
        metavar="COMMAND",
        help="run this in a shell at the end, except after bad input; "
        "SWEEP_OUTCOME (done, incomplete, stopped, error) and more are in its environment",
    )
    instead = parser.add_mutually_exclusive_group().add_argument
    instead("--dry-run", action="store_true", help="print the plan and stop")
    instead(
        "--rehearse",
        action="store_true",
        help="try on each kind of node, for a minute, what the sweep will do, and stop; a sweep "
        "whose fits hold GPUs begins with it",
    )
    instead("--status", action="store_true", help="show how far the sweep in this store is")
    instead(
        "--explain", metavar="KEY", help="show what a cell's key covers, and why it is run again"
    )
    add("--no-rehearse", action="store_true", help="begin without a rehearsal")
    add("--json", action="store_true", help="print one JSON object on standard output")
    add("-v", "--verbose", action="store_true", help="show Ray's own messages")
    return parser


if __name__ == "__main__":
    run(main, goes_on=True)

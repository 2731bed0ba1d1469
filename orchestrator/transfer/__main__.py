"""`python -m orchestrator.transfer`: do examples that fool one fit fool the others as well?

The adversarial examples found against each fit are replayed on every fit of the same data set. The
store keeps the outcomes, and the report shows them (report/transfer.py).
"""

import argparse
import sys
import time

from orchestrator.cli.arguments import Parser, add_plan_arguments, number_of, open_plan
from orchestrator.cli.command import called, reports_bad_input, run, stopped
from orchestrator.cli.damage import set_aside
from orchestrator.run.lease import Lease
from orchestrator.run.options import RayOptions, add_ray_arguments, ray_options
from orchestrator.sweep.driver import Stop
from search_spaces.cell import Cell
from search_spaces.errors import BadInput
from trainables.assets import Assets
from trainables.data import Example, load_test
from trainables.scratch import remove_leftovers
from trainables.store import Store
from trainables.transfer import Adversarial, Sources, adversarial, missing

ABOUT = """\
Replay the adversarial examples found against each fit on all fits of its data set: predictions
only, no new search. Existing replays are not repeated.

A data set with F fits and L attack logs takes F × L × N predictions at most, and F for each
original text: the paper's space, 5 data sets with F = 45 and L = 180, some 2 million with N = 50.
"""
EXIT_CODES = "exit codes: 0 all replayed, 1 some fits failed, 2 bad input (nothing was run)"


def transfer(arguments: argparse.Namespace) -> int:
    """Find what is missing and replay it. Returns the exit code; raises BadInput before that."""
    options = ray_options(arguments)
    plan, store, assets = open_plan(arguments)
    done = plan.with_status("done")
    if not done:
        raise BadInput(
            f"no cell of {plan.space.name} is finished in {store.url}; run the sweep first"
        )
    if plan.todo:
        print(f"{len(plan.todo)} cells are not finished yet and are left out")
    store.check_writable()
    with Lease(store) as lease:
        store.remove_leftovers(plan.fits_todo)
        remove_leftovers()
        for line in set_aside(plan, store):
            print(line)
        sources = _sources(done, store, assets, arguments.examples)
        targets = {cell.fit.key: cell for cell in done}
        todo = {
            key: len(missing(sources[cell.fit.dataset], store.transfer(key)))
            for key, cell in targets.items()
        }
        incomplete = [cell for key, cell in targets.items() if todo[key]]
        if not incomplete:
            print(f"nothing to do: all is replayed on all {len(targets)} fits of {plan.space.name}")
            return 0
        print(
            f"{sum(todo.values())} examples to replay on {len(incomplete)} of {len(targets)} fits"
        )
        return _replay(incomplete, sources, store, assets, lease, options)


def _sources(cells: list[Cell], store: Store, assets: Assets, at_most: int) -> dict[str, Sources]:
    """Adversarial examples by data set and attack log: the first ones of each cell's sample."""
    by_dataset: dict[str, list[Cell]] = {}
    for cell in cells:
        by_dataset.setdefault(cell.fit.dataset, []).append(cell)
    sources: dict[str, Sources] = {}
    for dataset, group in by_dataset.items():
        data = group[0].fit.data
        test = load_test(dataset, data, assets.dataset_files(dataset, data))
        rows = {example.id: example for example in test}
        sources[dataset] = {cell.log: _examples(cell, store, rows, at_most) for cell in group}
    return sources


def _examples(
    cell: Cell, store: Store, rows: dict[int, Example], at_most: int
) -> list[Adversarial]:
    data = cell.fit.data
    log = store.attacked(cell.log)
    sample = [log[id] for id in store.read_result(cell.key)["sample"]]
    successful = [record for record in sample if record["status"] == "successful"][:at_most]
    examples = adversarial(successful, rows, data.columns.index(data.attacked))
    if left_out := len(successful) - len(examples):
        print(
            f"left out: {left_out} examples of {cell.log}, which changed more than the column "
            f"{data.attacked}",
            file=sys.stderr,
        )
    return examples


def _replay(
    targets: list[Cell],
    sources: dict[str, Sources],
    store: Store,
    assets: Assets,
    lease: Lease,
    options: RayOptions,
) -> int:
    from orchestrator.transfer.on_ray import run_replays

    started = time.perf_counter()
    ended: list[str] = []
    failed: list[str] = []
    stop = Stop(store, lease)

    def listen(cell: Cell, counts: dict[str, int], error: str) -> None:
        if error:
            failed.append(cell.fit.key)
            print(f"{error.rstrip()}\nfailed: {cell.fit.key}", file=sys.stderr)
            stop.after_failure()
            return
        ended.append(cell.fit.key)
        print(
            f"[{time.perf_counter() - started:6.0f} s  {len(ended)}/{len(targets)}] "
            f"{cell.fit.key}  {counts.get('replayed', 0)} examples, "
            f"{counts.get('predicted', 0)} texts predicted",
            flush=True,
        )

    run_replays(targets, sources, store, assets, listen, stop.reason, options)
    if stop.reason():
        print(stopped(stop.reason()), file=sys.stderr)
    print(f"{len(ended)} of {len(targets)} fits done in {time.perf_counter() - started:.0f} s")
    return 0 if len(ended) == len(targets) else 1


@reports_bad_input
def main() -> int:
    parser = Parser(
        prog=called("transfer"),
        description=ABOUT,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_plan_arguments(parser)
    add = parser.add_argument
    add(
        "--examples", type=number_of("examples"), default=50, metavar="N",
        help="adversarial examples of each attack log, the first ones of the sample (50)",
    )  # fmt: skip
    add_ray_arguments(parser, "fits")
    return transfer(parser.parse_args())


if __name__ == "__main__":
    run(main, goes_on=True)

"""`python -m orchestrator.report`: the comparison of a sweep, finished or still running.

python -m orchestrator.report --space embedded --store results --out report
"""

import argparse
import shlex
from dataclasses import replace
from pathlib import Path

from orchestrator.cli.arguments import Parser, add_plan_arguments, number_of, open_plan
from orchestrator.cli.command import called, reports_bad_input, run
from orchestrator.cli.damage import say_damage
from orchestrator.report import contents, sheet
from orchestrator.report.annotations import Annotations, people, read_annotations
from orchestrator.report.baseline import against
from orchestrator.report.comparison import as_markdown
from orchestrator.report.folder import folder_of, write
from orchestrator.report.from_mlflow import read_experiment
from orchestrator.report.from_store import read_baseline, read_store
from orchestrator.report.registry import Registry, registry_of
from orchestrator.report.reported import listed, reported_and_measured
from orchestrator.report.results import Results
from orchestrator.report.tables import markdown
from orchestrator.tracking.where import where
from search_spaces.axes import narrow, parse_seeds
from search_spaces.catalog import AXES
from search_spaces.cell import Axes
from search_spaces.errors import BadInput
from search_spaces.space import load, names
from trainables.store import Store


@reports_bad_input
def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.seed is not None and arguments.annotate is None:
        raise BadInput("--seed is of the draw of --annotate; --seeds chooses seeds of the grid")
    if arguments.key is not None and arguments.annotations is None:
        raise BadInput("--key is of the sheets that --annotations reads; give both")
    return _report(arguments)


def _report(arguments: argparse.Namespace) -> int:
    if arguments.claims and (arguments.annotate is not None or arguments.annotations):
        raise BadInput("--claims only lists published figures; give it without --annotate")
    if arguments.claims:
        print(listed(registry_of(load(arguments.space))))
        return 0
    store = Store(arguments.store)
    if arguments.tracking_uri is None:
        plan, store, _ = open_plan(arguments, reading=True)
        results = read_store(plan, store, from_elsewhere=True)
    else:
        results = _logged(arguments)
    if not results.cells:
        print("no cell of this space has any results yet")
        say_damage(store)
        return 0
    given = Path(arguments.out) if arguments.out else None
    folder = given or folder_of(results.space, store)
    if arguments.annotate is not None:
        return _annotate(results, arguments, given or folder / sheet.FOLDER)
    annotations = _annotations(results, arguments, folder_of(results.space, store))
    baseline = None if arguments.baseline is None else _baseline(arguments, results)
    made = contents.files(results, baseline, arguments.paper, annotations)
    try:
        write(made, folder, results.finished)
    except OSError as error:
        raise BadInput(f"the report cannot be written: {error}; give another --out") from None
    print(as_markdown(results))
    if baseline is not None:
        print("\n".join(markdown(table) for table in against(results, baseline)))
    if arguments.paper and (published := reported_and_measured(results)):
        print(markdown(published))
    if annotations is not None:
        print("\n".join(markdown(table) for table in people(results, annotations)))
    print(f"\nreport: {shlex.quote(str(folder / 'index.html'))}")
    say_damage(store)
    return 0


def _annotate(results: Results, arguments: argparse.Namespace, folder: Path) -> int:
    drawn = sheet.draw(results, arguments.annotate, arguments.seed or 0)
    texts, key = sheet.write(drawn, folder)
    count = len(drawn.key.examples)
    if count < arguments.annotate:
        print(f"only {count} successful examples in these results")
    print(
        f"sheet: {shlex.quote(str(texts))}: {len(drawn.texts)} texts of {count} examples; people "
        f"fill in the column `label`, with {sheet.CANNOT_TELL} where they cannot tell\n"
        f"key: {shlex.quote(str(key))}: keep it from them"
    )
    return 0


def _annotations(
    results: Results, arguments: argparse.Namespace, folder: Path
) -> Annotations | None:
    if arguments.annotations is None:
        return None
    files = [Path(file) for file in arguments.annotations]
    key = Path(arguments.key) if arguments.key else folder / sheet.FOLDER / sheet.KEY
    return read_annotations(files, key, results)


def _logged(arguments: argparse.Namespace) -> Results:
    """The results as MLflow has them, for the values that --only and --seeds keep."""
    space, registry = arguments.space, Registry()
    if space in names() or space.endswith((".yaml", ".yml")):
        loaded = load(space)
        space, registry = loaded.name, registry_of(loaded)
    results = read_experiment(space, arguments.tracking_uri)
    seeds = None if arguments.seeds is None else parse_seeds(arguments.seeds)
    places = [result.cell.axes() for result in results.cells]
    places += [absent.axes for absent in results.absent]
    there: dict[str, list[str]] = {
        axis: list(dict.fromkeys(str(place[axis]) for place in places)) for axis in AXES
    }
    values = narrow(there, arguments.only)

    def kept(axes: Axes) -> bool:
        named = all(str(axes[axis]) in values[axis] for axis in AXES)
        return named and (seeds is None or axes["seed"] in seeds)

    return replace(
        results,
        cells=[result for result in results.cells if kept(result.cell.axes())],
        absent=[absent for absent in results.absent if kept(absent.axes)],
        registry=registry,
    )


def _baseline(arguments: argparse.Namespace, results: Results) -> Results:
    """Another sweep's results: those of a store, or of an experiment in MLflow."""
    name = arguments.baseline
    if "/" in name or Path(name).is_dir():
        baseline = read_baseline(Store(name), results)
    else:
        there = where(Store(arguments.store), arguments.tracking_uri)
        baseline = read_experiment(name, there.uri, there.given_by)
    if not baseline.cells:
        raise BadInput(f"--baseline {name}: has no finished cell of this grid")
    return baseline


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=called("report"),
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_plan_arguments(parser)
    parser.add_argument("--tracking-uri", metavar="URI", help="read MLflow instead of the store")
    parser.add_argument("--out", metavar="FOLDER", help="where to write it (STORE/report/SPACE)")
    parser.add_argument(
        "--baseline",
        metavar="STORE|EXPERIMENT",
        help="compare with another sweep: what changed significantly, and why",
    )
    parser.add_argument(
        "--paper",
        action="store_true",
        help="put all published figures next to the measured ones, also those not measured here",
    )
    parser.add_argument(
        "--claims", action="store_true", help="list the published figures that are known, and stop"
    )
    of_people = parser.add_mutually_exclusive_group()
    of_people.add_argument(
        "--annotate",
        type=number_of("examples"),
        metavar="N",
        help="write the texts of N successful examples as a blinded sheet for people, and its key",
    )
    parser.add_argument("--seed", type=int, metavar="NUMBER", help="of the draw of --annotate (0)")
    of_people.add_argument(
        "--annotations",
        nargs="+",
        metavar="FILE",
        help="what people say: sheets they filled in, one an annotator (or a column annotator)",
    )
    parser.add_argument(
        "--key", metavar="FILE", help="the key of their sheet (where --annotate writes it)"
    )
    return parser


if __name__ == "__main__":
    run(main)

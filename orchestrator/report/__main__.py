"""`python -m orchestrator.report`: the comparison of a sweep, finished or still running.

python -m orchestrator.report --space embedded --store results --out report
"""

import argparse
import sys
from pathlib import Path

from orchestrator.arguments import Parser, add_plan_arguments, open_plan
from orchestrator.report import contents
from orchestrator.report.comparison import as_markdown
from orchestrator.report.from_store import read
from orchestrator.report.results import Results
from search_spaces.errors import BadInput
from trainables.store import Store


def main(argv: list[str] | None = None) -> int:
    try:
        return _report(_parser().parse_args(argv))
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _report(arguments: argparse.Namespace) -> int:
    plan, store, _ = open_plan(arguments, provisional=True)
    results = read(plan, store, from_elsewhere=True)
    if not results.cells:
        print("no cell of this space has any results yet")
        return 0
    print(as_markdown(results))
    folder = Path(arguments.out) if arguments.out else default_folder(results, store)
    try:
        contents.write(contents.files(results), folder)
    except OSError as error:
        raise BadInput(f"the report cannot be written: {error}; give another --out") from None
    print(f"\nreport: {folder}")
    return 0


def default_folder(results: Results, store: Store) -> Path:
    """In the store where that is a folder, else here."""
    return Path(store.local_folder or ".") / "report" / results.space


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m orchestrator.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_plan_arguments(parser)
    parser.add_argument("--out", metavar="FOLDER", help="where to write it (STORE/report/SPACE)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

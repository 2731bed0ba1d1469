"""What the names on the axes mean: list them, show one, check all.

    python -m orchestrator.catalog list
    python -m orchestrator.catalog show sst2
    python -m orchestrator.catalog check --space my_space.yaml

With --space FILE the catalog beside that file is searched first, as a sweep does it. `check` looks
at all entries, and at the data and label words of those that the space names. Exit codes: 0 all is
well, 1 `check` found something, 2 bad input.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from orchestrator.arguments import Parser
from orchestrator.checks import check_words
from orchestrator.command import run
from search_spaces.catalog import AXES, Catalog, prompts_of
from search_spaces.errors import BadInput, nearest
from search_spaces.space import Space, load
from trainables.assets import Assets, NotDownloaded
from trainables.attacks import KINDS as ATTACKS
from trainables.data import check_columns
from trainables.heads import KINDS as HEADS
from trainables.lookup import check_kind
from trainables.training import KINDS as TRAININGS

KINDS = {"head": HEADS, "training": TRAININGS, "attack": ATTACKS}


def main(argv: list[str] | None = None) -> int:
    try:
        arguments = _parser().parse_args(argv)
        space = load(arguments.space)
        catalog, assets = space.catalog, Assets(arguments.assets or space.assets, local_only=True)
        assets.check()
        if arguments.command == "list":
            print("\n".join(_list(catalog)))
        elif arguments.command == "show":
            print(_show(catalog, arguments.name))
        else:
            return _check(space, assets)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _list(catalog: Catalog) -> Iterator[str]:
    for axis in AXES:
        yield f"{axis}:"
        for name in catalog.names(axis):
            yield f"  {name:<26} {catalog.entry(axis, name).about}"


def _show(catalog: Catalog, name: str) -> str:
    found = [axis for axis in AXES if name in catalog.names(axis)]
    if not found:
        every = {n for axis in AXES for n in catalog.names(axis)}
        raise BadInput(f"the catalog has no {name!r}; {nearest(name, every)}")
    paths = [catalog.path(axis, name) for axis in found]
    return "\n".join(f"# {path}\n{path.read_text().rstrip()}" for path in paths)


def _check(space: Space, assets: Assets) -> int:
    """Print a line for each thing that is wrong, or could not be checked here."""
    catalog = space.catalog
    wrong = [*_wrong_entries(catalog), *_wrong_files(space, assets)]
    for line in wrong:
        print(f"wrong: {line}")
    if not wrong:
        print(f"{sum(len(catalog.names(axis)) for axis in AXES)} entries: nothing wrong")
    return 1 if wrong else 0


def _wrong_entries(catalog: Catalog) -> Iterator[str]:
    """Files that do not hold together by themselves, or name code that is not there."""
    for axis in AXES:
        for name in catalog.names(axis):
            try:
                entry = catalog.entry(axis, name)
                if axis in KINDS:
                    check_kind(axis, entry.kind, KINDS[axis])  # type: ignore[attr-defined]
            except BadInput as error:
                yield str(error)


def _wrong_files(space: Space, assets: Assets) -> Iterator[str]:
    """Columns that data files lack, and label words that a model has no single token for."""
    catalog = space.catalog
    for name in space.axes.dataset:
        try:
            data = catalog.dataset(name)
            check_columns(name, data, assets.dataset_files(name, data))
        except NotDownloaded:
            print(f"not checked: data set {name}: not on this machine")
        except BadInput as error:
            yield str(error)
    for name in space.axes.model:
        try:
            folder = assets.model_folder(name, catalog.model(name))
        except BadInput:
            print(f"not checked: label words in the vocabulary of {name}: not on this machine")
            continue
        yield from _wrong_words(space, name, folder)


def _wrong_words(space: Space, model: str, folder: Path) -> Iterator[str]:
    catalog, seen = space.catalog, set()
    for dataset in space.axes.dataset:
        for head in space.axes.head:
            try:
                entry = catalog.dataset(dataset)
                prompts = prompts_of(entry, catalog.head(head), catalog.model(model))
                words = None if isinstance(prompts, str) or prompts is None else prompts.label_words
                if words and str(words) not in seen:
                    seen.add(str(words))
                    check_words(words, folder, f"data set {dataset!r}, model {model!r}")
            except BadInput as error:
                yield str(error)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m orchestrator.catalog",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=["list", "show", "check"])
    parser.add_argument("name", nargs="?", default="", help="for show: a name on any axis")
    parser.add_argument("--space", default="embedded", metavar="NAME|FILE", help="(embedded)")
    parser.add_argument("--assets", metavar="embedded|hub|FOLDER", help="(the space's)")
    return parser


if __name__ == "__main__":
    run(main)

"""What the names on the axes mean: list them, show one, check all.

    python -m orchestrator.catalog list
    python -m orchestrator.catalog show sst2
    python -m orchestrator.catalog check --space my_space.yaml

With --space FILE the catalog next to that file is searched first, as in a sweep. `check` looks
at all entries, and at the rows, models and prompts of those that the space names, as a sweep does
before it starts. Exit codes: 0 all is well, 1 `check` found something, 2 bad input.
"""

import argparse
from collections.abc import Iterator
from itertools import product

from orchestrator.assets.needed import check_attack_resources
from orchestrator.cli.arguments import Parser, not_empty
from orchestrator.cli.command import called, reports_bad_input, run
from orchestrator.plan.inputs import Asked, Inputs, repeated_rows
from search_spaces.catalog import AXES, Catalog, Head, LanguageModel, prompts_of
from search_spaces.errors import BadInput, nearest
from search_spaces.space import Space, load
from trainables.assets import Assets
from trainables.attacks import KINDS as ATTACKS
from trainables.heads import KINDS as HEADS
from trainables.kinds import check_kind
from trainables.models.families import cannot_have
from trainables.models.folder import ModelFolder
from trainables.training import KINDS as TRAININGS

KINDS = {"head": HEADS, "training": TRAININGS, "attack": ATTACKS}


@reports_bad_input
def main(argv: list[str] | None = None) -> int:
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
    return 0


def _list(catalog: Catalog) -> Iterator[str]:
    for axis in AXES:
        yield f"{axis}:"
        for name in catalog.names(axis):
            yield f"  {name:<26} {catalog.entry(axis, name).about}"


def _show(catalog: Catalog, name: str) -> str:
    axes = [axis for axis in AXES if name in catalog.names(axis)]
    if not axes:
        every = {n for axis in AXES for n in catalog.names(axis)}
        raise BadInput(f"the catalog has no {name!r}; {nearest(name, every)}")
    paths = [catalog.path(axis, name) for axis in axes]
    return "\n".join(f"# {path}\n{path.read_text().rstrip()}" for path in paths)


def _check(space: Space, assets: Assets) -> int:
    """Print a line for each thing that is wrong, unusual, or could not be checked here."""
    catalog, inputs = space.catalog, Inputs(assets)
    wrong = [*_wrong_entries(catalog), *inputs.wrong(_asked(space, assets, inputs.notes))]
    try:
        inputs.notes += check_attack_resources(space, assets, planning=True)
    except BadInput as error:
        wrong.append(str(error))
    for line in dict.fromkeys(wrong):
        print(f"wrong: {line}")
    for line in dict.fromkeys([*inputs.notes, *_repeated_rows(space, assets)]):
        print(f"note: {line}")
    for line in dict.fromkeys(inputs.not_here):
        print(f"not checked: {line}")
    if not wrong:
        print(f"{sum(len(catalog.names(axis)) for axis in AXES)} entries: nothing wrong")
    return 1 if wrong else 0


def _wrong_entries(catalog: Catalog) -> Iterator[str]:
    """Entries that are invalid by themselves, or name code that does not exist."""
    for axis in AXES:
        for name in catalog.names(axis):
            try:
                entry = catalog.entry(axis, name)
                if axis in KINDS:
                    check_kind(axis, entry.kind, KINDS[axis])  # type: ignore[attr-defined]
            except BadInput as error:
                yield str(error)


def _asked(space: Space, assets: Assets, notes: list[str]) -> Iterator[Asked]:
    """All fits of a space, without those whose entries are broken: these are reported already."""
    catalog, axes = space.catalog, space.axes
    for dataset, model, head, training in product(
        axes.dataset, axes.model, axes.head, axes.training
    ):
        try:
            data, language_model = catalog.dataset(dataset), catalog.model(model)
            head_entry, training_entry = catalog.head(head), catalog.training(training)
            also = [(name, catalog.dataset(name)) for name in space.evaluate_also.get(dataset, [])]
        except BadInput:
            continue
        place = {"dataset": dataset, "model": model, "head": head, "training": training}
        if space.excluded_everywhere(place):
            continue
        if catalog.why_no_fit(**place):
            continue
        prompts = prompts_of(data, head_entry, language_model)
        assert not isinstance(prompts, str)
        if reason := _cannot_have(head_entry, model, language_model, assets):
            notes.append(f"head {head!r} does not apply to model {model!r}: {reason}")
            continue
        yield Asked(
            dataset, data, model, language_model, head, head_entry, training, training_entry,
            prompts, space.settings_at(**place).fit, tuple(also),
        )  # fmt: skip


def _cannot_have(head: Head, name: str, model: LanguageModel, assets: Assets) -> str:
    try:
        return cannot_have(head.kind, ModelFolder(name, assets.model_folder(name, model)).type)
    except BadInput:
        return ""


def _repeated_rows(space: Space, assets: Assets) -> Iterator[str]:
    for name in space.used("dataset"):
        try:
            yield from filter(None, [repeated_rows(name, space.catalog.dataset(name), assets)])
        except BadInput:
            continue


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=called("catalog"),
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=["list", "show", "check"])
    parser.add_argument("name", nargs="?", default="", help="for show: a name on any axis")
    parser.add_argument("--space", default="embedded", metavar="NAME|FILE", help="(embedded)")
    parser.add_argument(
        "--assets", type=not_empty, metavar="embedded|hub|FOLDER", help="(the space's)"
    )
    return parser


if __name__ == "__main__":
    run(main)

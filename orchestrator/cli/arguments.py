"""What the commands of this package share: which space, changed how, which store, which assets."""

import argparse
import os
import stat
from collections.abc import Callable
from typing import NoReturn

from orchestrator.plan.plan import Plan, make_plan
from search_spaces.axes import parse_seeds
from search_spaces.errors import BadInput
from search_spaces.space import load
from trainables.assets import Assets
from trainables.store import Store


class Parser(argparse.ArgumentParser):
    """Reports wrong arguments in one line, like all other bad input."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see --help")


def number_of(what: str) -> Callable[[str], int]:
    """Reads an argument that is a whole number of something, 1 or more."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdecimal()) or int(text) < 1:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of {what}, 1 or more")
        return int(text)

    return parse


def not_empty(text: str) -> str:
    """Reads an argument that must not be empty."""
    if not text:
        raise argparse.ArgumentTypeError("is empty (a variable that is not set?)")
    return text


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that `open_plan` reads."""
    add = parser.add_argument
    add("--space", default="embedded", metavar="NAME|FILE", help="what to run (embedded)")
    add("--only", action="append", default=[], metavar="AXIS=VALUE[,VALUE]",
        help="keep only these values of an axis; repeatable")  # fmt: skip
    add("--set", action="append", default=[], metavar="PATH=VALUE",
        help="change a setting, e.g. fit.learning_rate=1e-4; repeatable")  # fmt: skip
    add("--precision", type=float, metavar="SHARE",
        help="stop a cell once its accuracy under attack is known to ± this")  # fmt: skip
    add("--seeds", help="seeds, as 0,1,2 or 0-2 (the space's)")
    add("--store", default="results", metavar="URL", help="folder or URL of the results (results)")
    add("--assets", type=not_empty, metavar="embedded|hub|FOLDER|URL",
        help="where data and models are (the space's)")  # fmt: skip


def open_plan(
    arguments: argparse.Namespace, provisional: bool = False, reading: bool = False
) -> tuple[Plan, Store, Assets]:
    """The plan that the arguments ask for, with its store and assets. Raises BadInput.

    provisional: do not ask the hub for what is not downloaded yet. reading: nothing is to be run.
    """
    seeds = None if arguments.seeds is None else parse_seeds(arguments.seeds)
    space = load(
        arguments.space, arguments.only, arguments.set, seeds, precision=arguments.precision
    )
    assets = Assets(arguments.assets or space.assets, local_only=provisional or reading)
    if not reading:
        assets.check()
    store = Store(arguments.store)
    _check_is_folder(store)
    return make_plan(space, assets, store, provisional, reading=reading), store, assets


def _check_is_folder(store: Store) -> None:
    """Raises BadInput if the path of a store is not that of a folder."""
    folder = store.local_folder
    try:
        if folder is None or stat.S_ISDIR(os.stat(folder).st_mode):
            return
        why = "is not a folder"
    except FileNotFoundError:
        return
    except OSError as error:
        why = f"cannot be used ({error.strerror})"
    raise BadInput(f"--store {store.url}: {why}; give another folder")

"""The option --tracking-uri, and messages about where a sweep is logged."""

import argparse
import os
import shlex
from collections.abc import Callable

from orchestrator.cli.addresses import masked
from orchestrator.cli.command import called
from orchestrator.tracking.where import OPTION, VARIABLE, Where, uri_of, where
from trainables.store import Store


def say_variable(there: Where, say: Callable[[str], None]) -> None:
    """Report that an environment variable names where the sweep is logged."""
    if there.given_by == VARIABLE:
        say(f"logging to MLflow at {there.shown}, as {VARIABLE} says")


def add_tracking_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        OPTION,
        metavar="URI",
        help=f"MLflow server or database ({VARIABLE}, or else a database in the store)",
    )


def not_uploaded(keys: list[str], arguments: argparse.Namespace) -> str:
    """How many cells MLflow lacks, and the command that uploads them later."""
    command = [*called("track").split(), "sync", "--space", _from_anywhere(arguments.space)]
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
        command += [OPTION, masked(uri)]
    cells = "1 finished cell is" if len(keys) == 1 else f"{len(keys)} finished cells are"
    return f"{cells} not uploaded to MLflow; upload later with: {shlex.join(command)}"


def _from_anywhere(name: str) -> str:
    """A file's or folder's path in full; any other name as it is."""
    return os.path.abspath(name) if os.path.exists(name) else name


def to_see(there: Where, store: Store) -> str:
    """How to see what was logged: an address, or a command for a shell in any folder."""
    ui = [*called("track").split(), "ui"]
    if there.own and store.local_folder is not None:
        return shlex.join([*ui, "--store", store.local_folder])
    if there.file is not None:
        return shlex.join([*ui, "--tracking-uri", uri_of(there.file)])
    return f"{there.shown} ({there.given_by})" if there.given_by == VARIABLE else there.shown

"""Import much at once, without looking for garbage in it.

What torch, TextAttack, Ray and MLflow make when they are imported, some 600,000 objects, stays.
Python's collector goes through all of it again and again while it grows, a fifth of the time that
imports take, and once more at the end of the process, for most of a second.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import accumulate

from trainables import speed


@contextmanager
def gc_paused() -> Iterator[None]:
    """Nothing is collected in this block, and what is made in it is never looked at again."""
    if not speed.is_on("imports"):
        yield
        return
    gc.collect()  # What is garbage by now would stay, too.
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


@contextmanager
def all_or_nothing() -> Iterator[None]:
    """An import that fails in this block leaves no part of a package behind.

    Python drops the module that failed and keeps the ones below it that were imported before; when
    the package is imported again, they find one another half made.
    """
    before = set(sys.modules)
    try:
        yield
    except BaseException:
        for name in _orphans(set(sys.modules) - before):
            del sys.modules[name]
        raise


def _orphans(names: set[str]) -> list[str]:
    """Those of modules that lie in a package that is not there."""
    return [
        name
        for name in names
        if any(
            package not in sys.modules for package in accumulate(name.split("."), "{}.{}".format)
        )
    ]


def import_large(*modules: str) -> None:
    """Import modules, and what they import, unless all are there already."""
    if any(module not in sys.modules for module in modules):
        with gc_paused(), all_or_nothing():
            for module in modules:
                import_module(module)

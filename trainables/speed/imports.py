"""Import large libraries with garbage collection paused.

Importing torch, TextAttack, Ray and MLflow makes some 600,000 objects that stay. Python's garbage
collector scans them again and again while they are made, a fifth of the time of the imports, and
once more when the process ends, for most of a second.
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
    """In this block garbage collection is paused; objects made in it are never scanned later."""
    if not speed.is_on("imports"):
        yield
        return
    gc.collect()  # Otherwise existing garbage would stay, too.
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

    Python removes the module that failed but keeps its submodules that were already imported; a
    later import of the package would find them incomplete.
    """
    before = set(sys.modules)
    try:
        yield
    except BaseException:
        for name in _orphans(set(sys.modules) - before):
            del sys.modules[name]
        raise


def _orphans(names: set[str]) -> list[str]:
    """Modules whose parent package is not imported."""
    return [
        name
        for name in names
        if any(
            package not in sys.modules for package in accumulate(name.split("."), "{}.{}".format)
        )
    ]


def import_large(*modules: str) -> None:
    """Import modules with garbage collection paused, unless all are imported already."""
    if any(module not in sys.modules for module in modules):
        with gc_paused(), all_or_nothing():
            for module in modules:
                import_module(module)

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


@contextmanager
def much_stays() -> Iterator[None]:
    """Nothing is collected in this block, and what is made in it is never looked at again."""
    gc.collect()  # What is garbage by now would stay, too.
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


def import_large(*modules: str) -> None:
    """Import modules, and what they import, unless all are there already."""
    if any(module not in sys.modules for module in modules):
        with much_stays():
            for module in modules:
                import_module(module)

"""The time limit of one example, checked cooperatively.

Nothing is interrupted: code that can take long checks the time before it goes on. What counts is
the example's own time (lockstep.py).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from trainables.attacks.lockstep import own_time

_ends: ContextVar[float] = ContextVar("ends", default=math.inf)


class TimeUp(Exception):
    """An example exceeded its time limit."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """In this block `check_time` raises once so many seconds have passed; None for no limit."""
    before = _ends.set(math.inf if seconds is None else own_time() + seconds)
    try:
        yield
    finally:
        _ends.reset(before)


def check_time() -> None:
    """Raises TimeUp if the time of the block around it is up."""
    ends = _ends.get()
    if ends < math.inf and own_time() > ends:
        raise TimeUp

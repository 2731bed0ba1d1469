"""The time limit of one example, checked cooperatively.

Nothing is interrupted: code that can take long checks the deadline before it goes on.
"""

import math
import time


class TimeUp(Exception):
    """An example exceeded its time limit."""


class Deadline:
    """A number of seconds from now; None for no limit."""

    def __init__(self, seconds: float | None) -> None:
        self._at = math.inf if seconds is None else time.perf_counter() + seconds

    def check(self) -> None:
        """Raises TimeUp if the time is up."""
        if self._at < math.inf and time.perf_counter() > self._at:
            raise TimeUp


NEVER = Deadline(None)

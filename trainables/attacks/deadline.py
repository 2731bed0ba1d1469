"""An end to the time that one example may take, kept by those who spend it.

Nothing is interrupted: what can take long looks at the clock before it goes on.
"""

import math
import time


class TimeUp(Exception):
    """An example took longer than it may."""


class Deadline:
    """So many seconds from now; None for no end."""

    def __init__(self, seconds: float | None) -> None:
        self._at = math.inf if seconds is None else time.perf_counter() + seconds

    def check(self) -> None:
        """Raises TimeUp where the time is up."""
        if self._at < math.inf and time.perf_counter() > self._at:
            raise TimeUp


NEVER = Deadline(None)

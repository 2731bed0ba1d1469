"""`--budget`: hand out nothing that is not expected to end in time.

SIGUSR1, which a batch system may send some minutes before it ends a job, uses it up at once.
"""

import argparse
import math
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
MARGIN = 1.25  # on expected seconds: 8 of 10 tasks take at most this
NUMBER = r"(?:\d+(?:\.\d+)?|\.\d+)"


def duration(text: str) -> float:
    """Seconds of `8h`, `90m`, `1h30m`, `1.5d`. Raises ArgumentTypeError."""
    parts = re.findall(rf"({NUMBER})([dhms])", text, re.ASCII)
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    repeated = len({unit for _, unit in parts}) < len(parts)
    if "".join(number + unit for number, unit in parts) != text or repeated or seconds <= 0:
        is_number = re.fullmatch(NUMBER, text, re.ASCII)
        hint = f"; {text}h, {text}m or {text}s?" if is_number else ""
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time: write 8h, 90m, 1h30m or 2d{hint}"
        )
    return seconds


class Budget:
    """A time from now on, and its text. refused: whether a task was refused for lack of time.
    used_up: whether `use_up` was called."""

    def __init__(self, text: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        """Also the `type` of an option. text: None: as long as it takes."""
        self.text, self.clock = text, clock
        self.end = math.inf if text is None else clock() + duration(text)
        self.refused = self.used_up = self._hears = False

    def allows(self, seconds: float | None) -> bool:
        """Whether a task of this length would end in time; one of unknown length is started as
        long as there is time."""
        allowed = self.clock() + MARGIN * (seconds or 0.0) < self.end
        self.refused |= not allowed
        return allowed

    def ends(self, report: Mapping[str, Any]) -> bool:
        """Whether a trial ends with this report: the first of one that waited for room until the
        time was over; or, once the budget is used up, one of an attack, whose examples so far are
        stored. A fit goes on."""
        late = report["phase"] == "begun" and not self.clock() < self.end
        attacks = report["phase"] == "attack" and report["finished"] < report["total"]
        ends = late or (attacks and self.used_up)
        self.refused |= ends
        return ends

    def use_up(self) -> None:
        self.end, self.used_up = -math.inf, True

    @contextmanager
    def used_up_by_signal(self) -> Iterator[None]:
        """Within it SIGUSR1 uses the budget up. Python handles signals in its main thread only."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.getsignal(signal.SIGUSR1)
        self._hears = True
        self.hear_again()
        try:
            yield
        finally:
            self._hears = False
            signal.signal(signal.SIGUSR1, before)

    def hear_again(self) -> None:
        """Call it after Tune has installed its own handler, which would end fits as well."""
        if self._hears:
            signal.signal(signal.SIGUSR1, self._told)

    def _told(self, number: int, _: object) -> None:
        if not self.used_up:
            # Not print, which a signal may interrupt in the middle of another.
            os.write(2, b"SIGUSR1: nothing more is begun; fits that are running may end\n")
        self.use_up()

    def what_is_left(self, cells: int) -> str:
        """A line for the end of a sweep that left cells for lack of time."""
        why = "told to end" if self.used_up else f"budget of {self.text} used"
        return f"{why}: {cells} cell{'' if cells == 1 else 's'} left"

"""`--budget`: hand out nothing that is not expected to end in time."""

import argparse
import re
import time
from collections.abc import Callable

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
    """A time from now on, and its text. refused: whether a task was refused for lack of time."""

    def __init__(self, text: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Also the `type` of an option."""
        self.text, self.clock = text, clock
        self.end = clock() + duration(text)
        self.refused = False

    def allows(self, seconds: float | None) -> bool:
        """Whether a task of this length would end in time; one of unknown length is started as
        long as there is time."""
        allowed = self.clock() + MARGIN * (seconds or 0.0) < self.end
        self.refused |= not allowed
        return allowed

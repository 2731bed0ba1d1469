"""`--budget`: hand out nothing that is not expected to end in time."""

import argparse
import re
import time
from collections.abc import Callable

UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
MARGIN = 1.25  # over what is expected: as long as 8 tasks of 10 take at most
NUMBER = r"(?:\d+(?:\.\d+)?|\.\d+)"


def duration(text: str) -> float:
    """Seconds of `8h`, `90m`, `1h30m`, `1.5d`. Raises ArgumentTypeError."""
    parts = re.findall(rf"({NUMBER})([dhms])", text, re.ASCII)
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    repeated = len({unit for _, unit in parts}) < len(parts)
    if "".join(number + unit for number, unit in parts) != text or repeated or seconds <= 0:
        is_number = re.fullmatch(NUMBER, text, re.ASCII)
        hint = f"; {text}h, {text}m or {text}s?" if is_number else ""
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 8h, 90m, 1h30m or 2d{hint}")
    return seconds


class Budget:
    """A time from now on, as it was written. refused: whether anything was, for want of time."""

    def __init__(self, text: str, clock: Callable[[], float] = time.monotonic) -> None:
        """For argparse, too."""
        self.text, self.clock = text, clock
        self.end = clock() + duration(text)
        self.refused = False

    def allows(self, seconds: float | None) -> bool:
        """Whether what takes so long would end in time; what takes nobody knows how long is begun
        as long as there is time."""
        allowed = self.clock() + MARGIN * (seconds or 0.0) < self.end
        self.refused |= not allowed
        return allowed

"""Deaths of trials' processes: a trial that died with its node is run again, however often.

A process that dies on a living node (killed, out of memory) would probably die again, so a cell is
given up after a few such deaths. Ray marks a node dead some time after its processes are gone:
whether a death counts is decided when it matters, not when it happens.
"""

import re
import time
from collections.abc import Callable
from typing import Literal

RESTARTS = 3  # of a cell whose process died on living nodes
NODE_DEATH_KNOWN_AFTER = 90.0  # seconds: Ray needs 10 to 20 for a host killed, 64 for a cut link
Verdict = Literal["run again", "given up", "failed", "not known yet"]

LOWER = "run fewer at once (--max-concurrent), or lower fit.batch_size or fit.max_length"


def memory_as_cause(message: str, killed_by_kernel: bool) -> str:
    """That a process died for lack of memory and what to do; empty if nothing indicates it.

    message: Ray's, about the death. killed_by_kernel: whether the kernel killed any here meanwhile.
    """
    if "low on memory" in message or "OutOfMemoryError" in message:
        used = re.search(r"[\d.]+ ?[KMGT]i?B used / [\d.]+ ?[KMGT]i?B limit", message)
        how_much = f" ({used[0]} on its machine)" if used else ""
        return f"out of memory{how_much}, ended by Ray's memory monitor; {LOWER}"
    if killed_by_kernel:
        return f"out of memory: the kernel killed processes here for lack of it; {LOWER}"
    return ""


class Deaths:
    """On which nodes each cell's processes died.

    living: ids of the nodes that are alive as far as Ray knows. home: the id of the driver's own
    node, of whose death we would know.
    """

    def __init__(self, living: Callable[[], set[str]], home: str) -> None:
        self.living, self.home = living, home
        self.died: dict[str, list[tuple[str | None, float]]] = {}

    def record(self, cell: str, node: str | None) -> None:
        """A cell's process died on a node (None: before it reported which)."""
        self.died.setdefault(cell, []).append((node, time.monotonic()))

    def last_node(self, cell: str) -> str | None:
        """Where a cell's process died last."""
        return self.died[cell][-1][0]

    def counted(self, cell: str) -> int:
        """How often a cell's process died on nodes that are still alive."""
        living = self.living()
        return sum(node is None or node in living for node, _ in self.died[cell])

    def verdict(self, cell: str) -> Verdict:
        """What becomes of a cell whose process died."""
        if self.counted(cell) <= RESTARTS:
            return "run again"
        node, when = self.died[cell][-1]
        if node in (self.home, None) or time.monotonic() - when > NODE_DEATH_KNOWN_AFTER:
            return "given up"
        return "not known yet"

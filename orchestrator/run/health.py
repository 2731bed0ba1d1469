"""The health of nodes: what ended badly on each, and which get no more cells for a while.

A node that fails fast takes cell after cell: it is the first to be free again. So a cell that ended
badly is run again elsewhere, and a node on which different cells end badly in a row is left out. A
cell that also ended badly on a node that is well says nothing about the first one. After a while a
node gets one more chance: what was wrong may be mended, or was the cells' fault.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal, get_args

from orchestrator.run.deaths import NODE_DEATH_KNOWN_AFTER
from trainables.records import NodeHealth

IN_A_ROW = 3  # different cells that end badly on a node before it is left out
PROBATION = 1800.0  # seconds for which it is; then one more bad end is enough
ERRORS_KEPT = 10  # different ones, of a node

How = Literal["failed", "died", "gpu_lost", "no_gpu"]
HOWS: tuple[How, ...] = get_args(How)
NO_GPU: tuple[How, ...] = ("no_gpu",)
Task = tuple[str, tuple[int, int] | None]  # a cell's key, and which part of its attack


@dataclass(frozen=True)
class BadEnd:
    """How a cell ended on a node, and when (seconds)."""

    cell: str
    how: How
    at: float


@dataclass
class _Node:
    """What ended on a node: counts, the bad ends since the last good one, the errors."""

    counts: Counter[str] = field(default_factory=Counter)
    in_a_row: list[BadEnd] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)


class Health:
    """How cells end on nodes, by node id. clock: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.nodes: dict[str, _Node] = {}
        self.bad_on: dict[str, set[str]] = {}  # nodes on which a cell ended badly

    def ended_well(self, node: str) -> None:
        """A fit or an attack ended well on a node."""
        self._node(node).counts["done"] += 1
        self._node(node).in_a_row.clear()

    def ended_badly(self, node: str, cell: str, how: How, error: str) -> None:
        health = self._node(node)
        health.counts[how] += 1
        health.in_a_row.append(BadEnd(cell, how, self.clock()))
        if error in health.errors or len(health.errors) < ERRORS_KEPT:
            health.errors[error] += 1
        self.bad_on.setdefault(cell, set()).add(node)

    def left_out(self, among: set[str]) -> set[str]:
        """Those of the nodes that have room for a task that get no more of them.

        If none would be left, only nodes without a GPU that works are left out: nothing shows that
        the cells are not to blame for the rest.
        """
        out = {node for node in among & self.nodes.keys() if self._is_sick(node)}
        if out == among:
            out = {node for node in out if self._is_sick(node, NO_GPU)}
        return out

    def avoid(self, cell: str, among: set[str]) -> set[str]:
        """Those of the nodes that a cell should not run on, as long as there are others.

        A cell that ended badly should not run where that was, nor where other cells did last.
        """
        out = self.left_out(among)
        if cell in self.bad_on:
            tried = out | self.bad_on[cell] & among
            unsure = tried | {node for node in among & self.nodes.keys() if self._in_a_row(node)}
            return next((nodes for nodes in (unsure, tried) if nodes < among), out)
        return out

    def last_error(self, node: str) -> str:
        """The one that came last for the first time."""
        return next(reversed(self.nodes[node].errors), "")

    def to_json(self, addresses: dict[str, str], out: Collection[str]) -> list[NodeHealth]:
        """addresses: of nodes, by id. out: the nodes that are left out."""
        return [
            {
                "node": node,
                "address": addresses.get(node, "unknown"),
                "done": health.counts["done"],
                "failed": health.counts["failed"],
                "died": health.counts["died"],
                "gpu_lost": health.counts["gpu_lost"] + health.counts["no_gpu"],
                "left_out": node in out,
                "errors": dict(health.errors),
            }
            for node, health in self.nodes.items()
        ]

    def _node(self, node: str) -> _Node:
        return self.nodes.setdefault(node, _Node())

    def _is_sick(self, node: str, hows: Collection[How] = HOWS) -> bool:
        in_a_row = self.nodes[node].in_a_row
        counted = {
            end.cell for end in in_a_row if end.how in hows and self._is_the_nodes(node, end)
        }
        return len(counted) >= IN_A_ROW and self.clock() - in_a_row[-1].at < PROBATION

    def _is_the_nodes(self, node: str, end: BadEnd) -> bool:
        """Whether a bad end speaks against its node, as far as is known."""
        if end.how == "no_gpu":
            return True
        if end.how == "died" and self.clock() - end.at < NODE_DEATH_KNOWN_AFTER:
            return False  # The node itself may be ending.
        others = self.bad_on[end.cell] - {node}
        return all(self._in_a_row(other) >= IN_A_ROW for other in others)

    def _in_a_row(self, node: str) -> int:
        """How many different cells ended badly on a node since one ended well."""
        return len({end.cell for end in self.nodes[node].in_a_row})

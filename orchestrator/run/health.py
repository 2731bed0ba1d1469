"""The health of nodes: what ended badly on each, and which get no more cells.

A node that fails fast takes cell after cell: it is the first to be free again. So a cell that ended
badly is run again elsewhere, and a node on which different cells end badly in a row is left out. A
cell that ended badly on other nodes too says nothing about a node, except where the node's GPU was
lost, which no cell explains.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal, get_args

from orchestrator.run.deaths import NODE_DEATH_KNOWN_AFTER
from trainables.records import NodeHealth

IN_A_ROW = 3  # different cells, or parts of cells, that end badly on a node before it is left out

How = Literal["failed", "died", "gpu_lost"]
HOWS: tuple[How, ...] = get_args(How)
GPU_LOST: tuple[How, ...] = ("gpu_lost",)
Task = tuple[str, tuple[int, int] | None]  # a cell's key, and which part of its attack


@dataclass(frozen=True)
class BadEnd:
    """How a task ended on a node, and when (seconds, monotonic)."""

    task: Task
    how: How
    at: float


@dataclass
class _Node:
    """What ended on a node: counts, the bad ends since the last good one, the last error."""

    counts: dict[str, int] = field(
        default_factory=lambda: {"done": 0, "failed": 0, "died": 0, "gpu_lost": 0}
    )
    in_a_row: list[BadEnd] = field(default_factory=list)
    last_error: str = ""


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

    def ended_badly(self, node: str, task: Task, how: How, error: str) -> None:
        health = self._node(node)
        health.counts[how] += 1
        health.in_a_row.append(BadEnd(task, how, self.clock()))
        health.last_error = error
        self.bad_on.setdefault(task[0], set()).add(node)

    def left_out(self, among: set[str]) -> set[str]:
        """Those of the nodes that have room for a task that get no more of them.

        If none would be left, only nodes whose GPUs are lost are left out: nothing shows that the
        cells are not to blame for the rest.
        """
        out = {node for node in among & self.nodes.keys() if self._is_sick(node)}
        if out == among:
            out = {node for node in out if self._is_sick(node, GPU_LOST)}
        return out

    def avoid(self, cell: str, among: set[str]) -> set[str]:
        """Those of the nodes that a cell should not run on, as long as there are others."""
        out = self.left_out(among)
        more = out | self.bad_on.get(cell, set()) & among
        return out if more == among else more

    def to_json(self, addresses: dict[str, str], out: Collection[str]) -> list[NodeHealth]:
        """addresses: of nodes, by id. out: the nodes that are left out."""
        return [
            {
                "node": node,
                "address": addresses.get(node, "unknown"),
                "done": health.counts["done"],
                "failed": health.counts["failed"],
                "died": health.counts["died"],
                "gpu_lost": health.counts["gpu_lost"],
                "left_out": node in out,
                "last_error": health.last_error,
            }
            for node, health in self.nodes.items()
        ]

    def _node(self, node: str) -> _Node:
        return self.nodes.setdefault(node, _Node())

    def _is_sick(self, node: str, hows: Collection[How] = HOWS) -> bool:
        counted = (end for end in self.nodes[node].in_a_row if end.how in hows)
        return len({end.task for end in counted if self._is_the_nodes(end)}) >= IN_A_ROW

    def _is_the_nodes(self, end: BadEnd) -> bool:
        """Whether a bad end speaks against the node, as far as is known."""
        if end.how == "gpu_lost":
            return True
        if end.how == "died" and self.clock() - end.at < NODE_DEATH_KNOWN_AFTER:
            return False  # The node itself may be ending.
        return len(self.bad_on[end.task[0]]) == 1

"""The cluster's living nodes: which there are, what room they have, and where they are."""

import re
import time
from collections.abc import Collection

import ray

from orchestrator.run.slots import Shape, room_in

READ_EVERY = 5.0  # seconds


class LivingNodes:
    """Read from Ray every few seconds."""

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}  # by id, also of nodes that are gone
        self._read_at = float("-inf")
        self._nodes: dict[str, Shape] = {}

    def living(self) -> set[str]:
        """Their ids."""
        return set(self._read())

    def shapes(self, without: Collection[str] = ()) -> list[Shape]:
        """CPUs and GPUs of each."""
        return [shape for node, shape in self._read().items() if node not in without]

    def with_room(self, needed: Shape) -> set[str]:
        """Those that have room for a trial while nothing else runs there."""
        return {node for node, shape in self._read().items() if room_in(shape, needed)}

    def address(self, node: str) -> str:
        return self.addresses.get(node, "unknown")

    def named_in(self, error: str) -> str | None:
        """The node whose address Ray names in a message; None if that is not one node's alone."""
        addresses = set(re.findall(r"\bip[=:] ?([0-9a-f.:]+)", error))
        named = [node for node in self._read() if self.addresses[node] in addresses]
        return named[0] if len(named) == 1 else None

    def _read(self) -> dict[str, Shape]:
        if time.monotonic() - self._read_at > READ_EVERY:
            self._read_at = time.monotonic()
            living = [node for node in ray.nodes() if node["Alive"]]
            self._nodes = {
                node["NodeID"]: (
                    node["Resources"].get("CPU", 0.0),
                    node["Resources"].get("GPU", 0.0),
                )
                for node in living
            }
            self.addresses.update((node["NodeID"], node["NodeManagerAddress"]) for node in living)
        return self._nodes

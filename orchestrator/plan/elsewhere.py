"""Find a cell in a store by its settings, where its key cannot be known.

Keys are made of the digests of data and models and of the installed versions. A machine that only
reads may have other versions, and no data or models at all.
"""

import json
from collections.abc import Collection
from typing import Any

from search_spaces.cell import Cell
from trainables.store import Store


class Elsewhere:
    """The cells of a store besides those that are planned, by the readable part of their keys."""

    def __init__(self, store: Store, planned: Collection[str]) -> None:
        self.store = store
        self.done = store.cells_done()
        self.keys: dict[str, list[str]] = {}
        for key in sorted(store.cells_asked() - set(planned)):
            self.keys.setdefault(name_of(key), []).append(key)

    def find(self, cell: Cell) -> Cell | None:
        """A cell with the same settings; a finished one if there is one."""
        same = (self._read(key) for key in self.keys.get(name_of(cell.key), []))
        cells = [other for other in same if other is not None and _asked(other) == _asked(cell)]
        return min(cells, key=lambda other: other.key not in self.done, default=None)

    def _read(self, key: str) -> Cell | None:
        record = self.store.sound(self.store.read_cell, key)
        return None if record is None else Cell.model_validate(record)


def name_of(key: str) -> str:
    """The readable part of a key."""
    return key.rpartition("-")[0]


def _asked(cell: Cell) -> str:
    """Everything asked of a cell, except digests of files and versions of libraries."""

    def without(part: Any) -> Any:
        if not isinstance(part, dict):
            return part
        left_out = ("digest", "versions", "resources", "format", "code", "split_into_words")
        return {k: without(v) for k, v in part.items() if k not in left_out}

    identity = [without(cell.identity), cell.attack_resources, cell.examples, cell.precision]
    return json.dumps(identity, sort_keys=True)

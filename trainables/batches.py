"""The batches of a fit, in a seeded order, with rows that are added on the way."""

import math
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from search_spaces.space import FitSettings
from trainables.data import Example

WINDOW = 50  # batches whose rows are sorted by length together


@dataclass(frozen=True)
class Moment:
    """A place between two batches of a fit.

    epoch: of the next batch, from 1. begins: whether that is the epoch's first. seen: training
    examples so far; before: the same one batch earlier. round: how often rows were added so far.
    """

    epoch: int
    begins: bool
    seen: int
    before: int
    round: int


class Batches(Iterator[list[Example]]):
    """Batches of all epochs.

    Each row, of `train` or added, is in one batch of each epoch from when it is there. Added in the
    middle of an epoch, rows are mixed with those that are left of it.

    group_by_length: rows are sorted by length within windows of 50 batches, which then come in a
    random order (the Trainer of transformers does the same under that name).
    """

    def __init__(
        self, train: Sequence[Example], settings: FitSettings, shuffle: random.Random
    ) -> None:
        self._train, self._settings, self._shuffle = train, settings, shuffle
        self._added: list[Example] = []
        self._epoch, self._begins, self._step = 1, True, 0.0
        self._seen = self._before = self._rounds = 0
        # What is left of this epoch: rows, or batches once the next one is asked for.
        self._rows: list[Example] = list(train)
        self._batches: deque[list[Example]] = deque()
        self._left = len(self._rows)

    @property
    def moment(self) -> Moment:
        return Moment(self._epoch, self._begins, self._seen, self._before, self._rounds)

    @property
    def ended(self) -> bool:
        return self._epoch > self._settings.max_epochs

    @property
    def total(self) -> int:
        """Training examples in all epochs, if none are added any more."""
        if self.ended:
            return self._seen
        later = self._settings.max_epochs - self._epoch
        return self._seen + self._left + later * (len(self._train) + len(self._added))

    @property
    def step(self) -> float:
        """The number of the next step, from 0. An epoch counts as many as it has without added
        rows: what is left of them is shared by the batches that are left."""
        return self._step

    def add(self, rows: Sequence[Example], keep: bool) -> None:
        """Add rows from here on. keep: those added before stay; otherwise these replace them.

        Where that changes nothing, the order stays as it is. Where nothing is left of the epoch, it
        ends.
        """
        self._rounds += 1
        if not rows and (keep or not self._added):
            return
        rest = self._rows or [example for batch in self._batches for example in batch]
        if not keep:
            gone = set(map(id, self._added))
            rest = [example for example in rest if id(example) not in gone]
            self._added = []
        new = [replace(row) for row in rows]  # told from others that are equal
        self._added = [*self._added, *new]
        self._begin([*rest, *new])

    def __next__(self) -> list[Example]:
        if self.ended:
            raise StopIteration
        if self._rows:
            self._batches = deque(self._in_order(self._rows))
            self._rows = []
        steps = self._epoch * math.ceil(len(self._train) / self._settings.batch_size)
        self._step += (steps - self._step) / len(self._batches)
        batch = self._batches.popleft()
        self._before, self._seen = self._seen, self._seen + len(batch)
        self._left -= len(batch)
        self._begins = False
        if not self._batches:
            self._begin([])
        return batch

    def _begin(self, rows: list[Example]) -> None:
        """Go on with these rows of the epoch, or with the next epoch."""
        if not rows:
            self._epoch, self._begins = self._epoch + 1, True
            rows = [*self._train, *self._added]
        self._rows, self._left = rows, len(rows)
        self._batches.clear()

    def _in_order(self, rows: list[Example]) -> list[list[Example]]:
        size, order = self._settings.batch_size, list(rows)
        self._shuffle.shuffle(order)
        if self._settings.group_by_length:
            many = WINDOW * size
            windows = (order[i : i + many] for i in range(0, len(order), many))
            order = [e for window in windows for e in sorted(window, key=_characters)]
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        if self._settings.group_by_length:
            self._shuffle.shuffle(batches)
        return batches


def _characters(example: Example) -> int:
    return sum(map(len, example.texts))

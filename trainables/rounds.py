"""Rounds of a fit: rows that its training makes on the way, often by attacking the head as it is.

What was attacked in a round that was cut off is not attacked again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from trainables.attacks.in_fits import Attack
from trainables.batches import Moment
from trainables.data import Example
from trainables.deterministic import deterministic, each_within
from trainables.heads.base import Head
from trainables.random_states import as_if_nothing_happened, seed_all
from trainables.snapshot import HowFar
from trainables.training.base import Attacker, Training


@dataclass(frozen=True)
class Rounds:
    """What rounds are made with.

    train: the clean training rows. attack: None for a training that names none. deterministic:
    whether the fit uses deterministic algorithms: attacks then use them where there are any.
    """

    seed: int
    head: Head
    training: Training
    train: Sequence[Example]
    attack: Attack | None
    deterministic: bool

    def make(
        self, moment: Moment, so_far: HowFar, is_due: Callable[[], bool], keep: Callable[[], None]
    ) -> Iterator[None]:
        """Make a round and add its rows to what is done; yields as a sign of life.

        keep: keeps a snapshot; it is called where `is_due` says so.
        """
        rows = list[Example]()
        device = self.head.device
        with as_if_nothing_happened(device) as before:
            seed_all(f"{self.seed}/rows/{moment.round}")
            made = self.training.new_rows(
                moment, self.head.eval(), tuple(self.train), self._attacker(so_far)
            )
            within = (lambda: deterministic(strict=False)) if self.deterministic else nullcontext
            for row in each_within(within, iter(made)):
                if row is not None:
                    rows.append(row)
                elif is_due():
                    with as_if_nothing_happened(device):
                        before.put_back()
                        keep()
                yield
        so_far.rounds.append(rows)
        so_far.tried = {}

    def _attacker(self, so_far: HowFar) -> Attacker:
        def attacker(head: Head, rows: Sequence[Example], round: int) -> Iterator[Example | None]:
            if self.attack is None:
                raise ValueError("the training's settings name no attack (settings.attack)")
            left = [row for row in rows if row.id not in so_far.tried]
            for tried in self.attack(head, left, round):
                so_far.tried[tried.row] = tried.found
                so_far.attack_errors += tried.error
                yield None
            yield from filter(None, (so_far.tried[row.id] for row in rows))

        return attacker

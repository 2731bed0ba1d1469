"""Adversarial data augmentation: examples that an attack finds become training rows.

Rounds of it are made within the fit, on the model as it is by then (docs/protocol.md, "Training").
"""

import random
from collections.abc import Iterator, Sequence

import torch.nn.functional as F
from torch import Tensor

from search_spaces.trainings import rows_attacked
from trainables.batches import Moment
from trainables.data import Example
from trainables.heads.base import Batch, Head
from trainables.training.base import Attacker, Training


class Ada(Training):
    """settings: `attack` (of the catalog); `attacked_rows` a round (a number, or below 1 a share of
    the training rows), drawn anew each time; a round at the beginning of epoch `from_epoch` and all
    later ones, or after `every` so many training examples; `keep_rows` of earlier rounds, or not.
    """

    def build(self, head: Head) -> None:
        self.keeps_rows = self.settings["keep_rows"]

    def losses(self, head: Head, batch: Batch, labels: Tensor) -> Iterator[Tensor]:
        yield F.cross_entropy(head.score(batch), labels)

    def is_due(self, moment: Moment) -> bool:
        first, every = self.settings["from_epoch"], self.settings["every"]
        if first is not None:
            return moment.begins and moment.epoch >= first
        return bool(moment.seen // every > moment.before // every)

    def new_rows(
        self, moment: Moment, head: Head, rows: Sequence[Example], attack: Attacker
    ) -> Iterator[Example | None]:
        drawn = random.sample(rows, rows_attacked(self.settings, len(rows)))
        yield from attack(head, drawn, moment.round)

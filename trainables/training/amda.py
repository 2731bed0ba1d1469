"""AMDA: adversarial data augmentation and mixup together (Si et al., Findings of ACL 2021).

A step on a batch of clean and adversarial rows follows the cross entropy plus the loss of the same
texts mixed in pairs (mixup.py), with equal weights (docs/protocol.md, "Training").
"""

from collections.abc import Iterator

from torch import Tensor

from trainables.heads.base import Batch, Head
from trainables.heads.hidden import check_reads_states, layers_of
from trainables.training.ada import Ada
from trainables.training.mixup import drawn, mixed_logits, mixed_loss


class Amda(Ada):
    """settings: those of Ada; `mix` (smix or tmix); `layers`, one of which is drawn a batch, as
    shares of the depth; `beta`, of the distribution of the share of a text's own states.

    Which texts share a batch matters, so that a step cannot be divided.
    """

    splits = False

    def build(self, head: Head) -> None:
        super().build(head)
        check_reads_states(head)
        layers_of(head)

    def losses(self, head: Head, batch: Batch, labels: Tensor) -> Iterator[Tensor]:
        yield from super().losses(head, batch, labels)
        own = self.settings
        mix = drawn(own["mix"], own["beta"], own["layers"], len(labels), head)
        yield mixed_loss(mixed_logits(head, batch, mix), labels, mix)

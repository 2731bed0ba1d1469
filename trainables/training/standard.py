"""Plain fine-tuning: cross entropy on the clean batch."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from trainables.heads.base import Batch, Head


def standard_loss(head: Head, batch: Batch, labels: Tensor, settings: dict[str, Any]) -> Tensor:
    """Mean cross entropy; has no settings."""
    return F.cross_entropy(head.score(batch), labels)

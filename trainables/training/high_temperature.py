"""Cross entropy of logits divided by a large temperature, which makes them large.

Attacks that follow probabilities then find little to follow: the model looks robust, and is not
(Raina et al., ACL 2024). A control: kinds of attack score that do not saturate show no such gain.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from trainables.heads.base import Batch, Head


def high_temperature_loss(
    head: Head, batch: Batch, labels: Tensor, settings: dict[str, Any]
) -> Tensor:
    """Mean cross entropy; settings: `temperature`."""
    return F.cross_entropy(head.score(batch) / settings["temperature"], labels)

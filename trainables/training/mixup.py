"""Mixup of the hidden states of pairs of texts in a batch, as MixADA has it (Si et al. 2021).

A text is mixed with its partner after a layer of the language model: `smix` the state that the head
reads, `tmix` every state of places where both have a token. What follows reads the mixed states
behind the text's own attention mask.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.heads.base import Batch, Head
from trainables.heads.hidden import changed_after, layers_of, places

SMIX, TMIX = "smix", "tmix"


@dataclass(frozen=True)
class Mix:
    """share: λ, of a text's own states. partners: each text's [texts]. layer: after which, from 1;
    after the last one only the states that the head reads are mixed."""

    kind: str
    share: float
    partners: Tensor
    layer: int


def drawn(kind: str, beta: float, shares: list[float], texts: int, head: Head) -> Mix:
    """A mix with λ of the distribution Beta(beta, beta), by torch's global generator.

    shares: of the depth, rounded up, of the layers that one is drawn from.
    """
    share = torch.distributions.Beta(beta, beta).sample().item()
    depth = len(layers_of(head))
    layer = math.ceil(shares[int(torch.randint(len(shares), ()))] * depth - 1e-9)
    return Mix(kind, share, torch.randperm(texts), layer)


def mixed_logits(head: Head, batch: Batch, mix: Mix) -> Tensor:
    """Logits [texts, classes] of mixed hidden states."""
    texts = len(mix.partners)
    # Sequences come by template: all texts under the first, then under the second.
    first = torch.arange(0, len(batch.attention_mask), texts)[:, None]
    partners = (first + mix.partners).flatten().to(batch.attention_mask.device)
    own = mix.share

    def change(hidden: Tensor) -> Tensor:
        if mix.kind == TMIX and mix.layer < len(layers_of(head)):
            real = batch.attention_mask.bool()
            both = (real & real[partners])[:, :, None]
            return torch.where(both, own * hidden + (1 - own) * hidden[partners], hidden)
        rows, columns = places(batch)
        there = hidden[rows, columns]
        return hidden.index_put((rows, columns), own * there + (1 - own) * there[partners])

    with changed_after(head, mix.layer, change):
        return head.score(batch)


def mixed_loss(logits: Tensor, labels: Tensor, mix: Mix) -> Tensor:
    """Mean Kullback-Leibler divergence [] of the mixed labels from what is predicted."""
    classes = F.one_hot(labels, logits.shape[1]).to(logits.dtype)
    target = mix.share * classes + (1 - mix.share) * classes[mix.partners.to(labels.device)]
    return F.kl_div(F.log_softmax(logits, dim=1), target, reduction="batchmean")

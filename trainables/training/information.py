"""Bounds on mutual information between embeddings and hidden states, as InfoBERT has them.

Pairs of random vectors in, estimates in nats out. Knows nothing of heads.
"""

import math

import torch
from torch import Tensor, nn


def upper_bound(x: Tensor, exact: bool) -> Tensor:
    """An upper bound [] on the information that embeddings x [tokens, width] have of their tokens.

    CLUB (Cheng et al. 2020) with a normal distribution of unit variance around each: half the mean
    squared distance of two tokens drawn at random. exact: its expectation, the sum of the variances
    of all dimensions.
    """
    if exact:
        return x.var(dim=0, unbiased=False).sum()
    other = x[torch.randint(len(x), (len(x),), device=x.device)]
    return (x - other).square().sum(dim=1).mean() / 2


def lower_bound(x: Tensor, z: Tensor, critic: nn.Module, chunk: int) -> Tensor:
    """A lower bound [] on the information between pairs x [pairs, width] and z [pairs, width'].

    InfoNCE (van den Oord et al. 2018), a mean over chunks of so many pairs in random order; a last
    chunk of one pair is left out, and without any chunk it is 0. critic: of a Critic.
    """
    order = torch.randperm(len(x), device=x.device)
    found = [_of_chunk(x[rows], z[rows], critic) for rows in order.split(chunk) if len(rows) > 1]
    return torch.stack(found).mean() if found else x.new_zeros(())


def _of_chunk(x: Tensor, z: Tensor, critic: nn.Module) -> Tensor:
    """Of n pairs; at most log n."""
    scores: Tensor = critic(x[:, None].expand(-1, len(z), -1), z[None].expand(len(x), -1, -1))
    return scores.diagonal().mean() - (scores.logsumexp(dim=0).mean() - math.log(len(x)))


class Critic(nn.Module):
    """Scores [...] of pairs x [..., width] and z [..., width'], positive."""

    def __init__(self, width: int, other: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width + other, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Softplus()
        )

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        scores: Tensor = self.layers(torch.cat([x, z], dim=-1))
        return scores.squeeze(-1)


def anchored(influence: Tensor, real: Tensor, keep_from: float, keep_to: float) -> Tensor:
    """Which tokens are kept as features [sequences, length]: those of middling influence.

    influence: of each token [sequences, length]. real: 1 or 0, whether it is one. In a sequence of
    n tokens, ranked from the least influential, ranks ⌈keep_from n⌉ to ⌈keep_to n⌉ - 1 from 0: the
    rest is of no use, or easily changed by an attack.
    """
    there = real.bool()
    ranks = influence.masked_fill(~there, torch.inf).argsort(dim=1).argsort(dim=1)
    count = there.sum(dim=1, keepdim=True).double()
    first, end = (count * keep_from).ceil(), (count * keep_to).ceil()
    return there & (ranks >= first) & (ranks < end)

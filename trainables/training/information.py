"""Bounds on mutual information between embeddings and hidden states, as InfoBERT has them.

Pairs of random vectors in, estimates in nats out. Knows nothing of heads.
"""

import math

import torch
import torch.nn.functional as F
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
    chunk of one pair is left out, and without any chunk it is 0. critic: scores, as a Critic.
    """
    order = torch.randperm(len(x), device=x.device)
    whole = len(x) // chunk * chunk
    chunks = [order[:whole].view(-1, chunk), order[whole:][None]]
    found = [
        _of_chunks(critic(x[rows], z[rows])) for rows in chunks if len(rows) and rows.shape[1] > 1
    ]
    return torch.cat(found).mean() if found else x.new_zeros(())


def _of_chunks(scores: Tensor) -> Tensor:
    """Of scores [chunks, n, n], at most log n each."""
    own = scores.diagonal(dim1=1, dim2=2).mean(dim=1)
    return own - scores.logsumexp(dim=1).mean(dim=1) + math.log(scores.shape[1])


class Critic(nn.Module):
    """Scores [..., n, n], positive, of each x of [..., n, width] with each z of [..., n, width'].

    Linear, ReLU, linear, softplus on the two together.
    """

    def __init__(self, width: int, other: int, hidden: int) -> None:
        super().__init__()
        self.widths = [width, other]
        self.first, self.last = nn.Linear(width + other, hidden), nn.Linear(hidden, 1)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        # The first layer of each x and z by itself: n products instead of n times n.
        of_x, of_z = self.first.weight.split(self.widths, dim=1)
        with_x, with_z = F.linear(x, of_x), F.linear(z, of_z, self.first.bias)
        hidden = with_x[..., :, None, :] + with_z[..., None, :, :]
        return F.softplus(self.last(hidden.relu())).squeeze(-1)


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

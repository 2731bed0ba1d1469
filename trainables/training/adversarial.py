"""Adversarial training: the loss at a perturbation of the input embeddings that makes it large.

δ starts at random in a ball of radius ε, or on its sphere, and is moved K steps of size α along the
gradient of the loss, projected back into the ball after each (docs/protocol.md, "Training"; Madry
et al. 2018, in embedding space as Miyato et al. 2017). The update uses the loss at the final δ
alone: gradients of the inner steps are not accumulated. Padding is never perturbed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.heads.base import Batch, Head
from trainables.training.perturbation import (
    TINY,
    length,
    perturbed,
    project,
    real,
    shape_of,
    uniform,
)


def adversarial_loss(head: Head, batch: Batch, labels: Tensor, settings: dict[str, Any]) -> Tensor:
    """Mean cross entropy at the perturbation found.

    settings: `norm` (l2, over a whole sequence, or linf), `epsilon` (radius), `steps` (K),
    `step_size` (α; null for 1.5 ε / K), `start` (`ball`, or `sphere` for random_on_sphere),
    `inner_dropout` (whether steps of δ have dropout; that of the weights always has).
    """
    norm, epsilon, steps = settings["norm"], settings["epsilon"], settings["steps"]
    step_size = settings["step_size"] or 1.5 * epsilon / steps
    delta = STARTS[settings["start"]](head, batch, norm, epsilon)
    for _ in range(steps):
        delta.requires_grad_(True)
        with _dropout(head, settings["inner_dropout"]), perturbed(head, delta):
            loss = F.cross_entropy(head.score(batch), labels)
        (gradient,) = torch.autograd.grad(loss, delta)
        moved = delta.detach() + step_size * _unit(gradient, norm) * real(batch)
        delta = project(moved, norm, epsilon)
    with perturbed(head, delta):
        return F.cross_entropy(head.score(batch), labels)


def random_in_ball(head: Head, batch: Batch, norm: str, epsilon: float) -> Tensor:
    """A random δ [sequences, length, width] in the ball, zero on padding."""
    if norm == "linf":
        return (uniform(head, batch) * 2 - 1) * epsilon * real(batch)
    normal = torch.randn(shape_of(head, batch), device=batch.attention_mask.device)
    direction = _unit(normal * real(batch), norm)
    radius = torch.rand((len(normal), 1, 1), device=normal.device)
    return direction * epsilon * radius


def random_on_sphere(head: Head, batch: Batch, norm: str, epsilon: float) -> Tensor:
    """A random δ [sequences, length, width] of length ε, zero on padding; as in the paper's code.

    Its direction is not uniform: a component is u (2u - 1) for u uniform in [0, 1), whose mean is
    1/6. norm: l2; there is no sphere of linf.
    """
    u = uniform(head, batch)
    return _unit(u * (2 * u - 1) * real(batch), norm) * epsilon


STARTS = {"ball": random_in_ball, "sphere": random_on_sphere}


@contextmanager
def _dropout(head: Head, on: bool) -> Iterator[None]:
    """In this block the head is in evaluation mode if dropout is not to be on."""
    training = head.training
    head.train(training and on)
    try:
        yield
    finally:
        head.train(training)


def _unit(gradient: Tensor, norm: str) -> Tensor:
    return gradient.sign() if norm == "linf" else gradient / length(gradient).clamp_min(TINY)

"""Adversarial training: the loss at a perturbation of the input embeddings that makes it large.

δ starts at random in a ball of radius ε and is moved K steps of size α along the gradient of the
loss, projected back into the ball after each (docs/protocol.md, "Training"; Madry et al. 2018, in
embedding space as Miyato et al. 2017). The update uses the loss at the final δ alone: gradients
of the inner steps are not accumulated. Padding is never perturbed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.heads.base import Batch, Head


def adversarial_loss(head: Head, batch: Batch, labels: Tensor, settings: dict[str, Any]) -> Tensor:
    """Mean cross entropy at the perturbation found.

    settings: `norm` (l2, over a whole sequence, or linf), `epsilon` (radius), `steps` (K),
    `step_size` (α; null for 1.5 ε / K).
    """
    norm, epsilon, steps = settings["norm"], settings["epsilon"], settings["steps"]
    step_size = settings["step_size"] or 1.5 * epsilon / steps
    delta = random_in_ball(head, batch, norm, epsilon)
    for _ in range(steps):
        delta.requires_grad_(True)
        with perturbed(head, delta):
            loss = F.cross_entropy(head.score(batch), labels)
        (gradient,) = torch.autograd.grad(loss, delta)
        moved = delta.detach() + step_size * _unit(gradient, norm) * _real(batch)
        delta = project(moved, norm, epsilon)
    with perturbed(head, delta):
        return F.cross_entropy(head.score(batch), labels)


def random_in_ball(head: Head, batch: Batch, norm: str, epsilon: float) -> Tensor:
    """A random δ [sequences, length, width] in the ball, zero on padding."""
    embeddings = head.model.get_input_embeddings()
    shape = (*batch.attention_mask.shape, embeddings.weight.shape[1])
    device = batch.attention_mask.device
    if norm == "linf":
        return (torch.rand(shape, device=device) * 2 - 1) * epsilon * _real(batch)
    direction = _unit(torch.randn(shape, device=device) * _real(batch), norm)
    return direction * epsilon * torch.rand((shape[0], 1, 1), device=device)


def project(delta: Tensor, norm: str, epsilon: float) -> Tensor:
    """The nearest point of the ball."""
    if norm == "linf":
        return delta.clamp(-epsilon, epsilon)
    length = delta.flatten(1).norm(dim=1).clamp_min(1e-12)
    return delta * (epsilon / length).clamp(max=1)[:, None, None]


@contextmanager
def perturbed(head: Head, delta: Tensor) -> Iterator[None]:
    """In this block, δ is added to the output of the model's input embedding layer."""
    layer = head.model.get_input_embeddings()
    hook = layer.register_forward_hook(lambda _layer, _inputs, embedded: embedded + delta)
    try:
        yield
    finally:
        hook.remove()


def _unit(gradient: Tensor, norm: str) -> Tensor:
    if norm == "linf":
        return gradient.sign()
    return gradient / gradient.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None]


def _real(batch: Batch) -> Tensor:
    return batch.attention_mask[:, :, None]

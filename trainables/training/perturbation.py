"""Perturbations δ of input embeddings [sequences, length, width], never of padding.

A norm is over a whole sequence: l2, or linf.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from trainables.heads.base import Batch, Head

TINY = 1e-12


@contextmanager
def perturbed(head: Head, delta: Tensor) -> Iterator[None]:
    """In this block, δ is added to the output of the model's input embedding layer."""
    layer = head.model.get_input_embeddings()
    hook = layer.register_forward_hook(lambda _layer, _inputs, embedded: embedded + delta)
    try:
        yield
    finally:
        hook.remove()


def shape_of(head: Head, batch: Batch) -> tuple[int, ...]:
    """Of a perturbation of a batch."""
    width: int = head.model.get_input_embeddings().weight.shape[1]
    return (*batch.attention_mask.shape, width)


def uniform(head: Head, batch: Batch) -> Tensor:
    """Uniform in [0, 1), padding included."""
    return torch.rand(shape_of(head, batch), device=batch.attention_mask.device)


def real(batch: Batch) -> Tensor:
    """1 for tokens and 0 for padding [sequences, length, 1]."""
    return batch.attention_mask[:, :, None]


def length(delta: Tensor, norm: str = "l2") -> Tensor:
    """The norm of each sequence [sequences, 1, 1]."""
    flat = delta.flatten(1)
    size = flat.norm(dim=1) if norm == "l2" else flat.abs().amax(dim=1)
    return size[:, None, None]


def project(delta: Tensor, norm: str, radius: float) -> Tensor:
    """The nearest point of the ball."""
    if norm == "linf":
        return delta.clamp(-radius, radius)
    return delta * (radius / length(delta).clamp_min(TINY)).clamp(max=1)

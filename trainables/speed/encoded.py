"""A fit's rows as token ids, made in the first epoch and kept for the others."""

import pickle
import random
from collections.abc import Callable, Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables import speed
from trainables.heads.base import Batch, Head, Layout, Texts

MOST = 2**30  # bytes kept, about; rows beyond are tokenized in each epoch
OVERHEAD = 512  # bytes of a tensor beside its numbers


def encoded_once(head: Head, most: int = MOST) -> Callable[[Texts], Batch]:
    """`head.encode` that keeps each text's tokens, up to `most` bytes of them.

    Batches are equal to those of `head.encode`. A head whose batches have no layout encodes anew,
    and so does one that draws random numbers for them (by the global generators), from then on.
    """
    if not speed.is_on("encoded"):
        return head.encode
    kept: dict[tuple[str, ...], Batch] = {}
    room = most

    def encode(texts: Texts) -> Batch:
        nonlocal room
        new = [text for text in dict.fromkeys(texts) if text not in kept]
        if new:
            if room <= 0:
                return head.encode(texts)
            before = _random_states()
            encoded = head.encode(texts)
            if encoded.layout is None or _random_states() != before:
                kept.clear()
                room = 0
                return encoded
            longest = encoded.layout.longest()
            for text in new:
                number = texts.index(text)
                row = kept[text] = _narrow(encoded.take([number], longest[number]))
                room -= sum(OVERHEAD + tensor.nbytes for tensor in _tensors(row))
            return encoded
        return _joined([kept[text] for text in texts])

    return encode


def _random_states() -> tuple[bytes, ...]:
    of_numpy = np.random.get_state(legacy=False)
    return tuple(
        map(pickle.dumps, (random.getstate(), of_numpy, torch.get_rng_state().numpy().tobytes()))
    )


def _joined(rows: list[Batch]) -> Batch:
    """One batch of batches of one text each, padded to the longest."""
    layout = rows[0].layout
    assert layout is not None
    length = max(row.attention_mask.shape[1] for row in rows)

    def of_all(tensors: Iterable[Tensor]) -> Tensor:
        """[per_text, …] of each row as [per_text × rows, …]: all first sequences, all second …"""
        return torch.stack(list(tensors), dim=1).flatten(0, 1).long()

    def padded(tensor: Tensor, padding: int) -> Tensor:
        return F.pad(tensor, (0, length - tensor.shape[1]), value=padding)

    def optional(tensors: list[Tensor | None]) -> Tensor | None:
        present = [tensor for tensor in tensors if tensor is not None]
        return of_all(present) if present else None

    inputs = {
        name: of_all(padded(row.inputs[name], layout.padding.get(name, 0)) for row in rows)
        for name in rows[0].inputs
    }
    real = optional([None if row.real is None else padded(row.real, 0) for row in rows])
    lengths = of_all(row.layout.lengths for row in rows if row.layout is not None)
    whole = Layout(lengths, layout.per_text, layout.limit, layout.padding)
    return Batch(inputs, optional([row.positions for row in rows]), real, whole)


def _narrow(row: Batch) -> Batch:
    """With 32 bits a number."""
    inputs = {name: tensor.int() for name, tensor in row.inputs.items()}
    real = None if row.real is None else row.real.int()
    return Batch(inputs, row.positions, real, row.layout)


def _tensors(row: Batch) -> list[Tensor]:
    return [*row.inputs.values(), *(t for t in (row.positions, row.real) if t is not None)]

"""A causal model's layers computed once for all texts of a batch that begin alike.

A token's hidden state depends on the tokens up to it alone. The texts that an attack tries differ
in a word or two, so half of a batch's rows, those before the first difference, are equal. Hidden
states are kept as [rows, width], one for each different beginning; only attention, which needs
sequences, gets them back. A row's product does not depend on the others (linear.py).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables import speed
from trainables.heads.base import Batch
from trainables.speed.first_layer import Repeats
from trainables.speed.linear import is_batch_invariant

WORTH_IT = 0.9  # at most this share of the tokens has a beginning of its own


class Beginnings:
    """The different beginnings of a batch's texts.

    first: for each a place that it ends at, among all places row by row. of: of each place the
    number of its beginning [sequences, length]; padding has any.
    """

    def __init__(self, first: Tensor, of: Tensor) -> None:
        self.first, self.of = first, of

    def pack(self, padded: Tensor) -> Tensor:
        """[sequences, length, width] to [beginnings, width]."""
        return padded.flatten(0, 1).index_select(0, self.first)

    def unpack(self, packed: Tensor) -> Tensor:
        """[beginnings, width] to [sequences, length, width]."""
        return packed.index_select(0, self.of.flatten()).view(*self.of.shape, -1)


def beginnings(model: Any, batch: Batch) -> Beginnings | None:
    """Of a batch on a CPU, where there are neither dropout nor gradients; None if it saves little.

    What a token attends to must depend on tokens and positions up to it alone.
    """
    ids = batch.inputs["input_ids"]
    if (
        ids.device.type != "cpu"
        or batch.layout is None
        or model.training
        or torch.is_grad_enabled()
        or not (speed.is_on("beginnings") and is_batch_invariant())
    ):
        return None
    key = ids.numpy().astype(np.int64)
    for name in ("position_ids", "token_type_ids"):
        if name in batch.inputs:
            values = batch.inputs[name].numpy()
            key = key * (int(values.max()) + 1) + values
    lengths = batch.layout.lengths.numpy()
    _, codes = np.unique(key, return_inverse=True)
    codes = codes.reshape(key.shape)
    span, width = int(codes.max()) + 1, key.shape[1]
    of = np.zeros(key.shape, np.int64)
    before = np.zeros(len(key), np.int64)
    firsts, count = [], 0
    for place in range(int(lengths.max())):
        rows = np.flatnonzero(lengths > place)
        ends = before[rows] * span + codes[rows, place]
        _, first, number = np.unique(ends, return_index=True, return_inverse=True)
        firsts.append(rows[first] * width + place)
        before[rows] = number
        of[rows, place] = count + number
        count += len(first)
    if count > WORTH_IT * int(lengths.sum()):
        return None
    return Beginnings(torch.from_numpy(np.concatenate(firsts)), torch.from_numpy(of))


def block_once(
    block: Any, found: Beginnings, is_first: bool, repeated: Repeats | None
) -> Callable[..., tuple[Tensor]]:
    """A forward for a GPT-2's block on [beginnings, width]; the first one gets all places.

    repeated: which of the rows are equal when they enter the first block.
    """
    attention = block.attn

    def forward(
        hidden: Tensor,
        past_key_values: Any = None,
        cache_position: Any = None,
        attention_mask: Tensor | None = None,
        *_: Any,
        **__: Any,
    ) -> tuple[Tensor]:
        rows = found.pack(hidden) if is_first else hidden
        normed = block.ln_1(rows)
        project = attention.c_attn
        projected = repeated.once(project, normed) if repeated else project(normed)
        split = (attention.num_heads, attention.head_dim)
        queries, keys, values = (
            found.unpack(part).unflatten(2, split).transpose(1, 2)
            for part in projected.split(attention.split_size, dim=1)
        )
        attended = F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=attention_mask, is_causal=attention_mask is None
        )
        rows = attention.c_proj(found.pack(attended.transpose(1, 2).flatten(2))) + rows
        return (rows + block.mlp(block.ln_2(rows)),)

    return forward

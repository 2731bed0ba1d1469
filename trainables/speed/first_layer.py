"""The first layer's queries, keys and values computed once for each different token and place.

What enters the first layer depends on a token and its place in the text alone, and the texts that
an attack tries differ in a word or two: few of the rows of a batch of them are different. Only
those are projected; a row's product does not depend on the others (linear.py). This saves a third
of the arithmetic of a model of two layers that reads one place, a fortieth of one of twelve.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables import speed
from trainables.heads.base import Batch
from trainables.speed.linear import is_batch_invariant

WORTH_IT = 0.7  # at most this share of the rows is different


@dataclass
class Repeats:
    """Which of some rows are equal. first: the first of each kind. of: each row's kind."""

    first: Tensor
    of: Tensor

    def once(self, project: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """`project` of x [..., width], whose rows are equal where the first layer's are."""
        rows = x.reshape(-1, x.shape[-1])
        found = project(rows.index_select(0, self.first)).index_select(0, self.of)
        return found.view(*x.shape[:-1], -1)


def repeats(model: Any, batch: Batch, tokens: Tensor | None) -> Repeats | None:
    """Which rows of the first layer's input are equal, on a CPU, without dropout and gradients.

    tokens: the places that are among the rows; None for all. None if it would save little.
    """
    ids = batch.inputs["input_ids"]
    if (
        ids.device.type != "cpu"
        or model.training
        or torch.is_grad_enabled()
        or not (speed.is_on("first_layer") and is_batch_invariant())
    ):
        return None
    columns = [ids, torch.arange(ids.shape[1]).expand_as(ids)]
    padding = model.config.pad_token_id
    if padding is not None:  # RoBERTa does not count padding within a text as a place
        columns.append((ids != padding).cumsum(dim=1))
    columns += [batch.inputs[n] for n in ("position_ids", "token_type_ids") if n in batch.inputs]
    key = torch.zeros_like(ids)
    for column in columns:
        key = key * (int(column.max()) + 1) + column
    rows = key.flatten() if tokens is None else key.flatten()[tokens]
    _, first, of = np.unique(rows.numpy(), return_index=True, return_inverse=True)
    if len(first) > WORTH_IT * len(rows):
        return None
    return Repeats(torch.from_numpy(first), torch.from_numpy(of))

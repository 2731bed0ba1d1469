"""The first layer's queries, keys and values computed once for each different token and place.

What enters the first layer depends on a token and its place in the text alone, and the texts that
an attack tries differ in a word or two: of the rows of a batch of them a tenth are different. Only
those are projected; a row's product does not depend on the others (linear.py). Under attack this
saves a third of the arithmetic in a model of two layers, a fiftieth in one of twelve.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

WORTH_IT = 0.7  # at most this share of the rows is different


@dataclass
class Repeats:
    """Which rows of [rows, width] are equal. first: one of each kind. of: each row's kind."""

    first: Tensor
    of: Tensor

    def once(self, function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """`function` of rows, each computed by itself."""
        return function(rows.index_select(0, self.first)).index_select(0, self.of)


def repeats(columns: list[Tensor]) -> Repeats | None:
    """Rows that are equal in all these columns [rows] of integers; None if few are."""
    key = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        values = column.numpy()
        key = key * (int(values.max(initial=0)) + 1) + values
    _, first, of = np.unique(key, return_index=True, return_inverse=True)
    if len(first) > WORTH_IT * len(key):
        return None
    return Repeats(torch.from_numpy(first), torch.from_numpy(of))

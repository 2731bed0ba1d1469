"""AdamW that spends nothing on the words no text has: same steps as torch's, less to do.

A fit of a small data set meets a sixth of the vocabulary. The other rows of the embedding table
have no gradient and no moments. All that AdamW does to them is to shrink them by weight decay, and
that is left until somebody looks. The rows that were met, once is enough, are kept together and
stepped by torch's own AdamW.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw


class AdamW:
    """torch.optim.AdamW for the parameters of a model whose embedding table has sparse gradients.

    Parameters with dense gradients are stepped as ever. Whoever looks at the table's rows after a
    step says so before it: `settle`.
    """

    def __init__(self, model: nn.Module, learning_rate: float, weight_decay: float) -> None:
        self.parameters = list(model.parameters())
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.dense = torch.optim.AdamW(
            self.parameters, lr=learning_rate, weight_decay=weight_decay, fused=True
        )
        self.tables: dict[Tensor, MetRows] = {}

    def zero_grad(self) -> None:
        self.dense.zero_grad()

    @torch.no_grad()
    def step(self) -> None:
        for parameter in self.parameters:
            if parameter.grad is not None and parameter.grad.is_sparse:
                if parameter not in self.tables:
                    self.tables[parameter] = MetRows(
                        parameter, self.learning_rate, self.weight_decay
                    )
                self.tables[parameter].step(parameter.grad.coalesce())
                parameter.grad = None
        self.dense.step()

    @torch.no_grad()
    def settle(self, rows: Tensor | None = None) -> None:
        """Bring a table's rows up to date. rows: their numbers, in any shape; None for all."""
        for table in self.tables.values():
            if rows is None:
                table.settle()
            else:
                table.meet(rows.unique())


class MetRows:
    """The rows of a table that had a gradient, in the order in which they were met."""

    def __init__(self, table: Tensor, lr: float, weight_decay: float) -> None:
        self.table = table
        self.lr, self.weight_decay = lr, weight_decay
        self.place = torch.full((len(table),), -1)  # of each row of the table, -1: not met
        self.rows = torch.empty(0, dtype=torch.long)
        # As large as the table; what is not met is never touched, and takes no memory.
        self.values, self.gradient, self.mean, self.square = (
            torch.empty_like(table) for _ in range(4)
        )
        self.steps = torch.tensor(0.0)
        self.not_decayed = 0  # steps that rows not met have not seen yet

    def step(self, gradient: Tensor) -> None:
        """A step of AdamW. gradient: sparse and coalesced, of the table's shape."""
        found = gradient.indices()[0]
        self.meet(found)
        count = len(self.rows)
        self.gradient[:count].zero_()
        self.gradient.index_copy_(0, self.place[found], gradient.values())
        adamw(
            [self.values[:count]],
            [self.gradient[:count]],
            [self.mean[:count]],
            [self.square[:count]],
            [],
            [self.steps],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.lr,
            weight_decay=self.weight_decay,
            eps=1e-8,
            maximize=False,
        )
        self.table.index_copy_(0, self.rows, self.values[:count])
        self.not_decayed += 1

    def settle(self) -> None:
        self.table.mul_(self._decay())
        self.table.index_copy_(0, self.rows, self.values[: len(self.rows)])
        self.not_decayed = 0

    def meet(self, rows: Tensor) -> None:
        """Take in those of some rows that are new; from then on the table is right about them."""
        new = rows[self.place[rows] < 0]
        places = torch.arange(len(self.rows), len(self.rows) + len(new))
        self.place[new] = places
        self.values[places] = self.table[new] * self._decay()
        self.mean[places] = self.square[places] = 0.0
        self.table[new] = self.values[places]
        self.rows = torch.cat([self.rows, new])

    def _decay(self) -> float:
        return float((1 - self.lr * self.weight_decay) ** self.not_decayed)


def have_sparse_gradients(model: Any) -> None:
    """Give a model's embedding table sparse gradients, wherever the table is looked up.

    A model without one is left as it is. On a CPU only: a GPU steps the whole table in less time
    than it takes to find the rows met.
    """
    layer = model.get_input_embeddings() if hasattr(model, "get_input_embeddings") else None
    if isinstance(layer, nn.Embedding):
        for module in model.modules():
            if hasattr(module, "sparse") and module.weight is layer.weight:
                module.sparse = layer.weight.device.type == "cpu"

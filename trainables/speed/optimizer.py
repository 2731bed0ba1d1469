"""AdamW that skips embedding rows whose tokens never occur: the same steps as torch's, less work.

A fit of a small data set uses a sixth of the vocabulary. The other rows of the embedding table have
no gradient and no moments; AdamW only shrinks them by weight decay, which is deferred until they
are read. Rows that have been used at least once are kept together and stepped by torch's own AdamW.
"""

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from trainables import speed


class AdamW:
    """torch.optim.AdamW for a head, whose embedding table gets sparse gradients.

    The table's rows are up to date wherever they are looked up with gradients. Call `settle`
    before evaluating or reading the whole table. Parameters with dense gradients are stepped as
    usual, and so is the table on a GPU, where that is faster than finding the rows.
    """

    def __init__(self, head: Any, learning_rate: float, weight_decay: float) -> None:
        self.parameters = list(head.parameters())
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.dense = torch.optim.AdamW(
            self.parameters, lr=learning_rate, weight_decay=weight_decay, fused=True
        )
        self.tables: dict[Tensor, MetRows] = {}
        if speed.is_on("optimizer"):
            self._follow_lookups(head.model)

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
    def settle(self) -> None:
        """Bring all rows of the table up to date."""
        for table in self.tables.values():
            table.settle()

    def state(self) -> dict[str, Tensor]:
        """All that later steps depend on besides the parameters, by name, for `restore`.

        Views, valid until the next step.
        """
        tensors: dict[str, Tensor] = {}
        for number, parameter in enumerate(self.parameters):
            moments = self.dense.state.get(parameter, {})
            tensors |= {f"{number}.dense.{name}": tensor for name, tensor in moments.items()}
            if parameter in self.tables:
                state = self.tables[parameter].state()
                tensors |= {f"{number}.rows.{name}": tensor for name, tensor in state.items()}
        return tensors

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state`; the parameters must be those of the same moment."""
        parts: dict[tuple[int, str], dict[str, Tensor]] = {}
        for name, tensor in state.items():
            place, kind, rest = name.split(".", 2)
            parts.setdefault((int(place), kind), {})[rest] = tensor
        for (number, kind), tensors in parts.items():
            parameter = self.parameters[number]
            if kind == "dense":
                moments = {name: each.to(parameter.device) for name, each in tensors.items()}
                self.dense.state[parameter] = moments
            else:
                table = MetRows(parameter, self.learning_rate, self.weight_decay)
                table.restore(tensors)
                self.tables[parameter] = table

    def _follow_lookups(self, model: Any) -> None:
        """Make lookups of the embedding table give sparse gradients, and record their rows."""
        layer = model.get_input_embeddings() if hasattr(model, "get_input_embeddings") else None
        if not isinstance(layer, nn.Embedding):
            speed.not_taken("optimizer", f"{type(model).__name__} has no embedding table")
            return
        if layer.weight.device.type != "cpu":
            return
        for module in model.modules():
            if hasattr(module, "sparse") and module.weight is layer.weight:
                module.sparse = True
                if isinstance(module, nn.Embedding):
                    meet = _Meet(self)
                    hook = module.register_forward_pre_hook(meet, with_kwargs=True)
                    weakref.finalize(self, hook.remove)


class _Meet:
    """Hook that brings rows up to date before a lookup with gradients; a weak reference only."""

    def __init__(self, optimizer: AdamW) -> None:
        self.optimizer = weakref.ref(optimizer)

    def __call__(self, layer: nn.Embedding, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        optimizer = self.optimizer()
        if not torch.is_grad_enabled() or optimizer is None:
            return
        if layer.weight in optimizer.tables:
            ids: Tensor = given[0] if given else named["input"]
            with torch.no_grad():
                optimizer.tables[layer.weight].meet(ids.unique())


class MetRows:
    """The rows of a table that have had a gradient, in the order of their first use."""

    def __init__(self, table: Tensor, lr: float, weight_decay: float) -> None:
        self.table = table
        self.lr, self.weight_decay = lr, weight_decay
        self.place = torch.full((len(table),), -1)  # of each row of the table, -1: not used yet
        self.rows = torch.empty(0, dtype=torch.long)
        # As large as the table; unused rows are never touched and take no memory.
        self.values, self.gradient, self.mean, self.square = (
            torch.empty_like(table) for _ in range(4)
        )
        self.steps = torch.tensor(0.0)
        self.not_decayed = 0  # steps not yet applied to unused rows

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

    def state(self) -> dict[str, Tensor]:
        """What `restore` needs besides the table."""
        count = len(self.rows)
        return {
            "met": self.rows,
            "values": self.values[:count],
            "mean": self.mean[:count],
            "square": self.square[:count],
            "steps": self.steps,
            "not_decayed": torch.tensor(self.not_decayed),
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        self.rows, self.steps = state["met"], state["steps"]
        self.not_decayed = int(state["not_decayed"])
        count = len(self.rows)
        self.place[self.rows] = torch.arange(count)
        for name in ("values", "mean", "square"):
            getattr(self, name)[:count] = state[name]

    def settle(self) -> None:
        self.table.mul_(self._decay())
        self.table.index_copy_(0, self.rows, self.values[: len(self.rows)])
        self.not_decayed = 0

    def meet(self, rows: Tensor) -> None:
        """Add the new ones among these rows; the table is up to date about them from then on."""
        new = rows[self.place[rows] < 0]
        if not len(new):
            return
        places = torch.arange(len(self.rows), len(self.rows) + len(new))
        self.place[new] = places
        self.values[places] = self.table[new] * self._decay()
        self.mean[places] = self.square[places] = 0.0
        self.table[new] = self.values[places]
        self.rows = torch.cat([self.rows, new])

    def _decay(self) -> float:
        return float((1 - self.lr * self.weight_decay) ** self.not_decayed)

"""float32 matrix multiplication through oneDNN, which torch ships but does not use on CPU.

On an AMD Zen 5, MKL has half of oneDNN's throughput; without AVX-512 they are equal. A row's result
does not depend on the number of other rows or threads.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from trainables import speed


def use_onednn(model: nn.Module) -> None:
    """Make the linear layers of `model`, GPT-2's too, use `linear`. Weights stay."""
    if not (_has_onednn() or torch.cuda.is_available()):
        speed.not_taken("linear", "torch has no oneDNN here")
    faster = {nn.Linear: Linear, Conv1D: TransposedLinear}
    for module in model.modules():
        module.__class__ = faster.get(type(module), type(module))


class Linear(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


class TransposedLinear(Conv1D):
    """GPT-2's: its weight is [inputs, outputs]."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight.t(), self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As torch.nn.functional.linear: x [..., inputs], weight [outputs, inputs], bias [outputs].

    Uses oneDNN if torch has it and everything is float32 on the CPU.
    """
    if not _suits(x, weight):
        return F.linear(x, weight, bias)
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    if torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in (x, weight, bias)
    ):
        found = _Linear.apply(rows, weight, bias)
    else:
        found = _product(_filled_up(rows), weight, bias)[: len(rows)]
    return found.view(*x.shape[:-1], len(weight))


def products(x: Tensor, weights: Tensor) -> Tensor:
    """As torch.bmm of x [n, rows, inputs] and weights [n, inputs, outputs].

    On the CPU a row's result does not depend on the number of rows: MKL has other kernels for
    fewer than four, and where rows are left over.
    """
    if x.device.type != "cpu":
        return torch.bmm(x, weights)
    rows = x.shape[1]
    return torch.bmm(_filled_up(x), weights)[:, :rows]


def pairwise(x: Tensor, y: Tensor) -> Tensor:
    """As torch.bmm of x [n, rows, inner] and y [n, inner, outputs].

    On the CPU a product does not depend on n: MKL divides a single one among threads otherwise
    than several.
    """
    if x.device.type != "cpu" or len(x) != 1:
        return torch.bmm(x, y)
    return torch.bmm(x.expand(2, -1, -1), y.expand(2, -1, -1))[:1]


def _filled_up(rows: Tensor) -> Tensor:
    """Pad [..., rows, width] with rows of zeros to one of few row counts; from 128 rows on, by an
    eighth at most.

    oneDNN compiles a kernel for each row count, in 0.4 ms or more. Each kernel is kept in memory
    between the results, which fragments it.
    """
    count = rows.shape[-2]
    step = 2 ** max(4, count.bit_length() - 4)
    missing = -count % step
    return F.pad(rows, (0, 0, 0, missing)) if missing else rows


def is_batch_invariant() -> bool:
    """Whether a row's product on the CPU does not depend on the rows beside it."""
    return _has_onednn() and speed.is_on("linear")


def _has_onednn() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _suits(x: Tensor, weight: Tensor) -> bool:
    return (
        _has_onednn()
        and speed.is_on("linear")
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and x.numel() > 0
    )


def _product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if not (weight.is_contiguous() or weight.t().is_contiguous()):
        weight = weight.contiguous()  # oneDNN reads a slice of a larger matrix one number at a time
    found: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return found


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return _product(_filled_up(rows), weight, bias)[: len(rows)]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        of_rows, of_weight, of_bias = ctx.needs_input_grad
        for_bias = gradient.sum(0) if of_bias else None
        if torch.is_grad_enabled():  # training that needs second derivatives: torch has them
            return gradient @ weight, gradient.t() @ rows, for_bias
        filled = _filled_up(gradient.contiguous())
        return (
            _product(filled, weight.t())[: len(rows)] if of_rows else None,
            _product(filled.t(), _filled_up(rows).t()) if of_weight else None,
            for_bias,
        )

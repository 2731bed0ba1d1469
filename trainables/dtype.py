"""What a phase's products are computed in: fp32, tf32 or bf16. Weights are float32 in each.

bf16 is torch's autocast; class scores are projected in float32 (`in_float32`), so that two classes
are never equal because their scores were rounded. tf32 is a GPU's way to multiply float32 faster.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.errors import BadInput

FIRST_WITH_IT = (8, 0)  # compute capability of the first GPUs with tf32 and bf16


def check(dtype: str, device: torch.device) -> None:
    """Raises BadInput if the device has no such products."""
    if dtype == "tf32" and device.type == "cpu":
        raise BadInput("a CPU has no tf32; use fp32 or bf16")
    if dtype == "fp32" or device.type != "cuda":
        return
    capability = torch.cuda.get_device_capability(device)
    if capability < FIRST_WITH_IT:
        raise BadInput(
            f"{torch.cuda.get_device_name(device)} has no {dtype} (its compute capability is "
            f"{capability[0]}.{capability[1]}, and 8.0 is needed); use fp32"
        )


@contextmanager
def products(dtype: str) -> Iterator[None]:
    """In this block float32 products are tf32 if that is the dtype; for backward passes too."""
    if dtype != "tf32":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def forward_pass(dtype: str, device: torch.device) -> AbstractContextManager[Any]:
    """A block for forward passes, whose products are bf16 if that is the dtype."""
    return torch.autocast(device.type, torch.bfloat16) if dtype == "bf16" else nullcontext()


def whole(device: torch.device) -> AbstractContextManager[Any]:
    """A block in which float32 is computed in float32, also within `forward_pass`."""
    on = torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if on else nullcontext()


def in_float32(layer: nn.Module) -> None:
    """Have a layer compute in float32 in every dtype."""
    layer.forward = partial(_in_float32, layer)


def _in_float32(layer: nn.Module, x: Tensor) -> Tensor:
    with whole(x.device):
        found: Tensor = type(layer).forward(layer, x.float())
    return found

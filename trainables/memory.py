"""When a GPU's memory is too small: what counts as that, and how to go on with less.

A batch is halved until it fits. A model that is moved to a GPU whose memory is still held by a
process that is ending waits for it.
"""

import gc
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch

Made = TypeVar("Made")
Module = TypeVar("Module", bound=torch.nn.Module)

# What libraries below torch say. After these a process can still use its GPU.
MESSAGES = (
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDA error: out of memory",
)
TRIES, WAIT = 6, 5.0  # of `moved`, and seconds between two


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the GPU's memory is too small, in any library's words."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in MESSAGES)


def in_halves(count: int, at_most: int, do: Callable[[range], Made]) -> Iterator[tuple[Made, int]]:
    """`do` of ranges that cover `count` items in order, each with how many fit at a time.

    That is `at_most`, halved whenever the GPU's memory is too small. Raises what `do` raises when
    not even one item fits. What `do` computes must be in its own frame, which is freed when it
    fails.
    """
    start = 0
    while start < count:
        try:
            made = do(range(start, min(start + at_most, count)))
        except RuntimeError as error:
            if at_most == 1 or not is_out_of_memory(error):
                raise
        else:
            yield made, at_most
            start += at_most
            continue
        # Here the error is gone, and with it the frames that hold what was computed.
        at_most = max(min(at_most, count - start) // 2, 1)
        free()


def moved(module: Module, device: Any) -> Module:
    """The module on a device; where its memory is too small, tried again for half a minute."""
    for last in (*[False] * (TRIES - 1), True):
        try:
            return module.to(device)
        except RuntimeError as error:
            if last or not is_out_of_memory(error):
                raise
        free()
        time.sleep(WAIT)
    raise AssertionError("unreachable")


def free() -> None:
    """Give back to the GPU what nothing refers to any more."""
    gc.collect()
    torch.cuda.empty_cache()

"""Deterministic algorithms on a GPU, for as long as a fit trains.

On a CPU torch's algorithms are deterministic for a number of threads, and nothing is changed. On a
GPU several add in no fixed order unless asked not to. Strictly asked, one that cannot be
deterministic raises an error: `NotDeterministic` here, and the fit begins again without it being
strict, so that its result does not depend on where that operation was met. (Asked with warnings
only, torch's memory-efficient attention stays as it is, even where it could be deterministic.)

cuBLAS also needs CUBLAS_WORKSPACE_CONFIG in the environment before CUDA is initialised.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import torch

Item = TypeVar("Item")

WITHOUT = re.compile(r"(?P<operation>.+?) does not have a deterministic implementation")
CUBLAS = "is not deterministic because it uses CuBLAS"


class NotDeterministic(RuntimeError):
    """An operation has no deterministic algorithm."""

    def __init__(self, operation: str) -> None:
        super().__init__(f"{operation} has no deterministic algorithm on this device")
        self.operation = operation


def may_vary(device: torch.device) -> bool:
    """Whether algorithms on the device add in no fixed order unless asked not to."""
    return device.type != "cpu"


@contextmanager
def deterministic(strict: bool) -> Iterator[None]:
    """Deterministic algorithms in this block, where there are any.

    strict: raise NotDeterministic where there is none.
    """
    utils: Any = torch.utils.deterministic
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        utils.fill_uninitialized_memory,
    )
    torch.use_deterministic_algorithms(True, warn_only=not strict)
    torch.backends.cudnn.benchmark = False
    # To find readers of memory that nothing wrote: a kernel for each new tensor.
    utils.fill_uninitialized_memory = False
    try:
        yield
    except RuntimeError as error:
        if strict and (operation := _without(error)):
            raise NotDeterministic(operation) from error
        raise
    finally:
        enabled, warn_only, torch.backends.cudnn.benchmark, fill = before
        utils.fill_uninitialized_memory = fill
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)


def each_within(
    context: Callable[[], AbstractContextManager[None]], items: Iterator[Item]
) -> Iterator[Item]:
    """The items, each made in a context of its own: it does not last while they are used."""
    ended = object()
    while True:
        with context():
            item = next(items, ended)
        if item is ended:
            return
        yield item  # type: ignore[misc]


def _without(error: RuntimeError) -> str:
    """The operation that an error says has no deterministic algorithm; empty for other errors."""
    if CUBLAS in str(error):
        return "cuBLAS without CUBLAS_WORKSPACE_CONFIG"
    match = WITHOUT.search(str(error))
    return match["operation"] if match else ""

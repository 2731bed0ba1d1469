"""The states of all global random number generators: Python's, numpy's and torch's."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor


def seed_all(name: str) -> None:
    """Seed every generator from a name."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def of_torch(device: torch.device) -> dict[str, Tensor]:
    """The states of torch's generators that what runs on a device draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_torch(states: dict[str, Tensor], device: torch.device) -> None:
    """Put back what `of_torch` gave."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


def of_python_and_numpy() -> dict[str, Any]:
    """As JSON."""
    numpy = np.random.get_state(legacy=False)
    assert isinstance(numpy, dict)
    numpy["state"] = {**numpy["state"], "key": numpy["state"]["key"].tolist()}
    return {"python": random.getstate(), "numpy": numpy}


def set_python_and_numpy(states: dict[str, Any]) -> None:
    """Put back what `of_python_and_numpy` gave, also after it was written and read as JSON."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    numpy = states["numpy"]
    key = np.array(numpy["state"]["key"], dtype=np.uint32)
    np.random.set_state({**numpy, "state": {**numpy["state"], "key": key}})


class States:
    """Those of all generators that what runs on a device draws from, now."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._others, self._torchs = of_python_and_numpy(), of_torch(device)

    def put_back(self) -> None:
        set_python_and_numpy(self._others)
        set_torch(self._torchs, self._device)


@contextmanager
def as_if_nothing_happened(device: torch.device) -> Iterator[States]:
    """After this block all generators are in the states from before it, which it gets."""
    before = States(device)
    try:
        yield before
    finally:
        before.put_back()


class Repeated:
    """A context that is entered several times: each block gets the first one's random numbers of
    torch, and so the same dropout masks if its shapes are the same. What is drawn between blocks
    is not repeated."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._first: dict[str, Tensor] | None = None
        self._outside: dict[str, Tensor] | None = None

    def __enter__(self) -> None:
        now = of_torch(self._device)
        if self._first is None:
            self._first = now
        else:
            self._outside = now
            set_torch(self._first, self._device)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._outside is not None:
            set_torch(self._outside, self._device)

"""A fit in mid-training as bytes, so that another process goes on from there bit for bit.

`Training` is how far the fit is. `taken` adds the weights, the optimizer and the random states, as
safetensors with JSON in the header: nothing is unpickled. `resumed` puts all of it back. Neither
knows where the bytes are kept.
"""

import json
import math
import random
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from trainables.heads.base import Head
from trainables.optimizer import put_back, state_of
from trainables.records import CurvePoint

FORMAT = 2  # raise it when a snapshot of the version before cannot be continued
WEIGHTS, BEST, OPTIMIZER, RANDOM = "weights.", "best.", "optimizer.", "random."
UNREAD_AT_MOST = 50  # losses on a GPU: to read one is to wait until all that was asked is done


@dataclass
class Training:
    """How far a fit is.

    best: the best weights. at_once: examples in one pass. deterministic: see FitMeasured.
    since_best: evaluations without a better accuracy. steps: batches trained on, which is the place
    in the data. seen: examples trained on. losses: since the last evaluation; unread: the last of
    them, still on the device. seconds: before the snapshot that it goes on from. made_on: the
    devices that it was trained on (ran_on.py, `short`).
    """

    best: dict[str, Tensor]
    at_once: int
    deterministic: bool | str
    best_accuracy: float = -1.0
    since_best: int = 0
    steps: int = 0
    seen: int = 0
    losses: list[float] = field(default_factory=list)
    unread: list[Tensor] = field(default_factory=list)
    curve: list[CurvePoint] = field(default_factory=list)
    seconds: float = 0.0
    made_on: list[str] = field(default_factory=list)

    def trained(self, loss: Tensor, examples: int) -> None:
        """Note a step and its loss []. Raises FloatingPointError when that is not a number; on a
        GPU within UNREAD_AT_MOST steps, and before any evaluation or snapshot."""
        self.steps += 1
        self.seen += examples
        self.unread.append(loss)
        if is_read_at_once(loss) or len(self.unread) >= UNREAD_AT_MOST:
            self.read_losses()

    def read_losses(self) -> None:
        """Raises FloatingPointError when one is not a number."""
        if self.unread:
            found = torch.stack(self.unread).tolist()
            if bad := [loss for loss in found if not math.isfinite(loss)]:
                raise FloatingPointError(
                    f"the loss became {bad[0]} within {self.seen} examples; a lower "
                    "fit.learning_rate may help"
                )
            self.losses += found
            self.unread = []

    def evaluated(self, accuracy: float, head: Head) -> None:
        """Note an evaluation, and the head's weights if they are the best; losses are read."""
        loss = sum(self.losses) / len(self.losses)
        self.curve.append(
            {"examples_seen": self.seen, "train_loss": loss, "validation_accuracy": accuracy}
        )
        self.losses = []
        if accuracy > self.best_accuracy:
            self.best, self.best_accuracy, self.since_best = head.snapshot(), accuracy, 0
        else:
            self.since_best += 1

    def rest(self) -> dict[str, Any]:
        """All but the weights, as JSON."""
        return {name: value for name, value in vars(self).items() if name not in ("best", "unread")}


def is_read_at_once(loss: Tensor) -> bool:
    """Whether reading it waits for nothing."""
    return loss.device.type == "cpu"


def taken(key: str, training: Training, head: Head, optimizer: torch.optim.Optimizer) -> bytes:
    """A snapshot of the fit with this key; its losses are read."""
    training.read_losses()
    tensors = {
        WEIGHTS: head.weights(),
        BEST: training.best,
        OPTIMIZER: state_of(optimizer),
        RANDOM: _random_states(head.device),
    }
    rest = {
        "training": training.rest(),
        "random": _python_and_numpy(),
        "halvings": head.halvings,
    }
    return safetensors.torch.save(
        {
            kind + name: tensor.detach().contiguous().cpu()
            for kind, of_kind in tensors.items()
            for name, tensor in of_kind.items()
        },
        {**_made_by(key, head), "rest": json.dumps(rest)},
    )


def resumed(
    content: bytes, key: str, head: Head, optimizer: torch.optim.Optimizer
) -> Training | None:
    """Put a snapshot back into a fresh head, its optimizer and the random states.

    None, with nothing changed, if it is of another fit, format, version of torch or kind of
    device, or of weights with other names.
    """
    header = _header(content)
    if any(header.get(name) != value for name, value in _made_by(key, head).items()):
        return None
    tensors = safetensors.torch.load(content)
    weights, best, state, states = (
        {name.removeprefix(kind): t for name, t in tensors.items() if name.startswith(kind)}
        for kind in (WEIGHTS, BEST, OPTIMIZER, RANDOM)
    )
    if not set(weights) == set(best) == set(head.weights()):
        return None
    rest = json.loads(header["rest"])
    head.restore(weights)
    head.halvings = rest["halvings"]
    put_back(optimizer, state)
    _set_python_and_numpy(rest["random"])
    _set_random_states(states, head.device)
    best = {name: tensor.to(head.device) for name, tensor in best.items()}
    return Training(best=best, **rest["training"])


def _made_by(key: str, head: Head) -> dict[str, str]:
    return {
        "format": str(FORMAT),
        "fit": key,
        "torch": torch.__version__,
        "device": head.device.type,
    }


def _header(content: bytes) -> dict[str, str]:
    """The metadata of safetensors, without the tensors; empty if it is something else."""
    try:
        (length,) = struct.unpack("<Q", content[:8])
        header: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
        return header
    except (struct.error, ValueError, KeyError, TypeError):
        return {}


def _random_states(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _set_random_states(states: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


def _python_and_numpy() -> dict[str, Any]:
    numpy = np.random.get_state(legacy=False)
    assert isinstance(numpy, dict)
    numpy["state"] = {**numpy["state"], "key": numpy["state"]["key"].tolist()}
    return {"python": random.getstate(), "numpy": numpy}


def _set_python_and_numpy(states: dict[str, Any]) -> None:
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    numpy = states["numpy"]
    numpy["state"]["key"] = np.array(numpy["state"]["key"], dtype=np.uint32)
    np.random.set_state(numpy)

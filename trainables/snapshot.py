"""A fit in mid-training as bytes, so that another process goes on from there bit for bit.

`HowFar` is how far the fit is. `taken` adds the weights, what the training keeps of its own, the
optimizer and the random states, as safetensors, with JSON for the rest: nothing is unpickled.
`resumed` puts all of it back. Neither knows where the bytes are kept.
"""

import json
import math
import struct
from dataclasses import astuple, dataclass, field
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from trainables import random_states
from trainables.data import Example
from trainables.heads.base import Head
from trainables.optimizer import put_back, state_of
from trainables.records import CurvePoint
from trainables.training.base import Training

FORMAT = 3  # raise it when a snapshot of the version before cannot be continued
WEIGHTS, OWN, BEST, OPTIMIZER, RANDOM = "weights.", "own.", "best.", "optimizer.", "random."
REST = "rest"  # JSON as bytes
UNREAD_AT_MOST = 50  # losses on a GPU: to read one is to wait until all that was asked is done


@dataclass
class HowFar:
    """How far a fit is.

    best: the best weights. at_once: examples in one pass. deterministic: see FitMeasured.
    since_best: evaluations without a better accuracy. steps: batches trained on, which is the place
    in the data. rounds: the rows that were added, each time; rounds_in_best: how many of them the
    best weights were trained after; tried: of the round that is being made, what came of each row,
    by its id; attack_errors: in all rounds. seen: examples trained on. losses: since the last
    evaluation; unread: the last of them, still on the device. seconds: before the
    snapshot that it goes on from. made_on: the devices that it was trained on (ran_on.py, `short`).
    """

    best: dict[str, Tensor]
    at_once: int
    deterministic: bool | str
    best_accuracy: float = -1.0
    since_best: int = 0
    steps: int = 0
    rounds: list[list[Example]] = field(default_factory=list)
    rounds_in_best: int = 0
    tried: dict[int, Example | None] = field(default_factory=dict)
    attack_errors: int = 0
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
            self.rounds_in_best = len(self.rounds)
        else:
            self.since_best += 1

    def rest(self) -> dict[str, Any]:
        """All but the weights, as JSON."""
        rest = {name: value for name, value in vars(self).items() if name not in ("best", "unread")}
        rest["rounds"] = [[astuple(row) for row in rows] for rows in self.rounds]
        rest["tried"] = [(id, row and astuple(row)) for id, row in self.tried.items()]
        return rest

    @classmethod
    def of(cls, best: dict[str, Tensor], rest: dict[str, Any]) -> "HowFar":
        """Of the weights and `rest`, after it was written and read."""
        rounds = [[_example(*row) for row in rows] for rows in rest["rounds"]]
        tried = {id: row and _example(*row) for id, row in rest["tried"]}
        return cls(best=best, **{**rest, "rounds": rounds, "tried": tried})


def _example(id: int, texts: list[str], label: int) -> Example:
    return Example(id, tuple(texts), label)


def is_read_at_once(loss: Tensor) -> bool:
    """Whether reading it waits for nothing."""
    return loss.device.type == "cpu"


def taken(
    key: str, so_far: HowFar, head: Head, training: Training, optimizer: torch.optim.Optimizer
) -> bytes:
    """A snapshot of the fit with this key; its losses are read."""
    so_far.read_losses()
    tensors = {
        WEIGHTS: head.weights(),
        OWN: training.state_dict(),
        BEST: so_far.best,
        OPTIMIZER: state_of(optimizer),
        RANDOM: random_states.of_torch(head.device),
    }
    rest = {
        "so_far": so_far.rest(),
        "random": random_states.of_python_and_numpy(),
        "halvings": head.halvings,
    }
    named = {
        kind + name: tensor.detach().contiguous().cpu()
        for kind, of_kind in tensors.items()
        for name, tensor in of_kind.items()
    }
    # Not in the header, which may have 100 MB: there may be many rows.
    named[REST] = torch.frombuffer(bytearray(json.dumps(rest).encode()), dtype=torch.uint8)
    return safetensors.torch.save(named, _made_by(key, head))


def resumed(
    content: bytes, key: str, head: Head, training: Training, optimizer: torch.optim.Optimizer
) -> HowFar | None:
    """Put a snapshot back into a fresh head, its training, its optimizer and the random states.

    None, with nothing changed, if it is of another fit, format, version of torch or kind of
    device, or of weights with other names.
    """
    header = _header(content)
    if any(header.get(name) != value for name, value in _made_by(key, head).items()):
        return None
    tensors = safetensors.torch.load(content)
    rest = json.loads(tensors.pop(REST).numpy().tobytes())
    weights, own, best, state, states = (
        {name.removeprefix(kind): t for name, t in tensors.items() if name.startswith(kind)}
        for kind in (WEIGHTS, OWN, BEST, OPTIMIZER, RANDOM)
    )
    if not set(weights) == set(best) == set(head.weights()):
        return None
    if set(own) != set(training.state_dict()):
        return None
    head.restore(weights)
    head.halvings = rest["halvings"]
    training.load_state_dict(own)
    put_back(optimizer, state)
    random_states.set_python_and_numpy(rest["random"])
    random_states.set_torch(states, head.device)
    return HowFar.of({name: t.to(head.device) for name, t in best.items()}, rest["so_far"])


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

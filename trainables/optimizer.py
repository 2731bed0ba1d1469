"""AdamW of a fit; and its state by name, so that another process goes on from it.

Knows nothing of snapshots' format or of the learning rate's schedule (schedule.py).
"""

import torch
from torch import Tensor, nn


def adamw(head: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over all of a head's parameters; a step of all of them is one kernel."""
    return torch.optim.AdamW(
        head.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Take the next steps at this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def state_of(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The moments and step counts, by number of the parameter: views, valid until the next step."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": t for number, of in state.items() for name, t in of.items()}


def put_back(optimizer: torch.optim.Optimizer, state: dict[str, Tensor]) -> None:
    """Go on from a `state_of`; the parameters must be those of the same moment."""
    parts: dict[int, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        number, rest = name.split(".", 1)
        parts.setdefault(int(number), {})[rest] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": parts, "param_groups": groups})

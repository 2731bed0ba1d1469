"""AdamW of a fit; and its state by name, so that another process goes on from it.

Knows nothing of snapshots' format or of the learning rate's schedule (schedule.py).
"""

import re
from collections.abc import Iterable

import torch
from torch import Tensor, nn

# Of transformers.Trainer.get_decay_parameter_names, which decays no nn.LayerNorm either.
NOT_DECAYED = re.compile(r"bias|layernorm|rmsnorm|(?:^|[._])norm(?:$|\.)", re.IGNORECASE)


def adamw(
    head: nn.Module,
    learning_rate: float,
    weight_decay: float,
    decay_norms_and_biases: bool,
    others: Iterable[nn.Parameter] = (),
) -> torch.optim.AdamW:
    """AdamW over all of a head's parameters, and others; a step of all of one group is one kernel.

    others: of the training, which decay.
    """
    named = dict(head.named_parameters())
    without = set() if decay_norms_and_biases else norms_and_biases(head)
    decays = {weight_decay: [weight for name, weight in named.items() if name not in without]}
    decays.setdefault(0.0, []).extend(weight for name, weight in named.items() if name in without)
    of_training = list(others)
    groups = [
        {"params": of, "weight_decay": decay}
        for decay, of in (*decays.items(), (weight_decay, of_training))
        if of
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


def norms_and_biases(model: nn.Module) -> set[str]:
    """Names of the parameters that the Trainer of transformers does not decay."""
    in_norms = {
        f"{module_name}.{name}" if module_name else name
        for module_name, module in model.named_modules()
        if isinstance(module, nn.LayerNorm)
        for name, _ in module.named_parameters()
    }
    by_name = {name for name, _ in model.named_parameters() if NOT_DECAYED.search(name)}
    return in_norms | by_name


def clip_gradients(head: nn.Module, max_norm: float | None) -> None:
    """Scale all gradients so that their norm, taken together, is at most this; None: not at all.

    A GPU is not waited for; a norm that is not a number makes the next loss one that is not.
    """
    if max_norm is not None:
        nn.utils.clip_grad_norm_(head.parameters(), max_norm)


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

"""What passes through a head's language model: its embeddings and hidden states, seen or changed.

For any head whose `model` is one of transformers; others raise BadInput.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.errors import BadInput
from trainables import speed
from trainables.heads.base import Batch, Head

# Submodules of a base model by name: the last whose output is [sequences, length, width] before
# the first layer, and the one whose output is the last hidden states.
EMBEDDINGS = ("embeddings", "drop")
LAST = ("encoder", "ln_f", "final_layer_norm", "norm")
LAYERS = ("layer", "layers", "h", "block", "blocks")
Change = Callable[[Tensor], Tensor]


@dataclass
class Seen:
    """embedded: what enters the first layer [sequences, length, width]. last: hidden states after
    the last layer, of the same shape; right where the head reads them only."""

    embedded: Tensor | None = None
    last: Tensor | None = None


def layers_of(head: Head) -> nn.ModuleList:
    """The layers of a head's language model. Raises BadInput if they are not found."""
    base = _base(head)
    number = getattr(base.config, "num_hidden_layers", None)
    for name, module in base.named_modules():
        is_list = isinstance(module, nn.ModuleList) and len(module) == number
        if is_list and name.rpartition(".")[2] in LAYERS:
            return module
    raise BadInput(
        f"{type(base).__name__} has no list of {number} layers whose states can be mixed"
    )


def check_reads_states(head: Head) -> None:
    """Raises BadInput unless the head says where it reads hidden states."""
    _base(head)
    if not head.reads_states:
        raise BadInput(
            f"{type(head).__name__} does not say where it reads hidden states, as this training "
            "needs it (reads_states in trainables/heads/base.py); leave this combination out"
        )


def width_of(head: Head) -> int:
    """Of the hidden states."""
    return int(_base(head).config.hidden_size)


@contextmanager
def watched(head: Head) -> Iterator[Seen]:
    """What passes through in this block, the last time."""
    seen, base = Seen(), _base(head)

    def note_embedded(hidden: Tensor) -> Tensor:
        seen.embedded = hidden
        return hidden

    def note_last(hidden: Tensor) -> Tensor:
        seen.last = hidden
        return hidden

    embeddings = _first(base, EMBEDDINGS) or head.model.get_input_embeddings()
    with _changed(embeddings, note_embedded), _changed(_last(base), note_last):
        yield seen


@contextmanager
def changed_after(head: Head, layer: int, change: Change) -> Iterator[None]:
    """In this block the hidden states after a layer are changed before what follows reads them.

    layer: from 1. After the last one they are those that the head reads, and right there only;
    after any other one right everywhere. Raises RuntimeError if that was not done exactly once.
    """
    layers, changes = layers_of(head), 0

    def counted(hidden: Tensor) -> Tensor:
        nonlocal changes
        changes += 1
        return change(hidden)

    with ExitStack() as stack:
        if layer < len(layers):
            stack.enter_context(speed.off("last_layer"))
            stack.enter_context(_changed(layers[layer - 1], counted))
        else:
            stack.enter_context(_changed(_last(_base(head)), counted))
        yield
    if changes != 1:
        raise RuntimeError(
            f"the states after layer {layer} of {type(head.model).__name__} were changed {changes} "
            "times, not once: it is not known how to change them"
        )


def places(batch: Batch) -> tuple[Tensor, Tensor]:
    """Rows and columns [sequences, k] at which hidden states are read, k of each sequence."""
    assert batch.positions is not None
    columns = batch.positions if batch.positions.dim() == 2 else batch.positions[:, None]
    return torch.arange(len(columns), device=columns.device)[:, None], columns


def read_states(hidden: Tensor, batch: Batch) -> Tensor:
    """The hidden states where the head reads them [sequences, k, width]."""
    return hidden[places(batch)]


@contextmanager
def _changed(module: nn.Module, change: Change) -> Iterator[None]:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if isinstance(output, Tensor):
            return change(output)
        if isinstance(output, (tuple, list)):
            return type(output)([change(output[0]), *output[1:]])
        output["last_hidden_state"] = change(output["last_hidden_state"])
        return output

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _base(head: Head) -> Any:
    base = getattr(head.model, "base_model", None)
    if base is None or not hasattr(base, "config"):
        raise BadInput(
            f"{type(head).__name__}: this training looks at hidden states, which it can only in a "
            "model of transformers"
        )
    return base


def _last(base: Any) -> nn.Module:
    return _first(base, LAST) or base


def _first(base: Any, names: tuple[str, ...]) -> nn.Module | None:
    found = (getattr(base, name, None) for name in names)
    return next((module for module in found if isinstance(module, nn.Module)), None)

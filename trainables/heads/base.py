"""The base of every head: a torch module from texts to class logits, and its weights as bytes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from transformers import AutoConfig

from search_spaces.catalog import Prompts
from search_spaces.errors import BadInput
from trainables.memory import in_halves

Texts = Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class HeadSpec:
    """What a head is built from.

    model_folder: config, weights and tokenizer of the language model. causal: whether it predicts
    the next token (GPT-2) or masked ones. max_length: in tokens. pretrained: False leaves the
    model's weights random.
    """

    model_folder: Path
    causal: bool
    classes: int
    prompts: Prompts | None
    max_length: int
    pretrained: bool = True


@dataclass
class Batch:
    """The model's inputs, and where in each sequence its hidden states are read.

    inputs: `input_ids` [sequences, length] and the model's other inputs. positions: [sequences],
    or [sequences, k] where k places are read; None for all. real: 1 for tokens and 0 for padding
    [sequences, length], if the attention mask does not have that.
    """

    inputs: dict[str, Tensor]
    positions: Tensor | None = None
    real: Tensor | None = None

    @property
    def attention_mask(self) -> Tensor:
        """1 for tokens, 0 for padding [sequences, length]."""
        return self.inputs["attention_mask"] if self.real is None else self.real

    def split(self, parts: int) -> "list[Batch]":
        """The batch in equal parts, in order, each without unnecessary padding.

        For batches padded on the right and read at one place per sequence.
        """
        assert self.positions is not None
        size = len(self.positions) // parts
        batches = []
        for start in range(0, len(self.positions), size):
            rows = slice(start, start + size)
            length = int(self.attention_mask[rows].sum(dim=1).max())
            inputs = {name: tensor[rows, :length] for name, tensor in self.inputs.items()}
            batches.append(Batch(inputs, self.positions[rows]))
        return batches

    def to(self, device: torch.device) -> "Batch":
        def moved(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device)

        inputs = {name: tensor.to(device) for name, tensor in self.inputs.items()}
        return Batch(inputs, moved(self.positions), moved(self.real))


class Head(nn.Module):
    """Maps a batch of texts (one or two columns each) to logits of shape [batch, classes].

    Your own head has a `model` (of transformers, or anything with get_input_embeddings) and defines
    `encode` and `score`.
    """

    model: Any
    at_most = 1024  # texts in a batch of `predict`; halved when the GPU's memory is too small

    def encode(self, texts: Texts) -> Batch:
        """Texts as token ids, on the head's device."""
        raise NotImplementedError

    def score(self, batch: Batch) -> Tensor:
        """Logits [texts, classes] of a batch from `encode`."""
        raise NotImplementedError

    def last_linear(self) -> nn.Linear | None:
        """The layer that linear probing initialises, for heads that end in one."""
        return None

    def forward(self, texts: Texts) -> Tensor:
        return self.score(self.encode(texts))

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @torch.no_grad()
    def predict(self, texts: Texts, batch_size: int) -> Tensor:
        """Logits [len(texts), classes] on the CPU, in evaluation mode and in the order given.

        Texts of similar length share a batch, to reduce padding. If the GPU's memory is too small
        for a batch, it and all later ones are halved.
        """
        self.eval()
        by_length = sorted(range(len(texts)), key=lambda i: sum(map(len, texts[i])))
        parts = self.in_batches(
            len(texts),
            batch_size,
            lambda rows: self([texts[by_length[row]] for row in rows]).cpu(),
        )
        logits = torch.cat(parts)
        back = torch.empty(len(texts), dtype=torch.long)
        back[torch.tensor(by_length)] = torch.arange(len(texts))
        return logits[back]

    def in_batches(
        self, count: int, batch_size: int, do: Callable[[range], Tensor]
    ) -> list[Tensor]:
        """`do` of ranges that cover `count` texts; halved, now and later, as memory demands."""
        made, at_once = [], min(batch_size, self.at_most)
        for tensor, fitted in in_halves(count, at_once, do):
            made.append(tensor)
            if fitted < at_once:
                self.at_most = at_once = fitted
        return made

    def to_bytes(self) -> bytes:
        """All weights as safetensors. Tied weights are stored once."""
        return safetensors.torch.save(
            {name: tensor.contiguous().cpu() for name, tensor in self.weights().items()}
        )

    def load_bytes(self, content: bytes) -> None:
        """Load weights from `to_bytes`. Raises ValueError if the names differ."""
        weights = safetensors.torch.load(content)
        if set(weights) != set(self.weights()):
            raise ValueError("the stored weights belong to another kind of model")
        self.load_state_dict(weights, strict=False)

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of all weights, for `restore`."""
        return {name: tensor.detach().clone() for name, tensor in self.weights().items()}

    def restore(self, weights: dict[str, Tensor]) -> None:
        self.load_state_dict(weights, strict=False)

    def weights(self) -> dict[str, Tensor]:
        """All weights by name, as they are in the model."""
        # named_parameters() has a tied weight once, unlike state_dict().
        kept = set(self.state_dict())
        named = chain(self.named_parameters(), self.named_buffers())
        return {name: tensor.data for name, tensor in named if name in kept}


def load_model(auto_class: Any, spec: HeadSpec, new_head: bool = True, **settings: Any) -> Any:
    """A model of transformers in float32: pre-trained, or of the same shape with random weights.

    new_head: the layers on top of the base model may be randomly initialised. Raises BadInput if
    transformers has no such class for this kind of model, or if the weights lack other tensors.
    """
    config = AutoConfig.from_pretrained(spec.model_folder)
    if type(config) not in auto_class._model_mapping:
        raise BadInput(
            f"{config.model_type} ({spec.model_folder}) has no {auto_class.__name__} in "
            "transformers, which this head needs; leave this combination out"
        )
    if spec.pretrained:
        model, info = auto_class.from_pretrained(
            spec.model_folder,
            torch_dtype="float32",
            use_safetensors=True,
            output_loading_info=True,
            **settings,
        )
        _check_loaded(model, info["missing_keys"], spec, new_head)
        return model
    config = AutoConfig.from_pretrained(spec.model_folder, **settings)
    return auto_class.from_config(config, torch_dtype=torch.float32)


def _check_loaded(model: Any, missing: Iterable[str], spec: HeadSpec, new_head: bool) -> None:
    """Raises BadInput if a required tensor was randomly initialised; a pooler may be."""
    base = f"{model.base_model_prefix}."
    lacking = sorted(
        name for name in missing if "pooler" not in name and (name.startswith(base) or not new_head)
    )
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise BadInput(
            f"the weights in {spec.model_folder} lack {lacking[0]}{more}, which would start from "
            "random numbers; fetch the model again, or use weights that have them"
        )

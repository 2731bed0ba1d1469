"""The base of every head: a torch module from texts to class logits, and its weights as bytes."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig

from search_spaces.catalog import Prompts
from search_spaces.errors import BadInput
from trainables.dtype import check, forward_pass, products
from trainables.heads.buckets import by_bucket, filled_up, rows_of
from trainables.memory import in_halves

ENCODED_AT_ONCE = 4096  # texts that are tokenized together
UNDIVIDED = 64  # texts in a batch of a head whose batches cannot be divided
MEMORY = "the GPU's memory is too small for a batch of texts; from now on they are halved"
log = logging.getLogger(__name__)

Texts = Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class HeadSpec:
    """What a head is built from.

    model_folder: config, weights and tokenizer of the language model. causal: whether it predicts
    the next token (GPT-2) or masked ones. max_length: in tokens. pretrained: False leaves the
    model's weights random. one_template: trains on one template a text, drawn at random.
    """

    model_folder: Path
    causal: bool
    classes: int
    prompts: Prompts | None
    max_length: int
    pretrained: bool = True
    one_template: bool = False


@dataclass
class Layout:
    """How a batch of sequences, padded on the right, can be divided and put together anew.

    All texts' first sequences come first, then all second ones, and so on. lengths: tokens of each
    sequence [sequences], on the CPU. per_text: sequences a text. limit: tokens that the model reads
    at most. padding: the value of padding by the name of an input; 0 for others.
    """

    lengths: Tensor
    per_text: int = 1
    limit: int | None = None
    padding: Mapping[str, int] = field(default_factory=dict)

    def longest(self) -> list[int]:
        """Tokens of each text's longest sequence."""
        found: list[int] = self.lengths.view(self.per_text, -1).amax(dim=0).tolist()
        return found


@dataclass
class Batch:
    """The model's inputs, and where in each sequence its hidden states are read.

    inputs: `input_ids` and others, all [sequences, length]. positions: [sequences], or
    [sequences, k] where k places are read; None for all. real: 1 for tokens and 0 for padding
    [sequences, length], if the attention mask does not have that. layout: without it a batch cannot
    be divided. tokens: where in all places, row by row, there are tokens; without it padding is
    computed as well.
    """

    inputs: dict[str, Tensor]
    positions: Tensor | None = None
    real: Tensor | None = None
    layout: Layout | None = None
    tokens: Tensor | None = None

    @property
    def attention_mask(self) -> Tensor:
        """1 for tokens, 0 for padding [sequences, length]."""
        return self.inputs["attention_mask"] if self.real is None else self.real

    def take(self, rows: Sequence[int], length: int) -> "Batch":
        """The texts of these numbers, padded or trimmed to a length. Needs the layout."""
        layout = self.layout
        assert layout is not None
        count = len(layout.lengths) // layout.per_text
        of_first = torch.tensor(rows)
        chosen = torch.cat([of_first + count * number for number in range(layout.per_text)])

        def taken(tensor: Tensor, padding: int) -> Tensor:
            rows = tensor[:, :length].index_select(0, chosen.to(tensor.device))
            missing = length - rows.shape[1]
            return F.pad(rows, (0, missing), value=padding) if missing else rows

        return Batch(
            {name: taken(t, layout.padding.get(name, 0)) for name, t in self.inputs.items()},
            None if self.positions is None else self.positions[chosen.to(self.positions.device)],
            None if self.real is None else taken(self.real, 0),
            replace(layout, lengths=layout.lengths[chosen]),
        )

    def to(self, device: torch.device, packed: bool = True) -> "Batch":
        """The batch on a device. packed: so that padding need not be computed."""
        tokens = self.tokens
        if packed and tokens is None and self.layout is not None:
            # Before the move: on a GPU it would have to be waited for.
            tokens = self.attention_mask.flatten().nonzero().squeeze(1)
        inputs = {name: _moved(tensor, device) for name, tensor in self.inputs.items()}
        positions, real, tokens = (
            None if tensor is None else _moved(tensor, device)
            for tensor in (self.positions, self.real, tokens)
        )
        return Batch(inputs, positions, real, self.layout, tokens)


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


@dataclass(frozen=True)
class Traced:
    """The batch of one text, and which of its tokens were made of the text.

    tokens: at each place the number of the text's token, or -1 for a special token, a template's or
    padding [sequences, length], on the CPU. spans: of each token the characters that it was made
    of, in the text's columns joined by line breaks.
    """

    batch: Batch
    tokens: Tensor
    spans: list[tuple[int, int]]


class Head(nn.Module):
    """Maps a batch of texts (one or two columns each) to logits of shape [batch, classes].

    Your own head has a `model` (of transformers, or anything with get_input_embeddings) and defines
    `encode` and `score`.
    """

    model: Any
    reads_states = False  # whether it reads hidden states at a batch's positions, and those alone
    dtype = "fp32"  # that products are computed in (trainables/dtype.py)
    halvings = 0  # of the batches of `predict`, for the GPU's memory was too small
    _divided: bool | None = None

    def encode(self, texts: Texts) -> Batch:
        """Texts as token ids, on the CPU."""
        raise NotImplementedError

    def traced(self, text: tuple[str, ...]) -> Traced:
        """One text as token ids, with their origin, for attacks that read gradients.

        Raises NotImplementedError if the head or its tokenizer cannot say it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define `traced`")

    def score(self, batch: Batch) -> Tensor:
        """Logits [texts, classes] of a batch from `encode`, on the head's device."""
        raise NotImplementedError

    def last_linear(self) -> nn.Linear | None:
        """The layer that linear probing initialises, for heads that end in one."""
        return None

    def forward(self, texts: Texts) -> Tensor:
        return self.score(self.encode(texts).to(self.device))

    def compute_in(self, dtype: str) -> None:
        """Compute in this dtype from now on. Raises BadInput if the head's device has it not."""
        check(dtype, self.device)
        self.dtype = dtype

    @property
    def device(self) -> torch.device:
        return next((weight.device for weight in self.parameters()), torch.device("cpu"))

    @property
    def fixed_shapes(self) -> bool:
        """Whether batches of `predict` are of few fixed shapes.

        On a CPU a row's result does not depend on the number of rows (speed/linear.py); a GPU
        computes another number of rows with another kernel.
        """
        return self.device.type != "cpu"

    @torch.no_grad()
    def predict(self, texts: Texts) -> Tensor:
        """Logits [len(texts), classes] on the CPU, in evaluation mode and in the order given.

        They are float32, whatever the head computes in.

        A text's logits depend on that text alone, to the last bit, if batches from `encode` have a
        layout (buckets.py). If the GPU's memory is too small for a batch, it and all later ones are
        halved.
        """
        self.eval()
        by_length = sorted(range(len(texts)), key=lambda i: sum(map(len, texts[i])))
        made, order = list[Tensor](), list[int]()
        with products(self.dtype), forward_pass(self.dtype, self.device):
            for start in range(0, len(texts), ENCODED_AT_ONCE):
                # In the given order: texts that are alike and share a batch take less (speed/).
                chunk = sorted(by_length[start : start + ENCODED_AT_ONCE])
                for rows, logits in self._scored([texts[number] for number in chunk]):
                    made.append(logits)
                    order += [chunk[row] for row in rows]
        together = torch.cat(made).float().cpu()  # only here a GPU is waited for
        logits = torch.empty_like(together)
        logits[torch.tensor(order)] = together
        return logits

    def _scored(self, texts: Texts) -> Iterator[tuple[Sequence[int], Tensor]]:
        """Numbers of texts, and their logits, until all are scored."""
        if not self._can_be_divided(texts[:1]):
            parts = self.in_batches(
                len(texts), UNDIVIDED, lambda some: self([texts[row] for row in some])
            )
            yield range(len(texts)), torch.cat(parts)
            return
        encoded = self.encode(texts)
        layout = encoded.layout
        assert layout is not None
        fixed = self.fixed_shapes
        for length, rows in by_bucket(layout.longest(), layout.limit):
            at_once = rows_of(length, layout.per_text)
            filled = filled_up(rows, self._halved(at_once)) if fixed else rows

            def score(some: range) -> Tensor:
                batch = encoded.take(filled[some.start : some.stop], length)  # noqa: B023
                return self.score(batch.to(self.device, packed=not fixed))

            parts = self.in_batches(len(filled), at_once, score)
            yield rows, torch.cat(parts)[: len(rows)]

    def is_batch_invariant(self, texts: Texts) -> bool:
        """Whether a text's logits are the same to the last bit whatever it is predicted with."""
        return self._can_be_divided(texts[:1])

    def _can_be_divided(self, texts: Texts) -> bool:
        """Whether batches from `encode` have a layout, which is tried once."""
        if self._divided is None:
            try:
                self._divided = self.encode(texts).layout is not None
            except NotImplementedError:
                self._divided = False
        return self._divided

    def in_batches(
        self, count: int, batch_size: int, do: Callable[[range], Tensor]
    ) -> list[Tensor]:
        """`do` of ranges that cover `count` texts; halved, now and later, as memory demands."""
        made, at_once = [], self._halved(batch_size)
        for tensor, fitted in in_halves(count, at_once, do):
            made.append(tensor)
            while fitted < at_once:
                at_once = max(at_once // 2, 1)
                self.halvings += 1
                if self.halvings == 1:
                    log.warning(MEMORY)
        return made

    def _halved(self, batch_size: int) -> int:
        return max(batch_size >> self.halvings, 1)

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
    else:
        config = AutoConfig.from_pretrained(spec.model_folder, **settings)
        model = auto_class.from_config(config, torch_dtype=torch.float32)
    model.config.use_cache = False  # of keys and values, for tokens that would follow
    return model


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

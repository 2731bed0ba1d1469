"""An encoder's layers on real tokens only, without computation on padding.

Hidden states are kept as [tokens, width], without the rows of padding; only attention, which needs
sequences, gets them back as zeros. With templates of different lengths and texts of only similar
length, 13 to 22 % of a batch is padding. It is computed where a batch's shape must not depend on
its texts.
"""

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions as Output

from trainables.heads.base import Batch
from trainables.speed.first_layer import Repeats


class AllPlaces:
    """A padded batch whose padding is computed as well. real: 1 or 0 [sequences, length]."""

    def __init__(self, real: Tensor) -> None:
        self.shape = real.shape
        self.mask = real.bool()

    def pack(self, padded: Tensor) -> Tensor:
        """[sequences, length, width] to [tokens, width]."""
        return padded.flatten(0, 1)

    def unpack(self, packed: Tensor) -> Tensor:
        """[tokens, width] to [sequences, length, width]."""
        return packed.view(*self.shape, -1)


class RealTokens(AllPlaces):
    """Which of a padded batch's places hold tokens: their indices, row by row."""

    def __init__(self, real: Tensor, places: Tensor) -> None:
        super().__init__(real)
        self.places = places

    def pack(self, padded: Tensor) -> Tensor:
        return padded.flatten(0, 1).index_select(0, self.places)

    def unpack(self, packed: Tensor) -> Tensor:
        """Zeros for padding."""
        padded = packed.new_zeros(self.mask.numel(), packed.shape[1])
        return padded.index_copy(0, self.places, packed).view(*self.shape, -1)


def encode_real_tokens(
    encoder: Any,
    batch: Batch,
    repeated: Repeats | None,
    last: Callable[[Tensor, Tensor], Tensor],
) -> Callable[..., Output]:
    """A forward for a BERT's or RoBERTa's encoder with the same result as its own.

    repeated: which rows of the first layer's input are equal. last: the last layer, of hidden
    states [sequences, length, width] and the attended tokens [sequences, 1, length].
    """
    real, places = batch.attention_mask, batch.tokens
    tokens = AllPlaces(real) if places is None else RealTokens(real, places)

    def forward(hidden_states: Tensor, *_: Any, **__: Any) -> Output:
        packed = tokens.pack(hidden_states)
        for number, layer in enumerate(encoder.layer[:-1]):
            packed = _layer(layer, tokens, packed, repeated if number == 0 else None)
        found: Any = last(tokens.unpack(packed), tokens.mask[:, None])
        return Output(last_hidden_state=found)

    return forward


def _layer(layer: Any, tokens: AllPlaces, packed: Tensor, repeated: Repeats | None) -> Tensor:
    own = layer.attention.self

    def heads(project: Callable[[Tensor], Tensor]) -> Tensor:
        projected = repeated.once(project, packed) if repeated else project(packed)
        split = (own.num_attention_heads, own.attention_head_size)
        return tokens.unpack(projected).unflatten(2, split).transpose(1, 2)

    found = F.scaled_dot_product_attention(
        heads(own.query),
        heads(own.key),
        heads(own.value),
        attn_mask=tokens.mask[:, None, None],
        dropout_p=own.dropout.p if own.training else 0.0,
    )
    found = tokens.pack(found.transpose(1, 2).flatten(2))
    attended: Tensor = layer.attention.output(found, packed)
    result: Tensor = layer.feed_forward_chunk(attended)
    return result

"""The last layer at the places that are read, and nowhere else.

A head reads one hidden state of a sequence (CLS, the mask, the last token). Of the last layer it
needs keys and values everywhere; queries, and all that works token by token after attention, are
needed at those places only. In a model of two layers two fifths of the arithmetic goes, in one of
twelve a fifteenth.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.gpt2.modeling_gpt2 import GPT2Block
from transformers.models.roberta.modeling_roberta import RobertaLayer


@contextmanager
def reading_at(model: Any, places: Tensor | None) -> Iterator[None]:
    """Within it, `model`'s last hidden states are right at `places` and undefined elsewhere.

    places: one index a sequence [sequences], or several [sequences, k]; None for all. Models that
    are not of a known kind compute all places, as ever.
    """
    layers = [m for m in model.modules() if isinstance(m, BertLayer | RobertaLayer | GPT2Block)]
    with ExitStack() as replaced:
        if layers and places is not None:
            at = Places(places)
            last = layers[-1]
            if isinstance(last, GPT2Block):
                replaced.enter_context(_replaced(last.attn.c_proj, "forward", at.only))
                replaced.enter_context(_replaced(last.mlp, "forward", at.only))
            else:
                attention = last.attention
                replaced.enter_context(_replaced(attention.self, "forward", at.attend(attention)))
                replaced.enter_context(_replaced(attention.output, "forward", at.only))
                replaced.enter_context(_replaced(last, "feed_forward_chunk", at.only))
        yield


class Places:
    """Where hidden states are read, and functions that work there only."""

    def __init__(self, places: Tensor) -> None:
        self.columns = places if places.dim() == 2 else places[:, None]
        self.rows = torch.arange(len(places), device=places.device)[:, None]

    def of(self, hidden: Tensor) -> Tensor:
        """[sequences, length, width] to [sequences, k, width]."""
        return hidden[self.rows, self.columns]

    def back(self, found: Tensor, like: Tensor) -> Tensor:
        """What was found at the places, among zeros: [sequences, length, width]."""
        result = found.new_zeros(*like.shape[:2], found.shape[-1])
        result[self.rows, self.columns] = found
        return result

    def only(self, token_wise: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """A function of tokens, at the places only."""
        return lambda *hidden: self.back(token_wise(*map(self.of, hidden)), like=hidden[0])

    def attend(self, attention: Any) -> Callable[[Any], Callable[..., tuple[Tensor, None]]]:
        """BERT's self-attention with queries at the places only."""
        own = attention.self

        def heads(projected: Tensor) -> Tensor:
            split = (*projected.shape[:2], own.num_attention_heads, own.attention_head_size)
            return projected.view(split).transpose(1, 2)

        def attended(
            hidden_states: Tensor, attention_mask: Tensor | None = None, **_: Any
        ) -> tuple[Tensor, None]:
            found = F.scaled_dot_product_attention(
                heads(own.query(self.of(hidden_states))),
                heads(own.key(hidden_states)),
                heads(own.value(hidden_states)),
                # Each row of an encoder's mask is the same: it hides the padding.
                attn_mask=None if attention_mask is None else attention_mask[:, :, :1],
                dropout_p=own.dropout.p if own.training else 0.0,
            )
            return self.back(found.transpose(1, 2).flatten(2), like=hidden_states), None

        return lambda _: attended


@contextmanager
def _replaced(
    owner: nn.Module, name: str, change: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Iterator[None]:
    setattr(owner, name, change(getattr(owner, name)))
    try:
        yield
    finally:
        delattr(owner, name)

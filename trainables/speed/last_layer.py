"""The last layer computed only at the places that are read.

A head reads one hidden state per sequence (CLS, the mask, the last token), or one per template.
Everything that works token by token is needed only there. So are the queries, and with few of them
keys and values are not needed either: q·(K h) = (Kᵀq)·h and Σ p (V h) = V (Σ p h), so the query and
the weighted sum of the hidden states are projected instead.

This saves nearly half of the arithmetic in a model of two layers, a twelfth in one of twelve.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.bert.modeling_bert import BertEncoder
from transformers.models.gpt2.modeling_gpt2 import GPT2Block
from transformers.models.roberta.modeling_roberta import RobertaEncoder

from trainables import speed
from trainables.heads.base import Batch
from trainables.speed.beginnings import Beginnings, beginnings, block_once
from trainables.speed.first_layer import repeats
from trainables.speed.linear import linear, pairwise, products
from trainables.speed.real_tokens import encode_real_tokens


@contextmanager
def reading_at(model: Any, batch: Batch) -> Iterator[None]:
    """In this block `model`'s last hidden states are right at the batch's positions and undefined
    elsewhere. Models of unsupported types compute all places."""
    with ExitStack() as replaced:
        if batch.positions is not None and speed.is_on("last_layer"):
            forwards = list(_forwards_at(model, Places(batch.positions), batch))
            for module, forward in forwards:
                replaced.enter_context(_replaced_forward(module, forward))
            if not forwards:
                speed.not_taken("last_layer", f"{type(model).__name__} is not supported")
        yield


def _forwards_at(
    model: Any, at: "Places", batch: Batch
) -> Iterator[tuple[nn.Module, Callable[..., Any]]]:
    """Modules of a model whose forward can be replaced, each with its replacement."""
    modules = list(model.modules())
    blocks = [m for m in modules if isinstance(m, GPT2Block)]
    plain = [block for block in blocks if _is_plain_block(block)]
    found = beginnings(model, batch) if len(plain) == len(blocks) > 1 else None
    for block in plain[-1:]:
        last = _block_at(block, at)
        yield block, last if found is None else _unpacked(found, last)
    if found is not None:
        for number, block in enumerate(plain[:-1]):
            repeated = repeats(model, batch, found.first) if number == 0 else None
            yield block, block_once(block, found, number == 0, repeated)
    for encoder in modules:
        if isinstance(encoder, BertEncoder | RobertaEncoder) and _is_plain(encoder):
            repeated = repeats(model, batch, batch.tokens)
            layer = _layer_at(encoder.layer[-1], at)
            yield encoder, encode_real_tokens(encoder, batch, repeated, layer)


class Places:
    """Where hidden states are read."""

    def __init__(self, places: Tensor) -> None:
        self.columns = places if places.dim() == 2 else places[:, None]
        self.rows = torch.arange(len(places), device=places.device)[:, None]

    def of(self, hidden: Tensor) -> Tensor:
        """[sequences, length, width] to [sequences, k, width]."""
        return hidden[self.rows, self.columns]

    def back(self, found: Tensor, like: Tensor) -> Tensor:
        """The values at the places, zeros elsewhere: [sequences, length, width]."""
        result = found.new_zeros(like.shape)
        result[self.rows, self.columns] = found
        return result


def _layer_at(layer: Any, at: Places) -> Callable[[Tensor, Tensor], Tensor]:
    """The last layer of a BERT or RoBERTa: of hidden states and the mask of `attend`."""
    own = layer.attention.self

    def forward(hidden: Tensor, mask: Tensor) -> Tensor:
        here = at.of(hidden)
        found = attend(
            own.query(here),
            own.key.weight,
            own.value.weight,
            own.value.bias,
            hidden,
            mask,
            heads=own.num_attention_heads,
            dropout=own.dropout,
        )
        return at.back(layer.feed_forward_chunk(layer.attention.output(found, here)), hidden)

    return forward


def _block_at(block: Any, at: Places) -> Callable[..., tuple[Tensor]]:
    """GPT-2's last block."""
    attention = block.attn

    def forward(
        hidden: Tensor,
        past_key_values: Any = None,
        cache_position: Any = None,
        attention_mask: Tensor | None = None,
        *_: Any,
        **__: Any,
    ) -> tuple[Tensor]:
        here, normed = at.of(hidden), block.ln_1(hidden)
        if attention_mask is None:  # no padding: each place attends to itself and what precedes it
            places = torch.arange(hidden.shape[1], device=hidden.device)
            mask = places <= at.columns[:, :, None]
        else:
            mask = attention_mask[:, 0][at.rows, at.columns]
        query, key, value = attention.c_attn.weight.T.split(attention.split_size)
        query_bias, _, value_bias = attention.c_attn.bias.split(attention.split_size)
        found = attend(
            linear(at.of(normed), query, query_bias),
            key,
            value,
            value_bias,
            normed,
            mask,
            heads=attention.num_heads,
            dropout=attention.attn_dropout,
        )
        here = here + attention.resid_dropout(attention.c_proj(found))
        return (at.back(here + block.mlp(block.ln_2(here)), hidden),)

    return forward


def _unpacked(found: Beginnings, forward: Callable[..., Any]) -> Callable[..., Any]:
    """A block's forward on [beginnings, width]."""
    return lambda rows, *arguments, **named: forward(found.unpack(rows), *arguments, **named)


def attend(
    queries: Tensor,
    key: Tensor,
    value: Tensor,
    value_bias: Tensor,
    hidden: Tensor,
    mask: Tensor,
    heads: int,
    dropout: nn.Module,
) -> Tensor:
    """Scaled dot-product attention of projected queries [sequences, k, width] over hidden states.

    key, value: weights [width, hidden]. mask: [sequences, k or 1, length], true where attended,
    or added to the scores. A bias of the keys adds the same to all scores of a query, so it has no
    effect.
    """
    sequences, k, width = queries.shape
    by_head = width // heads
    split = queries.reshape(sequences * k, heads, by_head).transpose(0, 1)
    looking = products(split, key.view(heads, by_head, -1))  # [heads, sequences * k, hidden]
    looking = looking.transpose(0, 1).reshape(sequences, k * heads, -1)
    scores = pairwise(looking, hidden.transpose(1, 2)).view(sequences, k, heads, -1)
    scores = scores.float() / by_head**0.5  # products may be of fewer bits
    if mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask[:, :, None], torch.finfo(scores.dtype).min)
    else:
        scores = scores + mask[:, :, None]
    shares = dropout(scores.softmax(dim=-1)).view(sequences, k * heads, -1)
    seen = pairwise(shares, hidden).view(sequences * k, heads, -1).transpose(0, 1)
    found = products(seen, value.view(heads, by_head, -1).transpose(1, 2)).transpose(0, 1)
    total = shares.sum(dim=-1).view(sequences * k, heads, 1)  # 1, except with dropout
    found = found + total * value_bias.view(heads, by_head)
    return found.reshape(sequences, k, width)


def _is_plain(encoder: Any) -> bool:
    """Whether an encoder's layers have only self-attention and feed-forward parts."""
    config = encoder.config
    return not config.is_decoder and config.position_embedding_type == "absolute"


def _is_plain_block(block: Any) -> bool:
    attention = block.attn
    return (
        not hasattr(block, "crossattention")
        and attention.scale_attn_weights
        and not attention.scale_attn_by_inverse_layer_idx
    )


@contextmanager
def _replaced_forward(owner: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    owner.forward = forward
    try:
        yield
    finally:
        del owner.forward

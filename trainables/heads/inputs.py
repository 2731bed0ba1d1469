"""Texts to token ids, for BERT, RoBERTa and GPT-2 alike: pairs, padding, truncation.

Two columns are joined as the model's tokenizer joins a pair ([SEP], or </s></s>); a decoder has no
separator and uses a line break.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from search_spaces.errors import BadInput
from trainables.heads.base import Batch, Layout, Texts, Traced

LINE_BREAK = "\n"


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """A model's tokenizer. One without a padding token (GPT-2) pads with its end-of-text token.

    Raises BadInput if it has neither.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise BadInput(f"the tokenizer in {folder} has neither a padding nor an end-of-text token")
    return tokenizer


def check_cls(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises BadInput for a tokenizer that does not begin a text with CLS, e.g. XLNet's."""
    if tokenizer.cls_token_id is None or tokenizer("a").input_ids[0] != tokenizer.cls_token_id:
        raise BadInput(
            f"{tokenizer.name_or_path} does not begin a text with a CLS token, where this head "
            "reads it; use a model laid out like BERT or RoBERTa"
        )


def encode_texts(
    tokenizer: PreTrainedTokenizerBase, texts: Texts, max_length: int, causal: bool
) -> Batch:
    """Texts with the tokenizer's special tokens; long ones are truncated in the longer column.

    They are read at the first token (CLS), or the last one of a causal model. A text without
    tokens, such as the empty one for GPT-2, becomes the beginning-of-text token, or the end-of-text
    or padding token of a tokenizer without it.
    """
    columns = [list(column) for column in zip(*texts, strict=True)]
    if causal:
        columns = [[LINE_BREAK.join(row) for row in zip(*columns, strict=True)]]
    settings: dict[str, Any] = {"padding": True, "truncation": True, "max_length": max_length}
    encoded = tokenizer(*columns, **settings, return_tensors="pt")
    lengths = encoded["attention_mask"].sum(dim=1)
    if causal and not lengths.all():
        nothing = tokenizer.bos_token or tokenizer.eos_token or tokenizer.pad_token
        there = [text if n else nothing for text, n in zip(columns[0], lengths, strict=True)]
        encoded = tokenizer(there, **settings, return_tensors="pt")
        lengths = encoded["attention_mask"].sum(dim=1)
    read_at = lengths - 1 if causal else torch.zeros_like(lengths)
    layout = Layout(lengths, limit=max_length, padding=padding_of(tokenizer))
    return Batch(dict(encoded), read_at, layout=layout)


def trace_texts(
    tokenizer: PreTrainedTokenizerBase, text: tuple[str, ...], max_length: int, causal: bool
) -> Traced:
    """One text of `encode_texts`, with the origin of its tokens.

    Raises NotImplementedError for a tokenizer written in Python, which does not keep it.
    """
    batch = encode_texts(tokenizer, [text], max_length, causal)
    columns = (LINE_BREAK.join(text),) if causal else text
    encoded = tokenizer(
        *columns, truncation=True, max_length=max_length, return_offsets_mapping=True
    )
    tokens = torch.full_like(batch.inputs["input_ids"], -1)
    begins, spans = _begins(columns), list[tuple[int, int]]()
    places = zip(encoded.sequence_ids(0), encoded["offset_mapping"], strict=True)
    for place, (column, (start, end)) in enumerate(places):
        if column is not None:
            tokens[0, place] = len(spans)
            spans.append((begins[column] + start, begins[column] + end))
    return Traced(batch, tokens, spans)


def _begins(columns: Sequence[str]) -> list[int]:
    """Where each column begins in all of them, joined by line breaks."""
    return [sum(len(column) + 1 for column in columns[:number]) for number in range(len(columns))]


def padding_of(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """The value of padding by the name of an input."""
    return {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}


@dataclass(frozen=True)
class Frame:
    """The special tokens around a text, and between the two columns of a pair."""

    before: list[int]
    between: list[int]
    after: list[int]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, causal: bool) -> "Frame":
        if causal:
            return cls([], _ids(tokenizer, LINE_BREAK), [])
        # From an example, which works for all tokenizers and versions of transformers.
        (letter,) = _ids(tokenizer, "a")
        pair = tokenizer("a", "a").input_ids
        first = pair.index(letter)
        second = pair.index(letter, first + 1)
        return cls(pair[:first], pair[first + 1 : second], pair[second + 1 :])

    def join(self, columns: Sequence[list[int]], room: int) -> list[int]:
        """The columns' tokens with the tokens between them, truncated to `room` tokens."""
        cut = [list(column) for column in columns]
        room = max(room - len(self.between) * (len(cut) - 1), 0)
        while sum(map(len, cut)) > room:
            longest = max(reversed(cut), key=len)
            longest.pop()
        joined = cut[0]
        for column in cut[1:]:
            joined = joined + self.between + column
        return joined


def tokenize_columns(tokenizer: PreTrainedTokenizerBase, texts: Texts) -> list[list[list[int]]]:
    """Token ids without special tokens: one list per text, of one list per column."""
    columns = [
        tokenizer(list(column), add_special_tokens=False, truncation=False).input_ids
        for column in zip(*texts, strict=True)
    ]
    return [list(row) for row in zip(*columns, strict=True)]


@dataclass(frozen=True)
class ColumnTokens:
    """The tokens of a text, column after column. spans: see Traced."""

    ids: list[int]
    spans: list[tuple[int, int]]
    counts: list[int]  # of each column

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, text: tuple[str, ...]) -> "ColumnTokens":
        """As `tokenize_columns`. Raises NotImplementedError for a tokenizer written in Python."""
        found = cls([], [], [])
        for begin, column in zip(_begins(text), text, strict=True):
            encoded = tokenizer(
                column, add_special_tokens=False, truncation=False, return_offsets_mapping=True
            )
            found.ids.extend(encoded.input_ids)
            found.spans.extend((begin + s, begin + e) for s, e in encoded["offset_mapping"])
            found.counts.append(len(encoded.input_ids))
        return found


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    return ids

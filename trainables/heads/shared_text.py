"""Several prompts after one text, in one sequence: a causal model reads the text once.

A row is `text template1 template2 …`. A template's tokens see the text and their own template, and
stand at the positions that they would have right behind the text, so each is scored as if it stood
there alone; the text never sees what comes after it.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from trainables.heads.base import Batch

# Those that take a mask [sequences, 1, length, length] and positions of the caller's choice.
MODEL_TYPES = ("gpt2", "llama")
PADDING = -1


@dataclass
class Row:
    """Tokens, each with its position, the template it belongs to (0: the text) and how many of the
    text's tokens it may see."""

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    sees: list[int] = field(default_factory=list)
    read_at: list[int] = field(default_factory=list)

    def add(self, ids: list[int], first_position: int, segment: int, sees: int) -> None:
        self.ids += ids
        self.positions += range(first_position, first_position + len(ids))
        self.segments += [segment] * len(ids)
        self.sees += [sees] * len(ids)


def pack(texts: list[list[list[int]]], templates: list[list[int]], pad_id: int) -> Batch | None:
    """One row a text, to be read at the last token of each template [texts, templates].

    texts[t][i]: token ids of text i as cut to leave room for template t. None where these differ in
    more than their length (a pair was cut in its middle), so that no row can hold them all.
    """
    rows = []
    for cuts in zip(*texts, strict=True):
        whole = max(cuts, key=len)
        if any(whole[: len(cut)] != cut for cut in cuts):
            return None
        row = Row()
        row.add(whole, 0, segment=0, sees=len(whole))
        for number, (cut, template) in enumerate(zip(cuts, templates, strict=True), start=1):
            row.add(template, len(cut), segment=number, sees=len(cut))
            row.read_at.append(len(row.ids) - 1)
        rows.append(row)
    segments = _padded([row.segments for row in rows], PADDING)
    positions = _padded([row.positions for row in rows], 0)
    inputs = {
        "input_ids": _padded([row.ids for row in rows], pad_id),
        "position_ids": positions,
        "attention_mask": _mask(segments, positions, _padded([row.sees for row in rows], 0)),
    }
    read_at = torch.tensor([row.read_at for row in rows])
    return Batch(inputs, read_at, real=(segments != PADDING).long())


def _padded(rows: list[list[int]], value: int) -> Tensor:
    tensors = [torch.tensor(row) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=value)


def _mask(segments: Tensor, positions: Tensor, sees: Tensor) -> Tensor:
    """What is added to attention [rows, 1, length, length]: 0 where a token may look, else −∞."""
    earlier = torch.ones(segments.shape[1], segments.shape[1], dtype=torch.bool).tril()
    own = segments[:, :, None] == segments[:, None, :]
    text = (segments == 0)[:, None, :] & (positions[:, None, :] < sees[:, :, None])
    mask = torch.zeros(own.shape)
    mask.masked_fill_(~(earlier & (own | text)), torch.finfo(mask.dtype).min)
    return mask[:, None]

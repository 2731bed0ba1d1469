"""Several prompts after one text, in one sequence: a causal model reads the text once.

A row is `text template1 template2 …`. A template's tokens attend to the text and their own
template, at the positions that they would have directly after the text, so each template is scored
as if it were alone; the text never attends to what follows it.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from trainables.heads.base import Batch

# They accept a mask [sequences, 1, length, length] and explicit positions.
MODEL_TYPES = ("gpt2", "llama")
PADDING = -1


@dataclass
class Row:
    """Tokens, each with its position, its segment (0: the text, n: template n), and the number of
    the text's tokens that it attends to."""

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
    """One row per text, read at the last token of each template [texts, templates].

    texts[t][i]: token ids of text i, truncated to leave room for template t. None if these are not
    prefixes of one another (a pair was truncated in its middle), so that one row cannot hold them.
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
    """The additive attention mask [rows, 1, length, length]: 0 where allowed, else the least."""
    earlier = torch.ones(segments.shape[1], segments.shape[1], dtype=torch.bool).tril()
    own = segments[:, :, None] == segments[:, None, :]
    text = (segments == 0)[:, None, :] & (positions[:, None, :] < sees[:, :, None])
    mask = torch.zeros(own.shape)
    mask.masked_fill_(~(earlier & (own | text)), torch.finfo(mask.dtype).min)
    return mask[:, None]

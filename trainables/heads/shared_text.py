"""Several prompts after one text, in one sequence: a causal model reads the text once.

A row is `text template1 template2 …`. A template's tokens attend to the text and their own
template, at the positions that they would have directly after the text, so each template is scored
as if it were alone; the text never attends to what follows it. A pair that is truncated in its
middle, to another text for each template, stands in the row once for each.
"""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from trainables.heads.base import Batch, Layout
from trainables.heads.masks import earlier

PADDING = -1


@dataclass
class Row:
    """Tokens, each with its position, its segment (a text's or a template's number), the segment of
    the text that it follows or is in, and the number of that text's tokens that it attends to."""

    input_ids: list[int] = field(default_factory=list)
    position_ids: list[int] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    follows: list[int] = field(default_factory=list)
    sees: list[int] = field(default_factory=list)
    read_at: list[int] = field(default_factory=list)
    added: int = 0  # segments

    def add(self, ids: list[int], first_position: int, follows: int | None, sees: int) -> int:
        """Add a segment and return its number. follows: None for a text."""
        number = self.added
        self.added += 1
        self.input_ids += ids
        self.position_ids += range(first_position, first_position + len(ids))
        self.segments += [number] * len(ids)
        self.follows += [number if follows is None else follows] * len(ids)
        self.sees += [sees] * len(ids)
        return number


def pack(
    texts: list[list[list[int]]], templates: list[list[int]], limit: int, pad_id: int
) -> Batch:
    """One row per text, read at the last token of each template [texts, templates].

    texts[t][i]: token ids of text i, truncated to leave room for template t. limit: tokens that the
    model reads at most.
    """
    rows = [_row(list(cuts), templates) for cuts in zip(*texts, strict=True)]
    padding = {"input_ids": pad_id, "segments": PADDING, "follows": PADDING}
    inputs = {
        name: _padded([getattr(row, name) for row in rows], padding.get(name, 0))
        for name in ("input_ids", "position_ids", "segments", "follows", "sees")
    }
    return Batch(
        inputs,
        torch.tensor([row.read_at for row in rows]),
        real=(inputs["segments"] != PADDING).long(),
        layout=Layout(
            torch.tensor([len(row.input_ids) for row in rows]), limit=limit, padding=padding
        ),
    )


def _row(cuts: list[list[int]], templates: list[list[int]]) -> Row:
    row = Row()
    whole = max(cuts, key=len)
    one = all(whole[: len(cut)] == cut for cut in cuts)
    text = row.add(whole, 0, None, len(whole)) if one else -1
    for cut, template in zip(cuts, templates, strict=True):
        if not one:
            text = row.add(cut, 0, None, len(cut))
        row.add(template, len(cut), text, len(cut))
        row.read_at.append(len(row.input_ids) - 1)
    return row


def with_mask(batch: Batch) -> Batch:
    """A batch of `pack` as a model takes it: with attention_mask [rows, 1, length, length], true
    where a place attends to another."""
    ids, positions, segments, follows, sees = batch.inputs.values()
    own = segments[:, :, None] == segments[:, None, :]
    text = (segments[:, None, :] == follows[:, :, None]) & (
        positions[:, None, :] < sees[:, :, None]
    )
    mask = earlier(segments.shape[1], segments.device) & (own | text)
    inputs = {"input_ids": ids, "position_ids": positions, "attention_mask": mask[:, None]}
    return replace(batch, inputs=inputs)


def _padded(rows: list[list[int]], value: int) -> Tensor:
    tensors = [torch.tensor(row) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=value)

"""The text that the small models are trained on: reading, splitting, tokenizing, batches.

It is public text in two files with one passage a line (`FILES`). Knows nothing of any model.
"""

from __future__ import annotations

import gzip
import itertools
import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

FILES = ("imdb_unsup_reviews.txt.gz", "wikipedia_trex_sentences.txt.gz")
CHUNK = 126  # pieces per training sequence, [CLS] and [SEP] not counted
BATCH_TOKENS = 2048
MASK_RATE = 0.15
SPECIAL_PIECES = 5  # they come first in a vocabulary and are never drawn as noise
IGNORE = -100

_KEEP = """
negative positive neutral politics political sports sport business technology science world news
true false yes no maybe great terrible good bad awful excellent wonderful horrible best worst
better worse boring amazing brilliant dull funny sad happy love hate loved hated like dislike
fine poor perfect weak strong awesome fantastic superb mediocre disappointing enjoyable delightful
charming moving touching annoying stupid silly clever smart fresh tired predictable entertaining
beautiful ugly mess masterpiece failure success pleasant unpleasant nice mean cruel kind angry
fear joy surprise disgust company school university college artist athlete building river lake
mountain village town city animal plant flower album song film movie book novel magazine person
place nature transport transportation vehicle ship train car aircraft politician office holder
same different similar equivalent paraphrase related unrelated government military software
hardware internet computer market stock economy finance oil war peace team game player season
league election president minister court police army space research medicine health question
answer entailment contradiction subjective objective fact opinion spam toxic offensive
"""
# Words that prompts and label names use; they stay whole however rare they are in the text.
KEEP_WORDS = tuple(_KEEP.split())

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # inputs, attention mask, labels
Span = tuple[int, int]


def read_text(folder: Path) -> tuple[list[str], list[str]]:
    """Return (training passages, held-out passages).

    The side is decided by a hash of a passage's first 40 characters, so passages that begin
    with the same sentence are always on the same side. About 2 % is held out; of these, passages
    that share any ten words in a row with a training passage are dropped altogether.
    """
    train: list[str] = []
    held: list[str] = []
    for name in FILES:
        with gzip.open(folder / name, "rt", encoding="utf-8") as lines:
            for line in lines:
                line = line.strip()
                if line:
                    side = held if zlib.crc32(line[:40].lower().encode()) % 50 == 0 else train
                    side.append(line)
    ours = {run for passage in held for run in word_runs(passage)}
    shared = {run for passage in train for run in word_runs(passage) if run in ours}
    return train, [p for p in held if not any(run in shared for run in word_runs(p))]


def word_runs(passage: str, length: int = 10) -> Iterator[int]:
    """A hash of every run of ``length`` words."""
    words = passage.lower().split()
    for i in range(len(words) - length + 1):
        yield hash(tuple(words[i : i + length]))


def tokenize(
    tokenizer: PreTrainedTokenizerFast, passages: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Piece ids of all passages, one after another, and where each passage ends."""
    parts: list[np.ndarray] = []
    ends: list[int] = []
    total = 0
    fast = tokenizer.backend_tokenizer
    for start in range(0, len(passages), 2000):
        for code in fast.encode_batch(passages[start : start + 2000], add_special_tokens=False):
            ids = np.array(code.ids, dtype=np.int32)
            total += len(ids)
            parts.append(ids)
            ends.append(total)
    return np.concatenate(parts), np.array(ends)


class Batches:
    """Sequences of at most ``CHUNK`` pieces, grouped by length, masked again in each epoch."""

    def __init__(
        self, ids: np.ndarray, ends: np.ndarray, tokenizer: PreTrainedTokenizerFast
    ) -> None:
        self.ids = torch.from_numpy(ids).long()
        self.cls, self.sep = tokenizer.cls_token_id, tokenizer.sep_token_id
        self.pad, self.mask = tokenizer.pad_token_id, tokenizer.mask_token_id
        self.size = len(tokenizer)
        self.spans: list[Span] = []
        start = 0
        for end in ends.tolist():
            count = max(1, math.ceil((end - start) / CHUNK))
            edges = np.linspace(start, end, count + 1).astype(int).tolist()
            self.spans += [(a, b) for a, b in itertools.pairwise(edges) if b - a >= 8]
            start = end

    def epoch(self, generator: torch.Generator, plain: bool = False) -> Iterator[Batch]:
        """Yield all sequences once, in random order."""
        order = torch.randperm(len(self.spans), generator=generator).tolist()
        for begin in range(0, len(order), 4000):
            group = sorted(
                (self.spans[i] for i in order[begin : begin + 4000]), key=lambda s: s[0] - s[1]
            )
            batches: list[list[Span]] = []
            at = 0
            while at < len(group):
                rows = max(1, BATCH_TOKENS // (group[at][1] - group[at][0] + 2))
                batches.append(group[at : at + rows])
                at += rows
            for i in torch.randperm(len(batches), generator=generator).tolist():
                yield self.make(batches[i], generator, plain)

    def make(self, spans: list[Span], generator: torch.Generator, plain: bool) -> Batch:
        """One batch: 15 % of the pieces chosen; of these 80 % become [MASK], 10 % a random
        piece, 10 % stay (``plain``: all become [MASK])."""
        width = max(b - a for a, b in spans) + 2
        inputs = torch.full((len(spans), width), self.pad)
        text = torch.zeros_like(inputs, dtype=torch.bool)
        for i, (a, b) in enumerate(spans):
            inputs[i, 0] = self.cls
            inputs[i, 1 : 1 + b - a] = self.ids[a:b]
            inputs[i, 1 + b - a] = self.sep
            text[i, 1 : 1 + b - a] = True
        attention = (inputs != self.pad).long()
        chosen = text & (torch.rand(inputs.shape, generator=generator) < MASK_RATE)
        labels = torch.where(chosen, inputs, IGNORE)
        fate = torch.rand(inputs.shape, generator=generator)
        noise = torch.randint(SPECIAL_PIECES, self.size, inputs.shape, generator=generator)
        inputs = torch.where(chosen & (fate < (1.0 if plain else 0.8)), self.mask, inputs)
        if not plain:
            inputs = torch.where(chosen & (fate >= 0.9), noise, inputs)
        return inputs, attention, labels


class CausalBatches(Batches):
    """The same sequences for a model that predicts each token: the labels are the inputs."""

    def __init__(
        self, ids: np.ndarray, ends: np.ndarray, tokenizer: PreTrainedTokenizerFast
    ) -> None:
        tokenizer.pad_token = tokenizer.cls_token = tokenizer.sep_token = tokenizer.eos_token
        tokenizer.mask_token = tokenizer.eos_token
        super().__init__(ids, ends, tokenizer)

    def make(self, spans: list[Span], generator: torch.Generator, plain: bool) -> Batch:
        """One batch; nothing is masked."""
        width = max(b - a for a, b in spans) + 1
        inputs = torch.full((len(spans), width), self.pad)
        attention = torch.zeros_like(inputs)
        for row, (a, b) in enumerate(spans):
            inputs[row, 1 : 1 + b - a] = self.ids[a:b]
            attention[row, : 1 + b - a] = 1
        labels = torch.where(attention.bool(), inputs, IGNORE)
        return inputs, attention, labels

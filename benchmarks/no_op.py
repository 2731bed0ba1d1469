"""A head and an attack that cost next to nothing: what is left of a cell is what the sweep adds."""

from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

from trainables.attacks.resources import prepare_textattack
from trainables.heads.base import Batch, Head, HeadSpec, Texts

prepare_textattack("embedded")

from textattack.search_methods import GreedySearch  # noqa: E402
from textattack.transformations import WordSwap  # noqa: E402

WORDS = 4096


class HashedWords(Head):
    """Weights of hashed words, added up; the language model is not even loaded."""

    def __init__(self, spec: HeadSpec) -> None:
        super().__init__()
        self.model = nn.EmbeddingBag(WORDS, spec.classes, mode="sum")

    def encode(self, texts: Texts) -> Batch:
        words = [[crc32(w.encode()) % WORDS for w in " ".join(row).split()] for row in texts]
        starts = torch.tensor([0, *map(len, words[:-1])]).cumsum(0)
        return Batch({"input": torch.tensor([w for row in words for w in row])}, starts)

    def score(self, batch: Batch) -> Tensor:
        logits: Tensor = self.model(batch.inputs["input"], batch.positions)
        return logits


class NoSwap(WordSwap):
    """Proposes nothing."""

    def _get_replacement_words(self, word: str) -> list[str]:
        return []


def nothing(settings: dict[str, Any], resources: str, masked_lm: Any) -> tuple[Any, list[Any], Any]:
    return NoSwap(), [], GreedySearch()

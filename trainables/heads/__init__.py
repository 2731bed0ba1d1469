"""Heads: text in, class logits out.

Each kind of head is a builder `(model_folder, data, max_length, seed) -> Head` in `KINDS`. What a
head reads off the language model, and how it lays out its input, is its own business; the rest of
the code only ever calls `head(texts)`.
"""

from collections.abc import Callable
from pathlib import Path

from search_spaces.catalog import Dataset
from search_spaces.errors import BadInput, nearest
from trainables.heads.base import Head
from trainables.heads.mlp_ft import MlpFt
from trainables.heads.mvp import Mvp

KINDS: dict[str, Callable[[Path, Dataset, int], Head]] = {"mlp_ft": MlpFt, "mvp": Mvp}


def build_head(kind: str, model_folder: Path, data: Dataset, max_length: int) -> Head:
    """A head of this kind over a pre-trained model, not yet fine-tuned.

    Random initialisation draws from torch's global generator: seed it before. Raises BadInput for
    an unknown kind.
    """
    if kind not in KINDS:
        raise BadInput(f"unknown kind of head {kind!r}; {nearest(kind, KINDS)}")
    return KINDS[kind](model_folder, data, max_length)

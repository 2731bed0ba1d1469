"""How much of a text is beyond what the model reads, where changing a word has no effect."""

from bisect import bisect_left
from collections.abc import Sequence

import torch

from trainables.heads.base import Batch, Head

MOST_LETTERS = 8


def words_unread(head: Head, texts: tuple[str, ...], column: int, words: Sequence[str]) -> int:
    """How many words at the end of a column can change without a change of the encoded input.

    texts: an example's columns. words: the column's, in order. The head encodes the
    text with a word replaced, so this is right whatever a head adds or truncates; a head without
    `encode` is assumed to read everything.

    A word is replaced by single letters, each one token. For a pair, 1 to MOST_LETTERS letters are
    tried, so that one try has as many tokens as the word: then neither column's share of the
    truncation changes.
    """
    text = texts[column]
    places = []
    end = 0
    for word in words:
        start = text.index(word, end)
        end = start + len(word)
        places.append((start, end))
    counts = range(1, MOST_LETTERS + 1) if len(texts) > 1 else (1,)

    def unread(number: int) -> bool:
        start, end = places[number]
        letter = "q" if text[start] in "kK" else "k"
        for count in counts:
            changed = text[:start] + " ".join(letter * count) + text[end:]
            encoded = head.encode([(*texts[:column], changed, *texts[column + 1 :])])
            if _same(encoded, whole):
                return True
        return False

    try:
        whole = head.encode([texts])
    except NotImplementedError:
        return 0
    if not words or not unread(len(words) - 1):
        return 0
    return len(words) - bisect_left(range(len(words)), True, key=unread)


def _same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(one.inputs[name], other.inputs[name]) for name in other.inputs)

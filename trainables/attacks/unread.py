"""How much of a text lies beyond what the model reads, where changing a word changes nothing."""

from collections.abc import Sequence

import torch

from trainables.heads.base import Batch, Head


def words_unread(head: Head, texts: tuple[str, ...], column: int, words: Sequence[str]) -> int:
    """How many of a column's words come after the last that changes what the head reads.

    texts: an example's columns. words: the column's, in order. The head is asked how it encodes
    beginnings of the column, so that it is right whatever a head adds or cuts; one that does not
    encode by itself is taken to read all.
    """
    ends = [texts[column].index(words[0]) if words else 0]  # where so many words end
    for word in words:
        ends.append(texts[column].index(word, ends[-1]) + len(word))

    def encoded(count: int) -> Batch:
        beginning = texts[column][: ends[count]]
        return head.encode([(*texts[:column], beginning, *texts[column + 1 :])])

    try:
        whole = head.encode([texts])
        if not words or not _same(encoded(len(words) - 1), whole):
            return 0
    except NotImplementedError:
        return 0
    least, enough = 0, len(words) - 1
    while least < enough:
        middle = (least + enough) // 2
        if _same(encoded(middle), whole):
            enough = middle
        else:
            least = middle + 1
    return len(words) - enough


def _same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(one.inputs[name], other.inputs[name]) for name in other.inputs)

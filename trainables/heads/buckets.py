"""Which texts share a batch of `Head.predict`: a text's place depends on its own length alone.

A text belongs to the bucket of its length, and is padded to the bucket's: so the shape of what is
computed never depends on the texts beside it. Where the number of rows must not either, each bucket
has one, and batches are filled up.
"""

from collections.abc import Iterator, Sequence

TOKENS = 4096  # in a batch at most, enough to keep a GPU busy; on a CPU half of it is slower


def bucket(length: int, limit: int | None = None) -> int:
    """The length that a sequence of `length` tokens is padded to.

    In steps of 8 up to 64 tokens, of 16 up to 128, of 32 up to 256 and so on: an eighth of it is
    padding at most, beyond 64. limit: the most that the model reads; a longer sequence has a
    bucket all the same.
    """
    step = max(8, 2 ** (max(length - 1, 0).bit_length() - 3))
    padded = max(-(-length // step) * step, step)
    return padded if limit is None or length > limit else min(padded, limit)


def rows_of(length: int, per_text: int) -> int:
    """Texts in a batch of sequences of this length, `per_text` of them a text: a power of two."""
    fit = TOKENS // (length * per_text)
    return 1 << max(fit.bit_length() - 1, 0)


def by_bucket(lengths: Sequence[int], limit: int | None = None) -> Iterator[tuple[int, list[int]]]:
    """Each bucket's length and the texts in it, by their numbers; the longest bucket first.

    lengths: of each text's longest sequence.
    """
    members: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        members.setdefault(bucket(length, limit), []).append(row)
    yield from sorted(members.items(), reverse=True)


def filled_up(rows: Sequence[int], to: int) -> list[int]:
    """The rows, the last one repeated until they are a multiple of `to`."""
    return [*rows, *[rows[-1]] * (-len(rows) % to)]

"""The first combinations of pieces that are one word, without trying all of them.

BERT-Attack combines one piece from each of several lists, and keeps the first few combinations that
TextAttack accepts as one word. Their number is the product of the lists' lengths, and often hardly
any is a word: one full stop among the pieces is enough. Here a prefix that cannot become one word
is dropped immediately. Import after `prepare_textattack`.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice, product
from typing import NamedTuple

from textattack.shared import utils

from trainables.speed.texts import NEEDS_NEIGHBOURS

# Whether Chinese is one word needs a dictionary lookup of each combination. At most this many
# characters are looked up: enough for a word of five letters with eight candidates each.
LOOKED_UP = 5 * 8**5

# TextAttack keeps these within a word, but none is a word alone.
INSIDE_WORDS = frozenset("'-_*@")


class State(NamedTuple):
    """The state of a prefix, which decides whether it can still become one word."""

    words: int = 0
    in_word: bool = False
    half: bool = False  # it ends in `#`, which the next piece may make `##`, which is removed


STATES = [State(*each) for each in product((0, 1), (False, True), (False, True))]


def one_word_combinations(pieces: Sequence[Sequence[str]], most: int) -> list[str]:
    """The first `most` of all combinations, the last piece varying first, that are one word.

    pieces: for each place its candidates. A combination is its pieces joined, without `##`.
    """
    return list(islice(_one_words(pieces), most))


def _one_words(pieces: Sequence[Sequence[str]]) -> Iterator[str]:
    looked_up = 0
    for text in _candidates(pieces):
        if NEEDS_NEIGHBOURS.search(text):
            looked_up += len(text)
            if looked_up > LOOKED_UP:
                return
            if not utils.is_one_word(text):
                continue
        yield text


def _candidates(pieces: Sequence[Sequence[str]]) -> Iterator[str]:
    """All combinations that are one word, in order; Chinese characters count as letters."""
    live = _live(pieces)
    beginnings = [("", State())]
    ends = [iter(pieces[0])]
    while ends:
        text, state = beginnings[-1]
        for piece in ends[-1]:
            after = _after(state, piece)
            if after not in live[len(ends)]:
                continue
            if len(ends) == len(pieces):
                yield (text + piece).replace("##", "")
            else:
                beginnings.append((text + piece, after))
                ends.append(iter(pieces[len(beginnings) - 1]))
                break
        else:
            beginnings.pop()
            ends.pop()


def _live(pieces: Sequence[Sequence[str]]) -> list[set[State]]:
    """For each place, and the end: the states from which the remaining pieces can make one word."""
    live = [{state for state in STATES if state.words == 1}]
    for candidates in reversed(pieces):
        live.append(
            {s for s in STATES if any(_after(s, piece) in live[-1] for piece in candidates)}
        )
    return live[::-1]


@lru_cache(2**14)
def _after(state: State, piece: str) -> State | None:
    """The state after a piece; None if there are two words, which cannot become one again."""
    words, in_word, half = state
    for letter in piece:
        if letter == "#":
            half = not half
            continue
        if half:
            in_word = half = False
        if letter in INSIDE_WORDS:
            continue
        if not _is_part_of_words(letter):
            in_word = False
        elif not in_word:
            words, in_word = words + 1, True
        if words > 1:
            return None
    return State(words, in_word, half)


@lru_cache(2**12)
def _is_part_of_words(letter: str) -> bool:
    # The dictionary splits Chinese and never joins separate words.
    return bool(NEEDS_NEIGHBOURS.match(letter)) or utils.is_one_word(letter)

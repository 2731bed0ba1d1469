"""The first combinations of pieces that are one word, without going through all of them.

BERT-Attack puts a piece from each of several lists together, and keeps the first few combinations
that TextAttack takes for one word. There are as many as the lists' lengths multiplied, and often
hardly any of them is a word: a full stop among the pieces is enough. Here a beginning that no end
can make one word is left at once. Import after `prepare_textattack`.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice, product
from typing import NamedTuple

from textattack.shared import utils

from trainables.speed.texts import NEEDS_NEIGHBOURS

# Only a dictionary knows whether Chinese is one word, so each such combination is looked up: at
# most so many letters of them, which are all for a word of five letters with eight candidates each.
LOOKED_UP = 5 * 8**5

# TextAttack keeps these within a word, and calls none of them one.
INSIDE_WORDS = frozenset("'-_*@")


class State(NamedTuple):
    """What of a beginning decides whether it can still become one word."""

    words: int = 0
    in_word: bool = False
    half: bool = False  # it ends in a `#` that the next may make a `##`, which is left out


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
    """All combinations that are one word, taking Chinese for letters, in order."""
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
    """Before each place, and at the end: the states that pieces from there on can make one word."""
    live = [{state for state in STATES if state.words == 1}]
    for candidates in reversed(pieces):
        live.append(
            {s for s in STATES if any(_after(s, piece) in live[-1] for piece in candidates)}
        )
    return live[::-1]


@lru_cache(2**14)
def _after(state: State, piece: str) -> State | None:
    """The state with a piece added; None where there are two words, of which none can go again."""
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
    # The dictionary cuts Chinese, and never puts together what stands apart.
    return bool(NEEDS_NEIGHBOURS.match(letter)) or utils.is_one_word(letter)

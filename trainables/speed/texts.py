"""TextAttack's AttackedText, with a changed word spliced in, instead of a text built from scratch.

Import after `prepare_textattack`.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any, NamedTuple

from textattack.shared import AttackedText
from textattack.shared.utils import words_from_text

from trainables.attacks.deadline import check_time

# TextAttack splits Chinese by a dictionary, so that a word depends on its neighbours.
NEEDS_NEIGHBOURS = re.compile("[\u4e00-\u9fff]")


class Place(NamedTuple):
    """Where a word begins: its column, and the characters of it before the word."""

    column: int
    start: int


class Text(AttackedText):
    """Behaves like TextAttack's, except for two of its bugs.

    TextAttack makes a text from a list of its words by finding each of them in the old text and
    splitting each into words, then splits the whole new text. Attacks change one word at a time,
    mostly for one other or for none: then the rest of text, words and indices does not change.

    TextAttack splits a pair's columns together, and counts which words may be changed column by
    column. With Chinese in one of them a dictionary then splits both into more words than were
    counted, and protected words are changed. And a text that contains `<SPLIT>`, TextAttack's
    separator of columns, or that as a word, is cut or changed there. Here each column is
    split and changed by itself.

    words: those of each column, where they are known.
    """

    def __init__(
        self,
        text_input: str | OrderedDict[str, str],
        attack_attrs: dict[str, Any] | None = None,
        words: list[list[str]] | None = None,
    ) -> None:
        self._known_words = words
        super().__init__(text_input, attack_attrs)

    @cached_property
    def words_per_input(self) -> list[list[str]]:
        if self._known_words is not None:
            return self._known_words
        return [list(_words_of_column(column)) for column in self._text_input.values()]

    @cached_property
    def words(self) -> list[str]:
        return [word for words in self.words_per_input for word in words]

    @cached_property
    def text(self) -> str:
        return "\n".join(self._text_input.values())

    @cached_property
    def _places(self) -> list[Place] | None:
        """Where each word begins; None if a new word may change how others are split."""
        if NEEDS_NEIGHBOURS.search(self.text):
            return None
        places = []
        columns = zip(self._text_input.values(), self.words_per_input, strict=True)
        for number, (column, words) in enumerate(columns):
            end = 0
            for word in words:
                start = column.index(word, end)
                places.append(Place(number, start))
                end = start + len(word)
        return places

    def replace_words_at_indices(
        self, indices: Sequence[int], new_words: Sequence[str]
    ) -> AttackedText:
        check_time()
        if len(indices) == len(new_words) == 1 and self._places is not None:
            (index,), (new,) = indices, new_words
            if 0 <= index < len(self.words) and _is_simple(new):
                return self._with(int(index), new)
        return super().replace_words_at_indices(indices, new_words)

    def _with(self, index: int, new: str) -> AttackedText:
        """The text with `new`, one word or none, in the place of a word."""
        assert self._places is not None
        old = self.words[index]
        number, start = self._places[index]
        columns = list(self._text_input.values())
        before, after = columns[number][:start], columns[number][start + len(old) :]
        found = _words(new)
        modified = set(self.attack_attrs["modified_indices"])
        index_map = self.attack_attrs["original_index_map"].copy()
        if found:
            newly = {index} if new != old else set()
        else:
            newly = set()
            modified = {i if i < index else i - 1 for i in modified if i != index}
            index_map[index_map == index] = -1
            index_map[index_map > index] -= 1
            before, after = _without_space(index == 0, before, after, number == len(columns) - 1)
        columns[number] = f"{before}{new}{after}"
        words = list(self.words_per_input)
        own = index - sum(map(len, words[:number]))
        words[number] = [*words[number][:own], *found, *words[number][own + 1 :]]
        return self._made(columns, modified | newly, newly, index_map, words)

    def generate_new_attacked_text(self, new_words: Iterable[str]) -> AttackedText:
        modified = set(self.attack_attrs["modified_indices"])
        index_map = self.attack_attrs["original_index_map"].copy()
        newly: set[int] = set()
        columns = list(self._text_input.values())
        changes = enumerate(zip(self.words, new_words, strict=False))
        new_index = 0
        for number, words in enumerate(self.words_per_input):
            before, after = "", columns[number]
            for i, (old, new) in islice(changes, len(words)):
                start = after.index(old)
                before, after = before + after[:start], after[start + len(old) :]
                found = _words(new)
                more = len(found) - len(_words(old))
                if more:
                    modified = {m if m < i else m + more for m in modified if m != i}
                    if more == -1:
                        index_map[index_map == i] = -1
                    index_map[index_map > i] += more
                    if more > 0 and old != found[0]:
                        index_map[index_map == i] += more
                made = range(new_index, new_index + len(found))
                new_index = made.stop
                if old != new:
                    modified.update(made)
                    newly.update(made)
                if not found:
                    last = number == len(columns) - 1
                    before, after = _without_space(i == 0, before, after, last)
                before += new
            columns[number] = before + after
        return self._made(columns, modified, newly, index_map, None)

    def _made(
        self,
        columns: Sequence[str],
        modified: set[int],
        newly: set[int],
        index_map: Any,
        words: list[list[str]] | None,
    ) -> "Text":
        attrs = {
            "newly_modified_indices": newly,
            "previous_attacked_text": self,
            "modified_indices": modified,
            "original_index_map": index_map,
        }
        if "label_names" in self.attack_attrs:
            attrs["label_names"] = self.attack_attrs["label_names"]
        named = OrderedDict(zip(self._text_input, columns, strict=True))
        return Text(named, attrs, words)


def _without_space(first: bool, before: str, after: str, last_column: bool) -> tuple[str, str]:
    """Removing a word removes the space before it, or after the first word of the text.

    For the last word of the text, neither is removed.
    """
    if first:
        return before, after.removeprefix(" ")
    return (before.removesuffix(" ") if after or not last_column else before), after


def _is_simple(new: str) -> bool:
    """Whether it is one word or none, whatever its neighbours are."""
    return NEEDS_NEIGHBOURS.search(new) is None and len(_words(new)) <= 1


@lru_cache(2**16)
def _words(word: str) -> tuple[str, ...]:
    return tuple(words_from_text(word))


@lru_cache(64)  # A pair's other column would be split again for each text that is tried.
def _words_of_column(column: str) -> tuple[str, ...]:
    return tuple(words_from_text(column))

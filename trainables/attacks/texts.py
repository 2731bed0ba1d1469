"""TextAttack's AttackedText, with a changed word spliced in instead of the text built anew.

Import after `prepare_textattack`.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from typing import Any

from textattack.shared import AttackedText
from textattack.shared.utils import words_from_text

# TextAttack splits Chinese by a dictionary, so that a word hangs on its neighbours.
NEEDS_NEIGHBOURS = re.compile("[\u4e00-\u9fff]")


class Text(AttackedText):
    """Equal to TextAttack's in all that can be seen.

    TextAttack makes a text from a list of its words by finding each of them in the old text and
    splitting each into words, then splits the whole new text. Attacks change one word at a time,
    mostly for one other or for none: then the rest of text, words and indices is known.
    """

    def __init__(
        self,
        text_input: str | OrderedDict[str, str],
        attack_attrs: dict[str, Any] | None = None,
        words: list[str] | None = None,
    ) -> None:
        self._known_words = words
        super().__init__(text_input, attack_attrs)

    @property
    def words(self) -> list[str]:
        return super().words if self._known_words is None else self._known_words

    @cached_property
    def text(self) -> str:
        return "\n".join(self._text_input.values())

    @cached_property
    def _starts(self) -> list[int] | None:
        """Where each word begins in the columns joined by SPLIT_TOKEN; None where words do not lie
        in the text one after another as TextAttack looks for them."""
        if NEEDS_NEIGHBOURS.search(self.text) or any(w in self.SPLIT_TOKEN for w in self.words):
            return None
        starts = []
        end = 0
        for word in self.words:
            start = self._joined.find(word, end)
            if start < 0:
                return None
            starts.append(start)
            end = start + len(word)
        return starts

    @cached_property
    def _joined(self) -> str:
        return self.SPLIT_TOKEN.join(self._text_input.values())

    def replace_words_at_indices(
        self, indices: Sequence[int], new_words: Sequence[str]
    ) -> AttackedText:
        if len(indices) == len(new_words) == 1 and self._starts is not None:
            (index,), (new,) = indices, new_words
            if 0 <= index < len(self.words) and self._is_simple(new):
                return self._with(int(index), new)
        return super().replace_words_at_indices(indices, new_words)

    def generate_new_attacked_text(self, new_words: Iterable[str]) -> AttackedText:
        built = super().generate_new_attacked_text(new_words)
        return Text(built._text_input, built.attack_attrs, built.words)

    def _is_simple(self, new: str) -> bool:
        return self.SPLIT_TOKEN not in new and len(_words(new)) <= 1

    def _with(self, index: int, new: str) -> AttackedText:
        """The text with `new`, one word or none, in the place of a word."""
        assert self._starts is not None
        old = self.words[index]
        start = self._starts[index]
        before, after = self._joined[:start], self._joined[start + len(old) :]
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
            # With the word goes the space before it; with the first word the one after it.
            if index == 0:
                after = after.removeprefix(" ")
            elif after:
                before = before.removesuffix(" ")
        columns = f"{before}{new}{after}".split(self.SPLIT_TOKEN)
        attrs = {
            "newly_modified_indices": newly,
            "previous_attacked_text": self,
            "modified_indices": modified | newly,
            "original_index_map": index_map,
        }
        if "label_names" in self.attack_attrs:
            attrs["label_names"] = self.attack_attrs["label_names"]
        words = [*self.words[:index], *found, *self.words[index + 1 :]]
        return Text(OrderedDict(zip(self._text_input, columns, strict=True)), attrs, words)


@lru_cache(2**16)
def _words(word: str) -> tuple[str, ...]:
    if NEEDS_NEIGHBOURS.search(word):
        return ("", "")  # not simple
    return tuple(words_from_text(word))

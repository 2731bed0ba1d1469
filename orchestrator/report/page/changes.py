"""What an attack changed in a text, as edits: short to store, and all that a page marks."""

import re
from difflib import SequenceMatcher

Edit = tuple[int, int, str]  # where in the original, how many characters go, what comes instead


def edits(original: str, perturbed: str) -> list[Edit]:
    """The edits, word by word, that make `perturbed` of `original`; positions count characters."""
    before, after = _words(original), _words(perturbed)
    starts = [0]
    for word in before:
        starts.append(starts[-1] + len(word))
    return [
        (starts[first], starts[last] - starts[first], "".join(after[other:end]))
        for first, last, other, end in _changed(before, after)
    ]


def apply(original: str, made: list[Edit]) -> str:
    """The perturbed text."""
    parts, position = [], 0
    for start, length, inserted in made:
        parts += [original[position:start], inserted]
        position = start + length
    return "".join([*parts, original[position:]])


def _words(text: str) -> list[str]:
    """Words and what is between them, alternating; joined they are the text."""
    return re.findall(r"\w+|\W+", text)


def _changed(before: list[str], after: list[str]) -> list[tuple[int, int, int, int]]:
    """Runs of words that differ. Attacks mostly replace word by word, which needs no search."""
    differ = [n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b]
    if len(before) == len(after) and 2 * len(differ) <= len(before):
        return [(n, n + 1, n, n + 1) for n in differ]
    matcher = SequenceMatcher(None, before, after)
    return [tuple(found) for tag, *found in matcher.get_opcodes() if tag != "equal"]  # type: ignore[misc]

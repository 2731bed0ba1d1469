"""Checks that hold for every successful example, whatever attack found it.

A user's own attack, or a text that an attack's parts handle wrongly, may give a record that is not
true. Import after `prepare_textattack`.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from textattack.shared import AttackedText

from trainables import speed
from trainables.data import Example, split_columns
from trainables.heads.base import Head
from trainables.records import Attacked
from trainables.speed.texts import Text

SAME_SCORE = 1e-4  # where a head's last bits depend on a batch's other texts; ours do not


class BrokenRule(Exception):
    """A record is not true."""


def check_success(
    record: Attacked, example: Example, columns: Sequence[str], column: int, head: Head
) -> tuple[str, ...]:
    """The columns of a successful record's perturbed text. Raises BrokenRule, naming the rule.

    column: the index of the attacked one. The fit predicts the text again.
    """
    original = "\n".join(example.texts)
    if record["original_text"] != original:
        raise BrokenRule("the original text of the record is not the example's")
    perturbed = split_columns(record["perturbed_text"], example.texts, column)
    if perturbed is None:
        others = " and ".join(name for name in columns if name != columns[column])
        raise BrokenRule(f"only {columns[column]} is attacked, but {others} changed")
    before, after = text_of(columns, example.texts), text_of(columns, perturbed)
    counted, changed = record["words_changed"], len(before.all_words_diff(after))
    if counted != changed:
        raise BrokenRule(f"{counted} words are counted as changed, {changed} of the text differ")
    # Differences are counted only up to the end of the shorter text.
    gone = len(before.words) - len(after.words)
    if gone > changed or (gone and not changed):
        raise BrokenRule(
            f"{counted} words are counted as changed, but the number of words went from "
            f"{len(before.words)} to {len(after.words)}"
        )
    if record["perturbed_output"] == example.label:
        raise BrokenRule(f"the fit still gives the right label, {example.label}")
    scores = torch.softmax(head.predict([perturbed])[0].double(), dim=0).tolist()
    label, stored = scores.index(max(scores)), record["perturbed_output"]
    assert stored is not None
    if label != stored and scores[label] - scores[stored] > SAME_SCORE:
        raise BrokenRule(
            f"the fit reads label {label} from the perturbed text, the attack was told {stored}"
        )
    return perturbed


def text_of(columns: Sequence[str], texts: Sequence[str]) -> AttackedText:
    """The columns of an example as attacks expect them."""
    kind = Text if speed.is_on("texts") else AttackedText
    if len(columns) == 1:
        return kind(texts[0])
    return kind(OrderedDict(zip(columns, texts, strict=True)))

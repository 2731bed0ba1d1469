"""The same cell under another kind of attack score: they share a fit, and whatever the kinds order
alike (trainables/attacks/goal.py)."""

from typing import get_args

from orchestrator.plan import keys
from search_spaces.cell import Cell
from search_spaces.space import AttackSettings, Scores

KINDS: tuple[Scores, ...] = get_args(Scores)


def distinct_scores(scores: Scores, classes: int) -> Scores:
    """The scores, or the default ones if they order the texts of so many classes alike."""
    return "probability" if classes == 2 and scores != "textattack" else scores


def with_scores(cell: Cell, scores: Scores) -> Cell:
    """The cell as a space with these `attack.scores` has it."""
    attack = {name: value for name, value in cell.identity["attack"].items() if name != "scores"}
    distinct = distinct_scores(scores, len(cell.fit.data.labels))
    if distinct != "probability":
        attack["scores"] = distinct
    identity = {**cell.identity, "attack": attack}
    settings = AttackSettings(examples=cell.examples, precision=cell.precision)
    readable = cell.key.rpartition("-")[0]
    changed = {
        "key": keys.cell_key(readable, identity, settings),
        "log": keys.key(cell.log.rpartition("-")[0], identity),
        "scores": scores,
        "identity": identity,
    }
    return cell.model_copy(update=changed)

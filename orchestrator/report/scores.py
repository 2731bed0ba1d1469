"""Is it robustness, or the scale of the scores?

Calibration by head, and accuracy under attack by each kind of attack score that was run
(trainables/attacks/goal.py; Raina et al., ACL 2024).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

import numpy as np

from orchestrator.plan.compared import MLP, MVP
from orchestrator.report.comparison import RULE, change, differences, level, levels
from orchestrator.report.gain import significant
from orchestrator.report.results import (
    UNDER_ATTACK,
    CellResult,
    Method,
    Place,
    Results,
    fits,
    name_of,
)
from orchestrator.report.statistics import Decision, Values, decide, estimate, holm
from orchestrator.report.tables import Entry, Figure, Table, count, p_value

LOWEST = "lowest of these"
Seeded = tuple[Method, Place, int]


def calibration(results: Results) -> Table | None:
    """A row per head: how its fits' scores are scaled, on the clean test sets."""
    rows: list[list[Entry]] = []
    for method in results.methods:
        own = fits(result for result in results.cells if result.method == method)
        found = [result.fit["calibration"] for result in own if "calibration" in result.fit]
        if not found:
            continue
        temperatures = [each["temperature"] for each in found if not each["separated"]]
        middle = float(np.median(temperatures)) if temperatures else None
        rows.append(
            [
                name_of(method),
                Figure(mean(each["error"] for each in found)),
                Figure(mean(each["confidence"] for each in found)),
                Figure(mean(each["saturated"] for each in found)),
                Figure(middle, percent=False, digits=2),
                count(sum(each["separated"] for each in found)),
                count(len(found)),
            ]
        )
    if not rows:
        return None
    header = ["head", "calibration error", "confidence", "saturated",
              "temperature, median", "separated", "fits"]  # fmt: skip
    notes = [
        "In %, means over fits, on clean test texts. Calibration error: expected, of 15 bins (Guo "
        "et al. 2017). Confidence: the mean of the largest probability. Saturated: texts of whose "
        "class the fit is sure to the last bit of float32; TextAttack's own score cannot tell "
        "their neighbours apart. Temperature: what logits would have to be divided by, by "
        "validation, without fits that have all of their validation examples right (separated)."
    ]
    return Table("calibration", "Calibration of the scores", header, rows, notes=notes)


def scores_tables(results: Results) -> list[Table]:
    """Accuracy under attack by kind of score, and mvp's gain; none where one kind was run alone."""
    sides = _on_common_ground(results)
    if len(sides) < 2:
        return []
    own = next(iter(sides.values()))
    sides[LOWEST] = _lowest(list(sides.values()))
    rows: list[list[Entry]] = []
    for method in own.methods:
        places = own.places(method)
        row = [level(estimate(levels(side, method, places)), True) for side in sides.values()]
        rows.append([name_of(method), *row, count(len(places))])
    about = (
        "What a search follows: probability, margin and temperature do not saturate, textattack is "
        "the library's own score. With two classes the first three order all texts alike."
    )
    header = ["head", *sides, "data sets × models × attacks"]
    notes = [
        f"Accuracy under attack in %, of the cells that were run under each of these. {about} "
        f"{LOWEST.capitalize()}: of the texts that are right under each of them."
    ]
    title = "Accuracy under attack by kind of attack score"
    tables = [Table("scores", title, header, rows, notes=notes)]
    more = (_gain(sides), _survival(sides))
    return [*tables, *(table for table in more if table is not None)]


def _gain(sides: dict[str, Results]) -> Table | None:
    gains = {
        name: differences(side, MVP, MLP, side.places(MVP), UNDER_ATTACK)
        for name, side in sides.items()
    }
    decided = {name: decide(pairs) for name, pairs in gains.items() if pairs}
    if len(decided) < len(sides):
        return None
    own, *others = (name for name in sides if name != LOWEST)
    changes = {name: _change(gains[name], gains[own]) for name in others}
    rows: list[list[Entry]] = []
    for name, each in decided.items():
        if each.gain is None:
            return None
        row: list[Entry] = [name, change(each.gain, True), significant(each), p_value(each.p_value)]
        if (changed := changes.get(name)) is not None and changed.gain is not None:
            by = Figure(changed.gain.mean, signed=True)
            row += [by, significant(changed), p_value(changed.p_value)]
        else:
            row += [Figure(None), "–", Figure(None)]
        rows.append(row)
    header = ["scores", "gain", "significant", "p", f"change from {own}", "change significant",
              "p of the change"]  # fmt: skip
    notes = [f"Points. Significant: {RULE}.", _whether_it_depends(own, decided, changes)]
    title = "mvp over mlp_ft by kind of attack score"
    return Table("scores-gain", title, header, rows, notes=notes)


def _survival(sides: dict[str, Results]) -> Table | None:
    """A row per defence: its gain over the standard training by kind of score, and whether it is
    there under each of them."""
    own, *others = (name for name in sides if name != LOWEST)
    pairs = {name: _over_standard(side, sides[own]) for name, side in sides.items()}
    decided = {
        name: {defence: decide(each) for defence, each in of_side.items()}
        for name, of_side in pairs.items()
    }
    compared = [m for m in pairs[own] if all(decided[name][m].gain for name in sides)]
    chances = {name: _adjusted_by_head(decided[name], compared) for name in (own, *others)}
    rows: list[list[Entry]] = []
    for defence in compared:
        gains = {name: decided[name][defence] for name in chances}
        chance = {name: chances[name][defence] for name in chances}
        positive = [n for n, each in gains.items() if each.gain is not None and each.gain.mean > 0]
        there = [name for name in positive if gains[name].is_significant(chance[name])]
        changes = [_change(pairs[name][defence], pairs[own][defence]) for name in others]
        rows.append(
            [
                name_of(defence),
                *(change(decided[name][defence].gain, True) for name in sides),
                *(entry for each in changes for entry in _changed(each)),
                _survives([*chances], there),
                p_value(max(chance[name] if name in positive else 1.0 for name in chances)),
            ]
        )
    if not rows:
        return None
    of_others = (entry for name in others for entry in (f"change, {name}", f"p, change, {name}"))
    header = ["defence", *sides, *of_others, "survives", "largest p"]
    notes = [
        "Over the standard training of the same head, in points of accuracy under attack with 95 % "
        "intervals; under attacks that the training has not seen, where there are such. Change: "
        f"from the gain under {own}. Survives: whether the gain is significant under each kind of "
        "score, adjusted for the number of the head's defences (Holm, 1979); if not, under which "
        f"it is not; – where there is none. Significant: {RULE}. Largest p: of those under each "
        "kind, adjusted, and 1 where one has no gain. A gain that a kind of score takes away is "
        "not robustness (Raina et al., 2024); one that is not significant for want of examples "
        "says nothing: the change says which it is.",
    ]
    title = "Defences by kind of attack score"
    return Table("scores-defences", title, header, rows, notes=notes)


def _over_standard(side: Results, own: Results) -> dict[Method, list[Values]]:
    """Each defence minus its head's standard training, under unseen attacks where there are any.

    own: the results that say which attacks those are; all kinds of score have the same.
    """
    found = {}
    for defence in own.defences:
        places = own.places(defence)
        unseen = [place for place in places if not own.has_seen(defence, [place])]
        if (base := own.standard_of(defence)) is not None:
            found[defence] = differences(side, defence, base, unseen or places)
    return found


def _change(now: Sequence[Values], before: Sequence[Values]) -> Decision:
    return decide([a.minus(b) for a, b in zip(now, before, strict=True)])


def _changed(decision: Decision) -> list[Entry]:
    """Without an interval: where nothing changes, it is that of all that there could be."""
    gain = decision.gain
    return [Figure(None if gain is None else gain.mean, signed=True), p_value(decision.p_value)]


def _adjusted_by_head(
    decided: Mapping[Method, Decision], compared: Sequence[Method]
) -> dict[Method, float]:
    adjusted: dict[Method, float] = {}
    for head in dict.fromkeys(head for head, _ in compared):
        own = [method for method in compared if method[0] == head]
        chances = {m: p for m in own if (p := decided[m].p_value) is not None}
        adjusted |= holm(chances)
    return adjusted


def _survives(kinds: Sequence[str], better: Sequence[str]) -> str:
    missing = [name for name in kinds if name not in better]
    if not better:
        return "–"
    return f"no: not under {', '.join(missing)}" if missing else "yes"


def _whether_it_depends(
    own: str, decided: Mapping[str, Decision], changes: Mapping[str, Decision]
) -> str:
    """In a sentence: what the kinds of score say of the gain."""
    signs = {
        each.gain.mean > 0
        for name, each in decided.items()
        if name != LOWEST and each.gain is not None and each.is_significant()
    }
    if len(signs) > 1:
        return (
            "The sign of the difference depends on the kind of score: it is not evidence of "
            "robustness."
        )
    changed = [name for name, each in changes.items() if each.is_significant()]
    if changed:
        return (
            f"The difference depends on the kind of score: under {', '.join(changed)} it differs "
            f"significantly from that under {own}."
        )
    return "The kind of score does not change the difference significantly."


def _on_common_ground(results: Results) -> dict[str, Results]:
    """Results by kind of score, of the cells that have a result under every kind."""
    sides = {
        kind: {_seeded(result): result for result in cells}
        for kind, cells in results.by_scores.items()
    }
    if not sides:
        return {}
    common = set.intersection(*(set(side) for side in sides.values()))
    order = [_seeded(result) for result in results.cells if _seeded(result) in common]
    return {
        kind: Results(results.space, results.source, [side[key] for key in order])
        for kind, side in sides.items()
        if order
    }


def _seeded(result: CellResult) -> Seeded:
    return result.method, result.place, result.seed


def _lowest(sides: Sequence[Results]) -> Results:
    """Right only where all are, of the examples that all attacked."""
    cells = [_all_right(same) for same in zip(*(side.cells for side in sides), strict=True)]
    return Results(sides[0].space, sides[0].source, cells)


def _all_right(same: Iterable[CellResult]) -> CellResult:
    first, *others = same
    ids = first.outcomes.ids
    there, right = np.ones(len(ids), bool), first.outcomes.right_under_attack.copy()
    for other in others:
        its = dict(
            zip(
                other.outcomes.ids.tolist(), other.outcomes.right_under_attack.tolist(), strict=True
            )
        )
        there &= np.array([id in its for id in ids.tolist()], bool)
        right &= np.array([its.get(id, False) for id in ids.tolist()], bool)
    columns: dict[str, Any] = {
        name: value[there]
        for name, value in vars(first.outcomes).items()
        if isinstance(value, np.ndarray) and len(value) == len(ids)
    }
    columns["right_under_attack"] = right[there]
    return replace(first, outcomes=replace(first.outcomes, **columns))

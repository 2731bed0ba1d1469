"""Is it robustness, or the scale of the scores?

Calibration by head, and accuracy under attack by each kind of attack score that was run
(trainables/attacks/goal.py; Raina et al., ACL 2024).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

import numpy as np

from orchestrator.plan.compared import MLP, MVP
from orchestrator.report.comparison import RULE, change, differences, level, levels
from orchestrator.report.defences import CONTROL, adjusted_by_head
from orchestrator.report.gain import significant
from orchestrator.report.results import (
    UNDER_ATTACK,
    CellResult,
    Method,
    Place,
    Results,
    fits,
)
from orchestrator.report.statistics import Decision, Values, decide, estimate
from orchestrator.report.tables import Entry, Figure, Table, count, p_value

LOWEST = "lowest of these"
SAME = "same cells"
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
                results.label_of(method),
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
        seen = own.has_seen(method, places)
        row = [
            level(estimate(levels(side, method, places)), True, seen=seen)
            for side in sides.values()
        ]
        rows.append([results.label_of(method), *row, count(len(places))])
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
    """A row per defence and control: its gain over the standard training by kind of score, and
    whether it is there under each of them."""
    own, *others = (name for name in sides if name != LOWEST)
    found = [
        each
        for method in (*sides[own].defences, *sides[own].controls)
        if (each := _over_standard(sides, own, others, method)) is not None
    ]
    if not found:
        return None
    chances = {
        name: adjusted_by_head(
            {each.method: each.gains[name] for each in found if name in each.gains},
            [each.method for each in found if name in each.gains and not each.is_control],
        )
        for name in (own, *others)
    }
    rows: list[list[Entry]] = []
    for each in found:
        kinds = [name for name in (own, *others) if name in each.gains]
        positive = [n for n in kinds if (gain := each.gains[n].gain) is not None and gain.mean > 0]
        chance = {n: chances[n].get(each.method, each.gains[n].p_value or 1.0) for n in kinds}
        there = [name for name in positive if each.gains[name].is_significant(chance[name])]
        largest = max(chance[name] if name in positive else 1.0 for name in kinds)
        rows.append(
            [
                sides[own].label_of(each.method),
                change(each.gains[own].gain, True),
                *(entry for name in others for entry in _under(each, name)),
                change(each.gains[LOWEST].gain, True),
                _survives(kinds, there) if len(kinds) > 1 else SAME,
                p_value(largest if len(kinds) > 1 else None),
            ]
        )
    of_others = (
        entry
        for name in others
        for entry in (name, f"places, {name}", f"change, {name}", f"p, change, {name}")
    )
    header = ["defence", own, *of_others, LOWEST, "survives", "largest p, adjusted"]
    notes = [
        "Over the standard training of the same head, in points of accuracy under attack with 95 % "
        "intervals; under attacks that the training has not seen, where there are such. Under "
        f"another kind of score than {own}: of the places (data sets × models × attacks) whose "
        f"cells are others under it, places says of how many, and the change is from the gain "
        f"under {own} at these. {SAME.capitalize()}: what two kinds order alike, as with two "
        "classes, is attacked once, so that nothing is told by it. Survives: whether the gain is "
        "significant under each kind of score that has cells of its own, adjusted for the number "
        "of the head's defences (Holm, 1979); if not, under which it is not; – where there is "
        f"none. Significant: {RULE}. Largest p: of those under each kind, adjusted (of a control: "
        "not), and 1 where one has no gain. A gain that a kind of score takes away is not "
        "robustness (Raina et al., 2024); one that is not significant for want of examples says "
        "nothing: the change says which it is.",
        *([CONTROL] if any(each.is_control for each in found) else []),
    ]
    title = "Defences by kind of attack score"
    return Table("scores-defences", title, header, rows, notes=notes)


@dataclass(frozen=True)
class _OverStandard:
    """A defence minus its head's standard training, by kind of score; without those kinds that have
    no cells of their own. places, changes: at how many of how many places another kind has such,
    and its change there."""

    method: Method
    is_control: bool
    gains: dict[str, Decision]
    changes: dict[str, Decision]
    places: dict[str, tuple[int, int]]


def _over_standard(
    sides: Mapping[str, Results], own: str, others: Sequence[str], method: Method
) -> _OverStandard | None:
    """Under unseen attacks where there are any; None where there is nothing to compare with."""
    first = sides[own]
    base = first.standard_of(method)
    if base is None:
        return None
    everywhere = [place for place in first.places(method) if first.at(base, place)]
    places = [p for p in everywhere if not first.has_seen(method, [p])] or everywhere
    gains = {name: decide(differences(sides[name], method, base, places)) for name in (own, LOWEST)}
    if not all(each.gain for each in gains.values()):
        return None
    changes, counted = {}, {}
    for name in others:
        apart = [p for p in places if _differ(sides[name], first, (method, base), p)]
        now, before = (differences(side, method, base, apart) for side in (sides[name], first))
        counted[name] = len(apart), len(places)
        if apart:
            gains[name], changes[name] = decide(now), _change(now, before)
    return _OverStandard(method, first.is_control(method), gains, changes, counted)


def _differ(one: Results, other: Results, methods: Sequence[Method], place: Place) -> bool:
    """Whether any of these cells are others; both have the same methods, places and seeds."""
    return any(
        a.cell.key != b.cell.key
        for method in methods
        for a, b in zip(one.at(method, place), other.at(method, place), strict=True)
    )


def _under(each: _OverStandard, name: str) -> list[Entry]:
    """The gain under another kind of score, at how many places, and the change to it."""
    own, of = each.places[name]
    if name not in each.gains:
        return [SAME, f"{own} of {of}", SAME, p_value(None)]
    return [
        change(each.gains[name].gain, True),
        f"{own} of {of}",
        *_changed(each.changes[name]),
    ]


def _change(now: Sequence[Values], before: Sequence[Values]) -> Decision:
    return decide([a.minus(b) for a, b in zip(now, before, strict=True)])


def _changed(decision: Decision) -> list[Entry]:
    """Without an interval: where nothing changes, it is that of all that there could be."""
    gain = decision.gain
    return [Figure(None if gain is None else gain.mean, signed=True), p_value(decision.p_value)]


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

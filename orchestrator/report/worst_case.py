"""The worst case: what is left of a head under all attacks together, and what one word breaks.

Of the examples that all attacks of a fit attacked: one that any of them has in error, or that
`--precision` left out of any, is in no figure of this table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np

from orchestrator.report import devices
from orchestrator.report.comparison import (
    UNSEEN,
    WORST_NOTE,
    common_places,
    is_final,
    level,
    levels,
    sites,
    values,
)
from orchestrator.report.results import (
    CLEAN,
    UNDER_ATTACK,
    WORST,
    CellResult,
    Method,
    Place,
    Results,
)
from orchestrator.report.statistics import Estimate, Values, estimate
from orchestrator.report.tables import Entry, Figure, Table, count


@dataclass(frozen=True)
class Broken:
    """Of a method's fits: how many examples they had right that all attacks attacked, of how many,
    and how many of these were broken, by one attack or another and with one word changed."""

    examples: int
    right_before: int
    by_any: int
    by_one_word: int


def worst_case(results: Results) -> Table | None:
    """A row per head and training; None where there is but one attack."""
    if len(results.attacks) < 2:
        return None
    rows: list[list[Entry]] = []
    compared: list[CellResult] = []
    common = common_places(results, results.methods)
    with_unseen = bool(results.seen_by_any) and bool(set(results.attacks) - results.seen_by_any)
    for method in results.methods:
        places = common or common_places(results, [method])
        if not places:
            continue
        compared += (result for place in places for result in results.at(method, place))
        final = is_final(results, method, places, WORST)
        shared = _shared(results, method, places)
        broken = broken_of(results, method, places)
        strongest, share = _strongest(shared)
        seen = results.has_seen(method, places)
        unseen = _worst_of_unseen(results, method, places, shared[WORST]) if with_unseen else None
        rows.append(
            [
                results.label_of(method),
                strongest,
                level(estimate(shared[CLEAN]), final),
                Figure(share, final=final, seen=strongest in results.seen(method)),
                level(estimate(shared[WORST]), final, seen=seen),
                *([level(unseen, final)] if with_unseen else []),
                Figure(_ratio(broken.by_any, broken.right_before), final=final),
                Figure(_ratio(broken.by_one_word, broken.right_before), final=final),
                count(broken.examples),
                count(len({place[:2] for place in places})),
            ]
        )
    if not rows:
        return None
    header = [
        "head", "strongest attack", "clean", "under it", "worst case",
        *([f"worst case, {UNSEEN}"] if with_unseen else []), "broken by any attack",
        "broken by one word", "examples", "data sets × models",
    ]  # fmt: skip
    notes = [
        f"In %. {WORST_NOTE} All columns are over these. Strongest: the attack that leaves least, "
        "in the mean. Broken: of the examples that the model had right, by at least one of the "
        "attacks; by one word: with one word changed. Examples: of all fits together.",
        *(
            [f"{UNSEEN.capitalize()}: under the attacks that no row's training has seen."]
            if with_unseen
            else []
        ),
        *([] if common else ["No data set and model has all heads: rows are over different ones."]),
    ]
    mixed = devices.warnings(compared)
    title = "Worst case over all attacks"
    return Table("worst-case", title, header, rows, texts=2, notes=notes, warnings=mixed)


def worst_case_metrics(results: Results) -> dict[str, float]:
    """For MLflow, by name: each head's worst case and mean over attacks, over the data sets and
    models that all heads have. Shares; only those that will stay as they are."""
    places = common_places(results, results.methods)
    found = {}
    for method in results.methods if places else ():
        name = ".".join(part for part in method if part != "standard")
        for metric, outcome in (("worst_case", WORST), ("under_attack", UNDER_ATTACK)):
            over = [each for each in levels(results, method, places, outcome) if not each.is_empty]
            wanted = outcome != WORST or len(results.attacks) > 1
            if over and wanted and is_final(results, method, places, outcome):
                found[f"{metric}/{name}"] = round(mean(each.mean() for each in over), 12)
    return found


def broken_of(results: Results, method: Method, places: Sequence[Place]) -> Broken:
    """Counts over a method's fits at these places, which have all attacks."""
    fits: dict[str, list[CellResult]] = {}
    for place in places:
        for result in results.at(method, place):
            fits.setdefault(result.cell.fit.key, []).append(result)
    attacks = len({place[2] for place in places})
    counts = np.zeros(4, dtype=int)
    for cells in fits.values():
        if len(cells) == attacks:
            counts += _counts(cells)
    return Broken(*(int(each) for each in counts))


def _counts(cells: Sequence[CellResult]) -> np.ndarray:
    shared = np.array(
        sorted(set.intersection(*(set(cell.outcomes.ids.tolist()) for cell in cells))), dtype=int
    )
    any_attack = np.zeros(len(shared), dtype=bool)
    one_word = np.zeros(len(shared), dtype=bool)
    right = np.zeros(len(shared), dtype=bool)
    for cell in cells:
        own = cell.outcomes
        order = np.argsort(own.ids)
        at = order[np.searchsorted(own.ids, shared, sorter=order)]
        right |= own.right_before[at]
        any_attack |= own.right_before[at] & ~own.right_under_attack[at]
        changed = np.nan_to_num(own.words_changed[at]) * np.maximum(own.words[at], 1)
        one_word |= changed.round() == 1
    return np.array([len(shared), right.sum(), any_attack.sum(), one_word.sum()])


def _shared(results: Results, method: Method, places: Sequence[Place]) -> dict[str, list[Values]]:
    """Outcomes by column: clean accuracy, the worst case, and under each attack, all of them over
    the examples that all attacks of a fit attacked."""
    worst = levels(results, method, places, WORST)
    found: dict[str, list[Values]] = {CLEAN: [], WORST: worst}
    for site, shared in zip(sites(places, WORST), worst, strict=True):
        cells = {place[2]: results.at(method, place) for place in site}
        together = [result for at in cells.values() for result in at]
        found[CLEAN].append(values(together, CLEAN).over(shared))
        for attack, at in cells.items():
            found.setdefault(attack, []).append(values(at).over(shared))
    return found


def _worst_of_unseen(
    results: Results, method: Method, places: Sequence[Place], shared: Sequence[Values]
) -> Estimate | None:
    """Under the attacks that no method has seen, over the same examples. shared: the worst case
    under all attacks at each of these sites."""
    found = []
    for site, under_all in zip(sites(places, WORST), shared, strict=True):
        of_site = levels(results, method, results.unseen(site), WORST)
        found += [each.over(under_all) for each in of_site]
    return estimate(found)


def _strongest(shared: dict[str, list[Values]]) -> tuple[str, float | None]:
    """The attack that leaves least in the mean, and what it leaves."""
    left = {}
    for attack, outcomes in shared.items():
        there = [each for each in outcomes if not each.is_empty]
        if there and attack not in (CLEAN, WORST):
            left[attack] = mean(each.mean() for each in there)
    if not left:
        return "–", None
    attack = min(left, key=lambda name: left[name])
    return attack, left[attack]


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None

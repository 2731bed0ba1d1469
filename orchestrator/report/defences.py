"""Defences: what each gains over the standard training of its head, and what it costs.

A defence is a training of another kind than the standard one. mvp over the defences of mlp_ft is
the claim's (claim.py); whether a gain is the scale of the scores is in scores.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from orchestrator.report import devices
from orchestrator.report.comparison import (
    ONE_SEED,
    RULE,
    change,
    common_places,
    differences,
    is_final,
    level,
    levels,
)
from orchestrator.report.gain import Gain, adjusted, over_what, significant, split
from orchestrator.report.results import (
    CLEAN,
    CellResult,
    Method,
    Place,
    Results,
    fits,
    name_of,
)
from orchestrator.report.statistics import Estimate, estimate
from orchestrator.report.tables import Entry, Figure, Table, count, p_value


def defences(results: Results) -> list[Table]:
    """Both tables; none where no defence was run."""
    return [table for table in (gains_table(results), cost_table(results)) if table is not None]


def own_gains(results: Results) -> list[Gain]:
    """Each defence over the standard training of its head; p-values adjusted for their number, head
    by head."""
    by_head: dict[str, list[Gain]] = {}
    for defence in results.defences:
        base = results.standard_of(defence)
        if base is not None:
            by_head.setdefault(defence[0], []).extend(split(results, defence, base))
    return [each for of_head in by_head.values() for each in adjusted(of_head)]


def gains_table(results: Results) -> Table | None:
    """A row per defence, two where it has seen some of the attacks."""
    compared = [each for each in own_gains(results) if each.gain is not None]
    if not compared:
        return None
    rows: list[list[Entry]] = [
        [
            name_of(each.first),
            name_of(each.second),
            each.of,
            over_what(each),
            change(each.gain, each.final),
            significant(each.decision, each.adjusted),
            p_value(each.p_value),
            p_value(each.adjusted),
        ]
        for each in compared
    ]
    header = ["defence", "over", "of", "mean over", "gain", "significant", "p", "p, adjusted"]
    notes = [
        "In points, with the 95 % interval, over what both have. Seen attacks are of the kind that "
        "the training made rows with, whatever their settings; unseen ones are all others, and "
        "those that the gain of a defence is to be read from.",
        f"Significant: {RULE}, adjusted for the number of the head's defences (Holm, 1979), seen "
        f"and unseen attacks each by themselves. {ONE_SEED}",
    ]
    cells = [
        result
        for each in compared
        for place in each.both
        for method in (each.first, each.second)
        for result in results.at(method, place)
    ]
    title, mixed = "Defences over their head's standard training", devices.warnings(cells)
    return Table("defences", title, header, rows, texts=4, notes=notes, warnings=mixed)


@dataclass(frozen=True)
class Cost:
    """What a method costs and withstands. Accuracies are shares.

    unseen: under the attacks that no method here has seen; None where that is all or none of them.
    multiple: seconds of its fits over those of its base, the median of `pairs` pairs; None where
    no two were made on the same kind of device.
    """

    method: Method
    under_attack: Estimate | None
    unseen: Estimate | None
    clean: Estimate | None
    over_base: Estimate | None
    multiple: float | None
    pairs: int
    seen: bool
    final: bool


def costs(results: Results) -> list[Cost]:
    """Of each defence and each standard training that one is compared with."""
    bases = {defence: results.standard_of(defence) for defence in results.defences}
    shown = [m for m in results.methods if bases.get(m) is not None or m in bases.values()]
    common = common_places(results, shown)
    known = frozenset().union(*(results.seen(method) for method in shown))
    found = []
    for method in shown:
        places = common or results.places(method)
        unseen = [place for place in places if place[2] not in known]
        base = bases.get(method)
        ratios = [] if base is None else _ratios(results, method, base)
        found.append(
            Cost(
                method,
                estimate(levels(results, method, places)),
                estimate(levels(results, method, unseen)) if known and unseen else None,
                estimate(levels(results, method, places, CLEAN)),
                None if base is None else _clean_change(results, method, base, places),
                1.0 if base is None else median(ratios) if ratios else None,
                len(ratios),
                results.has_seen(method, places),
                all(is_final(results, each, places) for each in (method, base or method)),
            )
        )
    return found


def _clean_change(
    results: Results, method: Method, base: Method, places: Sequence[Place]
) -> Estimate | None:
    return estimate(differences(results, method, base, places, CLEAN))


def _ratios(results: Results, method: Method, base: Method) -> list[float]:
    """Of seconds, where both fits of a data set, model and seed were made on one kind of device."""
    theirs = {_made(result): _seconds(result) for result in _fits(results, base)}
    return [
        _seconds(result) / theirs[_made(result)]
        for result in _fits(results, method)
        if theirs.get(_made(result)) and devices.fitted_on(result) != devices.UNKNOWN
    ]


def _fits(results: Results, method: Method) -> list[CellResult]:
    return list(fits(result for result in results.cells if result.method == method))


def _made(result: CellResult) -> tuple[str, str, int, str]:
    return *result.place[:2], result.seed, devices.fitted_on(result)


def _seconds(result: CellResult) -> float:
    return float(result.fit["seconds"])


def cost_table(results: Results) -> Table | None:
    """A row per defence and standard training: what it withstands beside what its fits cost."""
    found = costs(results)
    if not found:
        return None
    with_unseen = any(each.unseen is not None for each in found)
    rows: list[list[Entry]] = [
        [
            name_of(each.method),
            level(each.under_attack, each.final, seen=each.seen),
            *([level(each.unseen, each.final)] if with_unseen else []),
            level(each.clean, each.final),
            change(each.over_base, each.final),
            Figure(each.multiple, percent=False),
            count(each.pairs) if each.over_base else count(None),
        ]
        for each in found
    ]
    header = [
        "head", "under attack", *(["under attacks unseen by all"] if with_unseen else []), "clean",
        "clean, over standard", "training, × standard", "pairs of fits",
    ]  # fmt: skip
    methods = [each.method for each in found]
    over = (
        "the data sets and models that all of these have"
        if common_places(results, methods)
        else "what each has, since no data set and model has all of these"
    )
    notes = [
        f"Accuracies in %, means over {over} and all attacks; the difference in points, with its "
        "95 % interval. Training: seconds of a fit, attacks within it included, over those of the "
        "standard training of the same head, data set, model and seed; the median of all such "
        "pairs that were made on the same kind of device."
    ]
    cells = [result for result in results.cells if result.method in methods]
    title, mixed = "Robustness beside the cost of training", devices.warnings(cells)
    return Table("defences-cost", title, header, rows, notes=notes, warnings=mixed)

"""Defences: what each gains over the standard training of its head, and what it costs.

A defence is a training of another kind than the standard one; a control is one that only makes the
attack's search harder, and has rows of its own. mvp over the defences of mlp_ft is the claim's
(claim.py); whether a gain is the scale of the scores is in scores.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from orchestrator.report import devices, rounds
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
from orchestrator.report.gain import Gain, adjusted, over_what, significant, split, warnings
from orchestrator.report.results import (
    CLEAN,
    CellResult,
    Method,
    Results,
    fits,
    name_of,
)
from orchestrator.report.rounds import NONE, rows_added
from orchestrator.report.statistics import Decision, Estimate, decide, estimate, holm
from orchestrator.report.tables import Entry, Figure, Table, count, p_value

UNSEEN, MULTIPLE = "under attacks unseen by all", "training, × standard"
CONTROL = (
    "Control: a training that seems robust by the scale of its scores alone, as another kind of "
    "attack score shows. It is no defence, and not in the number that p-values are adjusted for."
)


def defences(results: Results) -> list[Table]:
    """Both tables; none where no defence was run."""
    return [table for table in (gains_table(results), cost_table(results)) if table is not None]


def own_gains(results: Results) -> list[Gain]:
    """Each defence over the standard training of its head; p-values adjusted for their number, head
    by head. Then each control, whose p-values are not."""
    by_head: dict[str, list[Gain]] = {}
    for defence in results.defences:
        by_head.setdefault(defence[0], []).extend(_over_standard(results, defence))
    of_controls = [each for one in results.controls for each in _over_standard(results, one)]
    return [*(each for of_head in by_head.values() for each in adjusted(of_head)), *of_controls]


def _over_standard(results: Results, method: Method) -> list[Gain]:
    base = results.standard_of(method)
    return [] if base is None else split(results, method, base)


def gains_table(results: Results) -> Table | None:
    """A row per defence and control, two where it has seen some of the attacks."""
    compared = [each for each in own_gains(results) if each.gain is not None]
    if not compared:
        return None
    rows: list[list[Entry]] = [
        [
            results.label_of(each.first),
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
    if any(results.is_control(each.first) for each in compared):
        notes.append(CONTROL)
    title, above = "Defences over their head's standard training", warnings(results, compared)
    return Table("defences", title, header, rows, texts=4, notes=notes, warnings=above)


@dataclass(frozen=True)
class Cost:
    """What a method costs and withstands. Accuracies are shares.

    base: the standard training of its head; None if that was not run. unseen: under the attacks
    that no method here has seen; None where that is all or none of them. clean_change: over the
    base, with its p-value adjusted for the number of the head's defences. multiple: seconds of its
    fits over those of its base, the median of `pairs` pairs; None where no two were made on the
    same kind of device; per_example: of seconds per training example seen.
    """

    method: Method
    base: Method | None
    under_attack: Estimate | None
    unseen: Estimate | None
    clean: Estimate | None
    clean_change: Decision | None
    clean_adjusted: float | None
    multiple: float | None
    per_example: float | None
    pairs: int
    rows_added: str
    seen: bool
    final: bool


def costs(results: Results) -> list[Cost]:
    """Of each defence and control, and each standard training that one is compared with."""
    bases = {each: results.standard_of(each) for each in (*results.defences, *results.controls)}
    shown = [method for method in results.methods if method in bases or method in bases.values()]
    common = common_places(results, shown)
    places_of = {method: common or results.places(method) for method in shown}
    known = frozenset().union(*(results.seen(method) for method in shown))
    clean = {
        method: decide(differences(results, method, base, places_of[method], CLEAN))
        for method, base in bases.items()
        if base is not None
    }
    chances = adjusted_by_head(clean, [method for method in clean if results.is_defence(method)])
    found = []
    for method in shown:
        places = places_of[method]
        unseen = [place for place in places if place[2] not in known]
        base = bases.get(method)
        is_base = method not in bases
        multiples = _multiples(results, method, base) if base else [(1.0, 1.0)] * is_base
        per_example = [each for _, each in multiples if each is not None]
        found.append(
            Cost(
                method,
                method if is_base else base,
                estimate(levels(results, method, places)),
                estimate(levels(results, method, unseen)) if known and unseen else None,
                estimate(levels(results, method, places, CLEAN)),
                clean.get(method),
                chances.get(method),
                median(each for each, _ in multiples) if multiples else None,
                median(per_example) if per_example else None,
                len(multiples) if base else 0,
                rows_added(_fits(results, method)),
                results.has_seen(method, places),
                all(is_final(results, each, places) for each in (method, base or method)),
            )
        )
    return found


def adjusted_by_head(
    decided: Mapping[Method, Decision], compared: Sequence[Method]
) -> dict[Method, float]:
    """p-values, adjusted for the number of each head's (Holm)."""
    found: dict[Method, float] = {}
    for head in dict.fromkeys(head for head, _ in compared):
        own = [method for method in compared if method[0] == head]
        found |= holm({m: p for m in own if (p := decided[m].p_value) is not None})
    return found


def _multiples(results: Results, method: Method, base: Method) -> list[tuple[float, float | None]]:
    """Of seconds, and of seconds per training example seen where fits say how many, for both fits
    of a data set, model and seed that were made on one kind of device."""
    theirs = {_made(result): result.fit for result in _fits(results, base)}
    found: list[tuple[float, float | None]] = []
    for result in _fits(results, method):
        other = theirs.get(_made(result))
        if other is None or not other["seconds"] or devices.fitted_on(result) == devices.UNKNOWN:
            continue
        multiple = float(result.fit["seconds"]) / float(other["seconds"])
        own_seen, its_seen = (fit.get("examples_seen") for fit in (result.fit, other))
        found.append((multiple, multiple * its_seen / own_seen if own_seen and its_seen else None))
    return found


def _fits(results: Results, method: Method) -> list[CellResult]:
    return list(fits(result for result in results.cells if result.method == method))


def _made(result: CellResult) -> tuple[str, str, int, str]:
    return *result.place[:2], result.seed, devices.fitted_on(result)


def cost_table(results: Results) -> Table | None:
    """A row per defence, control and standard training: what it withstands beside what its fits
    cost."""
    found = costs(results)
    if not found:
        return None
    with_unseen = any(each.unseen is not None for each in found)
    with_rows = any(each.rows_added != NONE for each in found)
    rows: list[list[Entry]] = [
        [
            results.label_of(each.method),
            level(each.under_attack, each.final, seen=each.seen),
            *([level(each.unseen, each.final)] if with_unseen else []),
            level(each.clean, each.final),
            change(each.clean_change.gain if each.clean_change else None, each.final),
            _below(each),
            Figure(each.multiple, percent=False),
            Figure(each.per_example, percent=False),
            count(each.pairs) if each.clean_change else count(None),
            *([each.rows_added] if with_rows else []),
        ]
        for each in found
    ]
    header = [
        "head", "under attack", *([UNSEEN] if with_unseen else []), "clean",
        "clean, over standard", "clean below standard", MULTIPLE,
        "per example seen, × standard", "pairs of fits", *(["rows added"] if with_rows else []),
    ]  # fmt: skip
    methods = [each.method for each in found]
    over = (
        "the data sets and models that all of these have"
        if common_places(results, methods)
        else "what each has, since no data set and model has all of these"
    )
    lonely = [name_of(each.method) for each in found if each.base is None]
    notes = [
        f"Accuracies in %, means over {over} and all attacks; the difference in points, with its "
        f"95 % interval. Clean below standard: whether significantly so: {RULE}, adjusted for the "
        f"number of the head's defences (Holm, 1979). {ONE_SEED}",
        "Training: seconds of a fit, attacks within it included, over those of the standard "
        "training of the same head, data set, model and seed; the median, over data sets, models "
        "and seeds, of all such pairs that were made on the same kind of device. How long a fit "
        "goes on until its accuracy on validation no longer rises is part of that; per example "
        "seen it is not: seconds over the training examples seen, added rows among them.",
        *(["Rows added: by a fit, from and to where there are several fits."] if with_rows else []),
        *([CONTROL] if any(map(results.is_control, methods)) else []),
        *([f"Without a standard training to compare with: {', '.join(lonely)}."] if lonely else []),
    ]
    cells = [result for result in results.cells if result.method in methods]
    title = "Robustness beside the cost of training"
    above = [*devices.warnings(cells), *rounds.warnings(cells)]
    return Table("defences-cost", title, header, rows, notes=notes, warnings=above)


def _below(each: Cost) -> str:
    """Whether clean accuracy is significantly below that of the standard training."""
    if each.clean_change is None or each.clean_change.gain is None:
        return NONE
    below = each.clean_change.gain.mean < 0
    said = below and each.clean_change.is_significant(each.clean_adjusted)
    return f"{'yes' if said else 'no'}, {each.clean_change.about}"

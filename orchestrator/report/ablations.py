"""Ablations: what a head loses, or gains, when one of its parts is taken away or changed.

A head's variants are the catalog's entries with the same kind of code; the standard training's are
that on fewer rows. Each is compared with its base on the same examples. Trainings of another kind
are defences, which have tables of their own (defences.py).
"""

from orchestrator.report import devices
from orchestrator.report.comparison import ONE_SEED, RULE, change, differences
from orchestrator.report.gain import significant
from orchestrator.report.results import CLEAN, UNDER_ATTACK, CellResult, Method, Results, name_of
from orchestrator.report.statistics import decide
from orchestrator.report.tables import Entry, Table, count, p_value


def ablations(results: Results) -> Table | None:
    """A row per variant: its figures minus its base's, over the places that both have, if any."""
    rows: list[list[Entry]] = []
    compared: list[CellResult] = []
    for variant in results.methods:
        base = _base(results, variant)
        if base is None or base not in results.methods:
            continue
        places = [p for p in results.places(variant) if results.at(base, p)]
        if places:
            rows.append([name_of(variant), name_of(base), *_changes(results, variant, base)])
            compared += (r for p in places for m in (variant, base) for r in results.at(m, p))
    if not rows:
        return None
    header = ["variant", "base", "clean", "p (clean)", "under attack", "p", "significant", "over"]
    notes = [
        "Variant minus base, in points, with the 95 % interval; p: exact paired test, of these "
        "fits. Clean accuracy once a fit. over: data sets × models × attacks that both have.",
        f"Significant, of the accuracy under attack: {RULE}. {ONE_SEED} Rows are not adjusted for "
        "their number.",
    ]
    mixed = devices.warnings(compared)
    return Table("ablations", "Ablations", header, rows, texts=2, notes=notes, warnings=mixed)


def _changes(results: Results, variant: Method, base: Method) -> list[Entry]:
    places = results.places(variant)
    final = all(results.is_final(method, places) for method in (variant, base))
    clean = decide(differences(results, variant, base, places, CLEAN))
    attacked = decide(differences(results, variant, base, places, UNDER_ATTACK))
    return [
        change(clean.gain, final),
        p_value(clean.p_value),
        change(attacked.gain, final),
        p_value(attacked.p_value),
        significant(attacked),
        count(attacked.gain.places if attacked.gain else 0),
    ]


def _base(results: Results, method: Method) -> Method | None:
    """What a method varies: the standard training, or else the head its code is named after."""
    head, training = method
    if not results.is_standard(method):
        return None
    if training != "standard":
        return head, "standard"
    entry = next(r.cell.fit.head_entry for r in results.cells if r.method == method)
    changed = (
        not entry.pretrained
        or entry.prompt_set is not None
        or entry.templates is not None
        or entry.templates_in_training != "all"
    )
    return (entry.kind, training) if changed and entry.kind != head else None

"""Where the numbers were made, and which of a table's cells are compared across devices.

A place is a line of trainables/ran_on.py: device, torch build, dtype. What older versions stored
names no place: it is counted, and no warning is made of it.
"""

from collections import Counter
from collections.abc import Iterable

from orchestrator.report.results import CellResult, Results, fits, name_of
from orchestrator.report.tables import Entry, Table
from trainables.ran_on import line_of

UNKNOWN = "not recorded"


def fitted_on(result: CellResult) -> str:
    """The place of a cell's fit; UNKNOWN if it has none."""
    return line_of(result.fit) or UNKNOWN


def places(cells: Iterable[CellResult]) -> tuple[Counter[str], Counter[str]]:
    """How many fits, and how many attacked examples, were made where; each cell counts once."""
    by_key = {result.cell.key: result for result in cells}
    examples: Counter[str] = Counter()
    for result in by_key.values():
        examples.update({where or UNKNOWN: n for where, n in result.outcomes.ran_on.items()})
    return Counter(fitted_on(result) for result in fits(by_key.values())), examples


def line(results: Results) -> str:
    """Where fits and attacks were made, in one line; empty if that is not known."""
    parts = [
        f"{what}: {_counted(counts)}."
        for what, counts in zip(("Fits", "Attacked examples"), places(results.cells), strict=True)
        if counts.keys() - {UNKNOWN}
    ]
    return " ".join(parts)


def warnings(cells: Iterable[CellResult]) -> list[str]:
    """What to know of a table over these cells if they were made on different devices.

    A difference between two heads (at one data set, model and seed) whose fits were made on
    different devices is the worst: it is named.
    """
    cells = list(cells)
    lines = []
    heads: dict[str, Counter[str]] = {}
    together: dict[tuple[str, str, int], set[str]] = {}
    for result in fits(cells):
        place = fitted_on(result)
        if place != UNKNOWN:
            heads.setdefault(place, Counter())[name_of(result.method)] += 1
            together.setdefault((*result.place[:2], result.seed), set()).add(place)
    if len(heads) > 1:
        shown = "; ".join(f"{_of_heads(heads[place])} on {place}" for place in sorted(heads))
        apart = sum(len(found) > 1 for found in together.values())
        what = (
            "heads that are compared here were fitted on different devices (for "
            f"{apart} of {len(together)} combinations of data set, model and seed), so that part "
            "of a difference between them may be the devices'"
            if apart
            else "fits were made on different devices, those of one data set, model and seed on one"
        )
        lines.append(f"Warning: {what}. Fits: {shown}.")
    examples = places(cells)[1]
    if len(examples.keys() - {UNKNOWN}) > 1:
        lines.append(
            f"Warning: attacks were made on different devices. Examples: {_counted(examples)}."
        )
    return lines


def apart(pairs: Iterable[tuple[CellResult, CellResult]]) -> list[str]:
    """What to know of a comparison, pair by pair, whose fits were made on different devices."""
    made = [(fitted_on(before), fitted_on(now)) for before, now in pairs]
    counted = Counter(each for each in made if UNKNOWN not in each and each[0] != each[1])
    if not counted:
        return []
    shown = "; ".join(f"{n} on {old} before, on {new} now" for (old, new), n in counted.items())
    return [
        f"Warning: the fits of {counted.total()} of {len(made)} compared cells were made on "
        f"another device before, so that part of a change may be the device's. {shown}."
    ]


def devices(results: Results) -> Table | None:
    """A row per place, with its driver: how many fits and attacked examples were made there.

    None if no place is known.
    """
    fitted: Counter[tuple[str, str, str]] = Counter()
    for result in fits(results.cells):
        place = result.fit.get("ran_on")
        driver = (place and place.get("driver")) or "–"
        fitted[fitted_on(result), driver, _repeatable(result)] += 1
    attacked = places(results.cells)[1]
    if not ({place for place, *_ in fitted} | attacked.keys()) - {UNKNOWN}:
        return None
    rows: list[list[Entry]] = [
        ["fits", *where, f"{count:,}"] for where, count in sorted(fitted.items())
    ]
    rows += [
        ["attacked examples", place, "–", "–", f"{count:,}"]
        for place, count in sorted(attacked.items())
    ]
    header = ["what", "made on", "driver", "deterministic", "count"]
    notes = [
        "Another device or build of torch can change the last bits of a sum, and by them a fit and "
        "an attack. deterministic: whether a fit that is made there again has the same weights.",
    ]
    title = "Where the numbers were made"
    return Table("devices", title, header, rows, texts=4, notes=notes)


def _repeatable(result: CellResult) -> str:
    """yes, no, or the operations of the fit that are not deterministic."""
    said = result.fit.get("deterministic")
    if said is None:
        return "–"
    return said if isinstance(said, str) else "yes" if said else "no"


def _counted(counts: Counter[str]) -> str:
    return "; ".join(f"{counts[place]:,} on {place}" for place in sorted(counts))


def _of_heads(heads: Counter[str]) -> str:
    return ", ".join(f"{count} of {head}" for head, count in heads.items())

"""Rows that trainings added in their rounds, and which fits are in effect without any."""

from collections.abc import Iterable

from orchestrator.report.results import CellResult, fits, name_of

NONE = "–"


def rows_added(cells: Iterable[CellResult]) -> str:
    """`57 in 4 rounds`; of several fits from and to; a dash where none of them has rounds."""
    added = [fit["added_rows"] for each in fits(cells) if "added_rows" in (fit := each.fit)]
    if not added:
        return NONE
    rounds = _from_to(len(each) for each in added)
    return f"{_from_to(map(sum, added))} in {rounds} round{'s' * (rounds != '1')}"


def warnings(cells: Iterable[CellResult]) -> list[str]:
    """Fits whose rounds had no effect on the weights that were kept, method by method."""
    of_method: dict[str, list[CellResult]] = {}
    for each in fits(cells):
        if "added_rows" in each.fit:
            of_method.setdefault(name_of(each.method), []).append(each)
    return [line for name, own in of_method.items() for line in _warning(name, own)]


def _warning(name: str, own: list[CellResult]) -> list[str]:
    empty = sum(not any(each.fit["added_rows"]) for each in own)
    before = sum(any(each.fit["added_rows"]) and not _in_weights(each) for each in own)
    found = [
        *([f"{empty} added no row"] if empty else []),
        *([f"{before} kept weights from before a row was added"] if before else []),
    ]
    if not found:
        return []
    return [
        f"Warning: of {len(own)} fit{'s' * (len(own) != 1)} of {name}, {' and '.join(found)}: "
        "their weights never saw an added row, so they say nothing about the training."
    ]


def _in_weights(result: CellResult) -> bool:
    """Whether rows were added before the weights that were kept; older fits do not say."""
    rounds = result.fit.get("rounds_in_weights")
    return any(result.fit["added_rows"][:rounds])


def _from_to(numbers: Iterable[int]) -> str:
    ends = sorted(set(numbers))
    return f"{ends[0]:,}–{ends[-1]:,}" if len(ends) > 1 else f"{ends[0]:,}"

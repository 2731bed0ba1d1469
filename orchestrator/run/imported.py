"""Which attack resources a trial's process has TextAttack with.

TextAttack is imported with one set of them in a process, and Tune reuses processes.
"""

from collections.abc import Iterable

from search_spaces.cell import Cell


def resources_in(cell: Cell, phase: str) -> str:
    """Of a phase: those of its fit's own attack, if its training attacks; else the cell's."""
    inner = cell.fit.attack
    return inner.resources if phase == "fit" and inner is not None else cell.attack_resources


def all_resources(cells: Iterable[Cell], fits: Iterable[Cell]) -> set[str]:
    """Of all attacks on cells, and of those within fits that are to be made."""
    attacks = {cell.attack_resources for cell in cells}
    return attacks | {cell.fit.attack.resources for cell in fits if cell.fit.attack is not None}

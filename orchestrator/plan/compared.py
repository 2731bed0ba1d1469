"""Which two methods a sweep compares first, and the pairs of cells that compare them.

Pure functions of cells: the queue brings some of the pairs forward (run/order.py), and the live
view shows what they say so far (follow/comparison.py).
"""

from collections.abc import Iterable
from itertools import combinations

from search_spaces.cell import Cell

Method = tuple[str, str]  # head, training
Pair = tuple[Cell, Cell]  # of two methods: the same data set, model, attack and seed

MVP, MLP = ("mvp", "standard"), ("mlp_ft", "standard")
ATTACKS = 2  # that a first comparison is under, where a space has as many


def pairs(cells: Iterable[Cell]) -> list[Pair]:
    """The pairs of a baseline's cell and another method's; none if there is but one method.

    The methods are mlp_ft and mvp; in a space without a pair of these, the first two that have one.
    """
    by_method: dict[Method, dict[tuple[object, ...], Cell]] = {}
    for cell in cells:
        place = *home(cell), cell.attack
        by_method.setdefault(method(cell), {})[place] = cell
    for baseline, other in ((MLP, MVP), *combinations(by_method, 2)):
        ours, theirs = by_method.get(baseline, {}), by_method.get(other, {})
        if found := [(cell, theirs[place]) for place, cell in ours.items() if place in theirs]:
            return found
    return []


def method(cell: Cell) -> Method:
    return cell.fit.head, cell.fit.training


def home(cell: Cell) -> tuple[str, str, int]:
    """Data set, model and seed."""
    return cell.fit.dataset, cell.fit.model, cell.fit.seed


def name_of(method: Method) -> str:
    """`mvp`, or `mvp + adversarial` where the training is not the standard one."""
    head, training = method
    return head if training == "standard" else f"{head} + {training}"

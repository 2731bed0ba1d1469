"""Which cells are brought forward, so that a sweep has a first comparison early.

A pure function of a plan and what it expects its cells to cost. A comparison is one data set, model
and seed by two methods (plan/compared.py). The cheapest comes first, under two attacks. Then come
the cheapest of each other data set, their other attacks, the next models and seeds, as long as all
that is brought forward is a small part of the work. Everything else keeps its order, the longest
first: the sweep takes at most 3 % longer, as benchmarks/simulated_cluster.py measures.
"""

from collections.abc import Callable, Collection, Iterable
from itertools import chain

from orchestrator.plan.compared import ATTACKS, Pair, home, pairs
from orchestrator.plan.plan import Plan
from orchestrator.run.slots import shape
from search_spaces.cell import Cell

FIRST = 0  # the rank of the first comparison
# The share of the expected work that is brought forward at most; beyond the first comparison less
# where an attack holds a part of what a fit does: there the rest is idle until attacks have ended.
MOST, MOST_BESIDE_FITS = 0.1, 0.02


def brought_forward(plan: Plan) -> dict[str, int]:
    """The rank of each cell that is brought forward, by its key: the lowest first.

    Cells that are done cost nothing here, so that a comparison that was begun is completed first.
    """
    fits = {fit: plan.fit_cost(cell) for fit, cell in plan.fits_todo.items()}
    attacks = {cell.key: plan.attack_cost(cell) for cell in plan.todo}

    def cost(cells: Iterable[Cell], fitted: Collection[str] = ()) -> float:
        left = [cell for cell in cells if cell.key in attacks]
        to_fit = {cell.fit.key for cell in left} - {*fitted}
        return sum(attacks[cell.key] for cell in left) + sum(fits.get(fit, 0.0) for fit in to_fit)

    work = sum(fits.values()) + sum(attacks.values())
    most = MOST_BESIDE_FITS if any(map(_is_smaller_than_its_fit, plan.todo)) else MOST
    ranks: dict[str, int] = {}
    fitted: set[str] = set()
    spent = 0.0
    for rank, wave in enumerate(_waves(pairs(plan.applicable), cost), FIRST):
        spent += cost(wave, fitted)
        if spent > work * (MOST if rank == FIRST else most):
            break
        fitted |= {cell.fit.key for cell in wave}
        ranks |= {cell.key: rank for cell in wave if cell.key in attacks}
    return ranks


def _is_smaller_than_its_fit(cell: Cell) -> bool:
    """Whether an attack holds some of what a fit does."""
    fit, attack = shape(cell, "fit"), shape(cell, "attack")
    return fit != attack and bool(fit[1]) == bool(attack[1])


def _waves(of: Iterable[Pair], cost: Callable[[list[Cell]], float]) -> list[list[Cell]]:
    """The cells of all pairs, in the order in which their comparisons are wanted."""
    homes: dict[tuple[str, str, int], list[list[Cell]]] = {}
    for pair in of:
        homes.setdefault(home(pair[0]), []).append([*pair])
    by_dataset: dict[str, list[tuple[int, float, list[Cell], list[Cell]]]] = {}
    for (dataset, _, seed), found in homes.items():
        found.sort(key=cost)
        start, rest = (list(chain(*part)) for part in (found[:ATTACKS], found[ATTACKS:]))
        by_dataset.setdefault(dataset, []).append((seed, cost(start), start, rest))
    waves = [
        (turn, number, price, wave)
        for of_dataset in by_dataset.values()
        for turn, (_, price, *both) in enumerate(sorted(of_dataset, key=lambda each: each[:2]))
        for number, wave in enumerate(both)
    ]
    return [wave for *_, wave in sorted(waves, key=lambda each: each[:3])]

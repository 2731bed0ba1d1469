"""What the finished cells of a sweep say so far about the two methods that it compares.

Its input is accuracies under attack of cells, from this sweep or an earlier one. Statistics are the
report's, which has the records of all examples.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import mean

from orchestrator.plan.compared import ATTACKS, Pair, home, method, name_of, pairs
from orchestrator.plan.plan import Plan
from trainables.files import at_once
from trainables.store import Store


@dataclass(frozen=True)
class Compared:
    """Mean accuracies under attack of two methods, over the places and seeds that both have.

    accuracies: shares, the baseline's first. cells: how many they are over, of how many in the end.
    """

    methods: tuple[str, str]
    accuracies: tuple[float, float]
    datasets: list[str]
    models: list[str]
    attacks: list[str]
    cells: int
    of: int

    def __str__(self) -> str:
        """`sst2, bert-embedded: mlp_ft 40.0 → mvp 60.0 under 4 attacks (8 of 120 cells)`."""
        where = f"{_named(self.datasets, 'data sets')}, {_named(self.models, 'models')}"
        means = zip(self.methods, self.accuracies, strict=True)
        change = " → ".join(f"{name} {100 * share:.1f}" for name, share in means)
        under = _named(self.attacks, "attacks", ATTACKS)
        return f"{where}: {change} under {under} ({self.cells} of {self.of} cells)"


class Comparison:
    """`note` each finished cell, and ask what is known `so_far`."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        """pairs: all that the sweep will have."""
        self._pair_of = {cell.key: pair for pair in pairs for cell in pair}
        self._enough = min(ATTACKS, len({ours.attack for ours, _ in pairs}))  # attacks on a home
        self._there: list[Pair] = []
        self._accuracies: dict[str, float] = {}
        self._begun = False

    def __contains__(self, cell: str) -> bool:
        """Whether a cell, by its key, is one of those compared."""
        return cell in self._pair_of

    def note(self, cell: str, accuracy: float | None) -> None:
        """accuracy: under attack; None where nothing was attacked."""
        if accuracy is None or cell not in self or cell in self._accuracies:
            return
        self._accuracies[cell] = accuracy
        pair = self._pair_of[cell]
        if all(each.key in self._accuracies for each in pair):
            self._there.append(pair)
            at_homes = Counter(home(ours) for ours, _ in self._there)
            self._begun = self._begun or max(at_homes.values()) >= self._enough

    def so_far(self) -> Compared | None:
        """None before a data set and model has both methods, under two attacks if there are two."""
        if not self._begun:
            return None
        there = self._there
        cells = [ours for ours, _ in there]
        ours, theirs = (mean(self._accuracies[pair[side].key] for pair in there) for side in (0, 1))
        baseline, other = (name_of(method(cell)) for cell in there[0])
        return Compared(
            (baseline, other),
            (ours, theirs),
            datasets=_each_once(cell.fit.dataset for cell in cells),
            models=_each_once(cell.fit.model for cell in cells),
            attacks=_each_once(cell.attack for cell in cells),
            cells=2 * len(there),
            of=len(self._pair_of),
        )


def compared_before(plan: Plan, store: Store) -> Comparison:
    """What the cells that are done say."""
    comparison = Comparison(pairs(plan.applicable))
    done = [cell.key for cell in plan.with_status("done") if cell.key in comparison]
    results = at_once(partial(store.sound, store.read_result), done)
    for key, result in zip(done, results, strict=True):
        comparison.note(key, result and result["metrics"]["accuracy_under_attack"])
    return comparison


def _each_once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _named(names: Sequence[str], noun: str, at_most: int = 1) -> str:
    """The names, or how many there are."""
    return ", ".join(names) if len(names) <= at_most else f"{len(names)} {noun}"

"""Expected seconds of fits and attacks, from the most similar ones measured so far."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from search_spaces.cell import Cell, Fit
from trainables.records import FitAsked, FitRecord, Result


@dataclass
class Rates:
    """Measured seconds of fits, and of one attacked example, by what they were measured on."""

    fits: dict[tuple[str, ...], list[float]] = field(default_factory=dict)
    examples: dict[tuple[str, ...], list[float]] = field(default_factory=dict)

    def fit_seconds(self, fit: Fit) -> float | None:
        """Expected seconds of a fit, or None if nothing like it was measured."""
        return _median_of_first(self.fits, _likeness(fit.dataset, fit.model, fit.head))

    def attack_seconds(self, cell: Cell) -> float | None:
        """Expected seconds of all a cell's examples, or None."""
        fit = cell.fit
        each = _median_of_first(
            self.examples, _likeness(cell.attack, fit.model, fit.dataset, fit.head)
        )
        return None if each is None else each * cell.examples

    def add_fit(self, fit: FitAsked, seconds: float) -> None:
        for like in _likeness(fit["dataset"], fit["model"], fit["head"]):
            self.fits.setdefault(like, []).append(seconds)

    def add_attack(self, result: Result) -> None:
        metrics = result["metrics"]
        if metrics["num_examples"] and metrics["attack_seconds"] is not None:
            for like in _likeness(
                result["attack"], result["model"], result["dataset"], result["head"]
            ):
                each = metrics["attack_seconds"] / metrics["num_examples"]
                self.examples.setdefault(like, []).append(each)


def measured(fits: Iterable[FitRecord], results: Iterable[Result]) -> Rates:
    """Rates of all that a store holds, whatever space it was run for."""
    rates = Rates()
    for record in fits:
        rates.add_fit(record["spec"], record["seconds"])
    for result in results:
        rates.add_attack(result)
    return rates


def _likeness(*names: str) -> list[tuple[str, ...]]:
    """The names, then ever shorter prefixes of them: from identical to merely similar."""
    return [names[:length] for length in range(len(names), -1, -1)]


def _median_of_first(
    measured: dict[tuple[str, ...], list[float]], likeness: Iterable[tuple[str, ...]]
) -> float | None:
    for like in likeness:
        if like in measured:
            return median(measured[like])
    return None

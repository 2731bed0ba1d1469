"""The data sets and models that a plot is over, and its text about them."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.report.comparison import common_places
from orchestrator.report.results import CellResult, Method, Place, Results


@dataclass(frozen=True)
class Ground:
    """Data sets and models that a plot is over, and how to say which."""

    homes: list[tuple[str, str]]
    text: str

    def places(self, attack: str) -> list[Place]:
        return [(*home, attack) for home in self.homes]


def ground_of(results: Results) -> Ground:
    homes = list(dict.fromkeys(place[:2] for place in common_places(results, results.methods)))
    if len(homes) > 1:
        return Ground(homes, f"mean of the {len(homes)} data sets × models all heads have")
    if homes:
        return Ground(homes, " · ".join(homes[0]))
    fullest = max(results.homes, key=lambda home: sum(r.place[:2] == home for r in results.cells))
    return Ground([fullest], f"{' · '.join(fullest)} only: no data set and model has all heads")


def cells_at(results: Results, method: Method, places: Sequence[Place]) -> list[list[CellResult]]:
    """A method's cells at each place; none at all if it lacks one of them."""
    cells = [results.at(method, place) for place in places]
    return cells if all(cells) else []


def title_of(text: str, cells: Sequence[CellResult], shown: int, there: int) -> str:
    capped = f" (the first {shown} of {there} heads)" if shown < there else ""
    unfinished = "" if all(result.final for result in cells) else " (not final)"
    return text + capped + unfinished

"""Slices: accuracy under attack by the length of the original text and by label."""

from collections.abc import Iterator

import numpy as np

from orchestrator.report.comparison import common_places, is_final, level, levels
from orchestrator.report.results import Place, Results
from orchestrator.report.statistics import Values, estimate
from orchestrator.report.tables import Entry, Table, count

LENGTHS = ("short", "middle", "long")


def slices(results: Results) -> Table | None:
    """A row per data set and slice, a column per head; None where no place has all heads."""
    rows: list[list[Entry]] = []
    common = common_places(results, results.methods)
    for dataset in dict.fromkeys(place[0] for place in common):
        places = [place for place in common if place[0] == dataset]
        outcomes = {method: levels(results, method, places) for method in results.methods}
        final = {method: is_final(results, method, places) for method in results.methods}
        seen = {method: results.has_seen(method, places) for method in results.methods}
        for name, ids in _slices(results, places):
            figures = (
                level(
                    estimate([_of(each, ids) for each in of_method]),
                    final[method],
                    seen=seen[method],
                )
                for method, of_method in outcomes.items()
            )
            rows.append([dataset, name, count(len(ids)), *figures])
    if not rows:
        return None
    header = ["data set", "slice", "examples", *map(results.label_of, results.methods)]
    notes = [
        "Accuracy under attack in %, mean over models (those that all heads have), attacks and "
        "seeds. Length: words of the attacked text before the attack, in thirds of the data set's "
        "examples, in brackets from and to; label: as the data set numbers them. With few examples "
        "a slice's figure says little: its 95 % interval is in the CSV and on the page."
    ]
    title = "Under attack by length and by label"
    return Table("slices", title, header, rows, texts=2, notes=notes)


def _slices(results: Results, places: list[Place]) -> Iterator[tuple[str, frozenset[int]]]:
    """Names and examples of a data set's slices."""
    words, labels = _texts(results, places)
    if words:
        yield from _by_length(words)
    for label in sorted(set(labels.values()) - {-1}):
        yield f"label {label}", frozenset(id for id, other in labels.items() if other == label)


def _texts(results: Results, places: list[Place]) -> tuple[dict[int, int], dict[int, int]]:
    """Words and label of each attacked example."""
    words: dict[int, int] = {}
    labels: dict[int, int] = {}
    for place in places:
        for method in results.methods:
            for result in results.at(method, place):
                ids = result.outcomes.ids.tolist()
                words.update(zip(ids, result.outcomes.words.tolist(), strict=True))
                labels.update(zip(ids, result.outcomes.labels.tolist(), strict=True))
    return words, labels


def _by_length(words: dict[int, int]) -> Iterator[tuple[str, frozenset[int]]]:
    """Thirds, of which texts of one length are never in two; those without texts are left out."""
    ends = np.quantile(list(words.values()), [1 / 3, 2 / 3], method="lower").tolist()
    for number, name in enumerate(LENGTHS):
        low = ends[number - 1] if number else -1
        high = ends[number] if number < len(ends) else max(words.values())
        lengths = {id: length for id, length in words.items() if low < length <= high}
        if lengths:
            from_to = sorted({min(lengths.values()), max(lengths.values())})
            yield f"{name} ({'–'.join(map(str, from_to))} words)", frozenset(lengths)


def _of(values: Values, ids: frozenset[int]) -> Values:
    kept = tuple(id for id in values.ids if id in ids)
    matrix = values.at(values.seeds, kept)
    return Values(values.group, values.seeds, kept, matrix, values.bounds)

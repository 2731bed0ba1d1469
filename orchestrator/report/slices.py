"""Slices: accuracy under attack by the length of the original text and by label."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from orchestrator.report.comparison import common_places, is_final, level, levels
from orchestrator.report.results import Place, Results, name_of
from orchestrator.report.statistics import Values, estimate
from orchestrator.report.tables import Entry, Table, count

LENGTHS = ("short", "middle", "long")


@dataclass(frozen=True)
class _Slice:
    dataset: str
    name: str
    ids: frozenset[int]
    places: list[Place]


def slices(results: Results) -> Table | None:
    """A row per data set and slice, a column per head; None where no place has all heads."""
    rows: list[list[Entry]] = [
        [
            each.dataset,
            each.name,
            count(len(each.ids)),
            *(
                level(
                    estimate([_of(v, each.ids) for v in levels(results, method, each.places)]),
                    is_final(results, method, each.places),
                )
                for method in results.methods
            ),
        ]
        for each in _slices(results)
    ]
    if not rows:
        return None
    header = ["data set", "slice", "examples", *map(name_of, results.methods)]
    notes = [
        "Accuracy under attack in %, mean over models (those that all heads have), attacks and "
        "seeds. Length: words of the attacked text before the attack, in thirds of the data set's "
        "examples, in brackets from and to; label: as the data set numbers them. With few examples "
        "a slice's figure says little: its 95 % interval is in the CSV and on the page."
    ]
    title = "Under attack by length and by label"
    return Table("slices", title, header, rows, texts=2, notes=notes)


def _slices(results: Results) -> Iterator[_Slice]:
    places = common_places(results, results.methods)
    for dataset in dict.fromkeys(place[0] for place in places):
        own = [place for place in places if place[0] == dataset]
        words, labels = _texts(results, own)
        yield from (_Slice(dataset, *each, own) for each in _by_length(words))
        for label in sorted(set(labels.values()) - {-1}):
            ids = frozenset(id for id, other in labels.items() if other == label)
            yield _Slice(dataset, f"label {label}", ids, own)


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

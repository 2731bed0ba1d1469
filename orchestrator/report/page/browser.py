"""The adversarial examples of a report as data for its page, which shows and filters them.

Each original text is stored once, a perturbed one as edits of it. If there are more examples than a
page can hold, the same ones are taken from every cell of a data set, so that heads can still be
compared on the same text, and the page says how many of how many it has.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

from orchestrator.report.page.changes import edits
from orchestrator.report.results import CellResult, Results
from search_spaces.cell import ALL_AXES
from trainables.files import at_once
from trainables.records import Attacked, ExampleRecord

EXAMPLES = 6000  # in a page at most, ...
BYTES = 2_500_000  # ... and bytes of JSON at most
LONGEST = 20_000  # characters of a text that are shown

STATUSES = ("successful", "failed", "skipped", "error")

Browsed = dict[str, Any]
Row = list[Any]


def browsed(results: Results, most: int = EXAMPLES, size: int = BYTES) -> Browsed:
    """The data for the page's browser; `page.js` reads it.

    axes: values by axis. labels: by data set. originals: [data set, id, true label, text].
    cells: [key, an index into each of axes]. examples: [cell, original, status, queries, words
    changed, words, similarity or null, edit distance or null, bits per character before and after
    the attack or null, label before, label after, [[label, score before, score
    after], ...], edits], indices and scores in thousandths. An example in error has its message in
    place of all after its status. shown, total: how many examples there are here and in the
    results.
    """
    order = _order(results)
    total = sum(_attacked(result) for result in results.cells)
    each = max((len(ids) for ids in order.values()), default=1)
    if total > most:
        each = max(most // len(results.cells), 1)
    axes = {
        axis: list(dict.fromkeys(result.cell.axes()[axis] for result in results.cells))
        for axis in ALL_AXES
    }
    page = _Page(most, size)
    found = at_once(partial(_first, order=order, most=each), results.cells)
    for number in range(each + 1):
        page.add_round(results, found, number)
    used = sorted({row[0] for row in page.examples})
    cells = [results.cells[number].cell for number in used]
    number_of = {number: place for place, number in enumerate(used)}
    for row in page.examples:
        row[0] = number_of[row[0]]
    return {
        "axes": axes,
        "labels": {r.cell.fit.dataset: r.cell.fit.data.labels for r in results.cells},
        "cells": [[c.key, *(axes[a].index(c.axes()[a]) for a in ALL_AXES)] for c in cells],
        "originals": page.originals,
        "examples": sorted(page.examples, key=lambda row: (row[1], row[0])),
        "shown": len(page.examples),
        "total": total,
    }


def _attacked(result: CellResult) -> int:
    return len(result.outcomes.ids) + int(result.metrics.get("num_errors") or 0)


def _order(results: Results) -> dict[str, dict[int, int]]:
    """The order of a data set's examples: first those that most cells have, then at random."""
    counts: dict[str, Counter[int]] = {}
    for result in results.cells:
        counts.setdefault(result.cell.fit.dataset, Counter()).update(result.outcomes.ids.tolist())
    return {
        dataset: {
            id: number
            for number, id in enumerate(
                sorted(counted, key=lambda id: (-counted[id], _chance(dataset, id)))
            )
        }
        for dataset, counted in counts.items()
    }


def _chance(dataset: str, id: int) -> str:
    return hashlib.sha256(f"{dataset}/{id}".encode()).hexdigest()


def _first(
    result: CellResult, order: dict[str, dict[int, int]], most: int
) -> dict[int, list[ExampleRecord]]:
    """The cell's records by their place in the order; those that no cell finished come last."""
    places = order[result.cell.fit.dataset]
    found: dict[int, list[ExampleRecord]] = {}
    for record in result.records():
        place = places.get(record["id"], len(places))
        if place < most or len(places) <= most:
            found.setdefault(min(place, most), []).append(record)
    return found


class _Page:
    """What was added so far, and the room that is left, in examples and bytes."""

    def __init__(self, most: int, size: int) -> None:
        self.most, self.left = most, size
        self.originals: list[Row] = []
        self.examples: list[Row] = []
        self._numbers: dict[tuple[str, int, str], int] = {}

    def add_round(
        self, results: Results, found: list[dict[int, list[ExampleRecord]]], number: int
    ) -> None:
        """Add one example of each cell if all fit; in the first round, of as many as fit."""
        rows = list(self._rows(results, found, number))
        if self.examples and sum(size for *_, size in rows) > self.left:
            self.left = 0
        for original, name, row, size in rows:
            if size > self.left or len(self.examples) == self.most:
                self.left = 0
                return
            self.left -= size
            if name not in self._numbers:
                self._numbers[name] = len(self.originals)
                self.originals.append(original)
            row[1] = self._numbers[name]
            self.examples.append(row)

    def _rows(
        self, results: Results, found: list[dict[int, list[ExampleRecord]]], number: int
    ) -> Iterator[tuple[Row, tuple[str, int, str], Row, int]]:
        new: set[tuple[str, int, str]] = set()
        for cell, (result, records) in enumerate(zip(results.cells, found, strict=True)):
            for record in records.get(number, []):
                dataset, text = result.cell.fit.dataset, _cut(record.get("original_text", ""))
                name = (dataset, record["id"], text)
                original = [dataset, record["id"], record.get("label"), text]
                row = _row(cell, record, text)
                size = _size(row)
                if name not in self._numbers and name not in new:
                    new.add(name)
                    size += _size(original)
                yield original, name, row, size


def _row(cell: int, record: ExampleRecord, original: str) -> Row:
    row = [cell, 0, STATUSES.index(record["status"])]
    if record["status"] == "error":
        return [*row, _cut(record["error"])]
    similarity, bits = record.get("similarity"), record.get("bits_per_character")
    return [
        *row,
        record["queries"],
        record["words_changed"],
        record["words"],
        None if similarity is None else round(similarity, 3),
        record.get("edit_distance"),
        None if bits is None else [round(each, 2) for each in bits],
        record.get("original_output"),
        record.get("perturbed_output"),
        _scores(record),
        edits(original, _cut(record["perturbed_text"])),
    ]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _scores(record: Attacked) -> list[list[int]]:
    """Of the true label and those predicted, before and after."""
    before, after = record.get("original_scores", []), record.get("perturbed_scores", [])
    labels = record.get("label"), record.get("original_output"), record.get("perturbed_output")
    return [
        [label, round(1000 * before[label]), round(1000 * after[label])]
        for label in dict.fromkeys(labels)
        if label is not None and label < min(len(before), len(after))
    ]


def _size(row: Row) -> int:
    return len(as_json(row).encode("utf-8", "replace")) + 1


def as_json(data: Any) -> str:
    """JSON for a page's script element: nothing in it ends the element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text

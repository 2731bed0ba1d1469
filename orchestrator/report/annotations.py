"""What people say of adversarial examples: their labels, read back from sheets (sheet.py).

A text has a label if more than half of those who labelled it gave that one. A success is valid if
people give its perturbed text the true label: a text whose meaning the attack changed does not
count against the model.
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from orchestrator.report.comparison import values
from orchestrator.report.results import (
    CLEAN,
    UNDER_ATTACK,
    CellResult,
    Method,
    Place,
    Results,
)
from orchestrator.report.sheet import (
    CANNOT_TELL,
    SHEET,
    Drawn,
    Key,
    Stratum,
    attacked,
    read_key,
    stratum,
    successes,
    text_id,
)
from orchestrator.report.tables import Entry, Figure, Table
from search_spaces.errors import BadInput

Z = 1.959964  # of a 95 % interval
SEPARATORS = ",;\t"  # as spreadsheets write them, by language


@dataclass(frozen=True)
class Annotations:
    """labels: by text, then by annotator."""

    key: Key
    labels: Mapping[str, Mapping[str, str]]

    def annotators(self) -> list[str]:
        return sorted({name for given in self.labels.values() for name in given})

    def has(self, text: str, label: str) -> bool | None:
        """Whether people give a text this label; None if nobody labelled it."""
        given = self.labels.get(text)
        return None if not given else 2 * Counter(given.values())[label] > len(given)


def read_annotations(files: Sequence[Path], key: Path, results: Results) -> Annotations:
    """The labels in sheets: one file an annotator, or a column `annotator`.

    Rows without a label are left out. Raises BadInput, naming the line, for what does not belong to
    the key, and where the key does not belong to the results.
    """
    known = read_key(key)
    names = _labels(known, key, results)
    labels: dict[str, dict[str, str]] = {}
    for file in files:
        for line, id, annotator, label in _rows(file):
            where = f"{file}, line {line}"
            if id not in known.data_sets:
                raise BadInput(f"{where}: no text {id!r} in {key}; is it of another sheet?")
            valid = {name.casefold(): name for name in (*names[known.data_sets[id]], CANNOT_TELL)}
            if label.casefold() not in valid:
                raise BadInput(
                    f"{where}: unknown label {label!r}; valid: {', '.join(valid.values())}"
                )
            if annotator in labels.setdefault(id, {}):
                raise BadInput(
                    f"{where}: a second label of {annotator!r} for the text {id!r}; people are "
                    "told apart by a column `annotator`, or by the names of their files"
                )
            labels[id][annotator] = valid[label.casefold()]
    if not labels:
        raise BadInput(f"{', '.join(map(str, files))}: no label in the column `label`")
    return Annotations(known, labels)


class _Row(NamedTuple):
    line: int
    id: str
    annotator: str
    label: str


def _rows(file: Path) -> Iterable[_Row]:
    """The rows with a label. Raises BadInput where it is no such table."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise BadInput(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{file}: is not UTF-8; save it as CSV in UTF-8") from None
    first = text.partition("\n")[0]
    separator = max(SEPARATORS, key=first.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        header = reader.fieldnames or []
        if lacking := [name for name in ("id", "label") if name not in header]:
            raise BadInput(
                f"{file}: no column {' and no column '.join(lacking)}; give the sheet as "
                "--annotate wrote it, with labels filled in"
            )
        for row in reader:
            id, label, who = (
                (row.get(name) or "").strip() for name in ("id", "label", "annotator")
            )
            if label:
                yield _Row(reader.line_num, id, who or file.stem, label)
    except csv.Error as error:
        raise BadInput(f"{file}, line {reader.line_num}: {error}") from None


def _labels(known: Key, key: Path, results: Results) -> dict[str, list[str]]:
    """The labels of each data set. Raises BadInput where the results have other examples."""
    cells = {result.cell.key: result for result in results.cells}
    of_cell: dict[str, list[Drawn]] = {}
    for drawn in known.examples:
        of_cell.setdefault(drawn.cell, []).append(drawn)
    for name, examples in of_cell.items():
        if name not in cells:
            raise BadInput(f"{key}: these results have no cell {name}, of which it has examples")
        records = attacked(cells[name], [drawn.example for drawn in examples])
        dataset = cells[name].cell.fit.dataset
        for drawn in examples:
            record = records.get(drawn.example)
            texts = (record["original_text"], record["perturbed_text"]) if record else ()
            if [text_id(known.seed, dataset, text) for text in texts] != [
                drawn.original, drawn.perturbed,
            ]:  # fmt: skip
                raise BadInput(
                    f"{key}: example {drawn.example} of {name} is another one now; these results "
                    f"are not those that {SHEET} was drawn from"
                )
    return {result.cell.fit.dataset: result.cell.fit.data.labels for result in results.cells}


def people(results: Results, annotations: Annotations) -> list[Table]:
    """What people say, over all, by attack and by head; and how far annotators agree, if several
    of them labelled the same texts."""
    agreement = _agreement(annotations)
    return [_validity(results, annotations), *([agreement] if agreement.rows else [])]


class _Judged(NamedTuple):
    """An annotated success: how much of a mean it stands for, and what people say of its texts."""

    stratum: Stratum
    weight: float
    original: str
    keeps_original: bool | None
    keeps: bool


def _validity(results: Results, annotations: Annotations) -> Table:
    judged = _judged(results, annotations)
    groups: list[tuple[str, str, Callable[[Stratum], bool]]] = [
        ("all", "", lambda stratum: True),
        *(("attack", name, _is(0, name)) for name in results.attacks),
        *(("head", name, _is(1, name)) for name in dict.fromkeys(h for _, h in _strata(results))),
    ]
    rows: list[list[Entry]] = []
    for what, name, is_in in groups:
        here = [each for each in judged if is_in(each.stratum)]
        if not here:
            continue
        cells = [result for result in results.cells if is_in(stratum(result))]
        originals = [each for each in here if each.keeps_original is not None]
        kept = sum(each.weight for each in originals if each.keeps_original)
        valid = _share(here)
        rows.append(
            [
                what,
                name,
                Figure(kept / sum(each.weight for each in originals) if originals else None),
                Figure(valid.share, low=valid.low, high=valid.high, show_interval=True),
                *_under_attack(cells, valid),
                f"{len(here):,}",
            ]
        )
    header = [
        "of", "name", "originals with their label", "perturbed with their label",
        "under attack", "under valid attack", "annotated",
    ]  # fmt: skip
    notes = [
        "Of successful examples that people annotated: the share of original and of perturbed "
        "texts to which most of them give the true label, each weighted by how much of the "
        "accuracy under attack it stands for. Under valid attack: the accuracy if a success counts "
        "only where people give the perturbed text the true label. [ ]: 95 % "
        "interval, over the examples attacked and those annotated; perturbed texts of one original "
        "count as one."
    ]
    return Table("people", "What people say of the examples", header, rows, texts=2, notes=notes)


def _is(part: int, name: str) -> Callable[[Stratum], bool]:
    return lambda stratum: stratum[part] == name


def _strata(results: Results) -> list[Stratum]:
    return list(dict.fromkeys(map(stratum, results.cells)))


def _judged(results: Results, annotations: Annotations) -> list[_Judged]:
    """Annotated successes, each weighted by how many of its attack and head it stands for, and by
    how much an example of its cell counts in the mean over places."""
    of_cell = {result.cell.key: stratum(result) for result in results.cells}
    of_example = {
        result.cell.key: 1 / (len(result.outcomes.ids) * len(at))
        for at in _places(results.cells).values()
        for result in at
    }
    there = [
        (of_cell[drawn.cell], drawn, keeps)
        for drawn in annotations.key.examples
        if (keeps := annotations.has(drawn.perturbed, drawn.label)) is not None
    ]
    counted = Counter(place for place, _, _ in there)
    sizes = {place: len(each) for place, each in successes(results).items()}
    return [
        _Judged(
            place,
            sizes[place] / counted[place] * of_example[drawn.cell],
            drawn.original,
            annotations.has(drawn.original, drawn.label),
            keeps,
        )
        for place, drawn, keeps in there
    ]


class Share(NamedTuple):
    """A share with the ends of its 95 % interval."""

    share: float
    low: float
    high: float


def _share(judged: Sequence[_Judged]) -> Share:
    """The weighted share of valid successes. Those of one original are one piece of evidence."""
    total = sum(each.weight for each in judged)
    clusters: dict[str, float] = {}
    for each in judged:
        clusters[each.original] = clusters.get(each.original, 0) + each.weight
    effective = total**2 / sum(weight**2 for weight in clusters.values())  # Kish's sample size
    return wilson(sum(each.weight for each in judged if each.keeps) / total, effective)


def wilson(share: float, count: float) -> Share:
    """A share of `count` things with its Wilson interval."""
    centre = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2)) / (1 + Z**2 / count)
    return Share(share, max(centre - half, 0.0), min(centre + half, 1.0))


def _under_attack(cells: Sequence[CellResult], valid: Share) -> tuple[Figure, Figure]:
    """Accuracy under attack, and under valid attack: means over places."""
    at = list(_places(cells).values())
    right, clean = (
        round(mean(values(each, of).mean() for each in at), 12) for of in (UNDER_ATTACK, CLEAN)
    )
    final = all(result.final for result in cells)
    counts = under_valid_attack(right, clean - right, valid, _texts(at))
    return (
        Figure(right, final=final),
        Figure(counts.share, low=counts.low, high=counts.high, show_interval=True, final=final),
    )


def _places(cells: Iterable[CellResult]) -> dict[tuple[Method, Place], list[CellResult]]:
    """Cells with examples, by head and place: one a seed."""
    found: dict[tuple[Method, Place], list[CellResult]] = {}
    for result in cells:
        if len(result.outcomes.ids):
            found.setdefault((result.method, result.place), []).append(result)
    return found


def _texts(places: Sequence[Sequence[CellResult]]) -> float:
    """How many texts of one data set would say as much: Kish's sample size, of data sets that count
    by their number of places."""
    ids: dict[str, set[int]] = {}
    for at in places:
        own = ids.setdefault(at[0].cell.fit.dataset, set())
        own.update(*(result.outcomes.ids.tolist() for result in at))
    counted = Counter(at[0].cell.fit.dataset for at in places)
    return len(places) ** 2 / sum(counted[name] ** 2 / len(own) for name, own in ids.items())


def under_valid_attack(right: float, fooled: float, valid: Share, texts: float) -> Share:
    """Accuracy if only valid successes count: the right ones and the invalid part of the fooled.

    right, fooled: shares of the attacked examples. The interval joins the error of the sample of
    `texts` attacked and that of the annotated ones, which are independent (MOVER, Zou and Donner
    2008).
    """
    share = right + fooled * (1 - valid.share)
    attacked = wilson(share, texts)
    below, above = fooled * (valid.high - valid.share), fooled * (valid.share - valid.low)
    return Share(
        share,
        max(share - math.hypot(share - attacked.low, below), 0.0),
        min(share + math.hypot(attacked.high - share, above), 1.0),
    )


def _agreement(annotations: Annotations) -> Table:
    """Krippendorff's alpha of each data set: labels of different ones cannot be confused."""
    rows: list[list[Entry]] = []
    for dataset in dict.fromkeys(annotations.key.data_sets.values()):
        given = [
            annotations.labels[id]
            for id, name in annotations.key.data_sets.items()
            if name == dataset and len(annotations.labels.get(id, ())) > 1
        ]
        if not given:
            continue
        annotators = {name for labels in given for name in labels}
        rows.append(
            [
                dataset,
                f"{len(given):,}",
                str(len(annotators)),
                Figure(alpha(given), percent=False, digits=2),
                Figure(sum(len(set(each.values())) == 1 for each in given) / len(given)),
            ]
        )
    header = ["data set", "texts", "annotators", "Krippendorff's alpha", "all agree"]
    notes = [
        f"Annotators: {', '.join(annotations.annotators())}. Over texts that at least two of them "
        "labelled, originals and perturbed; alpha for nominal labels: 1 is perfect agreement, 0 "
        f"what chance gives. {CANNOT_TELL} (cannot tell) is a label of its own."
    ]
    return Table("agreement", "Agreement between annotators", header, rows, notes=notes)


def alpha(given: Iterable[Mapping[str, str]]) -> float | None:
    """Krippendorff's alpha by NLTK, of texts' labels by annotator; None if nobody used a second
    label, which leaves nothing to agree on."""
    from nltk.metrics.agreement import AnnotationTask

    triples = [(who, text, label) for text, each in enumerate(given) for who, label in each.items()]
    if len({label for _, _, label in triples}) < 2:
        return None
    return float(AnnotationTask(triples).alpha())

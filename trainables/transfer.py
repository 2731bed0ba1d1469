"""Replay adversarial examples on a fit that they were not found against: predictions, no search.

The store keeps the outcome of each, so only examples without one are replayed. Needs neither
Ray nor TextAttack.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from search_spaces.cell import Fit
from trainables.assets import Assets
from trainables.cell import StoredHead, stored_head
from trainables.data import Example, split_columns
from trainables.records import ExampleRecord, Replayed
from trainables.store import Store

KEPT_AT_ONCE = 500  # examples: at most this many are predicted again after a crash


@dataclass(frozen=True)
class Adversarial:
    """A successful example of an attack log: its id and label, its columns before and after.

    found_on: the name of the weights that were attacked; None in a log of an older version.
    """

    id: int
    label: int
    original: tuple[str, ...]
    perturbed: tuple[str, ...]
    found_on: str | None = None


Sources = Mapping[str, Sequence[Adversarial]]  # by attack log


def adversarial(
    records: Iterable[ExampleRecord], rows: Mapping[int, Example], attacked: int
) -> list[Adversarial]:
    """The successful examples of an attack log's records, in order.

    rows: the data set's, by id; the log stores a text's columns joined. attacked: index of the
    attacked column. An example in which another column changed is left out: its columns cannot be
    separated.
    """
    examples = []
    for record in records:
        if record["status"] == "successful":
            original = rows[record["id"]].texts
            perturbed = split_columns(record["perturbed_text"], original, attacked)
            if perturbed is not None:
                id, label, weights = record["id"], rows[record["id"]].label, record.get("weights")
                examples.append(Adversarial(id, label, original, perturbed, weights))
    return examples


def missing(sources: Sources, record: Mapping[str, Replayed]) -> list[tuple[str, Adversarial]]:
    """The examples, with their logs, that a fit's stored record (`Store.transfer`) lacks."""
    lacking = []
    for log, examples in sources.items():
        entry = record.get(log)
        replayed = set(entry["replayed"]) if entry and _of_these(entry, examples) else set()
        lacking += [(log, example) for example in examples if example.id not in replayed]
    return lacking


def replay(
    fit: Fit, sources: Sources, store: Store, assets: Assets, device: str = "cpu"
) -> Iterator[dict[str, int]]:
    """Predict a fit's missing examples, before and after, and store the outcomes.

    Yields, whenever a part is stored, how many examples were `replayed` and texts `predicted` so
    far; each distinct text is predicted once. Raises FileNotFoundError or StoreError for what
    cannot be read.
    """
    record = store.transfer(fit.key)
    examples = missing(sources, record)
    if not examples:
        return
    stored = stored_head(fit, store, assets, device)
    stored.head.compute_in("fp32")
    # Its weights may have been gone, and the new ones be others.
    record = store.transfer(fit.key)
    examples = missing(sources, record)
    for log in {log for log, _ in examples}:
        if log in record and not _of_these(record[log], sources[log]):
            del record[log]
    known: dict[tuple[str, ...], int] = {}
    for start in range(0, len(examples), KEPT_AT_ONCE):
        part = examples[start : start + KEPT_AT_ONCE]
        _predict(stored.head, (text for _, e in part for text in (e.original, e.perturbed)), known)
        for log, example in part:
            _note(record.setdefault(log, _nothing(stored, example)), example, known)
        store.write_transfer(fit.key, record)
        yield {"replayed": start + len(part), "predicted": len(known)}


def _predict(
    head: Any, texts: Iterable[tuple[str, ...]], known: dict[tuple[str, ...], int]
) -> None:
    """Add to `known` the classes of the texts that are not in it."""
    new = [text for text in dict.fromkeys(texts) if text not in known]
    if new:
        classes = head.predict(new).argmax(dim=1).tolist()
        known.update(zip(new, classes, strict=True))


def _nothing(target: StoredHead, source: Adversarial) -> Replayed:
    of = {"fit": target.key, "weights": target.weights, "found_on": source.found_on}
    return cast(Replayed, {**of, "replayed": [], "right_before": [], "fooled": []})


def _of_these(entry: Replayed, examples: Sequence[Adversarial]) -> bool:
    """Whether an entry is of a log's present examples: their fit may have been made again."""
    return all(entry.get("found_on", e.found_on) == e.found_on for e in examples)


def _note(entry: Replayed, example: Adversarial, known: dict[tuple[str, ...], int]) -> None:
    entry["replayed"].append(example.id)
    if known[example.original] == example.label:
        entry["right_before"].append(example.id)
        if known[example.perturbed] != example.label:
            entry["fooled"].append(example.id)

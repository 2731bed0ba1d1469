"""Replay adversarial examples on a fit that they were not found against: predictions, no search.

The store keeps what became of each, so that only what is not there yet is replayed. Needs neither
Ray nor TextAttack.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces.cell import Fit
from trainables.assets import Assets
from trainables.cell import stored_head
from trainables.data import Example, split_columns
from trainables.records import ExampleRecord, Replayed
from trainables.store import Store

KEPT_AT_ONCE = 500  # examples: what a killed replay has to predict again at most


@dataclass(frozen=True)
class Adversarial:
    """A successful example of an attack log: its id and label, its columns before and after."""

    id: int
    label: int
    original: tuple[str, ...]
    perturbed: tuple[str, ...]


Sources = Mapping[str, Sequence[Adversarial]]  # by the attack log they were found in


def adversarial(
    records: Iterable[ExampleRecord], rows: Mapping[int, Example], attacked: int
) -> list[Adversarial]:
    """The successful ones of an attack log's records, in their order.

    rows: the data set's, by id; the log keeps a text's columns joined. attacked: the number of the
    column that was attacked. Left out is an example of which another column was changed: which text
    belongs to which column then cannot be told.
    """
    found = []
    for record in records:
        if record["status"] == "successful":
            original = rows[record["id"]].texts
            perturbed = split_columns(record["perturbed_text"], original, attacked)
            if perturbed is not None:
                label = rows[record["id"]].label
                found.append(Adversarial(record["id"], label, original, perturbed))
    return found


def missing(sources: Sources, record: Mapping[str, Replayed]) -> list[tuple[str, Adversarial]]:
    """The examples, with their logs, that a fit's stored record (`Store.transfer`) has not yet."""
    found = []
    for log, examples in sources.items():
        replayed = set(record[log]["replayed"]) if log in record else set()
        found += [(log, example) for example in examples if example.id not in replayed]
    return found


def replay(fit: Fit, sources: Sources, store: Store, assets: Assets) -> Iterator[dict[str, int]]:
    """Predict a fit's missing examples, before and after, and keep in the store what it says.

    Yields, whenever a part is kept, how many examples were `replayed` and texts `predicted` so far;
    each distinct text is predicted once. Raises what cannot be read: FileNotFoundError, StoreError.
    """
    record = store.transfer(fit.key)
    examples = missing(sources, record)
    head = stored_head(fit, store, assets) if examples else None
    known: dict[tuple[str, ...], int] = {}
    for start in range(0, len(examples), KEPT_AT_ONCE):
        part = examples[start : start + KEPT_AT_ONCE]
        _predict(head, (text for _, e in part for text in (e.original, e.perturbed)), known)
        for log, example in part:
            _note(record.setdefault(log, _nothing(fit)), example, known)
        store.write_transfer(fit.key, record)
        yield {"replayed": start + len(part), "predicted": len(known)}


def _predict(
    head: Any, texts: Iterable[tuple[str, ...]], known: dict[tuple[str, ...], int]
) -> None:
    """Add to `known` the classes of the texts that are not in it."""
    from trainables.fit import EVALUATION_BATCH

    new = [text for text in dict.fromkeys(texts) if text not in known]
    if new:
        classes = head.predict(new, EVALUATION_BATCH).argmax(dim=1).tolist()
        known.update(zip(new, classes, strict=True))


def _nothing(fit: Fit) -> Replayed:
    return {"fit": fit.key, "replayed": [], "right_before": [], "fooled": []}


def _note(entry: Replayed, example: Adversarial, known: dict[tuple[str, ...], int]) -> None:
    entry["replayed"].append(example.id)
    if known[example.original] == example.label:
        entry["right_before"].append(example.id)
        if known[example.perturbed] != example.label:
            entry["fooled"].append(example.id)

"""Load a data set as the protocol wants it: lower-cased rows in three splits, and a sample.

Splits and samples are drawn with seed 0 whatever the cell's seed, so every model, head and attack
sees the same rows.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from search_spaces.catalog import SPLIT, Dataset
from search_spaces.errors import BadInput

SPLIT_SEED = 0


@dataclass(frozen=True)
class Example:
    """One row: its id (row number in the source split), its text columns, its label's number."""

    id: int
    texts: tuple[str, ...]
    label: int


@dataclass(frozen=True)
class Splits:
    """The rows of a data set by the role they play."""

    train: list[Example]
    validation: list[Example]
    test: list[Example]


def check_columns(name: str, dataset: Dataset, files: dict[str, list[Path]]) -> None:
    """Read only the files' headers. Raises BadInput naming a broken file or a missing column."""
    for path in (path for paths in files.values() for path in paths):
        try:
            present = pq.read_schema(path).names
        except (pa.ArrowInvalid, OSError) as error:
            raise BadInput(f"data set {name!r}: {path} is not readable parquet: {error}") from None
        for column in (*dataset.columns, dataset.label):
            if column not in present:
                raise BadInput(
                    f"data set {name!r}: {path} lacks the column {column!r}; "
                    f"it has {', '.join(present)}"
                )


def load_splits(name: str, dataset: Dataset, files: dict[str, list[Path]]) -> Splits:
    """Read, lower-case and split a data set. Raises BadInput for a label out of range.

    The last one is kept as long as its files stay as they are, since the cells that a process runs
    one after another often share it: do not change the lists.
    """
    versions = tuple(
        (split, path, path.stat().st_size, path.stat().st_mtime_ns)
        for split, paths in files.items()
        for path in paths
    )
    return _load_splits(name, dataset.model_dump_json(), versions)


@lru_cache(maxsize=1)  # a large data set takes a gigabyte
def _load_splits(
    name: str, description: str, versions: tuple[tuple[str, Path, int, int], ...]
) -> Splits:
    dataset = Dataset.model_validate_json(description)
    files: dict[str, list[Path]] = {}
    for split, path, _, _ in versions:
        files.setdefault(split, []).append(path)
    check_columns(name, dataset, files)
    rows = {split: _read(name, dataset, split, paths) for split, paths in files.items()}
    roles: dict[str, list[Example]] = {}
    for role in ("train", "validation", "test"):
        match = SPLIT.match(getattr(dataset.splits, role))
        assert match is not None
        if match["percent"] is not None:
            drawn, rest = _draw(rows[match["split"]], int(match["percent"]) / 100)
            roles[role] = drawn
            rows[match["split"]] = rest
    for role in ("train", "validation", "test"):
        roles.setdefault(role, rows.get(getattr(dataset.splits, role), []))
    return Splits(**roles)


def attacked_examples(test: Sequence[Example], count: int) -> list[Example]:
    """A label-stratified sample of the test set, in a seeded order.

    Examples come in rounds, one of each label still available, so that the first n of a larger
    sample are exactly the sample of n.
    """
    by_label: dict[int, list[Example]] = defaultdict(list)
    for example in test:
        by_label[example.label].append(example)
    order = random.Random(SPLIT_SEED)
    queues = []
    for label in sorted(by_label):
        queue = list(by_label[label])
        order.shuffle(queue)
        queues.append(queue)
    sample: list[Example] = []
    while len(sample) < count and any(queues):
        for queue in queues:
            if queue and len(sample) < count:
                sample.append(queue.pop())
    return sample


def split_columns(joined: str, original: Sequence[str], attacked: int) -> tuple[str, ...] | None:
    """A perturbed text's columns, from what an attack log keeps of it: all joined by line breaks.

    original: the columns before the attack, which changed the one numbered `attacked` alone. Exact
    whatever line breaks the texts hold themselves. None where another column changed too.
    """
    before = "".join(f"{text}\n" for text in original[:attacked])
    after = "".join(f"\n{text}" for text in original[attacked + 1 :])
    end = len(joined) - len(after)
    if end < len(before) or not (joined.startswith(before) and joined.endswith(after)):
        return None
    return (*original[:attacked], joined[len(before) : end], *original[attacked + 1 :])


def _read(name: str, dataset: Dataset, split: str, paths: list[Path]) -> list[Example]:
    columns = [*dataset.columns, dataset.label]
    table = pa.concat_tables([pq.read_table(path, columns=columns) for path in paths])
    examples = []
    for number, row in enumerate(table.to_pylist()):
        texts = tuple(str(row[column] or "").lower().strip() for column in dataset.columns)
        label = int(row[dataset.label])
        if not 0 <= label < len(dataset.labels):
            raise BadInput(
                f"data set {name!r}: row {number} of {split} has label {label}; "
                f"its catalog file names {len(dataset.labels)} labels, numbered from 0"
            )
        if dataset.drop_rows_without_letters and not any(c.isalpha() for c in "".join(texts)):
            continue
        examples.append(Example(number, texts, label))
    return examples


def _draw(rows: list[Example], share: float) -> tuple[list[Example], list[Example]]:
    shuffled = list(rows)
    random.Random(SPLIT_SEED).shuffle(shuffled)
    size = round(len(rows) * share)
    drawn = {example.id for example in shuffled[:size]}
    return [e for e in rows if e.id in drawn], [e for e in rows if e.id not in drawn]

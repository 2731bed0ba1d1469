"""Load a data set as the protocol asks: rows in three splits, and a sample.

Splits and samples are drawn with seed 0 whatever the cell's seed, so every model, head and attack
sees the same rows.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from search_spaces.catalog import Dataset
from search_spaces.errors import BadInput
from search_spaces.space import Sample
from trainables.assets import version
from trainables.rows import WHITE_SPACE, Rows, check_columns, read_split

SPLIT_SEED = 0
Row = TypeVar("Row")
Files = dict[str, list[Path]]


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


@dataclass(frozen=True)
class Survey:
    """Counts of a data set's rows.

    labels: by role. dropped: how many rows were left out, by source split and reason.
    in_training_too: how many test rows have the same texts as a training row.
    """

    labels: dict[str, np.ndarray]
    dropped: dict[str, dict[str, int]]
    in_training_too: int


def load_splits(name: str, dataset: Dataset, files: Files) -> Splits:
    """Read and split a data set, in lower case if its entry says so.

    Raises BadInput for rows that cannot be used.
    The last data set is cached until its files change, because consecutive cells of a process often
    share it: do not modify the lists.
    """
    return _load_splits(name, dataset.model_dump_json(), _versions(files))


def load_test(name: str, dataset: Dataset, files: Files) -> list[Example]:
    """The test rows, as `load_splits` has them; only the files of their split are read.

    Raises BadInput and is cached as `load_splits`: do not modify the list.
    """
    return _load_test(name, dataset.model_dump_json(), _versions(files))


def survey(name: str, dataset: Dataset, files: Files) -> Survey:
    """Read a data set as `load_splits` does, and raise the same BadInput. Cached."""
    return _survey(name, dataset.model_dump_json(), _versions(files))


def common_rows(test: tuple[str, Dataset, Files], train: tuple[str, Dataset, Files]) -> int:
    """How many test rows of a data set (its name, entry and files) have the texts of a training row
    of another. Raises BadInput as `load_splits`. Cached."""
    of = [(name, data.model_dump_json(), _versions(files)) for name, data, files in (test, train)]
    return _common_rows((of[0], of[1]))


def training_rows(train: list[Row], count: int | None, share: float) -> list[Row]:
    """The training rows that are used: at most `count`, and a share of these."""
    size = min(count or len(train), len(train))
    return sampled(train, max(round(size * share), 1))


def sampled(rows: list[Row], most: int | None) -> list[Row]:
    """At most so many of the rows, the same for every cell; all if `most` is None.

    Fewer of them are among more of them: what more rows are worth is seen on one line of samples.
    """
    if most is None or most >= len(rows):
        return rows
    return random.Random(SPLIT_SEED).sample(rows, len(rows))[:most]


Versions = tuple[tuple[str, Path, tuple[int, ...]], ...]
Source = tuple[str, str, Versions]  # name, description, files


def _versions(files: Files) -> Versions:
    return tuple((split, path, version(path)) for split, paths in files.items() for path in paths)


def _files(versions: Versions) -> Files:
    files: Files = {}
    for split, path, _ in versions:
        files.setdefault(split, []).append(path)
    return files


@lru_cache(maxsize=1)  # a large data set takes a gigabyte
def _load_splits(name: str, description: str, versions: Versions) -> Splits:
    dataset = Dataset.model_validate_json(description)
    if why := dataset.why_no_fit():
        raise BadInput(f"data set {name!r}: {why}")
    rows, roles = _read(name, dataset, _files(versions))
    examples = {split: _examples(of_split, dataset.lowercase) for split, of_split in rows.items()}
    return Splits(
        **{
            role: [examples[dataset.splits.share(role)[0]][place] for place in places]
            for role, places in roles.items()
        }
    )


@lru_cache(maxsize=2)  # with one that fits are evaluated on
def _load_test(name: str, description: str, versions: Versions) -> list[Example]:
    dataset = Dataset.model_validate_json(description)
    split, _ = dataset.splits.share("test")
    rows, roles = _read(name, dataset, {split: _files(versions)[split]})
    return _examples(rows[split].at(roles["test"]), dataset.lowercase)


@lru_cache(maxsize=64)
def _survey(name: str, description: str, versions: Versions) -> Survey:
    dataset = Dataset.model_validate_json(description)
    rows, roles = _read(name, dataset, _files(versions))
    labels = {
        role: rows[dataset.splits.share(role)[0]].labels[places] for role, places in roles.items()
    }
    texts = {
        role: _joined(rows[dataset.splits.share(role)[0]], roles[role], dataset.lowercase)
        for role in {"train", "test"}.intersection(roles)
    }
    return Survey(
        labels,
        {split: of_split.dropped for split, of_split in rows.items()},
        _in_both(texts["test"], texts["train"]) if "train" in texts else 0,
    )


@lru_cache(maxsize=64)
def _common_rows(of: tuple[Source, Source]) -> int:
    texts = []
    for role, (name, description, versions) in zip(("test", "train"), of, strict=True):
        dataset = Dataset.model_validate_json(description)
        split, _ = dataset.splits.share(role)
        rows, roles = _read(name, dataset, {split: _files(versions)[split]})
        texts.append(_joined(rows[split], roles[role], lowercase=True))
    return _in_both(*texts)


def _in_both(test: pa.Array, train: pa.Array) -> int:
    return int(pc.sum(pc.is_in(test, value_set=train)).as_py() or 0)


def _read(
    name: str, dataset: Dataset, files: Files
) -> tuple[dict[str, Rows], dict[str, np.ndarray]]:
    """The rows of these source splits, and the indices in them of each role that is drawn from
    them. Raises BadInput for a role without rows."""
    check_columns(name, dataset, files)
    rows = {split: read_split(name, dataset, split, paths) for split, paths in files.items()}
    roles = _draw(dataset, {split: len(of_split) for split, of_split in rows.items()})
    for role, places in roles.items():
        split, percent = dataset.splits.share(role)
        if not len(places):
            reason = _why_none(split, percent, rows[split])
            raise BadInput(f"data set {name!r}: the {role} split has no rows: {reason}")
    return rows, roles


def _why_none(split: str, percent: int | None, rows: Rows) -> str:
    if not len(rows) and rows.dropped:
        return f"all of its {sum(rows.dropped.values())} rows were left out"
    if not len(rows):
        return f"the file of {split} has none"
    if percent is None:
        return f"the shares of {split} leave none of its {len(rows)} rows"
    return f"{split}[{percent}%] of {len(rows)} rows rounds to none; give a larger share"


def _draw(dataset: Dataset, counts: dict[str, int]) -> dict[str, np.ndarray]:
    """The indices of each role's rows in its source split, in order; of splits in `counts` only."""
    splits = dataset.splits
    drawn = [role for role in splits.roles if splits.share(role)[0] in counts]
    left = {split: np.ones(count, bool) for split, count in counts.items()}
    taken = dict.fromkeys(counts, 0)  # %
    roles = {}
    for role in drawn:
        split, percent = dataset.splits.share(role)
        if percent is not None:
            order = list(range(counts[split]))
            random.Random(SPLIT_SEED).shuffle(order)
            first, end = (
                round(len(order) * (share / 100))
                for share in (taken[split], taken[split] + percent)
            )
            taken[split] += percent
            roles[role] = np.sort(np.array(order[first:end], int))
            left[split][roles[role]] = False
    for role in drawn:
        if role not in roles:
            roles[role] = np.flatnonzero(left[dataset.splits.share(role)[0]])
    return {role: roles[role] for role in drawn}


def _examples(rows: Rows, lowercase: bool) -> list[Example]:
    clean = _lower if lowercase else str.strip
    texts = zip(*(map(clean, column.to_pylist()) for column in rows.texts), strict=True)
    return list(map(Example, rows.ids.tolist(), texts, rows.labels.tolist()))


def _lower(text: str) -> str:
    return text.lower().strip()


def _joined(rows: Rows, places: np.ndarray, lowercase: bool) -> pa.Array:
    taken = (column.take(pa.array(places)) for column in rows.texts)
    columns = [pc.utf8_trim(column, characters=WHITE_SPACE) for column in taken]
    if lowercase:
        columns = [pc.utf8_lower(column) for column in columns]
    return pc.binary_join_element_wise(*columns, pa.scalar("\0", pa.large_string()))


def attacked_examples(
    test: Sequence[Example], count: int, sample: Sample = "proportional"
) -> list[Example]:
    """At most `count` of the test set, in a seeded order in which the first n of a larger sample
    are exactly the sample of n.

    sample: `proportional`: at each n, each label's number is its share of the test set, times n, up
    to less than one (`_proportional`). `balanced`: in rounds, one of each label still available.
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
    draw = _proportional if sample == "proportional" else _in_turns
    return [queues[number].pop() for number in islice(draw(list(map(len, queues))), count)]


def _in_turns(counts: list[int]) -> Iterator[int]:
    """Which label is next, until all are used up: each in turn."""
    for round in range(max(counts, default=0)):
        yield from (number for number, count in enumerate(counts) if round < count)


def _proportional(counts: list[int]) -> Iterator[int]:
    """Which label is next, until all are used up: numbers stay near the labels' shares.

    Largest remainders at each n would not be nested: one more example may take one from a label
    (the Alabama paradox). Tijdeman, "The chairman assignment problem" (Discrete Mathematics, 1980):
    of the labels that are behind by at least 1 / (2k - 2), the one that would first be behind by
    1 - 1 / (2k - 2). Then each of k labels is that near its share at each n, the best that nesting
    allows; with two labels these are the largest remainders, with equal numbers it is each in turn.
    """
    total, steps = sum(counts), max(2 * len(counts) - 2, 1)
    taken = [0] * len(counts)
    for n in range(1, total + 1):
        behind = (
            number
            for number, count in enumerate(counts)
            if steps * (n * count - taken[number] * total) >= total
        )
        following = min(behind, key=lambda i: Fraction(steps * taken[i] + steps - 1, counts[i]))
        taken[following] += 1
        yield following


def split_columns(joined: str, original: Sequence[str], attacked: int) -> tuple[str, ...] | None:
    """A perturbed text's columns, given the text as attack logs store it: joined by line breaks.

    original: the columns before the attack, which changed only column `attacked`. Exact
    even if the texts contain line breaks. None where another column changed too.
    """
    before = "".join(f"{text}\n" for text in original[:attacked])
    after = "".join(f"\n{text}" for text in original[attacked + 1 :])
    end = len(joined) - len(after)
    if end < len(before) or not (joined.startswith(before) and joined.endswith(after)):
        return None
    return (*original[:attacked], joined[len(before) : end], *original[attacked + 1 :])

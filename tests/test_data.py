"""Splits and samples are the protocol's: seeded, disjoint, of the right labels, and nested."""

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import ONE_FIT
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.plan.plan import make_plan
from search_spaces.catalog import Catalog, Dataset, Splits
from search_spaces.errors import BadInput
from search_spaces.space import Sample, load
from trainables import data
from trainables.assets import Assets
from trainables.cell import Worker
from trainables.data import (
    Example,
    attacked_examples,
    load_splits,
    load_test,
    split_columns,
    training_rows,
)
from trainables.rows import Rows
from trainables.store import Store

labels = st.lists(st.integers(0, 3), min_size=1, max_size=60)
counts_of_labels = st.lists(st.integers(1, 40), min_size=1, max_size=14)


def rows_of(labels: Iterable[int]) -> list[Example]:
    return [Example(number, ("text",), label) for number, label in enumerate(labels)]


@given(labels, st.integers(1, 70), st.integers(1, 70), st.sampled_from(get_args(Sample)))
def test_a_larger_sample_begins_with_the_smaller(
    rows: list[int], one: int, other: int, sample: Sample
) -> None:
    test = rows_of(rows)
    small, large = sorted((one, other))
    drawn = attacked_examples(test, large, sample)
    assert drawn[:small] == attacked_examples(test, small, sample)
    assert len({example.id for example in drawn}) == len(drawn) == min(large, len(rows))


@given(counts_of_labels)
def test_a_sample_has_each_labels_share_of_the_test_set_whatever_its_size(
    counts: list[int],
) -> None:
    test = rows_of(label for label, count in enumerate(counts) for _ in range(count))
    drawn, total, labels = attacked_examples(test, len(test)), len(test), len(counts)
    assert sorted(example.id for example in drawn) == list(range(total))
    most = Fraction(2 * labels - 3, 2 * labels - 2) if labels > 1 else 0
    taken = Counter[int]()
    for n, example in enumerate(drawn, start=1):
        taken[example.label] += 1
        for label, count in enumerate(counts):
            assert abs(taken[label] - Fraction(n * count, total)) <= most  # less than 1


def test_a_sample_of_two_to_one_is_two_to_one() -> None:
    test = rows_of([1, 1, 0] * 100)
    for count in (3, 30, 300):
        assert Counter(e.label for e in attacked_examples(test, count)) == {
            1: count * 2 // 3,
            0: count // 3,
        }
    halves = Counter(e.label for e in attacked_examples(test, 100, "balanced"))
    assert halves == {0: 50, 1: 50}


@given(st.integers(1, 5), st.integers(1, 12), st.integers(1, 70))
def test_where_labels_have_equal_numbers_both_samples_are_the_same(
    labels: int, each: int, count: int
) -> None:
    test = rows_of(list(range(labels)) * each)
    assert attacked_examples(test, count) == attacked_examples(test, count, "balanced")


@given(labels, st.integers(1, 70))
def test_a_balanced_sample_has_the_same_number_of_each_label_while_it_lasts(
    rows: list[int], count: int
) -> None:
    sample = attacked_examples(rows_of(rows), count, "balanced")
    taken, there = Counter(e.label for e in sample), Counter(rows)
    most = max(taken.values())
    assert all(taken[label] >= min(there[label], most - 1) for label in there)


@given(st.integers(1, 2000), st.integers(1, 2000), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_smaller_share_of_the_training_rows_is_part_of_a_larger(
    rows: int, count: int, one: float, other: float
) -> None:
    small, large = (
        set(training_rows(list(range(rows)), count, share)) for share in sorted((one, other))
    )
    assert small <= large and len(large) <= min(rows, count)


def test_embedded_sst2_is_split_as_the_protocol_says() -> None:
    space = load("embedded")
    entry = space.catalog.dataset("sst2")
    files = Assets("embedded").dataset_files("sst2", entry)
    splits = load_splits("sst2", entry, files)
    assert splits == load_splits("read again, under another name", entry, files)
    train, validation = ({e.id for e in part} for part in (splits.train, splits.validation))
    assert len(validation) == 90 and not train & validation
    assert all(text == text.lower() for example in splits.test for text in example.texts)


def test_a_data_set_whose_file_changes_is_read_anew(tmp_path: Path) -> None:
    entry = load("embedded").catalog.dataset("sst2")
    files = {split: [tmp_path / f"{split}.parquet"] for split in ("train", "validation")}
    for count in (30, 20):
        for (path,) in files.values():
            rows = [{"sentence": f"Film {n}", "label": n % 2} for n in range(count)]
            pq.write_table(pa.Table.from_pylist(rows), path)
        assert len(load_splits("sst2", entry, files).test) == count


SPLITS = [
    {"train": "train", "validation": "train[5%]", "test": "validation"},
    {"train": "train", "validation": "train[20%]", "test": "train[30%]"},
    {"train": "train[50%]", "validation": "validation", "test": "train"},
    {"train": "train", "validation": "validation[30%]", "test": "validation"},
]


@pytest.mark.parametrize("name", Catalog().names("dataset"))
@pytest.mark.parametrize("splits", [None, *SPLITS])
def test_the_test_rows_alone_are_those_of_all_splits(
    name: str, splits: dict[str, str] | None
) -> None:
    entry = load("embedded").catalog.dataset(name)
    if splits is not None:
        entry = entry.model_copy(update={"splits": Splits(**splits)})
    try:
        files = Assets("embedded").dataset_files(name, entry)
    except BadInput:
        pytest.skip("not embedded, or without one of the splits")
    assert load_test(name, entry, files) == load_splits(name, entry, files).test


def test_an_attack_reads_no_training_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = load("embedded", only=[*ONE_FIT, "attack=misspellings"])
    plan = make_plan(space, Assets("embedded"), Store(str(tmp_path)))
    cell, read, real = plan.todo[0], [], data.read_split

    def noted(name: str, dataset: Dataset, split: str, paths: list[Path]) -> Rows:
        read.append(split)
        return real(name, dataset, split, paths)

    monkeypatch.setattr(data, "read_split", noted)
    data._load_splits.cache_clear()
    sample = Worker(Store(str(tmp_path)), Assets("embedded"))._sample(cell)
    assert len(sample) == cell.examples
    assert read == ["validation"]  # which SST-2 is tested on


lines = st.text(alphabet="ab \n", max_size=8)


@given(st.lists(lines, min_size=1, max_size=3), lines, st.data())
def test_joined_columns_are_split_exactly_whatever_line_breaks_they_hold(
    original: list[str], perturbed: str, data: st.DataObject
) -> None:
    attacked = data.draw(st.integers(0, len(original) - 1))
    after = (*original[:attacked], perturbed, *original[attacked + 1 :])
    assert split_columns("\n".join(after), original, attacked) == after


def test_joined_columns_of_which_another_was_changed_are_not_split() -> None:
    assert split_columns("who\nit was him", ["who", "it was he"], 1) == ("who", "it was him")
    assert split_columns("whom\nit was him", ["who", "it was he"], 1) is None
    assert split_columns("a\nb", ["a\nb", ""], 1) is None

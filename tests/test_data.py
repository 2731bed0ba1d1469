"""Splits and samples are the protocol's: seeded, disjoint, stratified, and growing by the end."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.space import load
from trainables.assets import Assets
from trainables.data import Example, attacked_examples, load_splits, split_columns

labels = st.lists(st.integers(0, 3), min_size=1, max_size=60)


@given(labels, st.integers(1, 70), st.integers(1, 70))
def test_a_larger_sample_begins_with_the_smaller(rows: list[int], one: int, other: int) -> None:
    test = [Example(number, ("text",), label) for number, label in enumerate(rows)]
    small, large = sorted((one, other))
    assert attacked_examples(test, large)[:small] == attacked_examples(test, small)


@given(labels, st.integers(1, 70))
def test_a_sample_is_stratified_and_holds_no_row_twice(rows: list[int], count: int) -> None:
    test = [Example(number, ("text",), label) for number, label in enumerate(rows)]
    sample = attacked_examples(test, count)
    assert len({example.id for example in sample}) == len(sample) == min(count, len(rows))
    taken, there = Counter(e.label for e in sample), Counter(rows)
    most = max(taken.values())
    assert all(taken[label] >= min(there[label], most - 1) for label in there)


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

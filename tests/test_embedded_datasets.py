"""The embedded data sets: what is committed is what the generator writes, and it is sound."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tools.embedded.grammar import (
    Grammar,
    content_words,
    fix_articles,
    grammar_text,
    inflect,
    words,
)
from tools.embedded.make_datasets import DATASETS, DatasetSpec, write_dataset
from trainables.assets import EMBEDDED

SHIPPED = EMBEDDED / "datasets"
COLUMNS = {
    "sst2": ["sentence"],
    "ag_news": ["text"],
    "boolq": ["question", "passage"],
    "mrpc": ["sentence1", "sentence2"],
    "dbpedia_14": ["content"],
}
SIZES = {
    "sst2": {"train": 1800, "validation": 300},
    "ag_news": {"train": 800, "test": 300},
    "boolq": {"train": 1000, "validation": 400},
    "mrpc": {"train": 700, "validation": 100, "test": 300},
    "dbpedia_14": {"train": 700, "test": 294},
}
TEST = {name: list(splits)[-1] for name, splits in SIZES.items()}
GRAMMARS = {name: Grammar(grammar_text(name), lambda context, _: context) for name in SIZES}

every_dataset = pytest.mark.parametrize("name", sorted(COLUMNS))


def shipped(name: str, split: str) -> pa.Table:
    return pq.read_table(SHIPPED / name / f"{split}.parquet")


def texts(name: str, split: str) -> list[str]:
    rows = shipped(name, split).select(COLUMNS[name]).to_pylist()
    return [" ".join(row.values()) for row in rows]


def labels(name: str, split: str) -> list[int]:
    return shipped(name, split)["answer" if name == "boolq" else "label"].to_pylist()


@every_dataset
def test_regenerated_files_are_the_shipped_ones(name: str, tmp_path: Path) -> None:
    first = write_dataset(DATASETS[name], tmp_path / "first")
    second = write_dataset(DATASETS[name], tmp_path / "second")
    for path, again in zip(first, second, strict=True):
        assert path.read_bytes() == again.read_bytes()
        ours = SHIPPED / name / path.name
        # The writer's release is noted in the file; another release may lay out bytes differently.
        if pq.read_metadata(path).created_by == pq.read_metadata(ours).created_by:
            assert path.read_bytes() == ours.read_bytes()
        assert pq.read_table(path).equals(pq.read_table(ours), check_metadata=True)


def test_columns_are_the_hubs() -> None:
    for split in ("train", "validation"):
        fields = [(field.name, field.type) for field in shipped("sst2", split).schema]
        assert fields == [("sentence", pa.string()), ("label", pa.int64()), ("idx", pa.int32())]
        rows = shipped("sst2", split).num_rows
        assert shipped("sst2", split)["idx"].to_pylist() == list(range(rows))
    for split in ("train", "test"):
        fields = [(field.name, field.type) for field in shipped("ag_news", split).schema]
        assert fields == [("text", pa.string()), ("label", pa.int64())]
    assert shipped("boolq", "train").schema.names == ["question", "answer", "passage"]
    assert shipped("boolq", "train").schema.field("answer").type == pa.bool_()
    assert shipped("mrpc", "test").schema.names == ["sentence1", "sentence2", "label", "idx"]
    assert shipped("dbpedia_14", "test").schema.names == ["label", "title", "content"]


@pytest.mark.parametrize("name", sorted(set(COLUMNS) - {"boolq"}))
def test_class_names_are_in_the_metadata(name: str) -> None:
    metadata = shipped(name, "train").schema.metadata[b"huggingface"]
    features = json.loads(metadata)["info"]["features"]
    assert tuple(features["label"]["names"]) == DATASETS[name].label_names


@every_dataset
def test_sizes_and_balanced_labels(name: str) -> None:
    spec: DatasetSpec = DATASETS[name]
    for split, rows in SIZES[name].items():
        counts = Counter(labels(name, split))
        classes = len(spec.label_names) or 2
        assert counts == {label: rows // classes for label in range(classes)}


@every_dataset
def test_no_text_twice(name: str) -> None:
    both = [text.lower() for split in ("train", TEST[name]) for text in texts(name, split)]
    assert len(both) == len(set(both))


@every_dataset
def test_held_out_words_are_in_the_test_split_only(name: str) -> None:
    grammar = GRAMMARS[name]
    assert not [text for text in texts(name, "train") if grammar.is_held(text)]
    assert len([text for text in texts(name, TEST[name]) if grammar.is_held(text)]) > 60
    share = len(grammar.held_stems) / len(grammar.cue_vocabulary())
    assert 0.15 < share < 0.35


@every_dataset
def test_share_of_test_only_words(name: str) -> None:
    seen = {word for text in texts(name, "train") for word in words(text)}
    running = [word for text in texts(name, TEST[name]) for word in content_words(text)]
    unseen = sum(word not in seen for word in running) / len(running)
    assert 0.02 < unseen < 0.4


def test_lengths_and_style() -> None:
    for split in ("train", "validation"):
        for text in texts("sst2", split):
            assert text == text.lower().strip()
            assert len(words(text)) >= 6 and len(text.split()) <= 22
    for split in ("train", "test"):
        assert all(12 <= len(text.split()) <= 32 for text in texts("ag_news", split))


@every_dataset
def test_nothing_is_left_of_the_notation(name: str) -> None:
    for split in ("train", TEST[name]):
        for text in texts(name, split):
            assert not set(text) & set("{}#@|=_"), text
            assert "  " not in text and text.isascii()
            assert fix_articles(text) == text


@pytest.mark.parametrize(
    ("phrase", "number", "expected"),
    [
        ("loses its way", "p", "lose their way"),
        ("loses its way", "b", "lose its way"),
        ("is a mess", "p", "are a mess"),
        ("carries the film", "b", "carry the film"),
        ("beats", "d", "beat"),
        ("defends", "d", "defended"),
        ("drags", "s", "drags"),
    ],
)
def test_inflection(phrase: str, number: str, expected: str) -> None:
    assert inflect(phrase, number) == expected


def test_articles() -> None:
    assert fix_articles("a awful film about an unique hour and a honest man") == (
        "an awful film about a unique hour and an honest man"
    )

"""Write the embedded data sets, in the column layout of the hub's data sets of those names.

``python -m tools.embedded.make_datasets`` rewrites the very same bytes (with the same release of
the parquet writer). Only the files in ``grammars/`` are read, nothing is copied from anywhere, and
no network is used.

To add a data set, write ``grammars/<dataset>.txt`` and a function of the shape of ``sst2_rows``: it
takes the splits and returns the rows of each, as dictionaries with the columns of the schema. A
text of several columns is written as one, with ``||`` between them. Then list the specification in
``DATASETS``.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tools.embedded.grammar import (
    Grammar,
    Writer,
    content_words,
    grammar_text,
    unique_texts,
    words,
)
from trainables.assets import EMBEDDED

SEED = 20240517
_SMALL = "a an the of in on to for by with and or from over at"
SMALL_IN_TITLES = frozenset(_SMALL.split())

Row = dict[str, Any]
RowMaker = Callable[[Sequence["Split"]], dict[str, list[Row]]]


@dataclass(frozen=True)
class Split:
    """One file of a data set. ``held_share`` is how often a cue word is drawn from the held-out
    ones; the training split has none of them at all."""

    name: str
    rows: int
    held_share: float = 0.0


@dataclass(frozen=True)
class DatasetSpec:
    """A data set: its columns, the names of its classes, its splits and who makes its rows."""

    name: str
    schema: pa.Schema
    label_names: tuple[str, ...]
    splits: tuple[Split, ...]
    make_rows: RowMaker

    def hub_schema(self) -> pa.Schema:
        """The schema with the metadata by which the datasets library knows the class names."""
        features: dict[str, Any] = {}
        for column in self.schema:
            if column.name == "label" and self.label_names:
                features[column.name] = {"names": list(self.label_names), "_type": "ClassLabel"}
            else:
                features[column.name] = {"dtype": str(column.type), "_type": "Value"}
        info = json.dumps({"info": {"features": features}})
        return self.schema.with_metadata({"huggingface": info})


def labelled_texts(
    grammar: Grammar,
    symbol: str,
    contexts: Sequence[str],
    splits: Sequence[Split],
    accept: Callable[[str], bool],
    seed: str,
) -> dict[str, list[tuple[str, int]]]:
    """Texts with labels for each split: balanced, shuffled, none of them there twice.

    A text's label is its context's position in ``contexts``. Splits with a ``held_share`` of zero
    have no held-out word.
    """
    seen: set[str] = set()
    result: dict[str, list[tuple[str, int]]] = {}
    for split in splits:
        rng = random.Random(f"{SEED} {seed} {split.name}")
        writer = Writer(grammar, rng, split.held_share)

        def fits(text: str, split: Split = split) -> bool:
            return accept(text) and (split.held_share > 0 or not grammar.is_held(text))

        labelled: list[tuple[str, int]] = []
        for label, context in enumerate(contexts):

            def write(writer: Writer = writer, context: str = context) -> str:
                return writer.write(symbol, context)

            texts = unique_texts(write, split.rows // len(contexts), seen, fits)
            labelled += [(text, label) for text in texts]
        rng.shuffle(labelled)
        result[split.name] = labelled
    return result


def sst2_rows(splits: Sequence[Split]) -> dict[str, list[Row]]:
    """Film review sentences, lower case and tokenised as GLUE has them."""
    grammar = Grammar(grammar_text("sst2"), lambda context, _: "neg" if context == "pos" else "pos")

    def accept(text: str) -> bool:
        content = content_words(text)
        repeats = len(content) - len(set(content))
        return len(words(text)) >= 6 and len(text.split()) <= 22 and not repeats

    made = labelled_texts(grammar, "review", ("neg", "pos"), splits, accept, "sst2")
    return {
        name: [{"sentence": t, "label": label, "idx": i} for i, (t, label) in enumerate(rows)]
        for name, rows in made.items()
    }


def news_style(text: str) -> str:
    """Title case before the ``||``, a capital after the dateline, no spaces before punctuation."""
    title, _, body = text.partition(" || ")
    title = " ".join(w if w in SMALL_IN_TITLES else w[:1].upper() + w[1:] for w in title.split())
    dateline, dash, sentence = body.rpartition(" - ")
    joined = f"{title} - {dateline}{dash}{sentence[:1].upper()}{sentence[1:]}"
    joined = re.sub(r" ([,.)]|'s\b)", r"\1", joined)
    joined = joined.replace("s's ", "s' ").replace("..", ".")
    return re.sub(r"([($]) ", r"\1", joined)


def ag_news_rows(splits: Sequence[Split]) -> dict[str, list[Row]]:
    """News items, a title and a sentence; other topics are mentioned, the main one is the label."""
    topics = ("world", "sports", "business", "scitech")

    def another(topic: str, rng: random.Random) -> str:
        return rng.choice([other for other in topics if other != topic])

    grammar = Grammar(grammar_text("ag_news"), another, finish=news_style)

    def accept(text: str) -> bool:
        return 12 <= len(text.split()) <= 24

    made = labelled_texts(grammar, "news", topics, splits, accept, "ag_news")
    return {
        name: [{"text": text, "label": label} for text, label in rows]
        for name, rows in made.items()
    }


def either(contexts: Sequence[str]) -> Callable[[str, random.Random], str]:
    """Flips a context to any of the others."""
    return lambda context, rng: rng.choice([other for other in contexts if other != context])


def boolq_rows(splits: Sequence[Split]) -> dict[str, list[Row]]:
    """A question without its mark, and a passage that says yes or no to it."""
    answers = ("false", "true")
    grammar = Grammar(grammar_text("boolq"), either(answers))

    def accept(text: str) -> bool:
        return 14 <= len(text.split()) <= 40

    made = labelled_texts(grammar, "item", answers, splits, accept, "boolq")
    return {
        name: [
            {"question": question, "answer": bool(label), "passage": capitals(passage)}
            for text, label in rows
            for question, passage in [text.split(" || ")]
        ]
        for name, rows in made.items()
    }


def mrpc_rows(splits: Sequence[Split]) -> dict[str, list[Row]]:
    """Pairs of newswire sentences: 1 where the second says the same as the first."""
    contexts = ("other", "same")
    grammar = Grammar(grammar_text("mrpc"), either(contexts))

    def accept(text: str) -> bool:
        return 16 <= len(text.split()) <= 48

    made = labelled_texts(grammar, "pair", contexts, splits, accept, "mrpc")
    return {
        name: [
            {"sentence1": capitals(one), "sentence2": capitals(two), "label": label, "idx": number}
            for number, (text, label) in enumerate(rows)
            for one, two in [text.split(" || ")]
        ]
        for name, rows in made.items()
    }


def dbpedia_14_rows(splits: Sequence[Split]) -> dict[str, list[Row]]:
    """Titles and first sentences of encyclopaedia entries."""
    classes = tuple(
        [
            "company",
            "school",
            "artist",
            "athlete",
            "officeholder",
            "transport",
            "building",
            "nature",
            "village",
            "animal",
            "plant",
            "album",
            "film",
            "book",
        ]
    )
    grammar = Grammar(grammar_text("dbpedia_14"), either(classes))

    def accept(text: str) -> bool:
        return 10 <= len(text.split()) <= 30

    made = labelled_texts(grammar, "entry", classes, splits, accept, "dbpedia_14")
    return {
        name: [
            {"label": label, "title": title.title(), "content": f" {capitals(content)}"}
            for text, label in rows
            for title, content in [text.split(" || ")]
        ]
        for name, rows in made.items()
    }


def capitals(text: str) -> str:
    """A capital at the start of each sentence."""
    return re.sub(r"(^|\. )([a-z])", lambda m: m.group(1) + m.group(2).upper(), text)


DATASETS: Mapping[str, DatasetSpec] = {
    spec.name: spec
    for spec in (
        DatasetSpec(
            name="sst2",
            schema=pa.schema(
                [("sentence", pa.string()), ("label", pa.int64()), ("idx", pa.int32())]
            ),
            label_names=("negative", "positive"),
            splits=(Split("train", 1800), Split("validation", 300, held_share=0.25)),
            make_rows=sst2_rows,
        ),
        DatasetSpec(
            name="ag_news",
            schema=pa.schema([("text", pa.string()), ("label", pa.int64())]),
            label_names=("World", "Sports", "Business", "Sci/Tech"),
            splits=(Split("train", 800), Split("test", 300, held_share=0.4)),
            make_rows=ag_news_rows,
        ),
        DatasetSpec(
            name="boolq",
            schema=pa.schema(
                [("question", pa.string()), ("answer", pa.bool_()), ("passage", pa.string())]
            ),
            label_names=(),
            splits=(Split("train", 1000), Split("validation", 400, held_share=0.3)),
            make_rows=boolq_rows,
        ),
        DatasetSpec(
            name="mrpc",
            schema=pa.schema(
                [
                    ("sentence1", pa.string()),
                    ("sentence2", pa.string()),
                    ("label", pa.int64()),
                    ("idx", pa.int32()),
                ]
            ),
            label_names=("not_equivalent", "equivalent"),
            splits=(
                Split("train", 700),
                Split("validation", 100, held_share=0.3),
                Split("test", 300, held_share=0.3),
            ),
            make_rows=mrpc_rows,
        ),
        DatasetSpec(
            name="dbpedia_14",
            schema=pa.schema(
                [("label", pa.int64()), ("title", pa.string()), ("content", pa.string())]
            ),
            label_names=tuple(
                [
                    "Company",
                    "EducationalInstitution",
                    "Artist",
                    "Athlete",
                    "OfficeHolder",
                    "MeanOfTransportation",
                    "Building",
                    "NaturalPlace",
                    "Village",
                    "Animal",
                    "Plant",
                    "Album",
                    "Film",
                    "WrittenWork",
                ]
            ),
            splits=(Split("train", 700), Split("test", 294, held_share=0.4)),
            make_rows=dbpedia_14_rows,
        ),
    )
}


def write_dataset(spec: DatasetSpec, out: Path) -> list[Path]:
    """Write one parquet file per split below ``out/<name>``; the paths written."""
    folder = out / spec.name
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for split, rows in spec.make_rows(spec.splits).items():
        path = folder / f"{split}.parquet"
        table = pa.Table.from_pylist(rows, schema=spec.hub_schema())
        pq.write_table(table, path, compression="snappy")
        paths.append(path)
    return paths


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write the embedded data sets.")
    parser.add_argument("--out", type=Path, default=EMBEDDED / "datasets")
    parser.add_argument("--only", choices=sorted(DATASETS), action="append", help="default: all")
    args = parser.parse_args(argv)
    for name in args.only or DATASETS:
        for path in write_dataset(DATASETS[name], args.out):
            print(f"{path}: {pq.read_metadata(path).num_rows} rows")


if __name__ == "__main__":
    main()

"""How large models and data sets are, for the cost of what is not measured yet.

Read from a model's config.json and a data set's files where they are on this machine. The sizes
of those of the package's catalog are also known without the files; others are assumed, and
`assumed` says so.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from search_spaces.catalog import Catalog, Dataset, LanguageModel
from search_spaces.errors import BadInput
from trainables.assets import Assets
from trainables.models.folder import LAYERS, WIDTHS, ModelFolder

READ = 1000  # rows whose words are counted
INNER = ("intermediate_size", "n_inner", "hidden_dim", "encoder_ffn_dim")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Network:
    """A transformer: layers, width, width within a layer's feed-forward part, vocabulary."""

    layers: int
    width: int
    inner: int
    vocabulary: int

    @property
    def weights(self) -> int:
        """Of its layers, without embeddings: these are looked up, not multiplied with."""
        return self.layers * self.width * (4 * self.width + 2 * self.inner)

    def operations(self, tokens: float, length: float) -> float:
        """Floating-point operations of a forward pass of so many tokens in texts of a length."""
        return tokens * (2 * self.weights + 4 * self.layers * self.width * length)


@dataclass(frozen=True)
class Texts:
    """Rows by role, and mean words: of a training row, a test row, its attacked column."""

    train: int
    validation: int
    test: int
    train_words: float
    test_words: float
    attacked_words: float


BASE = Network(12, 768, 3072, 30522)
KNOWN_NETWORKS = {
    "google-bert/bert-base-uncased": BASE,
    "FacebookAI/roberta-base": replace(BASE, vocabulary=50265),
    "openai-community/gpt2": replace(BASE, vocabulary=50257),
}
# Words: benchmarks/queries.py. Rows: as the data sets' cards have them, split as the catalog does.
KNOWN_TEXTS = {
    "sst2": Texts(63981, 3367, 872, 9.0, 19.5, 19.5),
    "ag_news": Texts(114000, 6000, 7600, 37.7, 37.7, 37.7),
    "boolq": Texts(9427, 1635, 1635, 99.7, 108, 99.3),
    "mrpc": Texts(3668, 408, 1725, 38.0, 37.6, 18.8),
    "dbpedia_14": Texts(532000, 28000, 70000, 46.1, 45.7, 45.7),
    # Words of these: what is usually said of them; not counted.
    "rotten_tomatoes": Texts(8530, 1066, 1066, 21, 21, 21),
    "imdb": Texts(23750, 1250, 25000, 230, 230, 230),
    "amazon_polarity": Texts(0, 0, 8000, 75, 75, 75),
    "advglue_sst2": Texts(0, 0, 148, 18, 18, 18),
}
ASSUMED_TEXTS = Texts(10000, 1000, 1000, 40, 40, 40)


class Sizes:
    """Sizes of models and data sets, each looked up once, when it is first asked for."""

    def __init__(self, assets: Assets | None) -> None:
        """assets: None: nothing is read. The hub is never asked, only its cache here."""
        self._assets = assets and replace(assets, local_only=True)
        self._networks: dict[str, Network] = {}
        self._texts: dict[str, Texts] = {}
        self._assumed: dict[str, str] = {}

    @property
    def assumed(self) -> list[str]:
        """A line on each size that was assumed."""
        return sorted(self._assumed.values())

    def network(self, name: str, model: LanguageModel) -> Network:
        if name not in self._networks:
            self._networks[name] = self._find(
                f"model {name} is taken to be as large as BERT base: its config.json is not here",
                lambda assets: _network(ModelFolder(name, assets.model_folder(name, model))),
                KNOWN_NETWORKS.get(model.hub or ""),
                BASE,
            )
        return self._networks[name]

    def texts(self, name: str, data: Dataset) -> Texts:
        if name not in self._texts:
            rows, words = ASSUMED_TEXTS.train, ASSUMED_TEXTS.train_words
            self._texts[name] = self._find(
                f"data set {name} is taken to have {rows:,} training rows of {words:.0f} words: "
                "its files are not here",
                lambda assets: _texts(data, assets.dataset_files(name, data)),
                KNOWN_TEXTS.get(name) if _is_packaged(name, data) else None,
                ASSUMED_TEXTS,
            )
        return self._texts[name]

    def test_rows(self, name: str, data: Dataset) -> int | None:
        """How many examples there are to attack, at most; None where that is not known."""
        found = self.texts(name, data)
        return None if found is ASSUMED_TEXTS else found.test

    def _find(
        self, line: str, read: Callable[[Assets], Value], known: Value | None, else_: Value
    ) -> Value:
        try:
            if self._assets is not None:
                return read(self._assets)
        except (BadInput, OSError, ValueError, pa.ArrowException):
            pass  # What is broken is refused elsewhere, with a line (plan/inputs.py).
        if known is None:
            self._assumed[line] = line
        return else_ if known is None else known


def _is_packaged(name: str, data: Dataset) -> bool:
    """Whether a data set is on the hub where the package's of that name is."""
    if name not in KNOWN_TEXTS or data.hub is None:
        return False
    known = Catalog().dataset(name).hub
    return known is not None and known.repository == data.hub.repository


def _network(model: ModelFolder) -> Network:
    """Raises BadInput for an unreadable config.json, ValueError for one without sizes."""

    def first(names: Iterable[str]) -> int | None:
        return next((size for name in names if (size := model.number(name))), None)

    layers, width = first(LAYERS), first(WIDTHS)
    if layers is None or width is None:
        raise ValueError("no sizes")
    return Network(layers, width, first(INNER) or 4 * width, first(["vocab_size"]) or 0)


def _texts(data: Dataset, files: dict[str, list[Path]]) -> Texts:
    """Rows without those that would be left out are not counted apart: it needs all to be read."""
    counts = {
        split: sum(pq.read_metadata(path).num_rows for path in paths)
        for split, paths in files.items()
    }
    rows = {}
    for role in data.splits.roles:
        split, percent = data.splits.share(role)
        taken = sum(data.splits.shares(split)) if percent is None else 100 - percent
        rows[role] = round(counts[split] * (100 - taken) / 100)
    test = _mean_words(files[data.splits.share("test")[0]], data.columns)
    train = test
    if "train" in rows:
        train = _mean_words(files[data.splits.share("train")[0]], data.columns)
    return Texts(
        rows.get("train", 0),
        rows.get("validation", 0),
        rows["test"],
        sum(train.values()),
        sum(test.values()),
        test[data.attacked],
    )


def _mean_words(paths: list[Path], columns: list[str]) -> dict[str, float]:
    """By column, of a file's first rows."""
    with pq.ParquetFile(paths[0]) as file:
        batch = next(file.iter_batches(batch_size=READ, columns=columns), None)
    if batch is None or not batch.num_rows:
        raise ValueError("no rows")
    texts = {column: batch.column(column).to_pylist() for column in columns}
    return {
        column: sum(len(text.split()) for text in of if isinstance(text, str)) / len(of)
        for column, of in texts.items()
    }

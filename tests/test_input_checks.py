"""What cannot work is refused before compute is spent on it.

By catalog check, dry run and sweep, each in one line that says data set or model, column, row
and count.
"""

import ast
import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from orchestrator import catalog
from orchestrator.assets.needed import Asset, needed
from orchestrator.plan.plan import make_plan
from orchestrator.sweep.__main__ import main
from search_spaces.catalog import Dataset, LanguageModel
from search_spaces.errors import BadInput
from search_spaces.space import load
from trainables.assets import MODEL_FILES, Assets, dataset_digest, digest, model_files
from trainables.attacks.downloads import ARCHIVES, MASKED_LM
from trainables.chinese import hold_chinese
from trainables.data import load_splits
from trainables.fit import evaluate_on, fresh_head, load_data
from trainables.models.families import FAMILIES, cannot_have
from trainables.models.folder import ModelFolder
from trainables.models.tokenizer import TokenizerFiles
from trainables.models.weights import check_lm_head, check_weights
from trainables.store import Store

TEXTS = [f"the film number {n} was {'great' if n % 2 else 'dull'}" for n in range(200)]
LABELS = [n % 2 for n in range(200)]
SPLITS = {"train": "train", "validation": "train[20%]", "test": "test"}
PROMPTS = {"templates": ["[SEP] it was [MASK]"], "label_words": [["bad"], ["good"]]}


@dataclass
class Project:
    """A user's folder: a space of one data set and one model, its catalog and its assets.

    training: settings of a training `mine` that makes rows.
    """

    folder: Path
    data: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, Any] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    times: int = 0

    def rows(self, split: str, texts: Any = TEXTS, labels: Any = LABELS, **more: Any) -> None:
        file = self.folder / "assets" / "datasets" / "mine" / f"{split}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"text": texts, "label": labels, **more}), file)

    def model_from(self, tiny: Path) -> Path:
        """A copy of a model as the model `mine`; returns its folder."""
        folder = self.folder / "assets" / "models" / "mine"
        shutil.copytree(tiny, folder)
        self.model = {"about": "mine", "hub": "me/mine"}
        self.axes = {"model": ["mine"], **self.axes}
        self.fit = {"max_length": 48, **self.fit}
        return folder

    def space(self) -> str:
        """Written again each time: catalog files are read once per process."""
        self.times += 1
        root = self.folder / f"space-{self.times}"
        data = {
            "about": "mine", "columns": ["text"], "label": "label", "labels": ["bad", "good"],
            "attacked": "text", "splits": SPLITS, "prompts": PROMPTS, **self.data,
        }  # fmt: skip
        axes = {
            "dataset": ["mine"], "model": ["bert-embedded"], "head": ["mlp_ft"],
            "attack": ["misspellings"], **self.axes,
        }  # fmt: skip
        space = {
            "name": "mine", "assets": str(self.folder / "assets"), "axes": axes,
            "fit": {"max_length": 96, **self.fit},
            "attack": {"examples": 4, "resources": "embedded"}, **self.more,
        }  # fmt: skip
        entries = {"datasets/mine": data, "models/mine": self.model}
        if self.training:
            axes["training"] = ["mine"]
            settings = {"attack": "misspellings", "attacked_rows": 9, "keep_rows": True}
            settings |= {"from_epoch": None, "every": None, **self.training}
            entries["trainings/mine"] = {"about": "mine", "kind": "ada", "settings": settings}
        for name, entry in entries.items():
            if entry:
                (root / "catalog" / name).parent.mkdir(parents=True)
                (root / "catalog" / f"{name}.yaml").write_text(yaml.safe_dump(entry))
        (root / "space.yaml").write_text(yaml.safe_dump(space))
        return str(root / "space.yaml")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.rows("train")
    project.rows("test", TEXTS[:40], LABELS[:40])
    return project


Run = Callable[[Project], str]


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """The line that all three print on a project; nothing is run or written."""

    def run(project: Project) -> str:
        space, store = project.space(), tmp_path / "store"
        arguments = ["--space", space, "--store", str(store)]
        said = []
        for more in (["--dry-run"], []):
            code = main([*arguments, *more])
            out = capsys.readouterr()
            assert code == 2, out.out + out.err
            said += [line for line in out.err.splitlines() if not line.startswith("note: ")]
        assert len(said) == 2 and said[0] == said[1], said
        line = said[0].removeprefix("error: ")
        code = catalog.main(["check", "--space", space])
        out = capsys.readouterr()
        assert code in (1, 2) and line in out.out + out.err, out.out + out.err
        assert not store.exists()
        return line

    return run


@pytest.fixture
def planned(capsys: pytest.CaptureFixture[str]) -> Run:
    """What dry run and catalog check print on a project without errors."""

    def run(project: Project) -> str:
        space = project.space()
        code = main(["--space", space, "--store", str(project.folder / "store"), "--dry-run"])
        out = capsys.readouterr()
        assert code == 0, out.err
        assert catalog.main(["check", "--space", space]) == 0, capsys.readouterr().out
        return out.out + out.err + capsys.readouterr().out

    return run


def of_type(kind: pa.DataType, values: list[Any]) -> pa.Array:
    return pa.array(values, kind)


WRONG_TEXTS = {
    "bytes": ([t.encode() for t in TEXTS], "holds binary (b'the film number 0 was dull' in row 0"),
    "lists of tokens": ([t.split() for t in TEXTS], "holds list<"),
    "structs": ([{"words": t} for t in TEXTS], "holds struct<"),
    "numbers": (list(range(200)), "holds int64 (0 in row 0; 200 rows), not texts"),
    "floats and nan": ([float("nan"), *range(1, 200)], "holds double (nan in row 0"),
    "truth values": ([True, False] * 100, "holds bool"),
    "dates": (of_type(pa.date32(), list(range(200))), "holds date32"),
    "bytes in a dictionary": (pa.array([b"a", b"b"] * 100).dictionary_encode(), "holds binary"),
    "none": ([*TEXTS[:7], None, None, *TEXTS[9:]], "has no text in row 7, and in 2 of 200 rows"),
    "nothing at all": (pa.nulls(200), "has no text in row 0, and in 200 of 200 rows"),
    "empty texts": (["", *TEXTS[1:]], "has no text in row 0, and in 1 of 200 rows"),
    "invisible": (["\u200b \ufeff", *TEXTS[1:199], "\0"], "text in row 0, and in 2 of 200 rows"),
    "white space": ([*TEXTS[:199], " \t\n\u2003\x1c"], "has no text in row 199, and in 1 of 200"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG_TEXTS)
def test_texts_that_are_none_are_refused(kind: str, project: Project, refused: Run) -> None:
    values, said = WRONG_TEXTS[kind]
    project.rows("train", values)
    line = refused(project)
    assert line.startswith("data set 'mine': column 'text' of train ") and said in line, line


WRITTEN_OTHERWISE: dict[str, Callable[[list[str]], pa.Array]] = {
    "large": lambda texts: pa.array(texts, pa.large_string()),
    "view": lambda texts: pa.array(texts, pa.string_view()),
    "dictionary": lambda texts: pa.array(texts).dictionary_encode(),
    "large dictionary": lambda texts: pa.array(texts, pa.large_string()).dictionary_encode(),
}


@pytest.mark.parametrize("kind", WRITTEN_OTHERWISE)
def test_a_text_is_a_text_however_arrow_writes_it_down(
    kind: str, project: Project, planned: Run
) -> None:
    texts = ["  The FILM was great\n", *TEXTS[1:]]
    project.rows("train", WRITTEN_OTHERWISE[kind](texts))
    planned(project)
    train = rows_of(project).train
    assert train[0].texts == ("The FILM was great",)
    project.rows("train", texts)
    assert rows_of(project).train == train
    project.data = {"lowercase": True}
    assert rows_of(project).train[0].texts == ("the film was great",)


@pytest.mark.parametrize("kind", WRITTEN_OTHERWISE)
def test_chinese_is_seen_however_arrow_writes_it_down(kind: str, tmp_path: Path) -> None:
    """Keys of pairs depend on it."""
    texts = WRITTEN_OTHERWISE[kind](["a film", "这部电影的故事"])
    pq.write_table(pa.table({"zh": texts, "en": ["a film", "a plot"]}), tmp_path / "a.parquet")
    assert hold_chinese([tmp_path / "a.parquet"], ["en", "zh"])
    assert not hold_chinese([tmp_path / "a.parquet"], ["en"])


def rows_of(project: Project) -> Any:
    data = load(project.space()).catalog.dataset("mine")
    assets = Assets(str(project.folder / "assets"))
    return load_splits("mine", data, assets.dataset_files("mine", data))


def test_rows_without_text_are_left_out_where_the_entry_says_so(
    project: Project, planned: Run
) -> None:
    """They are counted, and the rows that stay keep their numbers."""
    project.rows("train", [None, " ", *TEXTS[2:]])
    before = fit_key(project)
    project.data = {"missing": "drop"}
    assert "data set 'mine': 2 rows of train are left out, without text" in planned(project)
    rows = rows_of(project)
    assert min(example.id for example in (*rows.train, *rows.validation)) == 2
    assert len(rows.train) + len(rows.validation) == 198
    assert fit_key(project) != before


def test_rows_without_letters_are_counted_and_a_missing_text_is_not_one_of_them(
    project: Project, planned: Run, refused: Run
) -> None:
    project.data = {"drop_rows_without_letters": True}
    project.rows("train", ["...", " ", "é", *TEXTS[3:]])
    assert "2 rows of train are left out, without letters" in planned(project)
    assert len(rows_of(project).train) + len(rows_of(project).validation) == 198
    project.rows("train", [None, *TEXTS[1:]])
    assert "has no text in row 0" in refused(project)


def test_the_other_column_of_a_pair_is_checked_too(project: Project, refused: Run) -> None:
    project.data = {"columns": ["text", "more"]}
    project.rows("train", more=[None, *TEXTS[1:]])
    project.rows("test", TEXTS[:40], LABELS[:40], more=TEXTS[:40])
    assert "column 'more' of train has no text in row 0, and in 1 of 200" in refused(project)


WRONG_LABELS = {
    "texts": (["bad", "good"] * 100, "string ('bad' in row 0; 200 rows), not", "(bad, good)"),
    "dictionary": (pa.array(["bad", "good"] * 100).dictionary_encode(), "holds string ('bad'", ""),
    "digits": (["0", "1"] * 100, "holds string ('0'", "number them from 0"),
    "none": ([None, *LABELS[1:]], "has no label in row 0, and in 1 of 200 rows", ""),
    "nan": ([0.0, float("nan")] * 100, "has no label in row 1, and in 100 of 200 rows", ""),
    "nothing at all": (pa.nulls(200), "has no label in row 0, and in 200 of 200 rows", ""),
    "unlabelled": ([-1] * 200, "has the label -1 in row 0; 200 of 200", "another split"),
    "from one": ([1, 2] * 100, "the label 2 in row 1; 100 of 200", "number them from 0"),
    "fractions": ([0.9, 1.9] * 100, "has the label 0.9 in row 0", "a whole number"),
    "one too many": ([0, 1, 2, 1] * 50, "the label 2 in row 2; 50 of 200", "name all"),
    "huge": ([0, 2**62] * 100, f"has the label {2**62} in row 1", ""),
    "unsigned": (of_type(pa.uint64(), [0, 2**64 - 1] * 100), f"label {2**64 - 1} in row 1", ""),
    "infinite": ([0.0, float("inf")] * 100, "has the label inf in row 1", ""),
    "dates": (of_type(pa.date32(), LABELS), "holds date32", ""),
    "lists": ([[n] for n in LABELS], "holds list<", ""),
    "one class": ([1] * 200, "training rows have the label 1 (good)", ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG_LABELS)
def test_labels_that_are_none_are_refused(kind: str, project: Project, refused: Run) -> None:
    values, said, hint = WRONG_LABELS[kind]
    project.rows("train", labels=values)
    line = refused(project)
    assert line.startswith("data set 'mine': ") and said in line and hint in line, line


@pytest.mark.parametrize(
    "values",
    [
        [bool(n) for n in LABELS],
        [float(n) for n in LABELS],
        of_type(pa.uint8(), LABELS),
        of_type(pa.float16(), LABELS),
        of_type(pa.decimal128(5, 2), LABELS),
        pa.array(LABELS).dictionary_encode(),
    ],
    ids=["bool", "float", "uint8", "half", "decimal", "dictionary"],
)
def test_numbers_that_are_labels_are_read_as_such(
    values: Any, project: Project, planned: Run
) -> None:
    project.rows("train", labels=values)
    planned(project)
    assert {(e.id % 2, e.label) for e in rows_of(project).train} == {(0, 0), (1, 1)}


def test_labels_of_a_test_split_are_checked_too(project: Project, refused: Run) -> None:
    project.rows("test", TEXTS[:40], [-1] * 40)
    assert "column 'label' of test has the label -1 in row 0; 40 of 40" in refused(project)


def test_a_linear_probe_needs_training_rows_of_each_label(
    project: Project, refused: Run, planned: Run
) -> None:
    project.data = {"labels": ["bad", "good", "neutral"], "prompts": None}
    assert "no training row has the label 2 (neutral)" in planned(project)
    project.axes = {"head": ["lpft_dense"]}
    line = refused(project)
    assert "none of the 160 rows that are trained on has the label 2 (neutral)" in line
    project.data, project.fit = {}, {"train_examples": 1}
    assert "none of the 1 rows that are trained on has the label" in refused(project)


def test_odd_rows_that_can_be_used_are_told_of(project: Project, planned: Run) -> None:
    project.rows("test", [*TEXTS[:3], "another film", "the plot"], [1] * 5)
    said = planned(project)
    assert "note: data set 'mine': all 5 test rows have the label 1 (good)" in said
    assert "test rows have the text of a training row" in said


def test_a_sweep_says_that_it_tests_on_what_it_trains_on(
    project: Project, planned: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    def said() -> str:
        assert main(["--space", project.space(), "--dry-run"]) == 0
        return capsys.readouterr().err

    project.rows("test")
    assert "note: data set 'mine': 160 test rows have the text of a training row" in said()
    texts = [f"another film {n}" for n in range(200)]
    project.rows("test", [TEXTS[0], *texts[1:]])
    assert "training row" not in said()  # one in 200


WRONG_SPLITS = {
    "the same rows": (("train", "train[20%]", "train"), "train and test are the same rows"),
    "validation as test": (("train", "test", "test"), "validation and test are the same rows"),
    "more than all": (("train[80%]", "train[20%]", "train[10%]"), "of train are 110 % in all"),
    "no validation": (("train", None, "test"), "give both train and validation"),
    "nothing": (("train", "train[0%]", "test"), "splits: train[0%] has no rows"),
    "nothing left": (("train", "train[60%]", "train[40%]"), "leave nothing for"),
    "all": (("train[100%]", "train[5%]", "test"), "1 to 99 %, not 'train[100%]'"),
    "half a percent": (("train", "train[0.5%]", "test"), "not 'train[0.5%]'"),
    "a slice": (("train", "train[:10%]", "test"), "not 'train[:10%]'"),
    "a share of few": (("train", "test[1%]", "test"), "test[1%] of 40 rows rounds to none"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG_SPLITS)
def test_splits_that_cannot_be_drawn_are_refused(kind: str, project: Project, refused: Run) -> None:
    (train, validation, test), said = WRONG_SPLITS[kind]
    project.data = {"splits": {"train": train, "validation": validation, "test": test}}
    assert said in refused(project)


def test_a_split_without_rows_is_refused(project: Project, refused: Run) -> None:
    project.rows("test", pa.array([], pa.string()), pa.array([], pa.int64()))
    assert "data set 'mine': the test split has no rows: the file of test has none" in refused(
        project
    )
    project.rows("test", ["?", "!"], [0, 1])
    project.data = {"drop_rows_without_letters": True}
    assert "the test split has no rows: all of its 2 rows were left out" in refused(project)


def test_shares_are_of_the_whole_split_and_have_no_row_in_common(project: Project) -> None:
    project.data = {
        "splits": {"train": "train[80%]", "validation": "train[10%]", "test": "train[10%]"}
    }
    rows = rows_of(project)
    parts = [rows.train, rows.validation, rows.test]
    assert [len(part) for part in parts] == [160, 20, 20]
    assert len({example.id for part in parts for example in part}) == 200


@pytest.mark.parametrize("count", [3, 7, 101])
def test_shares_that_are_all_leave_no_row_out(count: int, project: Project) -> None:
    project.rows("train", TEXTS[:count], LABELS[:count])
    project.data = {
        "splits": {"train": "train[34%]", "validation": "train[33%]", "test": "train[33%]"}
    }
    rows = rows_of(project)
    assert len(rows.train) + len(rows.validation) + len(rows.test) == count


def fit_key(project: Project) -> str:
    space = load(project.space())
    (cell,) = make_plan(space, Assets(space.assets), Store("/nonexistent")).todo
    return cell.fit.key


def test_keys_cover_what_shares_are_of_only_where_a_split_has_several(project: Project) -> None:
    data = {"about": "", "columns": ["text"], "label": "label", "labels": ["bad", "good"]}
    data["attacked"] = "text"

    def more(**splits: str) -> dict[str, str]:
        entry = {**data, "lowercase": True, "splits": splits}
        return Dataset.model_validate(entry).rows_identity()

    assert more(train="train", validation="train[5%]", test="test") == {}
    assert more(train="train[90%]", validation="test[50%]", test="test") == {}
    assert more(train="train", validation="train[5%]", test="train[5%]") != {}


@pytest.mark.parametrize("model", ["bert-embedded", "roberta-embedded"])
def test_a_head_reads_cased_text_unless_the_entry_says_otherwise(
    model: str, project: Project
) -> None:
    """Whatever its tokenizer makes of it; in training, under attack, and as another data set."""
    for split, count in (("train", 200), ("test", 40)):
        project.rows(split, [f"The FILM Number {n}" for n in range(count)], LABELS[:count])
    project.axes, project.more = {"model": [model]}, {"evaluate_also": {"mine": ["mine"]}}
    keys, stored_as = set(), set()
    for lowercase in (False, True):
        project.data = {"lowercase": True} if lowercase else {}
        space = load(project.space())
        assets = Assets(space.assets)
        (cell,) = make_plan(space, assets, Store("/nonexistent")).todo
        (other,) = cell.fit.evaluate_also
        keys.add(cell.fit.key)
        stored_as.add(other.stored_as)
        head, read = fresh_head(cell.fit, assets), []
        encode = head.encode
        head.encode = lambda texts, own=encode, into=read: into.extend(texts) or own(texts)
        trained = [example.texts for example in load_data(cell.fit, assets).train]
        head.predict(trained)
        evaluate_on(head, other, assets)
        texts = {text for row in read for text in row}
        start = "the film number" if lowercase else "The FILM Number"
        assert len(texts) >= 160 and all(text.startswith(start) for text in texts)
    assert len(keys) == len(stored_as) == 2


def test_rows_that_differ_in_case_are_the_same_where_they_are_read_in_lower_case(
    project: Project, planned: Run
) -> None:
    project.rows("test", [text.title() for text in TEXTS[:40]], LABELS[:40])
    assert "training row" not in planned(project)
    project.data = {"lowercase": True}
    assert "test rows have the text of a training row" in planned(project)


# SHA-256 of what these spaces' keys cover of data sets and models, in format 5.
IDENTITIES = {
    "embedded": "fd9a239be3747eb3",
    "ablations": "569fab05b2404bcf",
    "paper": "fdba8b8e8b830d53",
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_the_keys_of_the_packaged_spaces_are_as_they_were(name: str) -> None:
    assert identities(name) == IDENTITIES[name]


def identities(name: str) -> str:
    space = load(name)
    assets = Assets(space.assets, local_only=True)
    total = hashlib.sha256()
    for planned in make_plan(space, assets, Store("/nonexistent"), provisional=True).cells:
        fit = planned.cell.fit.identity
        parts = [dict(fit["dataset"]), dict(fit["model"])]
        if name == "paper":  # does not depend on what this machine has of the hub
            del parts[0]["digest"], parts[1]["digest"]
        total.update(f"{json.dumps(parts, sort_keys=True)} {planned.reason}\n".encode())
    return total.hexdigest()[:16]


def part(folder: Path, number: int, texts: Any, labels: Any) -> Path:
    path = folder / f"train-0000{number}-of-00002.parquet"
    pq.write_table(pa.table({"text": texts, "label": labels}), path)
    return path


def test_parts_of_a_split_are_one_whatever_way_each_is_written(
    project: Project, planned: Run, refused: Run
) -> None:
    folder = project.folder / "assets" / "datasets" / "mine"
    (folder / "train.parquet").unlink()
    part(folder, 0, TEXTS[:100], LABELS[:100])
    second = part(
        folder, 1, pa.array(TEXTS[100:]).dictionary_encode(), [float(n) for n in LABELS[100:]]
    )
    planned(project)
    assert len(rows_of(project).train) == 160
    one, other = [folder / f"train-0000{n}-of-00002.parquet" for n in (0, 1)]
    assert dataset_digest({"train": [one, other]}) != dataset_digest({"train": [other, one]})

    part(folder, 1, list(range(100)), LABELS[100:])
    assert f"holds int64 (0 in row 100 of {second.name}; 100 rows), not texts" in refused(project)
    part(folder, 1, TEXTS[100:], ["bad"] * 100)
    assert f"holds string ('bad' in row 100 of {second.name}; 100 rows)" in refused(project)
    part(folder, 1, TEXTS[100:], [*LABELS[100:199], 7])
    assert "has the label 7 in row 199; 1 of 200 rows" in refused(project)
    pq.write_table(pa.table({"text": TEXTS[100:]}), second)
    assert f"{second.name} lacks the column 'label'" in refused(project)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def damaged_within(path: Path) -> None:
    """Its footer is intact, its pages are not."""
    content = bytearray(path.read_bytes())
    content[4:400] = b"x" * 396
    path.write_bytes(bytes(content))


def not_utf8(path: Path) -> None:
    texts = pa.array([b"\xff\xfe", *[t.encode() for t in TEXTS[1:]]])
    texts = pa.Array.from_buffers(pa.string(), len(texts), texts.buffers())
    pq.write_table(pa.table({"text": texts, "label": LABELS}), path)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def pointer(path: Path) -> None:
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")


@pytest.mark.parametrize("damage", [cut, damaged_within, not_utf8, emptied, pointer])
def test_a_damaged_file_is_named(
    damage: Callable[[Path], Any], project: Project, refused: Run
) -> None:
    damage(project.folder / "assets" / "datasets" / "mine" / "train.parquet")
    line = refused(project)
    assert "data set 'mine': " in line and "train.parquet is not readable parquet" in line


def test_a_folder_where_a_file_should_be_is_named(project: Project, refused: Run) -> None:
    path = project.folder / "assets" / "datasets" / "mine" / "train.parquet"
    path.unlink()
    path.mkdir()
    assert f"{path} is a folder" in refused(project)


def test_a_column_that_is_there_twice_is_refused(project: Project, refused: Run) -> None:
    table = pa.Table.from_arrays(
        [pa.array(TEXTS), pa.array(TEXTS), pa.array(LABELS)], names=["text", "text", "label"]
    )
    pq.write_table(table, project.folder / "assets" / "datasets" / "mine" / "train.parquet")
    assert "train.parquet has the column 'text' twice" in refused(project)


WRONG_PROMPTS = {
    "a word for two classes": ({"label_words": [["good"], ["good"]]}, "is in classes 0 and 1"),
    "a word twice": ({"label_words": [["bad", "bad"], ["good"]]}, "'bad' appears twice"),
    "no word": ({"label_words": [["bad"], []]}, "each class needs at least one label word"),
    "an empty word": ({"label_words": [["bad"], [""]]}, "a label word of class 1 is empty"),
    "a blank": ({"label_words": [["bad"], [" "]]}, "a label word of class 1 is empty"),
    "a model's token": ({"label_words": [["[MASK]"], ["[SEP]"]]}, "'[MASK]' is a special token"),
    "RoBERTa's token": ({"label_words": [["bad"], ["</s>"]]}, "'</s>' is a special token"),
    "one class": ({"label_words": [["bad"]]}, "label_words"),
    "three classes": ({"label_words": [["bad"], ["good"], ["fine"]]}, "one list per label"),
    "no mask": ({"templates": ["it was"]}, "exactly one [MASK]"),
    "two masks": ({"templates": ["[MASK] or [MASK]"]}, "exactly one [MASK]"),
    "RoBERTa's mask": ({"templates": ["it was <mask>"]}, ", not <mask>"),
    "both masks": ({"templates": ["[MASK] it was <mask>"]}, ", not <mask>"),
    "RoBERTa's separator": ({"templates": ["</s> it was [MASK]"]}, ", not </s>"),
    "BERT's first token": ({"templates": ["[CLS] it was [MASK]"]}, ", not [CLS]"),
    "a small mask": ({"templates": ["it was [mask]"]}, ", not [mask]"),
    "a blank first": ({"templates": [" [SEP] it was [MASK]"]}, "without a space before it"),
    "none": ({"templates": []}, "templates"),
    "the same token": ({"label_words": [["good"], ["Good"]]}, "are the same token ('good')"),
    "two tokens": ({"label_words": [["stupendously"], ["good"]]}, "is not one token"),
    "too long": ({"templates": ["[SEP] " + "very " * 90 + "[MASK]"]}, "for the text; shorten it"),
}


@pytest.mark.parametrize("kind", WRONG_PROMPTS)
def test_prompts_that_cannot_work_are_refused(kind: str, project: Project, refused: Run) -> None:
    changed, said = WRONG_PROMPTS[kind]
    project.axes = {"head": ["mvp"]}
    project.data = {"prompts": {**PROMPTS, **changed}}
    line = refused(project)
    assert said in line and "mine" in line, line


def test_prompt_sets_are_held_to_the_same(project: Project, refused: Run) -> None:
    project.axes = {"head": ["mvp_random_label_words"]}
    project.data = {"prompt_sets": {"random_label_words": {"label_words": [["ann"], ["ann"]]}}}
    assert "is in classes 0 and 1" in refused(project)
    project.data = {"prompt_sets": {"random_label_words": {"label_words": [["ann"]]}}}
    assert "prompt_sets.random_label_words.label_words: it needs one list per label" in refused(
        project
    )


def test_names_that_are_there_twice_are_refused(project: Project, refused: Run) -> None:
    project.data = {"labels": ["good", "good"]}
    assert "'good' appears twice; keep one" in refused(project)
    project.data = {"labels": ["good", " "]}
    assert "labels: a label's name is empty" in refused(project)
    project.data = {"label": "text"}
    assert "label: 'text' is one of columns, the texts" in refused(project)


QUERY = "bert.encoder.layer.0.attention.self.query.weight"
WRONG_MODELS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (lambda f: (f / "config.json").write_text("{"), "config.json is not JSON"),
    "config of a list": (lambda f: (f / "config.json").write_text("[]"), "not hold a JSON object"),
    "no type": (lambda f: change(f, model_type=None), "does not name the architecture"),
    "another type": (lambda f: change(f, model_type="roberta"), "says roberta: they have no"),
    "a causal type": (lambda f: change(f, model_type="gpt2"), "is a gpt2, which is causal"),
    "fewer layers": (lambda f: change(f, num_hidden_layers=3), "layers 3, but the weights have 2"),
    "more words": (lambda f: change(f, vocab_size=100), "has vocab_size 100, but"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no model.safetensors in"),
    "cut weights": (lambda f: cut(f / "model.safetensors"), "safetensors is truncated or damaged"),
    "empty weights": (lambda f: emptied(f / "model.safetensors"), "is truncated or damaged"),
    "a pointer": (lambda f: pointer(f / "model.safetensors"), "to the weights (git LFS)"),
    "no tokenizer": (lambda f: no_tokenizer(f), "no tokenizer in"),
    "a broken tokenizer": (lambda f: (f / "tokenizer.json").write_text("{}"), "cannot be read"),
    "a cut tokenizer": (lambda f: cut(f / "tokenizer.json"), "tokenizer.json is not JSON"),
    "broken settings": (lambda f: cut(f / "tokenizer_config.json"), "config.json is not JSON"),
    "broken tokens": (lambda f: cut(f / "special_tokens_map.json"), "map.json is not JSON"),
    "no padding": (lambda f: no_padding(f), "names neither a pad_token nor an eos_token"),
    "another tokenizer": (lambda f: more_words(f), "the tokenizer in"),
    "a layer not whole": (lambda f: without(f, QUERY), f"lack {QUERY}, which would start from"),
    "other positions": (
        lambda f: change(f, max_position_embeddings=2048),
        "has max_position_embeddings 2048, but bert.embeddings.position_embeddings.weight has 64",
    ),
    "token types": (lambda f: change(f, type_vocab_size=1), "type_vocab_size 1, but bert."),
    "another layer": (lambda f: change(f, intermediate_size=100), "has intermediate_size 100, but"),
    "another width": (lambda f: change(f, hidden_size=34), "weight has 32 columns"),
    "odd heads": (
        lambda f: change(f, num_attention_heads=5),
        "has hidden_size 32, which is not divisible by num_attention_heads 5",
    ),
    "layers in words": (lambda f: change(f, num_hidden_layers="two"), "'two', which is not a size"),
    "an unknown type": (
        lambda f: change(f, model_type="bertt"), "has no code for; did you mean bert",
    ),
    "no mask of attention": (
        lambda f: change(f, "tokenizer_config.json", model_input_names=["input_ids"]),
        'leaves "attention_mask" out',
    ),
    "no frame": (
        lambda f: change(f, "tokenizer.json", post_processor=None),
        "begins a text with 'a', not with a CLS token",
    ),
}  # fmt: skip


def change(folder: Path, file: str = "config.json", **changes: Any) -> None:
    path = folder / file
    config = json.loads(path.read_text()) | changes
    path.write_text(
        json.dumps({name: value for name, value in config.items() if value is not None})
    )


def no_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / name).unlink()


def no_padding(folder: Path) -> None:
    (folder / "special_tokens_map.json").unlink()
    changes = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": None}
    change(folder, "tokenizer_config.json", **changes)


def without(folder: Path, tensor: str) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors[tensor]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def more_words(folder: Path) -> None:
    with (folder / "vocab.txt").open("a") as file:
        file.write("more\nwords\n")
    (folder / "tokenizer.json").unlink()


@pytest.mark.parametrize("kind", WRONG_MODELS)
def test_models_that_cannot_be_loaded_are_refused(
    kind: str, project: Project, refused: Run, tiny_bert: Path
) -> None:
    damage, said = WRONG_MODELS[kind]
    damage(project.model_from(tiny_bert))
    line = refused(project)
    assert line.startswith("model 'mine'") and said in line, line


@pytest.mark.parametrize("name", ["model-00001-of-00002.safetensors", "tokenizer.model"])
def test_a_link_that_leads_nowhere_is_named(
    name: str, project: Project, refused: Run, tiny_bert: Path
) -> None:
    link = project.model_from(tiny_bert) / name
    link.symlink_to("nowhere")
    assert f"{link} is a broken link" in refused(project)


def test_a_folder_of_a_model_file_s_name_is_none(
    project: Project, planned: Run, tiny_bert: Path
) -> None:
    folder = project.model_from(tiny_bert)
    before = fit_key(project)
    (folder / "notes.txt").mkdir()
    planned(project)
    assert fit_key(project) == before


def test_the_tokenizer_of_another_model_is_refused(
    project: Project, refused: Run, tiny_bert: Path, tiny_roberta: Path
) -> None:
    folder = project.model_from(tiny_bert)
    names = {path.name for path in tiny_roberta.iterdir()} - {"config.json", "model.safetensors"}
    (folder / "vocab.txt").unlink()
    for name in names:
        shutil.copy(tiny_roberta / name, folder)
    change(folder, vocab_size=1000)
    line = refused(project)
    assert "belongs to another model: it pads with '<pad>', token 1, but config.json has" in line


def test_templates_need_a_mask_token_that_is_declared(
    project: Project, refused: Run, tiny_bert: Path
) -> None:
    folder = project.model_from(tiny_bert)
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        change(folder, name, mask_token=None)
    change(folder, "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    project.axes |= {"head": ["mvp"]}
    assert "has no mask token, which templates need" in refused(project)


def test_padding_and_cutting_saved_in_a_tokenizer_change_no_prompt(
    project: Project, planned: Run, tiny_bert: Path
) -> None:
    import tokenizers

    path = project.model_from(tiny_bert) / "tokenizer.json"
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(2)
    tokenizer.save(str(path))
    project.axes |= {"head": ["mvp"]}
    planned(project)


def test_a_model_that_is_whole_is_planned_with_every_head(
    project: Project, planned: Run, tiny_bert: Path
) -> None:
    project.model_from(tiny_bert)
    project.axes |= {"head": ["mlp_ft", "project_cls", "cls_prompt", "lpft_dense", "mvp"]}
    assert "nothing wrong" in planned(project)


def test_weights_in_another_format_are_refused_with_what_makes_them_readable(
    project: Project, refused: Run, planned: Run, tiny_bert: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    folder = project.model_from(tiny_bert)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    line = refused(project)
    assert "are only in pytorch_model.bin" in line
    python, c, code = shlex.split(line.partition("convert it to model.safetensors: ")[2])
    assert (python, c) == ("python", "-c")
    exec(code, {})
    assert "nothing wrong" in planned(project)
    (folder / "model.safetensors").unlink()
    project.axes |= {"head": ["untrained_mlp_ft"]}  # needs none
    planned(project)


def test_weights_that_the_hub_has_in_another_format_only_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda **_: str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    model = LanguageModel(about="", hub="me/mine")
    with pytest.raises(BadInput, match=r"has no .*safetensors on the hub; name a `revision`"):
        Assets("hub").model_folder("mine", model)


def test_weights_in_several_files_are_whole_or_refused(
    project: Project, refused: Run, planned: Run, tiny_bert: Path
) -> None:
    from transformers import BertForMaskedLM

    folder = project.model_from(tiny_bert)
    (folder / "model.safetensors").unlink()
    BertForMaskedLM.from_pretrained(tiny_bert).save_pretrained(folder, max_shard_size="40KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    planned(project)
    shutil.copy(shards[0], project.folder / "kept")
    shards[0].unlink()
    assert f"no file {shards[0]}, which model.safetensors.index.json lists" in refused(project)
    shutil.copy(shards[1], shards[0])
    assert f"{shards[0]} lacks " in refused(project)
    shutil.copy(project.folder / "kept", shards[0])
    cut(shards[0])
    assert f"{shards[0]} is truncated or damaged" in refused(project)
    (folder / "model.safetensors.index.json").write_text("{}")
    assert "has no weight_map" in refused(project)


def test_label_words_need_weights_with_a_language_model_head(
    project: Project, refused: Run, planned: Run, tiny_bert: Path
) -> None:
    from transformers import BertModel

    BertModel.from_pretrained(tiny_bert).save_pretrained(project.model_from(tiny_bert))
    planned(project)
    project.axes |= {"head": ["cls_prompt"]}
    assert "have no language-model head (cls.predictions.transform.dense" in refused(project)


@pytest.mark.parametrize(
    ("tiny", "kind", "positions"),
    [("tiny_bert", "masked", 64), ("tiny_roberta", "masked", 64), ("tiny_gpt2", "causal", 64)],
)
def test_a_text_is_not_longer_than_the_positions_of_the_model(
    tiny: str, kind: str, positions: int,
    project: Project, refused: Run, planned: Run, request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    project.model_from(request.getfixturevalue(tiny))
    project.model |= {"kind": kind}
    project.fit = {"max_length": positions}
    planned(project)
    project.fit = {"max_length": positions + 1}
    assert f"has positions for {positions} tokens; give fit.max_length={positions}" in refused(
        project
    )


def test_a_causal_model_takes_the_prompts_of_one(
    project: Project, refused: Run, planned: Run, tiny_gpt2: Path
) -> None:
    project.model_from(tiny_gpt2)
    project.model |= {"kind": "causal"}
    project.axes |= {"head": ["mvp"]}
    prompts = {**PROMPTS, "decoder_templates": ["[SEP] the statement is [MASK]"]}
    project.data = {"prompts": prompts}
    planned(project)
    project.data = {"prompts": {**prompts, "label_words": [["bad"], ["Good"]]}}
    assert "'Good' is not one token" in refused(project)
    project.data = {
        "prompts": {**prompts, "decoder_templates": ["[SEP]" + " very" * 41 + " [MASK]"]}
    }
    assert "leaves 6 of fit.max_length=48 for the text" in refused(project)


def test_a_model_whose_tokenizer_has_no_fast_file_is_checked_by_its_slow_ones(
    project: Project, refused: Run, planned: Run, tiny_bert: Path
) -> None:
    (project.model_from(tiny_bert) / "tokenizer.json").unlink()
    project.axes |= {"head": ["mvp"]}
    planned(project)
    project.data = {"prompts": {**PROMPTS, "label_words": [["good"], ["Good"]]}}
    assert "are the same token" in refused(project)


TOKENIZER_FILES = [
    "spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "spm.model", "added_tokens.json",
    "merges.txt", "vocab.json", "bpe.codes", "vocab.txt", "tokenizer.json", "entity_vocab.json",
    "source.spm",
    "special_tokens_map.json", "tokenizer_config.json", "prophetnet.tokenizer",
    "model.safetensors.index.json", "model-00001-of-00002.safetensors",
]  # fmt: skip


@pytest.mark.parametrize("name", TOKENIZER_FILES)
def test_the_digest_of_a_model_covers_all_that_it_is_read_from(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_text("one")
    before = digest(model_files(tmp_path))
    (tmp_path / name).write_text("two")
    assert digest(model_files(tmp_path)) != before
    (tmp_path / "README.md").write_text("of no number")
    (tmp_path / "generation_config.json").write_text("{}")
    assert {path.name for path in model_files(tmp_path)} == {"config.json", name}


def test_a_tokenizer_of_transformers_has_no_file_that_the_digest_leaves_out() -> None:
    """By the names that each of its tokenizers looks for."""
    import transformers

    names: set[str] = set()
    for path in (Path(transformers.__file__).parent / "models").glob("*/tokenization*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and "VOCAB_FILES_NAMES" in ast.unparse(node.targets[0]):
                names |= set(ast.literal_eval(node.value).values())
    assert len(names) > 15
    assert {name for name in names if not MODEL_FILES.fullmatch(name)} == set()


def test_a_file_that_changes_in_place_is_another_even_at_the_same_second(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("one")
    before, time = digest([path]), path.stat().st_mtime_ns
    path.write_text("two")
    os.utime(path, ns=(time, time))
    assert digest([path]) != before


def test_heads_that_a_model_cannot_have_are_planned_with_the_reason(
    project: Project, planned: Run, tiny_bert: Path
) -> None:
    folder = project.model_from(tiny_bert)
    change(folder, model_type="distilbert")
    inputs = {"model_input_names": ["input_ids", "attention_mask"]}
    change(folder, "tokenizer_config.json", **inputs)
    project.axes |= {"head": ["untrained_mlp_ft", "project_cls", "mvp"]}
    said = planned(project)
    for head in ("project_cls", "mvp"):
        assert f"not_applicable mine-mine-{head}" in said
        assert f"head '{head}' does not apply to model 'mine': distilbert " in said
    assert "todo           mine-mine-untrained_mlp_ft" in said


def test_what_is_left_out_everywhere_is_not_needed(
    project: Project, planned: Run, refused: Run, tiny_bert: Path
) -> None:
    """Neither a data set without files, nor a model of which all attacks are excluded."""
    cut(project.model_from(tiny_bert) / "model.safetensors")
    project.axes = {"dataset": ["mine", "sst2"], "model": ["bert-embedded", "mine"]}
    sst2 = {"dataset": "sst2", "reason": "not fetched yet"}
    cut_model = {"model": "mine", "attack": ["misspellings"], "reason": "cut"}
    project.more = {"exclude": [sst2, cut_model]}
    said = planned(project)
    assert "todo           mine-bert-embedded-mlp_ft" in said and "nothing wrong" in said
    assert {asset.name for asset in needed_by(project)} >= {"datasets/mine"}
    assert not {asset.name for asset in needed_by(project)} & {"datasets/sst2", "models/mine"}
    project.axes["attack"] = ["misspellings", "textfooler"]
    assert "model.safetensors is trunc" in refused(project)
    project.more = {"exclude": [{**sst2, "head": "mvp"}, cut_model]}
    project.axes["head"] = ["mlp_ft", "mvp"]
    assert "'sst2': no file" in refused(project)


def needed_by(project: Project) -> list[Asset]:
    return list(needed(load(project.space()), Assets(str(project.folder / "assets"))))


def test_resources_of_attacks_that_are_not_there_are_refused_by_the_plan(
    project: Project, refused: Run
) -> None:
    project.more = {"attack": {"examples": 4, "resources": "textattack"}}
    line = refused(project)
    assert line.startswith("attack.resources textattack: no ")
    assert str(project.folder / "assets" / "textattack") in line


def test_packages_that_attacks_need_may_be_on_another_machine_than_the_plan(
    project: Project, planned: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """TensorFlow is not installed here."""
    for name in (*(archive.name for archive in ARCHIVES), MASKED_LM):
        folder = project.folder / "assets" / "textattack" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    project.more = {"attack": {"examples": 4, "resources": "textattack"}}
    assert "note: attack.resources textattack has a sentence encoder" in planned(project)
    assert main(["--space", project.space(), "--store", str(project.folder / "store")]) == 2
    assert "error: attack.resources textattack has a" in capsys.readouterr().err


SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
SIZES: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    "modernbert": {**SMALL, "pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3},
    "electra": {**SMALL, "embedding_size": 32},
    "albert": {**SMALL, "embedding_size": 32},
    "convbert": {**SMALL, "embedding_size": 32},
    "squeezebert": {**SMALL, "embedding_size": 32},
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64},
    "longformer": {**SMALL, "attention_window": 8},
    "funnel": {"d_model": 32, "block_sizes": [1, 1, 1], "n_head": 2, "d_head": 16, "d_inner": 64},
    "bert": SMALL, "ernie": SMALL, "deberta": SMALL, "deberta-v2": SMALL, "fnet": SMALL,
}  # fmt: skip
QUICK = ("distilbert", "modernbert")


@pytest.mark.parametrize(
    "model_type",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SIZES],
)
def test_a_head_works_with_just_those_models_of_which_nothing_else_is_said(
    model_type: str, tiny_bert: Path, tmp_path: Path
) -> None:
    """It scores a text alone and in a batch with a longer one alike, and has gradients."""
    import torch
    from transformers import AutoConfig, AutoTokenizer

    from search_spaces.catalog import Prompts
    from trainables.heads import KINDS, build_head
    from trainables.heads.base import HeadSpec

    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    tokenizer.save_pretrained(tmp_path)
    if model_type == "distilbert":  # as the refusal below advises
        inputs = {"model_input_names": ["input_ids", "attention_mask"]}
        change(tmp_path, "tokenizer_config.json", **inputs)
    config = AutoConfig.for_model(model_type, vocab_size=len(tokenizer), **SIZES[model_type])
    config.initializer_range = 0.3
    config.save_pretrained(tmp_path)
    prompts = Prompts.model_validate(PROMPTS)
    texts = [("the film was great . it was never dull",), ("a bad plot",)]
    for kind in KINDS:
        torch.manual_seed(0)
        try:
            head = build_head(kind, HeadSpec(tmp_path, False, 2, prompts, 48, pretrained=False))
            alone = torch.cat([head.predict([text]) for text in texts])
            works = bool(torch.allclose(head.predict(texts), alone, atol=1e-4))
            head.train().score(head.encode(texts)).sum().backward()
        except Exception:
            works = False
        if (model_type, kind) != (
            "xlnet",
            "mlp_ft",
        ):  # with its own tokenizer, which ends a text with CLS, it does not
            assert works != bool(cannot_have(kind, model_type)), kind


SEQUENCES: dict[str, dict[str, Any]] = {
    "bart": {
        "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
    },
    "t5": {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2},
}  # fmt: skip


@pytest.mark.parametrize("model_type", SEQUENCES)
def test_an_end_within_a_text_is_too_much_for_models_that_read_a_text_s_end(
    model_type: str, tiny_roberta: Path, tmp_path: Path
) -> None:
    from transformers import AutoConfig, AutoTokenizer

    from trainables.heads import build_head
    from trainables.heads.base import HeadSpec

    tokenizer = AutoTokenizer.from_pretrained(tiny_roberta)
    tokenizer.save_pretrained(tmp_path)
    ids = {"pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    config = AutoConfig.for_model(
        model_type, vocab_size=len(tokenizer), **SEQUENCES[model_type], **ids
    )
    config.save_pretrained(tmp_path)
    head = build_head("mlp_ft", HeadSpec(tmp_path, False, 2, None, 32, pretrained=False))
    assert head.predict([("a bad plot",), ("the film",)]).shape == (2, 2)
    with pytest.raises(ValueError, match="same number of <eos> tokens"):
        head.predict([("a bad </s> plot",), ("the film",)])
    assert "cannot score it in a batch" in cannot_have("mlp_ft", model_type)


def test_families_name_the_tensors_and_positions_of_real_models(
    tiny_bert: Path, tiny_roberta: Path, tiny_gpt2: Path, tiny_llama: Path
) -> None:
    for folder in (tiny_bert, tiny_roberta, tiny_gpt2, tiny_llama):
        model = ModelFolder("tiny", folder)
        check_weights(model)
        check_lm_head(model)
        TokenizerFiles(model).check()
    assert ModelFolder("tiny", tiny_llama).positions() is None  # rotary: no table of positions
    assert set(SIZES) <= set(FAMILIES)


def test_a_tokenizer_that_gives_what_the_model_does_not_take_is_refused(
    project: Project, refused: Run, tiny_bert: Path
) -> None:
    change(project.model_from(tiny_bert), model_type="distilbert")
    project.axes |= {"head": ["untrained_mlp_ft"]}
    assert "a BertTokenizer, which gives token types that a distilbert does not" in refused(project)


def test_a_warm_up_that_leaves_no_step_is_refused(project: Project, refused: Run) -> None:
    """160 rows for training in batches of 100: two steps an epoch."""
    project.fit = {"warmup": 0.6, "batch_size": 100, "max_epochs": 1}
    assert refused(project).endswith(
        "data set 'mine': fit.warmup 0.6 is 2 of the 2 steps that 160 training rows make in "
        "batches of 100, in 1 epochs at most: none is left at the full rate; give a smaller "
        "warmup, smaller batches or more epochs"
    )


@pytest.mark.parametrize(
    ("training", "fit", "more", "said"),
    [
        ({"attack": "mispelings", "every": 9}, {}, {},
         "line 4: settings.attack: unknown attack 'mispelings'; did you mean misspellings?"),
        ({"every": 9}, {}, {"attack": {"protocol": "strict", "resources": "embedded"}},
         "training 'mine' attacks by 'misspellings': attack kind misspellings knows no protocol "
         "'strict' (but textattack, mvp); leave it out with --only training=... or exclude it, or "
         "choose another attack.protocol"),
        ({"from_epoch": 3}, {"max_epochs": 2}, {},
         "training 'mine' on data set 'mine': its from_epoch 3 is never reached, fit.max_epochs is "
         "2; give more epochs, or a training with `every` in its settings"),
        ({"every": 313}, {"max_epochs": 2}, {},
         "training 'mine' on data set 'mine': its every 313 is never reached, 160 training rows in "
         "2 epochs are 312 examples before the last batch; give a training with a smaller one"),
        ({"every": 49}, {"max_epochs": 1, "train_examples": 50}, {},
         "its every 49 is never reached, 50 training rows in 1 epochs are 48 examples before the "
         "last batch; give a training with a smaller one"),
        ({"every": 20, "attacked_rows": 0.125}, {"max_epochs": 1}, {},
         "training 'mine' on data set 'mine': 20 rows are attacked after every 20 training "
         "examples; if all attacks succeed there are always more to train on, and the epoch does "
         "not end; give fewer attacked_rows, or a larger every"),
    ],
)  # fmt: skip
def test_rows_that_a_training_would_not_make_are_refused(
    training: dict[str, Any],
    fit: dict[str, Any],
    more: dict[str, Any],
    said: str,
    project: Project,
    refused: Run,
) -> None:
    project.training, project.fit, project.more = training, fit, more
    project.axes = {"attack": ["textfooler"]}
    assert refused(project).endswith(said)


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"every": 312}, ""),
        ({"from_epoch": 2}, ""),
        ({"from_epoch": 2, "attacked_rows": 160}, ""),
        ({"every": 20, "attacked_rows": 10}, ""),
        ({"every": 20, "attacked_rows": 16}, "16 rows are attacked after every 20 training examples"
         ": if all attacks succeed, the first epoch has 800 rows, not 160"),
    ],
)  # fmt: skip
def test_rounds_that_are_reached_are_planned(
    training: dict[str, Any], said: str, project: Project, planned: Run
) -> None:
    project.training, project.fit = training, {"max_epochs": 2}
    output, note = planned(project), "note: training 'mine' on data set 'mine': "
    assert (note in output) == bool(said) and said in output


@pytest.mark.parametrize(
    ("training", "evaluate_every", "may_stop"),
    [({"from_epoch": 2}, 54, False), ({"from_epoch": 2}, 53, True), ({"every": 300}, 100, True)],
)
def test_training_that_may_stop_before_its_first_round_is_a_note(
    training: dict[str, Any], evaluate_every: int, may_stop: bool, project: Project, planned: Run
) -> None:
    """The first evaluation is the best so far, then two of `patience`."""
    project.training = training
    project.fit = {"max_epochs": 2, "evaluate_every": evaluate_every, "patience": 2}
    said = f"patience 2 training may stop after {3 * evaluate_every}, without a round"
    assert (said in planned(project)) == may_stop


def test_more_attacked_rows_than_there_are_is_a_note(project: Project, planned: Run) -> None:
    project.training, project.fit = {"from_epoch": 2, "attacked_rows": 161}, {"max_epochs": 2}
    assert (
        "note: training 'mine' on data set 'mine': attacked_rows is 161, and all 160 training rows "
        "are attacked in a round"
    ) in planned(project)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("attack.at_once=0", "greater than or equal to 1 (got 0)"),
        ("attack.at_once=many", "expected a whole number (got 'many')"),
        ("attack.dtype=half", "'fp32', 'tf32' or 'bf16' (got 'half')"),
        ("fit.dtype=fp64", "'fp32', 'tf32' or 'bf16' (got 'fp64')"),
        ("fit.schedule=step", "'constant', 'linear', 'cosine' or 'cooldown' (got 'step')"),
        ("fit.warmup=1", "less than 1 (got 1)"),
        ("fit.warmup=-0.1", "greater than or equal to 0 (got -0.1)"),
        ("fit.max_grad_norm=0", "greater than 0 (got 0)"),
        ("fit.decay_norms_and_biases=maybe", "expected true or false (got 'maybe')"),
        ("fit.dropout=1", "less than 1 (got 1)"),
        ("fit.validation_examples=0", "greater than or equal to 1 (got 0)"),
        ("fit.probe_examples=0", "greater than or equal to 1 (got 0)"),
    ],
)
def test_a_setting_that_is_none_is_refused(
    setting: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--store", str(tmp_path / "store"), "--set", setting]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    name = setting.partition("=")[0]
    assert line.startswith(f"error: --set {setting}: {name}: ") and said in line
    assert not (tmp_path / "store").exists()

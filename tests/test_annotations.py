"""A blinded sheet for people, and what their labels say, from the command to the report."""

import argparse
import csv
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from commands import options
from stores import EXAMPLES, write

from orchestrator.cli.arguments import add_plan_arguments, open_plan
from orchestrator.plan.plan import make_plan
from orchestrator.report import __main__ as report
from orchestrator.report.annotations import (
    Annotations,
    alpha,
    people,
    read_annotations,
    under_valid_attack,
    wilson,
)
from orchestrator.report.from_store import read_store
from orchestrator.report.sheet import Key, Sheet, draw, text_id
from orchestrator.report.tables import SHARE, as_csv
from search_spaces.space import load
from trainables.assets import Assets
from trainables.store import Store

ONLY = (
    "dataset=sst2",
    "model=bert-embedded",
    "attack=textfooler,misspellings",
    "head=mlp_ft,mvp",
)
Row = dict[str, str]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The arguments that select a store with two heads under two attacks: mlp_ft withstands on 5 of
    20 examples, mvp on 10. All originals are fine, all perturbed texts dull."""
    store = Store(str(tmp_path_factory.mktemp("store")))
    space = load("embedded", only=ONLY, sets=[f"attack.examples={EXAMPLES}"])
    for cell in make_plan(space, Assets("embedded"), store).todo:
        robust = {"mlp_ft": 5, "mvp": 10}[cell.fit.head]
        write(cell, store, lambda cell, id, most=robust: "failed" if id < most else "successful")
    return [*options(ONLY, [f"attack.examples={EXAMPLES}"]), "--store", store.url]


def sheet(asked: Sequence[str], folder: Path, count: int = 12) -> list[Row]:
    assert report.main([*asked, "--annotate", str(count), "--out", str(folder)]) == 0
    with (folder / "sheet.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def fill_in(rows: list[Row], path: Path, label: Callable[[Row], str], separator: str = ",") -> str:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows({**row, "label": label(row)} for row in rows)
    return str(path)


def as_meant(row: Row) -> str:
    return "positive"


def fooled(row: Row) -> str:
    return "negative" if "dull" in row["text"] else "Positive "


def said_of(asked: Sequence[str], folder: Path, *files: str) -> dict[str, list[Row]]:
    """The tables of what people say, by name, without the rest of the report."""
    parser = argparse.ArgumentParser()
    add_plan_arguments(parser)
    plan, store, _ = open_plan(parser.parse_args(asked), reading=True)
    results = read_store(plan, store)
    found = read_annotations([Path(file) for file in files], folder / "key.json", results)
    return {table.name: rows_of(as_csv(table)) for table in people(results, found)}


def table(folder: Path, name: str) -> list[Row]:
    return rows_of((folder / "tables" / f"{name}.csv").read_text())


def rows_of(text: str) -> list[Row]:
    """A table's rows by the names of its columns, without their unit."""
    rows = csv.DictReader(text.splitlines())
    return [{name.replace(SHARE, ""): value for name, value in row.items()} for row in rows]


def test_a_sheet_shows_texts_in_random_order_and_nothing_of_where_they_are_from(
    asked: list[str], tmp_path: Path
) -> None:
    rows = sheet(asked, tmp_path / "one")
    assert {row["data_set"] for row in rows} == {"sst2"}
    assert {(row["labels"], row["label"]) for row in rows} == {("negative | positive", "")}
    assert len({row["id"] for row in rows}) == len({row["text"] for row in rows}) == len(rows)
    kinds = ["dull" in row["text"] for row in rows]
    assert kinds not in (sorted(kinds), sorted(kinds, reverse=True)), "mixed"
    shown = (tmp_path / "one" / "sheet.csv").read_text()
    assert not [word for word in ("mvp", "mlp_ft", "textfooler", "successful") if word in shown]
    key = json.loads((tmp_path / "one" / "key.json").read_text())
    examples = key["examples"]
    assert len(examples) == 12
    assert Counter(e["cell"].split("-standard-")[0].split("embedded-")[1] for e in examples) == {
        "mlp_ft": 6,
        "mvp": 6,
    }
    assert Counter("textfooler" in e["cell"] for e in examples) == {True: 6, False: 6}
    text_of = {row["id"]: row["text"] for row in rows}
    for each in examples:
        assert text_of[each["original"]] == f"a fine text {each['example']}"
        assert text_of[each["perturbed"]] == f"a dull text {each['example']}"
    assert sheet(asked, tmp_path / "again") == rows, "the same seed draws the same sheet"
    other = [*asked, "--annotate", "12", "--seed", "1", "--out", str(tmp_path / "other")]
    assert report.main(other) == 0
    assert (tmp_path / "other" / "sheet.csv").read_text() != shown


def test_a_spreadsheet_takes_no_text_for_a_formula_and_no_id_for_a_number() -> None:
    texts = {text_id(0, "sst2", text): text for text in ("=1+1", "- a film", "a film - or not")}
    key = Key(space="mine", seed=0, examples=[], data_sets=dict.fromkeys(texts, "sst2"))
    rows = list(csv.DictReader(Sheet(key, texts, {"sst2": ["bad", "good"]}).as_csv().splitlines()))
    assert [row["text"] for row in rows] == [" =1+1", " - a film", "a film - or not"]
    assert all(row["id"][0].isalpha() for row in rows)


def test_successes_that_people_label_otherwise_do_not_count(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everybody finds the perturbed texts negative, so no success is valid."""
    rows = sheet(asked, tmp_path)
    files = [fill_in(rows, tmp_path / f"{name}.csv", fooled) for name in ("ann", "bob")]
    key = ["--key", str(tmp_path / "key.json")]
    out = tmp_path / "report"
    assert report.main([*asked, "--annotations", *files, *key, "--out", str(out)]) == 0
    assert "What people say of the examples" in capsys.readouterr().out
    everything, textfooler, misspellings, mlp_ft, mvp = table(out, "people")
    assert everything["originals with their label"] == "1.0"
    assert everything["perturbed with their label"] == "0.0"
    assert [float(row["under attack"]) for row in (mlp_ft, mvp)] == [0.25, 0.5]
    for row in (everything, textfooler, misspellings, mlp_ft, mvp):
        assert float(row["under valid attack"]) == 1.0
        assert float(row["under valid attack low"]) < 1.0
    (agreement,) = table(out, "agreement")
    assert agreement["data set"] == "sst2" and agreement["annotators"] == "2"
    assert agreement["Krippendorff's alpha"] == agreement["all agree"] == "1.0"
    assert "What people say of the examples" in (out / "index.html").read_text()


def test_a_text_has_the_label_that_most_people_give_it(asked: list[str], tmp_path: Path) -> None:
    rows = sheet(asked, tmp_path, count=1000)
    assert len(rows) == 2 * 15, "all successes, each text once"
    odd = {row["id"] for row in rows if "dull" in row["text"] and int(row["text"].split()[-1]) % 2}

    def half(row: Row) -> str:
        return "negative" if row["id"] in odd else "positive"

    files = [
        fill_in(rows, tmp_path / "ann.csv", half),
        fill_in(rows, tmp_path / "bob.csv", half, separator=";"),
        fill_in(rows, tmp_path / "eve.csv", lambda row: "?" if "fine" in row["text"] else ""),
    ]
    everything, *_, mlp_ft, mvp = said_of(asked, tmp_path, *files)["people"]
    assert everything["originals with their label"] == "1.0", "two of three"
    # Of mlp_ft's successes 5 to 19 are 8 odd and invalid, of mvp's 10 to 19 are 5.
    assert float(mlp_ft["under valid attack"]) == pytest.approx((5 + 8) / EXAMPLES)
    assert float(mvp["under valid attack"]) == pytest.approx((10 + 5) / EXAMPLES)
    assert mlp_ft["annotated"] == "30" and mvp["annotated"] == "20"


def test_a_small_data_set_counts_as_much_as_a_large_one(tmp_path: Path) -> None:
    """Of 20 texts of sst2 10 withstand, of 5 of mrpc one (the rest are errors): 35 %, not 11 of 25.
    People find all labels of sst2 right and none of mrpc's: (50 + 100) / 2 under valid attack."""
    store, only = Store(str(tmp_path)), ("dataset=sst2,mrpc", *ONLY[1:2], "attack=textfooler")
    space = load("embedded", only=[*only, "head=mlp_ft"], sets=[f"attack.examples={EXAMPLES}"])
    for cell in make_plan(space, Assets("embedded"), store).todo:
        least, there = {"sst2": (10, 20), "mrpc": (1, 5)}[cell.fit.dataset]
        ends = ["failed"] * least + ["successful"] * (there - least) + ["error"] * (20 - there)
        write(cell, store, lambda _, id, ends=ends: ends[id])
    found = read_store(make_plan(space, Assets("embedded"), store), store)
    key = draw(found, 1000).key
    right = {text for d in key.examples for text in (d.original, d.perturbed)
             if key.data_sets[text] == "sst2"}  # fmt: skip
    true = {text: d.label for d in key.examples for text in (d.original, d.perturbed)}
    given = {text: {"ann": name if text in right else "?"} for text, name in true.items()}
    everything, *_ = rows_of(as_csv(people(found, Annotations(key, given))[0]))
    assert float(everything["under attack"]) == pytest.approx(0.35)
    assert float(everything["under valid attack"]) == pytest.approx(0.75)
    assert float(everything["perturbed with their label"]) == pytest.approx(0.5 / 1.3)
    assert float(everything["originals with their label"]) == pytest.approx(0.5 / 1.3)


def test_annotators_may_share_a_file(asked: list[str], tmp_path: Path) -> None:
    rows = sheet(asked, tmp_path)
    both = [{**row, "annotator": name} for name in ("ann", "bob") for row in rows]
    file = fill_in(both, tmp_path / "both.csv", as_meant)
    said = said_of(asked, tmp_path, file)
    (agreement,) = said["agreement"]
    assert agreement["annotators"] == "2" and agreement["Krippendorff's alpha"] == ""
    assert float(said["people"][0]["under valid attack"]) == pytest.approx(0.375)
    alone = fill_in(rows, tmp_path / "ann.csv", as_meant)
    assert said_of(asked, tmp_path, alone).keys() == {"people"}, "one person agrees with none"


def test_the_key_is_found_where_annotate_writes_it(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main([*asked, "--annotate", "3"]) == 0
    said = capsys.readouterr().out
    folder = Path(asked[-1]) / "report" / "embedded" / "people"
    assert f"sheet: {folder / 'sheet.csv'}" in said and "keep it from them" in said
    assert report.main([*asked, "--annotate", "3"]) == 2, "nothing is overwritten"
    assert "already exists" in capsys.readouterr().err
    with (folder / "sheet.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    file_of_ann = fill_in(rows, tmp_path / "ann.csv", lambda row: "good")
    assert report.main([*asked, "--annotations", file_of_ann]) == 2
    assert "unknown label 'good'" in capsys.readouterr().err, "so it has read the key"
    mvp_alone = [word.replace("mlp_ft,mvp", "mvp") for word in asked]
    assert report.main([*mvp_alone, "--annotations", file_of_ann]) == 2
    assert "have no cell" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no column id and no column label"),
        (b"id,label\nt123,positive\n", "line 2: no text 't123' in "),
        (b"id,label\nID,\nID,possitive\n", "line 3: unknown label 'possitive'; valid: negative"),
        (b"id,label\nID,positive\nID,positive\n", "line 3: a second label of 'ann' for the text"),
        (b"id,label\nID,\n", "no label in the column"),
        (b"id,text,label\nID,\xff,positive\n", "is not UTF-8"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_wrong_sheet_is_one_line(
    asked: list[str],
    tmp_path: Path,
    content: bytes | None,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = sheet(asked, tmp_path, count=1)
    if content is not None:
        filled = content.replace(b"ID", rows[0]["id"].encode())
        (tmp_path / "ann.csv").write_bytes(filled)
    key = ["--key", str(tmp_path / "key.json")]
    assert report.main([*asked, "--annotations", str(tmp_path / "ann.csv"), *key]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and said in line and str(tmp_path / "ann.csv") in line


def test_a_key_that_is_missing_or_of_other_results_is_one_line(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ann = fill_in(sheet(asked, tmp_path), tmp_path / "ann.csv", as_meant)
    wrong = {
        str(tmp_path / "nowhere.json"): "no key of the sheet at",
        ann: "is not a key that --annotate wrote",
    }
    key = json.loads((tmp_path / "key.json").read_text())
    key["examples"][0]["example"] += 1000
    (tmp_path / "other.json").write_text(json.dumps(key))
    wrong[str(tmp_path / "other.json")] = "is another one now"
    for path, said in wrong.items():
        assert report.main([*asked, "--annotations", ann, "--key", path]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1 and said in line and path in line
    for alone, said in ((["--seed", "1"], "--seeds"), (["--key", ann], "--annotations")):
        assert report.main([*asked, *alone]) == 2
        assert said in capsys.readouterr().err


def test_alpha_is_krippendorffs() -> None:
    """His example of nominal data with missing values (Computing Krippendorff's Alpha, C)."""
    rows = [
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    ]
    units = zip(*(row.split() for row in rows), strict=True)
    given = [{str(n): label for n, label in enumerate(unit) if label != "."} for unit in units]
    assert alpha(given) == pytest.approx(0.743, abs=5e-4)


@pytest.mark.parametrize(("examples", "annotated"), [(20, 10), (100, 30)])
def test_the_interval_under_valid_attack_covers_the_truth(examples: int, annotated: int) -> None:
    """Right 30 %, fooled 60 %, of these 70 % valid: 48 % of all are right or fooled invalidly."""
    chance, covered, draws = random.Random(0), 0, 2000
    for _ in range(draws):
        kinds = chance.choices("rfs", (0.3, 0.6, 0.1), k=examples)
        right, successes = kinds.count("r"), kinds.count("f")
        count = min(annotated, successes) or 1
        valid = sum(chance.random() < 0.7 for _ in range(count)) / count
        fooled = successes / examples
        found = under_valid_attack(right / examples, fooled, wilson(valid, count), examples)
        covered += found.low <= 0.48 <= found.high
    assert 0.94 < covered / draws < 0.995

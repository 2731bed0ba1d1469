"""The report from a store's files, without a sweep: which numbers appear where, how certain."""

import csv
import io
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commands import options, run
from stores import A10G, EXAMPLES, Status, record, write

from orchestrator.plan.plan import Plan, make_plan
from orchestrator.report import from_mlflow
from orchestrator.report.ablations import ablations
from orchestrator.report.baseline import against
from orchestrator.report.claim import claim, compare, verdict
from orchestrator.report.comparison import as_markdown, overall_table, place_tables
from orchestrator.report.contents import files
from orchestrator.report.forest import forest, parts, ranking
from orchestrator.report.from_store import read_baseline, read_store
from orchestrator.report.results import CLEAN, WORST, Results
from orchestrator.report.slices import slices
from orchestrator.report.tables import Figure, Table, as_csv, count, latex, markdown, p_value
from orchestrator.report.worst_case import worst_case, worst_case_metrics
from orchestrator.tracking.read import LoggedCell, LoggedSweep
from search_spaces.cell import Cell
from search_spaces.space import load
from trainables.assets import Assets
from trainables.metrics import attack_metrics
from trainables.store import Store


def plan(
    store: Store,
    only: tuple[str, ...] = (),
    seeds: list[int] | None = None,
    examples: int = 20,
    sets: tuple[str, ...] = (),
) -> Plan:
    space = load("embedded", only=only, sets=[f"attack.examples={examples}", *sets], seeds=seeds)
    return make_plan(space, Assets("embedded"), store)


def results(folder: Path, status: Status, **planned: Any) -> Results:
    store = Store(str(folder))
    for cell in plan(store, **planned).todo:
        write(cell, store, status)
    return read_store(plan(store, **planned), store)


def robust_up_to(shares: dict[str, float]) -> Status:
    """A head withstands the attack on its first examples, as many as given; GPT-2 on two fewer."""

    def status(cell: Cell, id: int) -> str:
        weaker = 2 * (cell.fit.model == "gpt2-embedded")
        return "failed" if id < shares[cell.fit.head] * EXAMPLES - weaker else "successful"

    return status


def column(table: Table, name: str) -> dict[str, Figure]:
    number = table.header.index(name)
    return {str(row[0]): row[number] for row in table.rows if isinstance(row[number], Figure)}


HEADS = ("head=mlp_ft,mvp,cls_prompt",)
ROBUST = robust_up_to({"mlp_ft": 0.2, "mvp": 0.5, "cls_prompt": 0.9})
ONE = ("dataset=sst2", "model=bert-embedded", "attack=textfooler", "head=mlp_ft,mvp")


def test_no_heads_mean_is_over_easier_data_sets_or_models(tmp_path: Path) -> None:
    """cls_prompt has no GPT-2: the others' GPT-2 cells must not count in their means."""
    table = overall_table(results(tmp_path, ROBUST, only=HEADS))
    assert table is not None and "mean of the 10 data sets × models" in table.title
    means = {head: figure.value for head, figure in column(table, "textfooler").items()}
    assert means == pytest.approx({"mlp_ft": 0.2, "mvp": 0.5, "cls_prompt": 0.9})


def test_an_unfinished_corner_of_the_grid_is_in_no_heads_mean(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    planned = plan(store, only=HEADS)
    for cell in planned.todo[1:]:
        write(cell, store, ROBUST)
    table = overall_table(read_store(plan(store, only=HEADS), store))
    assert table is not None and "mean of the 9 data sets" in table.title


def test_one_data_set_and_model_needs_no_summary(tmp_path: Path) -> None:
    found = results(tmp_path, ROBUST, only=ONE)
    assert overall_table(found) is None
    assert as_markdown(found).startswith("### sst2 · bert-embedded")


def test_seeds_are_shown_as_mean_and_standard_deviation(tmp_path: Path) -> None:
    def status(cell: Cell, id: int) -> str:
        return "failed" if id < 4 + 2 * cell.fit.seed else "successful"

    (table,) = place_tables(results(tmp_path, status, only=ONE, seeds=[0, 1, 2]))
    assert column(table, "textfooler")["mvp"].text() == "30.0 ± 10.0"
    basis = "Accuracy in % of 20 examples a cell, mean ± standard deviation over 3 seeds."
    assert table.notes[0].startswith(basis) and "embedded" in table.notes[0]
    assert table.rows[0][-2:] == ["20", "3"]


@pytest.mark.parametrize(("stands", "bold"), [(9, True), (7, False)])
def test_the_best_is_bold_only_where_the_paired_test_says_so(
    tmp_path: Path, stands: int, bold: bool
) -> None:
    """mlp_ft withstands 2 of 20; 7 more and none the other way are p = 0.016, 5 more p = 0.0625."""
    shares = {"mlp_ft": 2 / EXAMPLES, "mvp": stands / EXAMPLES}
    (table,) = place_tables(results(tmp_path, robust_up_to(shares), only=ONE))
    figures = column(table, "textfooler")
    assert (figures["mvp"].best, figures["mlp_ft"].best) == (bold, False)
    assert ("**" in markdown(table)) == bold == ("\\textbf" in latex(table))


def test_the_claim_is_recomputed_over_what_both_heads_have(tmp_path: Path) -> None:
    """One cell of mlp_ft is missing: it is reported, and not silently averaged over."""
    store = Store(str(tmp_path))
    only = ("head=mlp_ft,mvp", "dataset=sst2")
    missing = next(cell for cell in plan(store, only=only).todo if cell.fit.head == "mlp_ft")
    for cell in plan(store, only=only).todo:
        if cell.key != missing.key:
            write(cell, store, ROBUST)
    found = read_store(plan(store, only=only), store)
    main = compare(found).main
    assert main.gain is not None and main.gain.mean == pytest.approx(0.3)
    assert len(main.both) == 11 and main.one_only == [("sst2", missing.fit.model, missing.attack)]
    assert main.pairs.only_second == 0 and main.p_value < 0.05
    shown = markdown(claim(compare(found)))
    assert "11 of 12 combinations; 1 more have only one of the two and are left out" in shown
    assert "| mvp over mlp_ft + adversarial | accuracy under attack | not run | +3.5 | – |" in shown
    assert verdict(compare(found)).startswith("mvp over mlp_ft: +30.0 points")
    columns = as_csv(claim(compare(found))).splitlines()[0]
    assert "measured (share),measured low (share)" in columns
    assert columns.endswith('significant,p,"McNemar, only first","McNemar, only second",McNemar p')


def test_clean_outcomes_are_counted_once_a_fit_and_not_once_an_attack(tmp_path: Path) -> None:
    """mvp has one example wrong that mlp_ft has right: 0 / 1 of each fit, not 0 / 4."""

    def status(cell: Cell, id: int) -> str:
        return "skipped" if cell.fit.head == "mvp" and id == 0 else "failed"

    only = ("head=mlp_ft,mvp", "dataset=sst2", "model=bert-embedded")
    found = results(tmp_path, status, only=only)
    assert len(found.attacks) == 4
    clean = next(each for each in compare(found).over_standard if each.outcome == CLEAN)
    assert (clean.pairs.only_first, clean.pairs.only_second) == (0, 1)
    assert "1 data set × 1 model |" in markdown(claim(compare(found)))


def test_the_worst_case_is_right_under_every_attack(tmp_path: Path) -> None:
    """mlp_ft withstands each attack on other examples, and none of them on all; mvp on its first
    half. An example in error under one attack is in no worst case."""

    def status(cell: Cell, id: int) -> str:
        if cell.fit.head == "mvp":
            broken = cell.attack == "textfooler" and id == 19
            return "error" if broken else "failed" if id < 10 else "successful"
        offset = 5 * ["textfooler", "textbugger", "bert_attack", "misspellings"].index(cell.attack)
        return "failed" if offset <= id < offset + 5 else "successful"

    only = ("head=mlp_ft,mvp", "dataset=sst2", "model=bert-embedded")
    found = results(tmp_path, status, only=only)
    (table,) = place_tables(found)
    assert table.header[:3] == ["head", "clean", "worst case"]
    worst = {head: figure.value for head, figure in column(table, "worst case").items()}
    assert worst == pytest.approx({"mlp_ft": 0.0, "mvp": 10 / 19})
    gain = next(each for each in compare(found).over_standard if each.outcome == WORST)
    assert gain.gain is not None and gain.gain.mean == pytest.approx(10 / 19)
    assert (gain.pairs.only_first, gain.pairs.only_second) == (10, 0)
    assert "Under the worst of the attacks for each example: +52.6" in verdict(compare(found))


def test_what_all_attacks_together_leave_and_what_one_word_breaks(tmp_path: Path) -> None:
    """textfooler breaks the even examples, misspellings those that 3 divides: a third is left."""

    def status(cell: Cell, id: int) -> str:
        step = {"textfooler": 2, "misspellings": 3}[cell.attack]
        return "skipped" if id == 19 else "failed" if id % step else "successful"

    only = ("head=mlp_ft,mvp", "dataset=sst2", "attack=textfooler,misspellings")
    found = results(tmp_path, status, only=only)
    table = worst_case(found)
    assert table is not None and [row[1] for row in table.rows] == ["textfooler"] * 2
    shown = {name: column(table, name)["mvp"].value for name in table.header[2:]}
    left = sum(id % 2 and id % 3 and id != 19 for id in range(20)) / 20
    assert shown["worst case"] == pytest.approx(left) and shown["under it"] == 0.45
    assert shown["broken by any attack"] == pytest.approx(1 - 20 * left / 19)
    assert shown["broken by one word"] == shown["broken by any attack"]
    assert (shown["examples"], shown["data sets × models"]) == (60, 3)
    logged = worst_case_metrics(found)
    assert logged["worst_case/mvp"] == pytest.approx(left)
    assert logged["under_attack/mvp"] == pytest.approx((0.45 + 12 / 20) / 2)
    assert worst_case(found.only(lambda r: r.cell.attack == "textfooler")) is None
    for result in found.cells:
        if result.cell.attack == "misspellings":
            result.outcomes.words_changed[:] *= 2
    table = worst_case(found)
    assert table is not None
    broken = {name: column(table, name)["mvp"].value for name in table.header[5:7]}
    assert broken["broken by one word"] == pytest.approx(10 / 19)  # by textfooler alone
    assert broken["broken by any attack"] == shown["broken by any attack"]


def test_the_worst_case_is_shown_beside_figures_of_the_same_examples(tmp_path: Path) -> None:
    """misspellings is in error on the later half, which mvp has wrong before."""

    def status(cell: Cell, id: int) -> str:
        if id >= 10:
            return "error" if cell.attack == "misspellings" else "skipped"
        return "successful" if cell.attack == "textfooler" and id >= 6 else "failed"

    only = ("head=mlp_ft,mvp", "dataset=sst2", "attack=textfooler,misspellings")
    table = worst_case(results(tmp_path, status, only=only))
    assert table is not None
    shown = {name: column(table, name)["mvp"].value for name in table.header[2:]}
    assert [shown[c] for c in ("clean", "under it", "worst case")] == pytest.approx([1, 0.6, 0.6])
    assert shown["examples"] == 30 and shown["broken by any attack"] == pytest.approx(0.4)


def test_a_head_that_is_not_finished_has_no_worst_case_in_mlflow(tmp_path: Path) -> None:
    store, only = Store(str(tmp_path)), ("head=mlp_ft,mvp", *ONE[:2])
    for cell in plan(store, only=only).todo:
        begun = cell.fit.head == "mvp" and cell.attack == "textbugger"
        write(cell, store, ROBUST, finished=5 if begun else EXAMPLES)
    logged = worst_case_metrics(read_store(plan(store, only=only), store))
    assert set(logged) == {"worst_case/mlp_ft", "under_attack/mlp_ft"}


def test_places_without_an_example_in_common_are_no_part_of_the_claim(tmp_path: Path) -> None:
    """misspellings is in error on everything; then so is all of mvp."""
    only = ("head=mlp_ft,mvp", *ONE[:2], "attack=textfooler,misspellings")

    def one_attack(cell: Cell, id: int) -> str:
        return "error" if cell.attack == "misspellings" else ROBUST(cell, id)

    found = results(tmp_path / "attack", one_attack, only=only)
    said = markdown(claim(compare(found)))
    assert "1 data set × 1 model × 1 attack; 1 more have no example in common" in said
    assert "| worst case of all attacks | no example in common |" in said
    by_attack = {part.name: part for part in parts(found) if part.by == "attack"}
    assert by_attack["misspellings"].p_value is None and not by_attack["misspellings"].pairs
    # 6 examples to 0, and not adjusted for an attack that there is nothing of.
    assert by_attack["textfooler"].p_value == pytest.approx(2 / 2**6)
    shown = forest(found)
    assert shown is not None
    row = next(row for row in shown.rows if row[1] == "misspellings")
    assert [e.text() for e in row if isinstance(e, Figure)] == ["–", "–", "0", "–", "–", "0"]

    def one_head(cell: Cell, id: int) -> str:
        return "error" if cell.fit.head == "mvp" else ROBUST(cell, id)

    nothing = results(tmp_path / "head", one_head, only=only)
    assert verdict(compare(nothing)).endswith("mvp and mlp_ft have no example in common.")


def test_slices_are_by_length_and_label(tmp_path: Path) -> None:
    """Texts of 4 words in one slice of length; label 1, and none without a label."""
    table = slices(results(tmp_path, ROBUST, only=ONE))
    assert table is not None
    assert [row[:2] for row in table.rows] == [["sst2", "short (4 words)"], ["sst2", "label 1"]]
    assert table.header[3:] == ["mlp_ft", "mvp"]
    assert all(isinstance(f := row[4], Figure) and f.value == 0.5 for row in table.rows)


def test_the_forest_says_where_the_gain_comes_from(tmp_path: Path) -> None:
    """mvp is better under textfooler alone; of the first 10 examples mlp_ft has none right."""

    def status(cell: Cell, id: int) -> str:
        if cell.fit.head == "mvp":
            return "failed" if cell.attack == "textfooler" or id >= 16 else "successful"
        return "skipped" if id < 10 else "failed" if id >= 16 else "successful"

    only = ("head=mlp_ft,mvp", "dataset=sst2", "attack=textfooler,misspellings")
    found = results(tmp_path, status, only=only)
    by_attack = {part.name: part for part in parts(found) if part.by == "attack"}
    gains_of = {name: part.on_all.gain.mean for name, part in by_attack.items() if part.on_all.gain}
    assert gains_of == pytest.approx({"textfooler": 0.8, "misspellings": 0.0})
    textfooler = by_attack["textfooler"]
    assert textfooler.both_right.gain is not None
    assert textfooler.both_right.gain.mean == pytest.approx(0.6)
    assert (textfooler.pairs, textfooler.pairs_both_right) == (60, 30)
    assert textfooler.p_value == pytest.approx(2 * 2 / 2**16)  # 16 examples, two attacks
    table = forest(found)
    assert table is not None and [row[0] for row in table.rows] == [
        "all", "attack", "attack", "model", "model", "model",
    ]  # fmt: skip
    assert forest(found.only(lambda result: result.cell.fit.head == "mvp")) is None


def test_the_ranking_says_how_often_a_head_is_first(tmp_path: Path) -> None:
    shares = {"mlp_ft": 0.2, "mvp": 0.5, "cls_prompt": 0.5}
    only = ("head=mlp_ft,mvp,cls_prompt", "dataset=sst2", "model=bert-embedded")
    table = ranking(results(tmp_path, robust_up_to(shares), only=only))
    assert table is not None
    first = {head: figure.value for head, figure in column(table, "first").items()}
    assert first["mvp"] == first["cls_prompt"] == pytest.approx(0.5, abs=0.01)
    assert column(table, "lowest rank")["mlp_ft"].value == 3


def test_the_verdict_says_what_it_is_about_and_what_these_runs_could_have_told(
    tmp_path: Path,
) -> None:
    """One seed is about these fits; the gain of a part of 20 examples could be the paper's too."""
    shares = robust_up_to({"mlp_ft": 0.2, "mvp": 0.25})
    said = verdict(compare(results(tmp_path / "one", shares, only=ONE)))
    assert "no significant difference between these fits: the interval includes 0" in said
    assert "The paper reports +8, which lies in the interval too." in said
    assert re.search(r"could have told \d+\.\d points from 0 with 80 % power", said)
    assert re.search(
        r"\+4 would need about [\d,]+ examples a data set, and that of these fits only, if", said
    )
    assert "mvp is more robust here, of these fits, with one seed, not of the method" in verdict(
        compare(results(tmp_path / "more", ROBUST, only=("head=mlp_ft,mvp", "dataset=sst2")))
    )
    seeds = results(tmp_path / "seeds", ROBUST, only=ONE, seeds=[0, 1, 2])
    assert "of the method, over 3 seeds" in verdict(compare(seeds))
    five = robust_up_to({"mlp_ft": 0.2, "mvp": 0.45})  # 5 examples to 0: p = 2 / 2^5
    said = verdict(compare(results(tmp_path / "five", five, only=ONE)))
    assert "these fits: the interval leaves 0 out, but p is 0.062 in the exact test." in said


@pytest.mark.parametrize("variant", ["untrained_mvp", "mvp_random_template", "mvp_2_templates"])
def test_ablations_are_compared_with_what_they_vary(variant: str, tmp_path: Path) -> None:
    robust = robust_up_to({"mvp": 0.5, variant: 0.25, "mlp_ft": 0.2})
    heads = f"axes.head=[mlp_ft, mvp, {variant}]"
    table = ablations(results(tmp_path, robust, only=("dataset=sst2",), sets=(heads,)))
    assert table is not None
    (row,) = table.rows
    assert row[:2] == [variant, "mvp"]
    figures = dict(zip(table.header, row, strict=True))
    assert isinstance(changed := figures["under attack"], Figure)
    assert changed.text().startswith("−25.0 [")
    assert figures["significant"] == "yes, these fits"


def test_what_is_attacked_so_far_is_shown_and_marked(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    first, second = plan(store, only=ONE).todo
    write(first, store, ROBUST)
    write(second, store, ROBUST, finished=8)
    found = read_store(plan(store, only=ONE), store)
    assert [result.final for result in found.cells] == [True, False]
    (table,) = place_tables(found)
    assert column(table, "textfooler")["mvp"].text() == "100.0*"
    assert "* not final" in markdown(table)
    assert "So far: 1 of 2 cells, and what is attacked of 1 more." in as_markdown(found)


def test_a_first_comparison_says_how_much_it_is_over_and_that_it_is_not_final(
    tmp_path: Path,
) -> None:
    """The cells of one data set and model are there, of a grid of 120 cells by two heads."""
    store = Store(str(tmp_path))
    only = ("head=mlp_ft,mvp",)
    for cell in plan(store, only=(*only, *ONE[:2])).todo:
        write(cell, store, ROBUST)
    found = read_store(plan(store, only=only), store)
    assert verdict(compare(found)).startswith(
        "mvp over mlp_ft: +30.0 points of accuracy under attack (not"
    )
    made = files(found)
    for name in ("report.md", "index.html"):
        assert "So far: 8 of 120 cells." in made[name].decode()
    whole = read_store(plan(store, only=(*only, *ONE[:2])), store)
    assert "not final" not in verdict(compare(whole)) and "So far" not in as_markdown(whole)


def test_a_mean_that_lacks_a_seed_is_marked_and_never_the_best(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for cell in plan(store, only=ONE, seeds=[0, 1]).todo:
        if (cell.fit.head, cell.fit.seed) != ("mvp", 1):
            write(cell, store, robust_up_to({"mlp_ft": 0.1, "mvp": 0.9}))
    (table,) = place_tables(read_store(plan(store, only=ONE, seeds=[0, 1]), store))
    figures = column(table, "textfooler")
    assert (figures["mvp"].text(), figures["mlp_ft"].text()) == ("90.0*", "10.0 ± 0.0")
    assert not figures["mvp"].best


def test_a_cell_of_other_versions_is_found_by_what_was_asked_for(tmp_path: Path) -> None:
    """A laptop with another torch reads the cluster's store; a sweep never takes such a cell."""
    store = Store(str(tmp_path))
    (cell, _) = plan(store, only=ONE).todo
    identity = json.loads(json.dumps(cell.fit.identity).replace('"torch": "', '"torch": "9'))
    fit = cell.fit.model_copy(
        update={"identity": identity, "key": f"{cell.fit.key[:-10]}{'a' * 10}"}
    )
    other = cell.model_copy(
        update={
            "fit": fit,
            "identity": {**cell.identity, "fit": identity},
            "key": f"{cell.key[:-10]}{'b' * 10}",
            "log": f"{cell.log[:-10]}{'c' * 10}",
        }
    )
    write(other, store, ROBUST)
    assert read_store(plan(store, only=ONE), store).cells == []
    (found,) = read_store(plan(store, only=ONE), store, from_elsewhere=True).cells
    assert found.cell.key == other.key
    more = plan(store, only=ONE, examples=30)
    assert read_store(more, store, from_elsewhere=True).cells == []


def test_a_report_never_shows_another_sample_in_place_of_the_one_asked_for(tmp_path: Path) -> None:
    """Cells of earlier versions do not say which they drew: the balanced one, in lower case."""
    store, sets = Store(str(tmp_path)), ["attack.examples=20", "attack.sample=balanced"]
    balanced = make_plan(load("embedded", ONE, sets), Assets("embedded"), store)
    for cell in balanced.todo:
        write(cell, store, ROBUST)
        file = tmp_path / "cells" / cell.key / "cell.json"
        written = json.loads(file.read_text())
        del written["sample"], written["scores"], written["fit"]["data"]["lowercase"]
        for name in ("warmup", "max_grad_norm", "decay_norms_and_biases"):
            del written["fit"]["settings"][name]
        file.write_text(json.dumps(written))
        read = Cell.model_validate(store.read_cell(cell.key))
        assert (read.sample, read.fit.data.lowercase) == ("balanced", True)
        trained, scores = read.fit.settings, read.scores
        assert (trained.warmup, trained.max_grad_norm, scores) == (0, None, "textattack")
        assert trained.decay_norms_and_biases
    proportional = plan(store, only=ONE)
    assert {c.key for c in proportional.todo}.isdisjoint(c.key for c in balanced.todo)
    assert read_store(proportional, store, from_elsewhere=True).cells == []
    assert len(read_store(balanced, Store(str(tmp_path)), from_elsewhere=True).cells) == 2
    write(proportional.todo[0], store, ROBUST, finished=5)
    (unfinished,) = read_store(plan(store, only=ONE), store, from_elsewhere=True).cells
    assert not unfinished.final and len(unfinished.outcomes.ids) == 5


def test_from_mlflow_only_the_sample_of_the_plan_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    store, sets = Store("/nonexistent"), ["attack.sample=balanced"]
    cells = plan(store, only=ONE).todo
    cells += make_plan(load("embedded", ONE, sets), Assets("embedded"), store).todo
    records = [record(id, "failed") for id in range(3)]
    fit = {"seconds": 1.0, "validation_accuracy": 0.9, "test_accuracy": 0.8}

    def logged(cell: Cell) -> LoggedCell:
        made: Any = {"metrics": attack_metrics(records)}
        return LoggedCell("", json.loads(cell.model_dump_json()), made, fit, {}, lambda: records)

    for wanted in (cells[:2], cells[2:]):
        planned = [{"key": c.key, "status": "done", "reason": "", **c.axes()} for c in wanted]
        sweep = LoggedSweep({"cells": planned}, list(map(logged, cells)))
        monkeypatch.setattr(from_mlflow, "read_runs", lambda *_, found=sweep: found)
        found = from_mlflow.read_experiment("embedded", "somewhere")
        assert {result.cell.key for result in found.cells} == {cell.key for cell in wanted}


def test_csv_has_every_cell_with_its_keys(tmp_path: Path) -> None:
    found = results(tmp_path, ROBUST, only=ONE)
    rows = list(csv.DictReader(io.StringIO(files(found)["tables/cells.csv"].decode())))
    assert {row["cell_key"] for row in rows} == {result.cell.key for result in found.cells}
    assert float(rows[0]["accuracy_under_attack"]) == 0.2


def test_a_table_survives_markdown_latex_and_csv() -> None:
    rows: list[list[str | Figure]] = [
        ["a|b_c & 5 %", Figure(0.5, spread=0.1, best=True)],
        ["d", Figure(-0.25, signed=True, low=-0.5, high=0.0, show_interval=True, final=False)],
        ["e", Figure(None)],
    ]
    table = Table("t", "A title", ["what", "figure"], rows)
    assert "| a\\|b_c & 5 % | **50.0 ± 10.0** |" in markdown(table)
    assert "a|b\\_c \\& 5 \\% & \\textbf{50.0\\,$\\pm$\\,10.0} \\\\" in latex(table)
    assert "−25.0 [−50.0, +0.0]\\*" in markdown(table)
    read_back = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert read_back[0]["figure (share)"] == "0.5" and read_back[0]["figure sd (share)"] == "0.1"
    assert read_back[1]["figure final"] == "False" and read_back[2]["figure (share)"] == ""


def test_small_p_values_counts_and_signs_are_what_each_form_reads() -> None:
    """A p of 0.00003 is not 0.000; 1,800 in CSV is a number; < and ≤ are mathematics in LaTeX."""
    row: list[str | Figure] = ["≤ 3 · 4", p_value(3e-5), count(1800)]
    table = Table("t", "Bold: p < 0.05", ["what", "p", "examples"], [row])
    assert "| ≤ 3 · 4 | <0.001 | 1,800 |" in markdown(table)
    written = latex(table)
    assert "$\\leq$ 3 $\\cdot$ 4 & $<$0.001 & 1,800" in written and "p $<$ 0.05" in written
    assert as_csv(table).splitlines()[1] == "≤ 3 · 4,3e-05,1800"
    assert p_value(0.0123).text() == "0.012"


def test_csv_has_ends_of_intervals_that_are_1_in_every_row() -> None:
    table = Table("t", "A", ["what", "figure"], [["a", Figure(1.0, low=1.0, high=1.0, count=1)]])
    assert list(csv.DictReader(io.StringIO(as_csv(table)))) == [
        {"what": "a", "figure (share)": "1.0", "figure low (share)": "1.0",
         "figure high (share)": "1.0", "figure of": "1"}
    ]  # fmt: skip


def test_latex_has_the_intervals_that_the_page_has() -> None:
    table = Table("t", "A", ["what", "figure"], [["a", Figure(0.5, low=0.4, high=0.6)]])
    assert "a & 50.0 \\\\\n & {\\scriptsize [40.0, 60.0]} \\\\" in latex(table)
    assert "95 % interval".replace("%", "\\%") in latex(table)


def test_a_baseline_tells_what_changed_beyond_noise_and_in_settings(tmp_path: Path) -> None:
    """mvp withstands 10 examples of 20 now and 3 before; mlp_ft the same ones both times."""
    before = results(tmp_path / "before", robust_up_to({"mlp_ft": 0.2, "mvp": 0.15}), only=ONE)
    store = Store(str(tmp_path / "now"))
    space = load("embedded", only=ONE, sets=["attack.examples=20", "fit.learning_rate=1e-4"])
    for cell in make_plan(space, Assets("embedded"), store).todo:
        write(cell, store, ROBUST)
    now = read_store(make_plan(space, Assets("embedded"), store), store)
    changed, settings = against(now, before)
    assert [str(row[0]) for row in changed.rows] == [
        "sst2 · bert-embedded · mvp · standard · textfooler · 0"
    ]
    assert column(changed, "change")[str(changed.rows[0][0])].text() == "+35.0"
    assert "1 changed significantly" in changed.notes[0]
    assert "1 have the same outcome on every example" in changed.notes[0]
    assert settings.rows == [["fit.learning_rate", "0.0003", "0.0001", count(2)]]
    same, nothing = against(now, read_baseline(store, now))
    assert same.rows == nothing.rows == [] and "are the same" in nothing.notes[0]


report = partial(run, "report")


def stored(folder: Path) -> tuple[Store, list[str]]:
    """A store with all cells of ONE, and the arguments that select it."""
    store = Store(str(folder / "store"))
    for cell in plan(store, only=ONE).todo:
        write(cell, store, ROBUST, place=lambda cell: A10G)
    return store, [*options(ONE, [f"attack.examples={EXAMPLES}"]), "--store", store.url]


def test_the_command_prints_the_comparison_and_writes_the_files(tmp_path: Path) -> None:
    store, asked = stored(tmp_path)
    done = report(*asked, "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "### sst2 · bert-embedded" in done.stdout
    assert (tmp_path / "out" / "report.md").read_text().startswith("# embedded")
    assert (tmp_path / "out" / "tables" / "claim.tex").exists()
    compared = report(*asked, "--baseline", store.url, "--paper", "--out", str(tmp_path / "more"))
    assert "0 changed significantly" in compared.stdout and "Fig. 1" in compared.stdout
    assert (tmp_path / "more" / "tables" / "baseline.csv").exists()
    nothing = report(*asked, "--baseline", str(tmp_path / "nowhere"))
    assert nothing.returncode == 2 and "has no finished cell" in nothing.stderr
    (tmp_path / "file").write_text("")
    refused = report(*asked, "--out", str(tmp_path / "file"))
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1


def test_from_mlflow_alone_the_report_is_the_same(tmp_path: Path) -> None:
    store, asked = stored(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    done = run("track", "sync", *asked, "--tracking-uri", uri)
    assert done.returncode == 0, done.stderr
    from_store = report(*asked, "--out", str(tmp_path / "one"))
    logged = report("--tracking-uri", uri, "--out", str(tmp_path / "two"), "--baseline", store.url)
    assert (from_store.returncode, logged.returncode) == (0, 0), from_store.stderr + logged.stderr
    for path in (tmp_path / "one").rglob("*.csv"):
        name = path.relative_to(tmp_path / "one")
        assert (tmp_path / "two" / name).read_text() == path.read_text(), name
    assert "2 have the same outcome on every example" in logged.stdout
    assert (tmp_path / "one" / "tables" / "devices.csv").exists()
    part = report("--tracking-uri", uri, "--only", "head=mvp", "--out", str(tmp_path / "three"))
    assert "| mvp |" in part.stdout and "| mlp_ft |" not in part.stdout
    unknown = report("--space", "embeded", "--tracking-uri", uri)
    assert unknown.returncode == 2 and "embedded" in unknown.stderr


def test_a_space_without_results_is_said_so(tmp_path: Path) -> None:
    done = report("--store", str(tmp_path))
    assert done.returncode == 0 and "no cell of this space has any results yet" in done.stdout

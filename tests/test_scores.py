"""Kinds of attack scores side by side: cells under another kind, and what a report says of it."""

from pathlib import Path
from typing import Any

import pytest
from stores import EXAMPLES, write
from test_report import column
from test_spaces_as_written import refused

from orchestrator.plan.plan import Plan, make_plan
from orchestrator.plan.scores import KINDS, with_scores
from orchestrator.report.from_store import read_store
from orchestrator.report.scores import LOWEST, calibration, scores_tables
from orchestrator.report.tables import Figure, Table
from search_spaces.cell import Cell
from search_spaces.space import load
from trainables.assets import Assets
from trainables.records import Calibration
from trainables.store import Store

ONLY = ["dataset=ag_news,sst2", "model=bert-embedded", "head=mlp_ft,mvp", "attack=textfooler"]
Robust = dict[tuple[str, str, str], range]  # by kind of score, data set and head


def plan(store: Store, scores: str = "probability", *sets: str) -> Plan:
    changed = [f"attack.scores={scores}", f"attack.examples={EXAMPLES}", *sets]
    return make_plan(load("embedded", ONLY, changed), Assets("embedded"), store)


def run(folder: Path, robust: Robust, *kinds: str) -> Store:
    """A store with the cells under these kinds: which examples withstand, by kind."""
    store = Store(str(folder))
    for kind in kinds:

        def status(cell: Cell, id: int, kind: str = kind) -> str:
            own = robust.get((kind, cell.fit.dataset, cell.fit.head), range(0))
            return "failed" if id in own else "successful"

        for cell in plan(store, kind).todo:
            write(cell, store, status)
    return store


def tables(store: Store, own: str = "probability") -> dict[str, Table]:
    return {table.name: table for table in scores_tables(read_store(plan(store, own), store))}


def values(table: Table, name: str) -> dict[str, float | None]:
    return {head: figure.value for head, figure in column(table, name).items()}


def test_a_cell_under_another_kind_of_score_is_that_of_the_space_that_sets_it() -> None:
    store = Store("nowhere")
    for sets in ((), ("attack.precision=0.1",), ("attack.query_budget=9", "attack.dtype=bf16")):
        for one in KINDS:
            for other in KINDS:
                expected = plan(store, other, *sets).todo
                assert [with_scores(c, other) for c in plan(store, one, *sets).todo] == expected


def test_one_kind_alone_has_no_table(tmp_path: Path) -> None:
    assert tables(run(tmp_path, {}, "probability")) == {}


@pytest.mark.parametrize("own", ["probability", "margin"])
def test_kinds_stand_side_by_side_and_two_classes_need_no_second_attack(
    tmp_path: Path, own: str
) -> None:
    """mvp withstands 10 of ag_news by probability, 5 others by margin: none by both."""
    robust = {
        ("probability", "sst2", "mvp"): range(4),
        ("probability", "ag_news", "mvp"): range(10),
        ("margin", "ag_news", "mvp"): range(10, 15),
    }
    store = run(tmp_path, robust, "probability", "margin")
    assert len(store.cells_done()) == 4 + 2
    shown = tables(store, own)["scores"]
    others = {"probability", "margin"} - {own}
    assert shown.header[1:4] == [own, *others, LOWEST]
    assert values(shown, "probability") == {"mlp_ft": 0, "mvp": pytest.approx(0.35)}
    assert values(shown, "margin") == {"mlp_ft": 0, "mvp": pytest.approx(0.225)}
    assert values(shown, LOWEST) == {"mlp_ft": 0, "mvp": pytest.approx(0.1)}


def test_figures_are_over_cells_that_every_kind_has(tmp_path: Path) -> None:
    robust = {("probability", "sst2", "mvp"): range(20), ("textattack", "ag_news", "mvp"): range(5)}
    store = Store(str(tmp_path))
    run(tmp_path, robust, "probability")
    for cell in plan(store, "textattack").todo:
        if cell.fit.dataset == "ag_news":
            write(cell, store, lambda cell, id: "failed" if id < 5 else "successful")
    shown = tables(store)["scores"]
    assert values(shown, "textattack")["mvp"] == 0.25 and values(shown, "probability")["mvp"] == 0
    assert [row[-1] for row in shown.rows if isinstance(row[-1], Figure)] == [
        Figure(1, percent=False, digits=0)
    ] * 2


ALL, NONE = range(EXAMPLES), range(0)


@pytest.mark.parametrize(
    ("by_probability", "by_textattack", "said"),
    [
        ((NONE, ALL), (NONE, ALL), "does not change the difference significantly"),
        ((NONE, NONE), (NONE, ALL), "under textattack it differs significantly from"),
        ((NONE, ALL), (NONE, range(2)), "under textattack it differs significantly from"),
        ((NONE, range(4)), (NONE, range(2)), "does not change the difference significantly"),
        ((NONE, ALL), (ALL, NONE), "not evidence of robustness"),
    ],
)
def test_a_gain_that_a_kind_of_score_makes_is_named(
    tmp_path: Path, by_probability: Any, by_textattack: Any, said: str
) -> None:
    robust = {
        (kind, dataset, head): stands
        for kind, both in (("probability", by_probability), ("textattack", by_textattack))
        for head, stands in zip(("mlp_ft", "mvp"), both, strict=True)
        for dataset in ("ag_news", "sst2")
    }
    shown = tables(run(tmp_path, robust, "probability", "textattack"))["scores-gain"]
    assert said in shown.notes[-1]


def test_a_space_has_one_kind_of_score() -> None:
    override = "overrides=[{when: {dataset: sst2}, attack: {scores: margin}}]"
    assert "attack.scores" in refused(lambda: load("embedded", sets=[override]))
    for setting in ("protocol: textattack", "query_budget: 5"):
        override = f"overrides=[{{when: {{head: mvp}}, attack: {{{setting}}}}}]"
        assert "attacked alike" in refused(lambda: load("embedded", sets=[override]))  # noqa: B023
        override = override.replace("head: mvp", "dataset: sst2")
        assert load("embedded", sets=[override]).overrides


def test_calibration_is_a_mean_over_fits_and_leaves_out_temperatures_of_separated_ones(
    tmp_path: Path,
) -> None:
    store = run(tmp_path, {}, "probability")
    read = read_store(plan(store), store)
    assert calibration(read) is None  # fits of earlier versions have none
    for number, result in enumerate(read.cells):
        found: Calibration = {
            "temperature": 0.05 if number % 2 else 2.0, "separated": bool(number % 2),
            "error": 0.1 * number, "confidence": 0.9, "saturated": 0.0,
        }  # fmt: skip
        result.fit["calibration"] = found
    shown = calibration(read)
    assert shown is not None
    separated = column(shown, "separated")
    assert sum(figure.value or 0 for figure in separated.values()) == 2
    expected: dict[str, float | None] = {"mlp_ft": None, "mvp": None}
    for result in read.cells:
        if not result.fit["calibration"]["separated"]:
            expected[result.method[0]] = 2.0
    assert values(shown, "temperature, median") == expected and 2.0 in expected.values()

"""The comparison from a store's files, without a sweep."""

from pathlib import Path

import pytest

from orchestrator.plan import make_plan
from orchestrator.report import comparison, summary_table
from search_spaces.cell import Cell
from search_spaces.space import load
from trainables.assets import Assets
from trainables.store import Store

UNDER_ATTACK = {"mlp_ft": 0.2, "mvp": 0.5, "cls_prompt": 0.9}


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    plan = make_plan(load("embedded"), Assets("embedded"), Store("nowhere"))
    return [cell for cell in plan.todo if cell.fit.head in UNDER_ATTACK]


def finished(cells: list[Cell], folder: Path) -> Store:
    """A store that holds a result for each: GPT-2 is ten points weaker than the others."""
    store = Store(str(folder))
    for cell in cells:
        score = UNDER_ATTACK[cell.fit.head] - 0.1 * (cell.fit.model == "gpt2-embedded")
        metrics = {
            "clean_accuracy": 0.9,
            "accuracy_under_attack": score,
            "attack_success_rate": 1 - score / 0.9,
            "avg_queries": 40.0,
            "num_examples": 5,
            "num_errors": 0,
        }
        store.write_result(cell.key, {"metrics": metrics})
    return store


def test_no_heads_mean_is_over_easier_data_sets_or_models(
    cells: list[Cell], tmp_path: Path
) -> None:
    """cls_prompt has no GPT-2: the others' GPT-2 cells must not weigh on their means."""
    table = summary_table(cells, finished(cells, tmp_path))
    assert "mean of the 10 data sets × models all heads have" in table
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert rows[0][0] == "| head" and "textfooler" in rows[0]
    assert [row[0] for row in rows[2:]] == ["| mlp_ft", "| cls_prompt", "| mvp"]
    assert [row[1] for row in rows[2:]] == ["90.0"] * 3
    assert [row[2] for row in rows[2:]] == ["20.0", "90.0", "50.0"]


def test_an_unfinished_corner_of_the_grid_is_in_no_heads_mean(
    cells: list[Cell], tmp_path: Path
) -> None:
    missing = [c for c in cells if (c.fit.dataset, c.fit.model) == ("sst2", "bert-embedded")]
    rest = [cell for cell in cells if cell is not missing[0]]
    assert "mean of the 9 data sets" in summary_table(rest, finished(rest, tmp_path))


def test_one_data_set_and_model_needs_no_summary(cells: list[Cell], tmp_path: Path) -> None:
    one = [c for c in cells if (c.fit.dataset, c.fit.model) == ("sst2", "bert-embedded")]
    shown = comparison(one, finished(one, tmp_path))
    assert shown.startswith("### sst2 · bert-embedded") and "mean of" not in shown

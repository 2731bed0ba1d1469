"""`--explain KEY` prints what a key covers, and what would change a cell's key."""

from pathlib import Path

import pytest

from orchestrator.plan.plan import Plan, make_plan
from orchestrator.sweep.explain import explain
from search_spaces.errors import BadInput
from search_spaces.space import load
from trainables.assets import Assets
from trainables.store import Store


def planned(store: Store, *sets: str) -> Plan:
    only = ["dataset=sst2", "model=bert-embedded", "head=mvp", "attack=textfooler"]
    return make_plan(load("embedded", only=only, sets=sets), Assets("embedded"), store)


def test_a_changed_setting_is_named_with_both_values(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    (old,) = planned(store).todo
    store.write_cell(old.key, old.model_dump(mode="json"))
    plan = planned(store, "fit.learning_rate=2e-4")
    (new,) = plan.todo
    text = explain(new.key, plan, store)
    assert f"it differs from {old.key}" in text
    assert "fit.settings.learning_rate: 0.0003 there, 0.0002 here" in text
    differences = [line for line in text.splitlines() if " there, " in line]
    assert len(differences) == 1
    assert f"this plan has {new.key} (todo)" in explain(old.key, plan, store)


def test_a_precision_is_named_where_one_is_asked_for(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    (without,) = planned(store).todo
    store.write_cell(without.key, without.model_dump(mode="json"))
    assert "precision" not in explain(without.key, planned(store), store)
    plan = planned(store, "attack.precision=0.05")
    text = explain(plan.todo[0].key, plan, store)
    assert "precision: absent there, 0.05 here" in text
    assert len([line for line in text.splitlines() if " there, " in line]) == 1


def test_a_begun_cell_says_so(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    plan = planned(store)
    (cell,) = plan.todo
    store.write_cell(cell.key, cell.model_dump(mode="json"))
    assert "begun and not finished" in explain(cell.key, plan, store)


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    plan = planned(store)
    with pytest.raises(BadInput, match="did you mean sst2-bert-embedded-mvp"):
        explain(plan.todo[0].key + "x", plan, store)

"""Keys change with what determines a result, and with nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.plan.keys import key
from orchestrator.plan.plan import make_plan
from search_spaces.catalog import PACKAGED
from search_spaces.space import FitSettings, load
from trainables.assets import Assets
from trainables.store import Store

EMBEDDED = PACKAGED.parent / "embedded.yaml"


ONE = ["dataset=sst2", "model=bert-embedded", "head=mvp", "attack=textfooler"]


def keys_of(space: str = "embedded", *sets: str) -> dict[str, list[str]]:
    """Fit, log and cell keys of the first cell."""
    loaded = load(space, only=ONE, sets=sets)
    (cell,) = make_plan(loaded, Assets("embedded"), Store("/nonexistent")).todo
    return {"fit": cell.fit.key, "log": cell.log, "cell": cell.key}


def changed(*sets: str) -> set[str]:
    before, after = keys_of(), keys_of("embedded", *sets)
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(("head", "changes"), [("lpft_dense", True), ("mvp", False)])
def test_the_probes_rows_are_in_the_keys_of_heads_that_begin_with_one(
    head: str, changes: bool
) -> None:
    only = [f"head={head}" if each.startswith("head=") else each for each in ONE]
    found = set()
    for rows in (30, 50000):
        space = load("embedded", only=only, sets=[f"fit.probe_examples={rows}"])
        (cell,) = make_plan(space, Assets("embedded"), Store("/nonexistent")).todo
        found.add(cell.fit.key)
    assert len(found) == 1 + changes


def test_a_head_that_trains_on_one_template_has_keys_of_its_own() -> None:
    heads = "axes.head=[mvp, mvp_random_template]"
    space = load("embedded", only=[each for each in ONE if "head" not in each], sets=[heads])
    plan = make_plan(space, Assets("embedded"), Store("/nonexistent"))
    assert len({cell.fit.identity["head"]["kind"] for cell in plan.todo}) == 1
    assert len({json.dumps(cell.fit.identity) for cell in plan.todo}) == 2


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("fit.learning_rate=2e-4", {"fit", "log", "cell"}),
        ("fit.max_length=64", {"fit", "log", "cell"}),
        ("fit.train_examples=100", {"fit", "log", "cell"}),
        ("fit.patience=5", {"fit", "log", "cell"}),
        ("fit.schedule=linear", {"fit", "log", "cell"}),
        ("fit.warmup=0.1", {"fit", "log", "cell"}),
        ("fit.max_grad_norm=2", {"fit", "log", "cell"}),
        ("fit.decay_norms_and_biases=false", {"fit", "log", "cell"}),
        ("fit.dropout=0.5", {"fit", "log", "cell"}),
        ("fit.validation_examples=30", {"fit", "log", "cell"}),
        ("fit.validation_examples=4000", set()),
        ("fit.deterministic=false", {"fit", "log", "cell"}),
        ("fit.deterministic=true", set()),
        ("seeds=[1]", {"fit", "log", "cell"}),
        ("resources.fit.cpus=2", {"fit", "log", "cell"}),
        ("attack.protocol=textattack", {"log", "cell"}),
        ("attack.resources=textattack", {"log", "cell"}),
        ("attack.examples=30", {"cell"}),
        ("attack.sample=balanced", {"log", "cell"}),
        ("attack.sample=proportional", set()),
        ("attack.precision=0.05", {"cell"}),
        ("attack.precision=null", set()),
        ("attack.at_once=1", set()),
        ("fit.learning_rate=0.0003", set()),
        ("fit.weight_decay=0.01", set()),
        ("resources.attack.gpus=0.25", set()),
        ("about=something else", set()),
        ("name=another", set()),
    ],
)
def test_what_a_setting_changes(setting: str, expected: set[str]) -> None:
    assert changed(setting) == expected


def own_space(folder: Path, change: Any = None) -> str:
    """A copy of the embedded space with a catalog of its own for sst2, changed by `change`."""
    entry = yaml.safe_load((PACKAGED / "datasets" / "sst2.yaml").read_text())
    if change:
        change(entry)
    (folder / "catalog" / "datasets").mkdir(parents=True, exist_ok=True)
    reordered = dict(reversed(entry.items()))
    (folder / "catalog" / "datasets" / "sst2.yaml").write_text(
        "# a comment\n" + yaml.safe_dump(reordered, sort_keys=False)
    )
    space = dict(reversed(yaml.safe_load(EMBEDDED.read_text()).items()))
    (folder / "space.yaml").write_text("# another\n" + yaml.safe_dump(space, sort_keys=False))
    return str(folder / "space.yaml")


def test_the_attacked_column_of_a_pair_is_in_the_keys_of_attacks(tmp_path: Path) -> None:
    found = []
    for column in ("sentence1", "sentence2"):
        entry = yaml.safe_load((PACKAGED / "datasets" / "mrpc.yaml").read_text())
        folder = tmp_path / column / "catalog" / "datasets"
        folder.mkdir(parents=True)
        (folder / "mrpc.yaml").write_text(yaml.safe_dump({**entry, "attacked": column}))
        space = tmp_path / column / "space.yaml"
        space.write_text(EMBEDDED.read_text())
        only = ["dataset=mrpc", *ONE[1:]]
        (cell,) = make_plan(load(str(space), only), Assets("embedded"), Store("/none")).todo
        found.append((cell.fit.key, cell.log, cell.key))
    first, second = found
    assert first[0] == second[0] and first[1] != second[1] and first[2] != second[2]


def test_comments_order_and_place_of_files_change_no_key(tmp_path: Path) -> None:
    assert keys_of(own_space(tmp_path)) == keys_of()


def test_a_default_that_is_written_out_changes_no_key() -> None:
    """A default of 0 where numbers are read as 0.0 would."""
    defaults = FitSettings()
    written = FitSettings.model_validate_json(defaults.model_dump_json())
    assert key("fit", written.identity()) == key("fit", defaults.identity())


def test_prompts_are_part_of_an_mvp_fit(tmp_path: Path) -> None:
    def other_words(entry: dict[str, Any]) -> None:
        entry["prompts"]["label_words"] = [["bad"], ["good"]]

    assert keys_of(own_space(tmp_path, other_words))["fit"] != keys_of()["fit"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
identities = st.dictionaries(st.text(), json_values, max_size=5)


@settings(deadline=None)
@given(identities)
def test_the_order_of_an_identity_does_not_count(identity: dict[str, Any]) -> None:
    assert key("x", dict(reversed(identity.items()))) == key("x", identity)


@settings(deadline=None)
@given(identities, identities)
def test_different_identities_have_different_keys(one: dict[str, Any], other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (key("x", one) == key("x", other)) == same

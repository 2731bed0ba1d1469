"""Catalog files of trainings: settings of our kinds, and what a training does not apply to."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.plan.plan import make_plan
from search_spaces.catalog import PACKAGED, Catalog, Training, _read, prompts_of
from search_spaces.errors import BadInput
from search_spaces.space import load
from search_spaces.trainings import SETTINGS, why_not
from trainables.assets import Assets
from trainables.store import Store

CATALOG = Catalog()
ADVERSARIAL = "norm: l2, epsilon: 1.0, steps: 1, step_size: null, start: ball, inner_dropout: true"
FREELB = "steps: 2, step_size: 0.1, start_size: 0.6, bound: 0.6, norm: l2, same_dropout: true"
INFOBERT = f"{FREELB}, upper_weight: 0, lower_weight: 0, exact: false, critic_width: 300"
ADA = "attack: textfooler, attacked_rows: 9, from_epoch: 2, every: null, keep_rows: true"
AMDA = f"{ADA}, mix: smix, layers: [0.5, 1], beta: 0.4"


def entry(folder: Path, kind: str, settings: str) -> Training:
    file = folder / "trainings" / "mine.yaml"
    file.parent.mkdir()
    file.write_text(f"about: mine\nkind: {kind}\nsettings:\n  {{{settings}}}\n")
    return Catalog((folder, PACKAGED)).training("mine")


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("standard", "rate: 2", "line 4: settings.rate: training kind standard has no setting "
         "'rate'; it has none"),
        ("adversarial", "norm: l2, innner_dropout: true", "settings.innner_dropout: training kind "
         "adversarial has no setting 'innner_dropout'; did you mean inner_dropout?"),
        ("adversarial", "norm: l2", "line 3: settings: training kind adversarial needs the setting "
         "'epsilon', e.g. 1.0"),
        ("adversarial", ADVERSARIAL.replace("l2", "l3"),
         "settings.norm: Input should be 'l2' or 'linf' (got 'l3')"),
        ("adversarial", ADVERSARIAL.replace("1.0", "one"),
         "settings.epsilon: expected a number (got 'one')"),
        ("adversarial", ADVERSARIAL.replace("1.0", '"2"'),
         "settings.epsilon: expected a number (got '2')"),
        ("adversarial", ADVERSARIAL.replace("1.0", "true"),
         "settings.epsilon: expected a number, not the boolean true"),
        ("adversarial", ADVERSARIAL.replace("1.0", "0"), "settings.epsilon: Input should be greater"
         " than or equal to 0.000001 (got 0)"),
        ("adversarial", ADVERSARIAL.replace("steps: 1", "steps: 100000"), "settings.steps: Input "
         "should be less than or equal to 1000 (got 100000)"),
        ("adversarial", ADVERSARIAL.replace("l2", "linf").replace("ball", "sphere"),
         "settings: start sphere is of norm l2; with linf give start: ball"),
        ("adversarial", ADVERSARIAL.replace("steps: 1", "steps: 1.5"),
         "settings.steps: expected a whole number (got 1.5)"),
        ("adversarial", ADVERSARIAL.replace("null", "a"), "settings.step_size: expected a number"),
        ("adversarial", ADVERSARIAL.replace("true", "1"),
         "settings.inner_dropout: expected true or false (got 1)"),
        ("adversarial", ADVERSARIAL.replace("true", "yes"), "write true or false"),
        ("freelb", FREELB.replace("step_size: 0.1", "step_size: null"), "settings.step_size: "
         "expected a number"),
        ("freelb", FREELB.replace("bound: 0.6", "bound: 0"), "settings.bound: Input should be "
         "greater than or equal to 0.000001 (got 0)"),
        ("freelb", FREELB.replace("step_size: 0.1", "step_size: 1e30"), "settings.step_size: "),
        ("freelb", FREELB.replace("start_size: 0.6", "start_size: -1"), "settings.start_size: "),
        ("infobert", f"{INFOBERT}, keep_from: 0.9, keep_to: 0.5", "line 3: settings: keep_from 0.9 "
         "is not less than keep_to 0.5: no token would be kept"),
        ("infobert", f"{INFOBERT}, keep_from: 0.5", "needs the setting 'keep_to', e.g. 0.9"),
        ("infobert", f"{INFOBERT}, keep_from: 1.0, keep_to: 1.0", "settings.keep_from: "),
        ("infobert", f"{INFOBERT}, keep_from: 0.5, keep_to: 0.9".replace("300", "300000000"),
         "settings.critic_width: Input should be less than or equal to 10000"),
        ("ada", ADA.replace("null", "2000"), "settings: give either from_epoch or every"),
        ("ada", ADA.replace("from_epoch: 2", "from_epoch: null"), "give either from_epoch or ev"),
        ("ada", ADA.replace(", every: null", ""), "needs the setting 'every', e.g. null"),
        ("ada", ADA.replace("from_epoch: 2", "from_epoch: 1"), "settings.from_epoch: Input should "
         "be greater than or equal to 2 (got 1)"),
        ("ada", ADA.replace("9", "1.0"), "settings.attacked_rows: expected a whole number of rows, "
         "at least 1, or a share of them between 0 and 1 (got 1.0)"),
        ("ada", ADA.replace("9", "0"), "settings.attacked_rows: expected a whole number of rows"),
        ("ada", ADA.replace("9", "all"), "settings.attacked_rows: expected a whole number of rows"),
        ("ada", ADA.replace("textfooler", "7"), 'settings.attack: 7 is read as a number; quote'),
        ("ada", ADA.replace("textfooler", "''"), "settings.attack: unknown attack ''; valid: "),
        ("ada", ADA.replace("textfooler", "../attacks/textfooler"),
         "settings.attack: unknown attack '../attacks/textfooler'; did you mean textfooler?"),
        ("my:own", "attack: [a, b]", "line 4: settings.attack: expected the name of an attack "
         "(got ['a', 'b'])"),
        ("my:own", "attack: true", "settings.attack: expected the name of an attack (got True)"),
        ("amda", AMDA.replace("smix", "mix"), "settings.mix: Input should be 'smix' or 'tmix'"),
        ("amda", AMDA.replace("0.5, 1", "0.5, 2"), "settings.layers.1: Input should be less than "
         "or equal to 1 (got 2)"),
        ("amda", AMDA.replace("0.5, 1", "1, 0.5, 1.0"), "settings.layers: 1 is there more than "
         "once; give each share once"),
        ("amda", AMDA.replace("[0.5, 1]", "0.5"), "settings.layers: expected a list"),
        ("amda", AMDA.replace("beta: 0.4", "beta: 0"), "settings.beta: "),
        ("high_temperature", "temperature: 0", "settings.temperature: "),
        ("high_temperature", "temperature: 1e-320", "settings.temperature: "),
        ("high_temperature", "", "needs the setting 'temperature', e.g. 200"),
    ],
)  # fmt: skip
def test_settings_that_a_kind_of_ours_cannot_have_are_refused(
    kind: str, settings: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput) as error:
        entry(tmp_path, kind, settings)
    assert said in str(error.value) and "mine.yaml, line" in str(error.value)
    assert "\n" not in str(error.value)


def test_settings_stay_as_they_were_written(tmp_path: Path) -> None:
    assert entry(tmp_path, "adversarial", ADVERSARIAL.replace("1.0", "1")).settings == {
        "norm": "l2", "epsilon": 1, "steps": 1, "step_size": None, "start": "ball",
        "inner_dropout": True,
    }  # fmt: skip


def test_settings_of_a_kind_of_ones_own_are_its_own(tmp_path: Path) -> None:
    assert entry(tmp_path, "my_trainings:mine", "a: [1], epsilon: x").settings == {
        "a": [1], "epsilon": "x",
    }  # fmt: skip


def test_each_kind_has_an_entry_of_its_name_and_each_entry_its_source() -> None:
    assert set(SETTINGS) <= set(CATALOG.names("training"))
    for name in CATALOG.names("training"):
        about = CATALOG.training(name).about
        older = name.startswith(("standard", "adversarial"))
        assert older or "20" in about, f"{name}: give the authors and the year"


def with_not_for(folder: Path, axis: str, not_for: dict[str, str]) -> Catalog:
    file = folder / f"{axis}s" / "mine.yaml"
    file.parent.mkdir()
    about = {"about": "mine", "kind": "my:own", "not_for": not_for}
    file.write_text(yaml.safe_dump(about))
    return Catalog((folder, PACKAGED))


def test_what_a_training_does_not_apply_to_is_neither_in_keys_nor_stored(tmp_path: Path) -> None:
    mine = with_not_for(tmp_path, "training", {"causal": "no"}).training("mine")
    assert mine.not_for and "not_for" not in mine.model_dump()


@pytest.mark.parametrize("axis", ["head", "training"])
def test_a_reason_is_one_line_and_not_empty(axis: str, tmp_path: Path) -> None:
    mine: Any = with_not_for(tmp_path, axis, {"causal": "reads\n  one way "}).entry(axis, "mine")
    assert mine.not_for == {"causal": "reads one way"}
    (tmp_path / "other").mkdir()
    with pytest.raises(BadInput, match=r"line 4: not_for.masked is empty; give the reason"):
        with_not_for(tmp_path / "other", axis, {"masked": " \n"}).entry(axis, "mine")


@pytest.mark.parametrize("axis", ["dataset", "model", "head", "training", "attack"])
def test_a_name_with_a_slash_is_in_no_catalog(axis: str) -> None:
    name = CATALOG.names(axis)[0]
    with pytest.raises(BadInput, match=rf"unknown {axis} '\./{name}'"):
        CATALOG.entry(axis, f"./{name}")


@pytest.mark.parametrize(
    ("training", "head", "model", "dataset", "reason"),
    [
        ("amda_tmix", "mlp_ft", "bert-embedded", "sst2", ""),
        ("amda_tmix", "cls_prompt", "bert-embedded", "sst2", ""),
        ("amda_tmix", "mvp", "bert-embedded", "sst2", "a template after the text"),
        ("amda_tmix", "mvp_1_template", "bert-embedded", "sst2", ""),
        ("amda_tmix", "mlp_ft", "gpt2-embedded", "sst2", "a causal model"),
        ("amda", "mvp", "gpt2-embedded", "sst2", ""),
        ("infobert", "mvp", "gpt2-embedded", "sst2", ""),
        ("standard", "mvp", "gpt2-embedded", "sst2", ""),
    ],
)
def test_why_a_training_does_not_apply(
    training: str, head: str, model: str, dataset: str, reason: str
) -> None:
    head_entry, language_model = CATALOG.head(head), CATALOG.model(model)
    prompts = prompts_of(CATALOG.dataset(dataset), head_entry, language_model)
    said = why_not(CATALOG.training(training), head_entry, prompts, language_model)
    assert reason in said and bool(said) == bool(reason)


def test_a_plan_says_why_a_training_does_not_apply() -> None:
    space = load("embedded", ["dataset=sst2", "head=mvp,mvp_1_template", "attack=textfooler"], [
        "axes.training=[standard, amda_tmix_embedded]", "axes.head=[mvp, mvp_1_template]",
    ])  # fmt: skip
    plan = make_plan(space, Assets("embedded"), Store("/nonexistent"))
    left_out = {(p.cell.fit.model, p.cell.fit.head, p.cell.fit.training): p.reason for p in
                plan.cells if p.status == "not_applicable"}  # fmt: skip
    tmix = "amda_tmix_embedded"
    assert left_out.keys() == {
        ("bert-embedded", "mvp", tmix), ("roberta-embedded", "mvp", tmix),
        ("gpt2-embedded", "mvp", tmix), ("gpt2-embedded", "mvp_1_template", tmix),
    }  # fmt: skip
    assert all(reason.startswith("tmix mixes texts token by token") for reason in left_out.values())


def test_a_training_without_a_fit_need_not_know_the_protocol(tmp_path: Path) -> None:
    written = yaml.safe_load((PACKAGED.parent / "defences.yaml").read_text())
    written["axes"] |= {"dataset": ["sst2"], "attack": ["textfooler"]}
    written["axes"] |= {"training": ["standard", "mine"]}
    written["attack"]["protocol"] = "strict"
    settings = dict(CATALOG.training("ada_embedded").settings, attack="misspellings")
    mine = {"about": "mine", "kind": "ada", "settings": settings}
    (tmp_path / "catalog" / "trainings").mkdir(parents=True)
    (tmp_path / "catalog" / "trainings" / "mine.yaml").write_text(yaml.safe_dump(mine))
    file = tmp_path / "space.yaml"
    file.write_text(yaml.safe_dump(written))
    with pytest.raises(BadInput, match=r"training 'mine' attacks by .* exclude it"):
        load(str(file))
    written["exclude"] = [{"training": "mine", "reason": "too dear"}]
    file.write_text(yaml.safe_dump(written))
    plan = make_plan(load(str(file)), Assets("embedded"), Store("/nonexistent"))
    assert {p.reason for p in plan.cells if p.cell.fit.training == "mine"} == {"too dear"}
    del written["exclude"]
    mine["not_for"] = {"masked": "reads one way"}
    (tmp_path / "catalog" / "trainings" / "mine.yaml").write_text(yaml.safe_dump(mine))
    file.write_text(yaml.safe_dump(written))
    _read.cache_clear()
    plan = make_plan(load(str(file)), Assets("embedded"), Store("/nonexistent"))
    assert {p.reason for p in plan.cells if p.cell.fit.training == "mine"} == {"reads one way"}


def test_tmix_of_ones_own_is_not_for_causal_models_either(tmp_path: Path) -> None:
    mine = entry(tmp_path, "amda", AMDA.replace("smix", "tmix"))
    assert not mine.not_for
    assert "causal" in why_not(mine, CATALOG.head("mlp_ft"), None, CATALOG.model("gpt2"))


def test_a_user_says_what_a_training_is_not_for(tmp_path: Path) -> None:
    mine = with_not_for(tmp_path, "training", {"masked": "reads one way"}).training("mine")
    assert why_not(mine, CATALOG.head("mlp_ft"), None, CATALOG.model("gpt2")) == ""
    assert why_not(mine, CATALOG.head("mlp_ft"), None, CATALOG.model("roberta-base"))

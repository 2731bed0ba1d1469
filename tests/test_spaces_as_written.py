"""Spaces, catalog files and options as people write them: read as they are meant, or refused.

What is refused is refused in one line that names the file and the line, or the option.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from stores import write_finished

from orchestrator.assets.needed import needed
from orchestrator.plan.plan import Plan, make_plan
from orchestrator.report.__main__ import main as report
from orchestrator.report.from_mlflow import read_experiment
from orchestrator.report.provenance import not_run
from orchestrator.report.tables import Figure
from orchestrator.run.slots import shape
from orchestrator.sweep.__main__ import main as sweep
from orchestrator.sweep.dry_run import describe
from orchestrator.track import main as track
from search_spaces.axes import Exclusion
from search_spaces.catalog import PACKAGED, Catalog, attack_settings
from search_spaces.errors import BadInput
from search_spaces.space import Space, load
from trainables.assets import Assets
from trainables.store import Store

SPACE = """\
name: mine
about: for a test
assets: embedded
axes:
  dataset: [sst2]
  model: [bert-embedded, gpt2-embedded]
  head: [mlp_ft, mvp]
  attack: [textfooler, misspellings]
seeds: [0, 1]
fit: {max_length: 96, batch_size: 8, learning_rate: 3.0e-4, max_epochs: 1}
attack: {examples: 5, protocol: mvp, resources: embedded}
"""
Load = Callable[..., Space]


@pytest.fixture
def written(tmp_path: Path) -> Load:
    """Loads SPACE with some of its text replaced, and lines added at its end."""

    def written(*lines: str, instead: tuple[str, str] = ("", ""), **asked: Any) -> Space:
        assert instead[0] in SPACE
        text = SPACE.replace(*instead, 1) if instead[0] else SPACE
        file = tmp_path / "space.yaml"
        file.write_text("".join([text, *(f"{line}\n" for line in lines)]))
        return load(str(file), **asked)

    return written


def planned(space: Space) -> Plan:
    return make_plan(space, Assets("embedded"), Store("/nonexistent"))


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(BadInput) as error:
        call()
    said = str(error.value)
    assert "\n" not in said
    return said


# What plain values mean


@pytest.mark.parametrize(
    ("instead", "path", "value"),
    [
        (("batch_size: 8", "batch_size: 010"), "fit.batch_size", 10),
        (("batch_size: 8", "batch_size: 0x10"), "fit.batch_size", 16),
        (("batch_size: 8", "batch_size: 0o17"), "fit.batch_size", 15),
        (("batch_size: 8", "batch_size: 1e2"), "fit.batch_size", 100),
        (("3.0e-4", "1e-4"), "fit.learning_rate", 1e-4),
        (("3.0e-4", ".5"), "fit.learning_rate", 0.5),
        (("max_epochs: 1", "group_by_length: yes"), "fit.group_by_length", True),
        (("max_epochs: 1", "group_by_length: off"), "fit.group_by_length", False),
        (("max_epochs: 1", "train_examples: ~"), "fit.train_examples", None),
        (("name: mine", "name: no"), "name", "no"),
        (("name: mine", "name: 2024-01-01"), "name", "2024-01-01"),
        (("about: for a test", "about: 12:30:45"), "about", "12:30:45"),
        (("about: for a test", "about: 0b11"), "about", "0b11"),
        (("about: for a test", "about: ="), "about", "="),
        (("seeds: [0, 1]", "seeds: [010]"), "seeds", [10]),
        (("seeds: [0, 1]", "seeds: 0-2"), "seeds", [0, 1, 2]),
        (("seeds: [0, 1]", "seeds: 0 - 2, 1-3"), "seeds", [0, 1, 2, 3]),
        (("seeds: [0, 1]", "seeds: [0-2, 7]"), "seeds", [0, 1, 2, 7]),
        (("seeds: [0, 1]", "seeds: [1, 0, 1]"), "seeds", [1, 0]),
        (("[mlp_ft, mvp]", "mvp"), "axes.head", ["mvp"]),
        (("[mlp_ft, mvp]", "[mvp, mlp_ft, mvp]"), "axes.head", ["mvp", "mlp_ft"]),
    ],
    ids=lambda case: case[1] if isinstance(case, tuple) else None,
)
def test_a_plain_value_is_what_it_looks_like(
    instead: tuple[str, str], path: str, value: object, written: Load
) -> None:
    found: Any = written(instead=instead)
    for name in path.split("."):
        found = getattr(found, name)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        (("seeds: [0, 1]", "seeds: [0]\nseeds: [1]"), "seeds appears twice (lines 9 and 10)"),
        (("fit: {", "fit: {batch_size: 4,"), "line 10: batch_size appears twice"),
        (("attack: {ex", "fit: {}\nattack: {ex"), "line 11: fit appears twice (lines 10 and 11)"),
        (("name: mine", '"name": a\nname: b'), "line 2: name appears twice"),
        (("seeds: [0, 1]", "seeds:"), "line 9: seeds is empty"),
        (("seeds: [0, 1]", "seeds: []"), "line 9: seeds is empty"),
        (("seeds: [0, 1]", "seeds: [true]"), "line 9: seeds: a seed is a number, not the boolean"),
        (("seeds: [0, 1]", "seeds: [0.5]"), "line 9: seeds.0: expected a whole number"),
        (("seeds: [0, 1]", "seeds: [.nan]"), "line 9: .nan is not a finite number"),
        (("seeds: [0, 1]", "seeds: [-1]"), "line 9: seeds.0: "),
        (("seeds: [0, 1]", "seeds: [4294967296]"), "line 9: seeds.0: "),
        (("seeds: [0, 1]", "seeds: 3"), "line 9: seeds: write [3] for the seed 3 alone"),
        (("seeds: [0, 1]", "seeds: 0-1000000000"), "line 9: seeds: more than 10,000 seeds"),
        (("seeds: [0, 1]", "seeds: [0-9999, 10000-19999]"), "line 9: seeds: more than 10,000"),
        (("seeds: [0, 1]", "seeds: 5-3"), "line 9: seeds: 5-3 ends before it begins"),
        (("seeds: [0, 1]", "seeds: 12:30"), "line 9: seeds: write seeds as 0,1,2 or 0-2"),
        (("batch_size: 8", "batch_size: yes"), "line 10: fit.batch_size: expected a whole number"),
        (("batch_size: 8", "batch_size: true"), "line 10: fit.batch_size: expected a number, not"),
        (("batch_size: 8", "batch_size: 8.5"), "line 10: fit.batch_size: expected a whole number"),
        (("batch_size: 8", "batch_size:"), "line 10: fit.batch_size is empty"),
        (("3.0e-4", "true"), "line 10: fit.learning_rate: expected a number, not the boolean"),
        (("3.0e-4", ".inf"), "line 10: .inf is not a finite number"),
        (("3.0e-4", "1e999"), "line 10: 1e999 is not a finite number"),
        (("3.0e-4", '"nan"'), "line 10: fit.learning_rate: expected a number that is neither"),
        (("max_epochs: 1", "weight_decay: .inf"), "line 10: .inf is not a finite number"),
        (("name: mine", "name: 1e5"), 'line 1: name: 1e5 is read as a number; quote it to make it'),
        (("name: mine", "name: 010"), 'name: 010 is read as a number; quote it to make it a str'),
        (("name: mine", "name: true"), "line 1: name: true is read as a boolean; quote it"),
        (("name: mine", "name: null"), "line 1: name: null is read as no value; quote it"),
        (("name: mine", "name:"), "line 1: name is empty"),
        (("[sst2]", "[2024]"), 'line 5: axes.dataset.0: 2024 is read as a number; quote it'),
        (("[sst2]", "\n  - sst2\n  - sts2"), "line 7: axes.dataset.1: unknown dataset 'sts2'"),
        (("[sst2]", "[sst2, SST2]"), "line 5: axes.dataset: sst2 and SST2 differ in case only"),
        (("[mlp_ft, mvp]", "mlp_ft, mvp"), "line 7: axes.head: expected a list, as [mlp_ft, mvp]"),
        (("seeds: [0, 1]", "sedes: [0]"), "line 9: sedes: unknown name; did you mean seeds"),
        (("seeds: [0, 1]", "evaluate_also: {sst2: mrp}"), "evaluate_also.sst2: unknown dataset"),
        (("seeds: [0, 1]", "evaluate_also: {sst2: ag_news}"), "evaluate_also.sst2: ag_news has"),
        (("seeds: [0, 1]", "overrides: [{when: {head: mvp}, attack: {sample: balanced}}]"),
         "leave `attack.sample` out"),
        (("protocol: mvp", "sample: stratified"), "attack.sample"),
        (("seeds: [0, 1]", "2024: x"), 'line 9: the name 2024 is read as a number; quote it'),
        (("seeds: [0, 1]", "? [a]\n: b"), "line 9: a list or mapping cannot be a name"),
        (("seeds: [0, 1]", "seeds: &a [*a]"), "line 9: a value that contains itself"),
        (("seeds: [0, 1]", "seeds: !!set {a, b}"), "line 9: "),
        (("seeds: [0, 1]", "seeds: [0, 1]\n---\nname: b"), "line 10: a second document begins"),
        (("seeds: [0, 1]", "seeds: " + 3000 * "["), "too many levels"),
        (("seeds: [0, 1]", "about\0:"), "line 9: not a YAML text"),
        (("protocol: mvp", "protocol: mpv"), "line 11: attack.protocol: "),
    ],
    ids=lambda case: case[1][:40] if isinstance(case, tuple) else None,
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_its_line(
    instead: tuple[str, str], said: str, written: Load, tmp_path: Path
) -> None:
    line = refused(lambda: written(instead=instead))
    assert line.startswith(f"{tmp_path}/space.yaml, line ") and said in line


@pytest.mark.parametrize("key", ["", "<<: "], ids=["lists", "merged"])
def test_aliases_that_explode_are_refused(key: str, tmp_path: Path) -> None:
    lines = [f"a: &a {'{x: 1}' if key else '[x]'}"]
    for before, name in zip("abcdefghijklmno", "bcdefghijklmnop", strict=True):
        many = ", ".join([f"*{before}"] * 9)
        lines.append(f"{name}: &{name} " + (f"{{<<: [{many}]}}" if key else f"[{many}]"))
    (tmp_path / "space.yaml").write_text("\n".join(lines))
    said = refused(lambda: load(str(tmp_path / "space.yaml")))
    assert "more than 100,000 values with aliases expanded" in said


def test_anchors_and_merged_keys_mean_what_yaml_says(written: Load) -> None:
    merged = written(
        "resources:", "  fit: &both {cpus: 3}", "  attack: {<<: *both, gpus: 0.5}"
    ).resources
    assert (merged.fit.cpus, merged.attack.cpus, merged.attack.gpus) == (3, 3, 0.5)
    lines = ("resources: {fit: &one {cpus: 3}, attack: *one}",)
    changed = written(*lines, sets=["resources.attack.cpus=1"]).resources
    assert (changed.fit.cpus, changed.attack.cpus) == (3, 1), "a shared value is set in one place"


@pytest.mark.parametrize("bytes_of", [
    lambda text: text.replace("\n", "\r\n").encode(), lambda text: text.encode("utf-8-sig"),
])  # fmt: skip
def test_files_of_other_editors_are_read(bytes_of: Any, tmp_path: Path) -> None:
    (tmp_path / "space.yml").write_bytes(bytes_of(SPACE))
    assert load(str(tmp_path / "space.yml")).name == "mine"
    (tmp_path / "space.yml").write_bytes(SPACE.encode("utf-16"))
    assert "not a YAML text file" in refused(lambda: load(str(tmp_path / "space.yml")))


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=12))
def test_what_is_written_is_read_back_by_either_version_of_yaml(text: str) -> None:
    from search_spaces.yaml_file import dump, read_value

    for words in (text, text.lower(), "1e5", "no", "010", "0o7", "<<", "=", "12:30", "null"):
        out = dump({"word": words})
        assert yaml.safe_load(out) == read_value(out, "")[0] == {"word": words}


def test_a_space_kept_as_it_was_resolved_is_the_same_space(written: Load, tmp_path: Path) -> None:
    from search_spaces.yaml_file import dump

    space = written(
        "exclude: [{head: mvp, seed: 1, reason: 'no'}]",
        "overrides: [{when: {model: gpt2-embedded}, fit: {learning_rate: 1e-4}}]",
        instead=("name: mine", "name: '1e5'"),
    )
    (tmp_path / "again.yaml").write_text(dump(space.model_dump(mode="json")))
    assert planned(load(str(tmp_path / "again.yaml"))) == planned(space)


# Options


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["fit.learning_rate=nan"], "--set fit.learning_rate=nan: fit.learning_rate: expected a"),
        (["fit.learning_rate=.nan"], "--set fit.learning_rate=.nan: .nan is not a finite number"),
        (["attack.precision=.nan"], "--set attack.precision=.nan: .nan is not"),
        (["fit.batch_size=yes"], "--set fit.batch_size=yes: fit.batch_size: expected a whole"),
        (["fit.batch_size=true"], "--set fit.batch_size=true: fit.batch_size: expected a number"),
        (["fit.max_epochs="], "--set fit.max_epochs=: fit.max_epochs is empty"),
        (["fit={max_epochs: 1, max_epochs: 2}"], "max_epochs appears twice"),
        (["name=1e5"], "--set name=1e5: name: 1e5 is read as a number; quote it"),
        (["axes.head=mvp,mlp_ft"], "axes.head: expected a list, as [mvp,mlp_ft]"),
        (["axes.head=[mvp,mpv]"], "--set axes.head=[mvp,mpv]: axes.head.1: unknown head 'mpv'"),
        (["axes.dataset=2024"], "axes.dataset.0: 2024 is read as a number; quote it"),
        (["seeds=0-99999999999"], "--set seeds=0-99999999999: seeds: more than 10,000 seeds"),
        (["attack.examples=2", "attack.examples=9"], "set attack.examples twice; keep one of them"),
        (["fit={max_epochs: 2}", "fit.max_epochs=3"], "set fit.max_epochs twice; keep one of"),
        (["overrides.0.fit=1"], "--set overrides.0.fit: unknown setting"),
    ],
    ids=lambda case: " ".join(case) if isinstance(case, list) else None,
)
def test_values_of_set_obey_the_same_rules_and_errors_name_the_option(
    sets: list[str], said: str, written: Load
) -> None:
    line = refused(lambda: written(sets=sets))
    assert line.startswith("--set ") and said in line


def test_set_takes_ranges_of_seeds_a_lone_name_and_names_of_data_sets(written: Load) -> None:
    sets = ["seeds=0-2", "axes.head=mvp", "evaluate_also.sst2=[sst2]", "fit.batch_size=010"]
    space = written(sets=[*sets, "fit.max_epochs=2", "fit.max_epochs=2"])
    assert (space.seeds, space.axes.head) == ([0, 1, 2], ["mvp"])
    assert (space.evaluate_also, space.fit.batch_size) == ({"sst2": ["sst2"]}, 10)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seeds", "0-1000000000"], "--seeds 0-1000000000: more than 10,000 seeds"),
        (["--seeds", "3-"], "--seeds 3-: write seeds as 0,1,2 or 0-2"),
        (["--seeds", "5-3"], "--seeds 5-3: 5-3 ends before it begins"),
        (["--seeds", "4294967296"], "--seeds: seeds.0: "),
        (["--seeds", "0-999"], "480,000 cells, more than 200,000"),
        (["--seeds", "0", "--set", "seeds=[1]"], "--set seeds=[1] and --seeds set seeds twice"),
        (["--precision", "nan"], "--precision nan: attack.precision: "),
        (["--precision", "0.7"], "--precision 0.7: attack.precision: "),
        (["--precision", "0.1", "--set", "attack.precision=0.2"], "set attack.precision twice"),
        (["--only", "head=mlp_ft,,mvp"], "write it as axis=value[,value]"),
        (["--only", "head=mlp_ft", "--only", "head=mpv"], "no head 'mpv'; did you mean mvp"),
        (["--only", "head=MVP"], "no head 'MVP'; did you mean mvp"),
        (["--only", "seed=0"], "unknown axis 'seed'; give --seeds"),
    ],
    ids=lambda case: " ".join(case) if isinstance(case, list) else None,
)
def test_options_are_refused_by_name(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(["--dry-run", *arguments]) == 2
    line = capsys.readouterr().err
    assert said in line and line.count("\n") == 1


@pytest.mark.parametrize(
    "only",
    [
        ["head=mlp_ft", "head=mvp"],
        ["head=mlp_ft, mvp"],
        [" head = mlp_ft,mvp ", "head=mvp"],
        ["head=mlp_ft,mvp,mlp_ft"],
    ],
    ids=str,
)
def test_only_is_the_union_of_what_it_names(only: list[str]) -> None:
    cells = planned(load("embedded", only=["dataset=sst2", "attack=textfooler", *only])).cells
    assert [planned.cell.fit.head for planned in cells] == 3 * ["mlp_ft", "mvp"]


def test_a_value_twice_is_one_run(written: Load) -> None:
    plain = planned(written())
    twice = planned(written(
        only=["dataset=sst2,sst2"], seeds=[0, 1, 0],
        sets=["axes.attack=[textfooler, misspellings, textfooler]"],
        instead=("[mlp_ft, mvp]", "[mlp_ft, mvp, mlp_ft]"),
    ))  # fmt: skip
    assert [each.cell.key for each in twice.cells] == [each.cell.key for each in plain.cells]


def test_a_space_without_its_ending_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_space.yml").write_text(SPACE)
    assert "did you mean my_space.yml?" in refused(lambda: load("my_space"))


# Catalog files


def own(folder: Path, name: str, text: str, axis: str = "dataset") -> Catalog:
    file = folder / "catalog" / f"{axis}s" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return Catalog((folder / "catalog", PACKAGED))


REVIEWS = """\
about: mine
columns: [review]
label: stars
labels: [no, yes]
attacked: review
splits: {train: train, validation: validation, test: test}
prompts:
  templates: ["[SEP] good? [MASK]", "[SEP] fine? [MASK]"]
  label_words: [[no], [yes]]
prompt_sets:
  other: {templates: ["[SEP] well? [MASK]"]}
"""


def test_yes_and_no_are_labels_and_label_words(tmp_path: Path) -> None:
    data = own(tmp_path, "mine.yaml", REVIEWS).dataset("mine")
    assert data.labels == ["no", "yes"]
    assert data.prompts is not None and data.prompts.label_words == [["no"], ["yes"]]


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        (("[no, yes]", "[0, 1]"), 'line 4: labels.0: 0 is read as a number; quote it to make it'),
        (("[no, yes]", "[true, false]"), "line 4: labels.0: true is read as a boolean; quote"),
        (("[no, yes]", "[~, b]"), "line 4: labels.0: ~ is read as no value; quote it"),
        (("[[no], [yes]]", "\n  - [good]\n  - [true]"), "line 11: prompts.label_words.1.0: true"),
        (("[no, yes]", "[no, no]"), "line 4: labels.1: 'no' appears twice"),
        (("[review]", "[review, review]"), "line 2: columns.1: 'review' appears twice"),
        (("fine?", "good?"), "line 8: prompts.templates.1: '[SEP] good? [MASK]' appears twice"),
        (("[[no], ", "[[no, no], "), "line 9: prompts.label_words.0.1: 'no' appears twice"),
        (("prompt_sets", "  selections: {2: [1, 2]}\nprompt_sets"), 'quote it: "2"'),
        (("prompt_sets", "  selections: {\"2\": [1]}\nprompt_sets"), "2 templates are [1], which"),
        (("prompt_sets", "  selections: {\"1\": [3]}\nprompt_sets"), "there is no template 3"),
        (("prompt_sets", "  selections: {\"2\": [1, 1]}\nprompt_sets"), "1 appears twice"),
        (("well? [MASK]\"", "a [MASK]\", \"[SEP] a [MASK]\""), "prompt_sets.other.templates.1: "),
        (("well? [MASK]\"]", "a [MASK]\"], tmplates: []"), "other.tmplates: unknown name; did you"),
        (("label: stars", "label: review"), "line 3: label: 'review' is one of columns"),
        (("label: stars", "label: stars\nlabel: star"), "label appears twice (lines 3 and 4)"),
        (("attacked: review", "attacked: review\nmax_words_changed: .nan"), ".nan is not a finite"),
    ],
    ids=lambda case: case[1][:40] if isinstance(case, tuple) else None,
)  # fmt: skip
def test_a_data_set_that_cannot_be_meant_is_refused_with_its_line(
    instead: tuple[str, str], said: str, tmp_path: Path
) -> None:
    assert instead[0] in REVIEWS
    catalog = own(tmp_path, "mine.yaml", REVIEWS.replace(*instead, 1))
    line = refused(lambda: catalog.dataset("mine"))
    assert f"{tmp_path}/catalog/datasets/mine.yaml, line " in line and said in line


def test_settings_of_an_attack_take_no_word_for_a_truth_value(tmp_path: Path) -> None:
    text = "about: mine\nkind: textbugger\nsettings:\n  word_swap_only: {}\n"
    catalog = own(tmp_path, "mine.yaml", text.format("no"), "attack")
    said = refused(lambda: catalog.attack("mine"))
    assert "line 4: settings.word_swap_only: write true or false" in said
    own(tmp_path, "yours.yaml", text.format("'no'"), "attack")
    assert catalog.attack("yours").settings == {"word_swap_only": "no"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "settings: {min_word_lenght: 4, max_words_changed_count: 1}",
            "no setting 'min_word_lenght'",
        ),
        ("settings: {max_words_changed_count: 1}", "needs the setting 'min_word_length', e.g. 4"),
        (
            'settings: {min_word_length: "4", max_words_changed_count: 1}',
            "is '4'; expected a value like 4",
        ),
        (
            "settings: {min_word_length: 4, max_words_changed_count: true}",
            "is True; expected a value like 1",
        ),
        (
            "settings: {min_word_length: $dataset.words, max_words_changed_count: 1}",
            "a value like 4",
        ),
        ("protocols: {mvpp: {min_word_length: 3}}", "protocols.mvpp"),
        ("resources: {embeded: {min_word_length: 3}}", "resources.embeded"),
    ],
)
def test_settings_that_an_attack_of_ours_has_not_are_refused(
    change: str, said: str, tmp_path: Path
) -> None:
    text = f"about: mine\nkind: misspellings\n{change}\n"
    catalog = own(tmp_path, "mine.yaml", text, "attack")
    data = catalog.dataset("sst2")
    line = refused(lambda: attack_settings(catalog.attack("mine"), data, "mvp", "embedded"))
    assert said in line


def test_an_exclusion_needs_a_reason_that_says_something() -> None:
    with pytest.raises(ValueError, match="at least 1 character"):
        Exclusion.model_validate({"head": "mvp", "reason": "  "})


def test_exclude_and_overrides_may_name_a_default(tmp_path: Path) -> None:
    """What a file leaves out is there, too, whatever an option has put in its place."""
    space = (PACKAGED.parent / "embedded.yaml").read_text()
    space = space.replace("  training: [standard]\n", "").replace("seeds: [0]\n", "")
    left_out = "exclude: [{seed: 0, training: standard, head: mvp, reason: known}]\n"
    (tmp_path / "space.yaml").write_text(space + left_out)
    sets = ["axes.training=[adversarial]"]
    loaded = load(str(tmp_path / "space.yaml"), sets=sets, seeds=[1])
    assert loaded.seeds == [1] and loaded.axes.training == ["adversarial"]


def test_yml_files_are_seen_and_two_of_a_name_are_refused(tmp_path: Path) -> None:
    catalog = own(tmp_path, "mine.yml", REVIEWS)
    assert "mine" in catalog.names("dataset") and catalog.dataset("mine").label == "stars"
    own(tmp_path, "mine.yaml", REVIEWS)
    said = refused(lambda: catalog.dataset("mine"))
    assert "mine.yaml and mine.yml mean the same dataset; keep one" in said


def test_a_name_that_is_a_number_is_a_name(tmp_path: Path) -> None:
    own(tmp_path, "2024.yaml", (PACKAGED / "datasets" / "sst2.yaml").read_text())
    (tmp_path / "space.yaml").write_text(SPACE.replace("[sst2]", "[sst2, '2024']"))
    file = str(tmp_path / "space.yaml")
    assert load(file, only=["dataset=2024"]).axes.dataset == ["2024"]
    assert load(file, sets=['axes.dataset="2024"']).axes.dataset == ["2024"]


def test_a_file_for_ray_up_is_read_as_ray_reads_it_but_no_key_twice(tmp_path: Path) -> None:
    from search_spaces.yaml_file import read_mapping

    file = tmp_path / "cluster.yaml"
    file.write_text("provider: {use_internal_ips: yes}\n")
    assert read_mapping(file) == {"provider": {"use_internal_ips": True}}
    file.write_text("max_workers: 1\nmax_workers: 2\n")
    assert "max_workers appears twice (lines 1 and 2)" in refused(lambda: read_mapping(file))


# exclude

EXCLUDE = (
    "exclude:",
    "  - {head: mvp, attack: [misspellings], reason: it takes too long}",
    "  - {model: gpt2-embedded, seed: 1, reason: one seed will do}",
)


def left_out(plan: Plan) -> dict[str, int]:
    reasons = [each.reason for each in plan.cells if each.status == "not_applicable"]
    return {reason: reasons.count(reason) for reason in reasons}


def test_what_is_excluded_is_in_the_plan_with_its_reason_and_keys_stay(written: Load) -> None:
    plain, plan = planned(written()), planned(written(*EXCLUDE))
    assert left_out(plan) == {"it takes too long": 4, "one seed will do": 3}
    assert [each.cell.key for each in plan.cells] == [each.cell.key for each in plain.cells]
    assert len(plan.todo) == len(plain.todo) - 7
    assert "not_applicable sst2-gpt2-embedded-mlp_ft-standard-textfooler-s1" in describe(plan)
    assert left_out(planned(written(*EXCLUDE, only=["head=mlp_ft"], seeds=[0]))) == {}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{head: mpv, reason: x}", "exclude.0.head: this space has no head 'mpv'; did you mean"),
        ("{seed: 7, reason: x}", "exclude.0.seed: this space has no seed 7"),
        ("{head: mvp}", "exclude.0.reason is missing"),
        ("{head: mvp, reason: }", "exclude.0.reason is empty"),
        ("{reason: x}", "exclude.0: names no axis"),
        ("{head: , reason: x}", "exclude.0.head is empty"),
        ("{head: [], reason: x}", "exclude.0.head is empty"),
        ("{heads: mvp, reason: x}", "exclude.0.heads: unknown name; did you mean head"),
        ("mvp", "exclude.0: expected a mapping"),
    ],
)  # fmt: skip
def test_an_exclusion_that_cannot_be_meant_is_refused(entry: str, said: str, written: Load) -> None:
    line = refused(lambda: written(f"exclude: [{entry}]"))
    assert f"space.yaml, line 12: {said}" in line


def test_an_exclusion_may_name_what_an_option_took_away(written: Load) -> None:
    space = written(*EXCLUDE, sets=["axes.head=mlp_ft", "seeds=[5]"])
    assert left_out(planned(space)) == {}


def test_reports_say_what_is_excluded_and_why(tmp_path: Path, capsys: Any) -> None:
    """From the store and from MLflow, where a cell was run before it was excluded."""
    file, store = tmp_path / "space.yaml", str(tmp_path / "store")
    one = "model: [bert-embedded, gpt2-embedded]", "model: [bert-embedded]"
    file.write_text(SPACE.replace(*one).replace("seeds: [0, 1]", "seeds: [0]"))
    asked = ["--space", str(file), "--store", store]
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    write_finished(tmp_path / "store", asked[:2])
    assert track(["sync", *asked, "--tracking-uri", uri]) == 0
    text = file.read_text().replace("seeds: [0]", "seeds: [0, 1]")
    excluded = "exclude: [{head: mvp, attack: misspellings, reason: it takes too long}]\n"
    file.write_text(text + excluded)
    write_finished(tmp_path / "store", asked[:2])
    assert track(["sync", *asked, "--tracking-uri", uri]) == 0
    logged = read_experiment("mine", uri)
    assert len(logged.cells) == 6
    table = not_run(logged)
    assert table is not None
    (row,) = table.rows
    assert row[:3] == ["not applicable", "mvp", "it takes too long"]
    assert isinstance(row[3], Figure) and row[3].value == 2
    assert report([*asked, "--out", str(tmp_path / "out")]) == 0
    assert "it takes too long" in (tmp_path / "out" / "tables" / "not-run.csv").read_text()
    capsys.readouterr()
    logged_as = ["--space", "mine", "--tracking-uri", uri, "--out", str(tmp_path / "out")]
    assert report([*logged_as, "--only", "head=mvp", "--only", "head=mlp_ft, mvp"]) == 0
    assert re.findall(r"^\| (\w+) \|", capsys.readouterr().out, re.M) == ["head", "mlp_ft", "mvp"]
    assert report([*logged_as, "--only", "head=mpv"]) == 2
    assert "no head 'mpv'; did you mean mvp" in capsys.readouterr().err


# overrides


def keys_of(plan: Plan) -> dict[tuple[Any, ...], tuple[str, str, str]]:
    return {
        tuple(cell.axes().values()): (cell.fit.key, cell.log, cell.key)
        for cell in (each.cell for each in plan.cells)
    }


def where(keys: dict[tuple[Any, ...], Any], name: str) -> dict[tuple[Any, ...], Any]:
    return {place: key for place, key in keys.items() if name in place}


def test_keys_depend_on_the_settings_that_an_override_results_in(written: Load) -> None:
    plain = keys_of(planned(written()))
    same = "overrides: [{when: {head: mvp}, fit: {batch_size: 8}, attack: {examples: 5}}]"
    assert keys_of(planned(written(same))) == plain
    found = keys_of(planned(written(
        "overrides:",
        "  - {when: {model: gpt2-embedded}, fit: {learning_rate: 0.5, batch_size: 4}}",
        "  - {when: {model: gpt2-embedded}, fit: {learning_rate: 1e-3}}",
    )))  # fmt: skip
    everywhere = keys_of(planned(written(sets=["fit.learning_rate=1e-3", "fit.batch_size=4"])))
    for model, expected in (("gpt2-embedded", everywhere), ("bert-embedded", plain)):
        assert where(found, model) == where(expected, model)
    assert where(everywhere, "gpt2-embedded") != where(plain, "gpt2-embedded")


@pytest.mark.parametrize(
    ("override", "setting", "changed"),
    [
        ("attack: {examples: 7}", "attack.examples=7", (2,)),
        ("attack: {precision: 0.1}", "attack.precision=0.1", (2,)),
        ("attack: {protocol: textattack}", "attack.protocol=textattack", (1, 2)),
        ("attack: {resources: textattack}", "attack.resources=textattack", (1, 2)),
        ("resources: {attack: {cpus: 2}}", "resources.attack.cpus=2", (1, 2)),
    ],
)
def test_an_override_by_attack_leaves_the_fit_and_the_other_attacks(
    override: str, setting: str, changed: tuple[int, ...], written: Load
) -> None:
    plain, everywhere = keys_of(planned(written())), keys_of(planned(written(sets=[setting])))
    found = keys_of(planned(written(f"overrides: [{{when: {{attack: textfooler}}, {override}}}]")))
    assert where(found, "misspellings") == where(plain, "misspellings")
    assert where(found, "textfooler") == where(everywhere, "textfooler")
    for place, keys in where(found, "textfooler").items():
        assert tuple(n for n in range(3) if keys[n] != plain[place][n]) == changed


def assets(space: Space) -> set[str]:
    """The kinds of asset that a space needs."""
    return {asset.name.partition("/")[0] for asset in needed(space, Assets("embedded"))}


def test_every_part_of_a_cell_has_the_settings_of_its_place(written: Load) -> None:
    lines = (
        "overrides:",
        "  - when: {model: [gpt2-embedded], head: mvp}",
        "    fit: {max_epochs: 3}",
        "    resources: {fit: {cpus: 4, gpus: 1}}",
        "  - when: {attack: textfooler}",
        "    attack: {examples: 2, resources: textattack}",
        "    resources: {attack: {gpus: 0.5}}",
    )
    space = written(*lines)
    for cell in planned(space).todo:
        there = (cell.fit.model, cell.fit.head) == ("gpt2-embedded", "mvp")
        attacked = cell.attack == "textfooler"
        assert cell.fit.settings.max_epochs == (3 if there else 1)
        assert cell.fit.settings.batch_size == 8, "what an override does not name stays"
        assert shape(cell, "fit") == ((4, 1) if there else (1, 0))
        assert shape(cell, "attack") == (1, 0.5 if attacked else 0)
        assert cell.examples == (2 if attacked else 5)
        assert cell.attack_resources == ("textattack" if attacked else "embedded")
        assert ("min_window_sim", 0.840845057) in cell.attack_settings.items() or not attacked
    assert assets(space) == {"datasets", "models", "attack resources", "textattack"}
    one = written(*lines, only=["attack=misspellings"])
    assert assets(one) == {"datasets", "models", "attack resources"}
    said = describe(planned(space))
    assert "model gpt2-embedded, head mvp: fit.max_epochs=3, resources.fit.cpus=4" in said
    assert "attack textfooler: attack.examples=2, attack.resources=textattack" in said
    assert re.search(r"resources.attack.gpus=0.5  \(8 cells\)", said)


def test_what_the_command_line_sets_holds_everywhere(written: Load) -> None:
    lines = (
        "overrides:",
        "  - {when: {head: mvp}, fit: {max_epochs: 3, patience: 2}, attack: {examples: 9}}",
        "  - {when: {attack: textfooler}, attack: {examples: 7, precision: 0.2}}",
    )
    space = written(*lines, sets=["fit.max_epochs=2", "attack.examples=4"], precision=0.1)
    cells = planned(space).todo
    assert {(c.fit.settings.max_epochs, c.examples, c.precision) for c in cells} == {(2, 4, 0.1)}
    assert {cell.fit.settings.patience for cell in cells if cell.fit.head == "mvp"} == {2}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{when: {model: gpt2}, fit: {patience: 2}}", "0.when.model: this space has no model"),
        ("{when: {head: mvp}, fit: {pateince: 2}}", "0.fit.pateince: unknown name; did you"),
        ("{when: {head: mvp}, fit: {patience: -2}}", "0.fit.patience: "),
        ("{when: {head: mvp}, fit: {patience: true}}", "0.fit.patience: expected a number, not"),
        ("{when: {head: mvp}, resources: {attack: {cpu: 1}}}", "0.resources.attack.cpu: unknown"),
        ("{when: {attack: textfooler}, fit: {patience: 2}}", "0: a fit is shared by all attacks"),
        ("{when: {attack: textfooler}, resources: {fit: {cpus: 2}}}", "0: a fit is shared by all"),
        ("{when: {seed: 1}, attack: {examples: 2}}", "0.when: leave `seed` out"),
        ("{when: {}, fit: {patience: 2}}", "0.when: names no axis"),
        ("{fit: {patience: 2}}", "0.when is missing"),
        ("{when: {head: mvp}}", "0: sets nothing"),
        ("{when: {head: mvp}, fit: {}}", "0: sets nothing"),
        ("{when: {head: mvp}, fit: }", "0.fit is empty"),
        ("{when: {head: mvp}, seeds: [1]}", "0.seeds: unknown name"),
    ],
)  # fmt: skip
def test_an_override_that_cannot_be_meant_is_refused(entry: str, said: str, written: Load) -> None:
    line = refused(lambda: written("overrides:", f"  - {entry}"))
    assert f"space.yaml, line 13: overrides.{said}" in line


def test_a_cluster_needs_room_for_every_override(
    written: Load, capsys: Any, tmp_path: Path
) -> None:
    """cluster check: the largest of a space's trials, not the first."""
    from orchestrator.cluster.__main__ import main as cluster

    written("overrides: [{when: {head: mvp}, resources: {attack: {cpus: 1000}}}]")
    file = Path(__file__).parent.parent / "cluster.yaml"
    cluster(["check", str(file), "--space", str(tmp_path / "space.yaml")])
    assert "no node type has room for the space's attack: it needs 1000" in capsys.readouterr().err


def test_the_plan_as_json_is_the_documented_one(written: Load, capsys: Any, tmp_path: Path) -> None:
    written(*EXCLUDE, "overrides: [{when: {head: mvp}, attack: {examples: 9}}]")
    arguments = ["--space", str(tmp_path / "space.yaml"), "--store", str(tmp_path / "none")]
    assert sweep([*arguments, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["totals"]["not_applicable"] == 7
    assert {"it takes too long", "one seed will do", ""} == {c["reason"] for c in plan["cells"]}

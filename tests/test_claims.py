"""Published figures are read from small files, checked, and shown beside what was measured."""

from pathlib import Path

import pytest
from commands import REPOSITORY
from stores import write

from orchestrator.plan.plan import make_plan
from orchestrator.report import __main__ as report
from orchestrator.report.from_store import read_store
from orchestrator.report.registry import Registry, registry_of
from orchestrator.report.reported import paper, reported_and_measured
from orchestrator.report.results import Results
from orchestrator.report.tables import Figure
from orchestrator.sweep import __main__ as sweep
from search_spaces.catalog import Catalog
from search_spaces.space import load
from trainables.assets import Assets
from trainables.store import Store

CLAIM = """\
paper: Somebody (2025)
where: Table 3
read: the paper
protocol: at most 10 % of words
settings: {attack.textfooler.max_words_changed: 0.1, attack.examples: 100}
figures:
  - {dataset: sst2, model: bert-embedded, attack: textfooler, clean: 90, under_attack: 12.5}
"""


@pytest.fixture
def space(tmp_path: Path) -> Path:
    """A user's space file, of one cell, with a claim of their own beside it."""
    text = (REPOSITORY / "search_spaces" / "embedded.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("name: embedded", "name: mine"))
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "somebody.yaml").write_text(CLAIM)
    return tmp_path / "mine.yaml"


def measured(space: Path, *sets: str, model: str = "bert-embedded") -> Results:
    """Half of the examples of one cell are right under attack."""
    only = ["dataset=sst2", f"model={model}", "head=mlp_ft", "attack=textfooler"]
    store = Store(str(space.parent / "store"))
    asked = load(str(space), only=only, sets=["attack.examples=20", *sets])
    for cell in make_plan(asked, Assets("embedded"), store).todo:
        write(cell, store, lambda cell, id: "failed" if id % 2 else "successful")
    return read_store(make_plan(asked, Assets("embedded"), store), store)


def test_every_packaged_claim_is_sound_and_says_where_it_was_read() -> None:
    claims = Registry().claims()
    assert {"mvp-fig-1", "mvp-abstract", "rmlm", "robust-lottery-tickets"} <= claims.keys()
    assert all(claim.read and claim.protocol for claim in claims.values())
    assert sum(len(claim.figures) for claim in claims.values()) > 60
    assert "three data sets" in claims["mvp-abstract"].note


def test_a_published_training_is_the_catalogs_so_that_what_was_run_is_found() -> None:
    figures = [f for claim in Registry().claims().values() for f in claim.figures]
    published = {figure.training for figure in figures}
    assert {"freelb_pp", "freelb_pp_30", "infobert", "amda"} <= published
    assert published <= set(Catalog().names("training"))


def test_the_papers_gains_are_those_of_its_abstract() -> None:
    assert paper()["gains"] == {"over_mlp_ft": 8.0, "over_adversarial_training": 3.5}


def test_claims_are_listed_without_a_store(
    space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--claims", "--space", str(space), "--store", str(tmp_path / "nowhere")]
    assert report.main([*asked, "--annotate", "3"]) == 2
    assert report.main(asked) == 0
    said = capsys.readouterr().out
    assert "| mvp-fig-1 | boolq | roberta-base | mvp | not stated | 82.0 | 42.0 |" in said
    assert "| somebody | sst2 | bert-embedded | mlp_ft | textfooler | 90.0 | 12.5 |" in said
    assert "+8.0" in said and "three data sets" in said
    assert not (tmp_path / "nowhere").exists()


def test_a_published_figure_is_shown_beside_what_was_measured_and_what_differs(
    space: Path,
) -> None:
    table = reported_and_measured(measured(space), everything=False)
    assert table is not None, "its own cell was run, so it is shown unasked"
    ((source, *_, differs, clean, ours, under, ours_under, examples),) = table.rows
    assert source == "Somebody (2025), Table 3"
    assert differs == "attack.examples 20 (published: 100)", "and as many words may be changed"
    figures = [figure.text() for figure in (clean, ours, under, ours_under) if figure is not None]  # type: ignore[union-attr]
    assert figures == ["90.0", "100.0", "12.5", "50.0"] and examples == "20"
    assert "at most 10 % of words" in " ".join(table.notes)


def test_another_protocol_is_said_in_words(space: Path) -> None:
    protocol = "attack.protocol=textattack"
    table = reported_and_measured(measured(space, protocol), everything=False)
    assert table is not None
    assert "attack.textfooler.max_words_changed None (published: 0.1)" in str(table.rows[0][5])
    file = space.parent / "claims" / "other.yaml"
    settings = "fit.max_epochs: 20, attack.protocol: textdefender"
    file.write_text(CLAIM.replace("attack.textfooler.max_words_changed: 0.1", settings))
    table = reported_and_measured(measured(space, protocol), everything=False)
    assert table is not None
    assert table.rows[0][5] == (
        "attack.query_budget None (published: 50 per word); "
        "attack.textfooler.min_word_cos_sim 0.5 (published: None); "
        "attack.textfooler.max_words_changed None (published: 0.1); "
        "fit.max_epochs 1 (published: 20); attack.examples 20 (published: 100)"
    )


def test_figures_of_other_models_are_shown_only_if_asked_for(space: Path) -> None:
    results = measured(space, model="roberta-embedded")
    assert reported_and_measured(results, everything=False) is None
    table = reported_and_measured(results)
    assert table is not None and len(table.rows) > 60
    (row,) = (row for row in table.rows if row[0] == "Somebody (2025), Table 3")
    assert "model roberta-embedded (published: bert-embedded)" in str(row[5])
    assert isinstance(row[9], Figure) and row[9].value == 0.5
    assert sum(row[5] == "not run" for row in table.rows) > 40


def test_a_claim_of_the_users_replaces_the_packages_of_the_same_name(space: Path) -> None:
    (space.parent / "claims" / "rmlm.yml").write_text(CLAIM)
    assert registry_of(load(str(space))).claims()["rmlm"].paper == "Somebody (2025)"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("paper: Somebody (2025)\n", ""), "line 1: paper is missing"),
        (("under_attack: 12.5", "under_attac: 12.5"), "line 7: figures.0.under_attac: unknown"),
        (("under_attack: 12.5", "under_attack: 125"), "line 7: figures.0.under_attack"),
        (
            ("attack.examples", "attack.exampels"),
            "line 5: settings: unknown setting attack.exampels; did you mean examples",
        ),
        (
            ("attack.examples: 100", "attack.examples: many"),
            "settings: attack.examples: Input should be",
        ),
        (
            ("max_words_changed", "max_word_changed"),
            "settings: unknown setting attack.textfooler.max_word_changed; did you mean max_words_",
        ),
        (("attack.examples", "seeds"), "seeds is no setting"),
    ],
)
def test_a_broken_claim_is_one_line_before_anything_is_run(
    space: Path, wrong: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = space.parent / "claims" / "somebody.yaml"
    file.write_text(CLAIM.replace(*wrong))
    assert report.main(["--claims", "--space", str(space)]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and str(file) in line and said in line


def test_a_sweep_with_a_broken_claim_does_not_begin(
    space: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (space.parent / "claims" / "somebody.yaml").write_text("paper: only\n")
    store = tmp_path / "store"
    asked = ["--space", str(space), "--store", str(store), "--only", "dataset=sst2"]
    assert sweep.main(asked) == 2
    assert "somebody.yaml" in capsys.readouterr().err and not store.exists()

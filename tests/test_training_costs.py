"""What fits take by their kind of training: the queue, the time left and a dry run know it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher
from stores import write

from orchestrator.assets.needed import attack_resources, needed
from orchestrator.follow.progress import Progress
from orchestrator.plan import cost_model
from orchestrator.plan.cost_model import CPU
from orchestrator.plan.plan import Plan, PlannedCell, make_plan
from orchestrator.plan.rates import fit_task
from orchestrator.plan.sizes import BASE
from orchestrator.plan.training_cost import Course, course
from orchestrator.run.imported import all_resources, resources_in
from orchestrator.run.rehearsal import _figures, chosen
from orchestrator.run.schedule import FitFirst, fits_only
from orchestrator.sweep import __main__ as sweep
from orchestrator.sweep.costs import costs_of, in_words
from search_spaces.cell import Cell, InnerAttack
from search_spaces.space import load
from trainables.assets import Assets
from trainables.attacks.resources import prepare_textattack
from trainables.records import Tried
from trainables.rehearsal import rehearse
from trainables.store import Store

ROOT = Path(__file__).parents[1]
A10G = "NVIDIA A10G"
ON_GPUS = ["resources.fit.gpus=1", "resources.attack.gpus=0.25"]
ONE = ("dataset=sst2", "model=bert-embedded", "head=mlp_ft", "attack=textfooler")
FREELB = {
    "steps": 10, "step_size": 0.03, "start_size": 0.05, "bound": None, "norm": "l2",
    "same_dropout": True,
}  # fmt: skip
INFOBERT = {
    **FREELB, "steps": 3, "upper_weight": 5e-3, "lower_weight": 5e-3, "exact": False,
    "keep_from": 0.5, "keep_to": 0.9, "critic_width": 300,
}  # fmt: skip
ADA = {
    "attack": "textfooler", "attacked_rows": 50, "from_epoch": None, "every": 500,
    "keep_rows": True,
}  # fmt: skip
AMDA = {**ADA, "mix": "smix", "layers": [0.58, 0.75, 1.0], "beta": 0.4}
ADVERSARIAL = {"norm": "l2", "epsilon": 1.0, "steps": 1, "step_size": None}


def by(
    cell: Cell, name: str, kind: str, settings: dict[str, Any], attack: dict[str, Any] | None = None
) -> Cell:
    """A cell whose fit is by another training. attack: what it attacks with, else as the cell."""
    inner = None
    if "attack" in settings:
        values = {"name": cell.attack, "kind": cell.attack_kind, "settings": cell.attack_settings}
        inner = InnerAttack(**{**values, "resources": cell.attack_resources, **(attack or {})})
    entry = cell.fit.training_entry.model_copy(update={"kind": kind, "settings": settings})
    changes = {
        "key": f"{cell.fit.key}-{name}",
        "training": name,
        "training_entry": entry,
        "attack": inner,
    }
    fit = cell.fit.model_copy(update=changes)
    return cell.model_copy(update={"key": f"{cell.key}-{name}", "fit": fit})


def plan_of(store: str = "/nonexistent", *sets: str, only: Sequence[str] = ONE) -> Plan:
    return make_plan(load("embedded", only=only, sets=sets), Assets("embedded"), Store(store))


def with_trainings(names: str) -> str:
    text = (ROOT / "search_spaces/embedded.yaml").read_text()
    return text.replace("training: [standard]", f"training: [{names}]")


def one(*sets: str) -> tuple[Plan, Cell]:
    plan = plan_of("/nonexistent", *sets)
    return plan, plan.todo[0]


def with_cells(plan: Plan, *cells: Cell) -> Plan:
    return replace(plan, cells=[PlannedCell(cell, "todo") for cell in cells])


@pytest.mark.parametrize(
    ("kind", "settings", "times"),
    [
        ("standard", {}, 1.0),
        ("adversarial", ADVERSARIAL, 5 / 3),
        ("freelb", FREELB, 10.0),
        ("freelb", {**FREELB, "steps": 30}, 30.0),
        ("infobert", INFOBERT, 4.22),
        ("infobert", {**INFOBERT, "lower_weight": 0.0}, 3.0),
        ("ada", ADA, 1.0),
        ("amda", AMDA, 2.05),
        ("amda", {**AMDA, "layers": [1.0]}, 2.0),
        ("high_temperature", {"temperature": 200.0}, 1.0),
        ("mine:Own", {"steps": 7}, 1.0),
    ],
)
@pytest.mark.parametrize("device", [A10G, CPU])
def test_a_step_costs_its_passes(
    kind: str, settings: dict[str, Any], times: float, device: str
) -> None:
    _, cell = one()
    fit = by(cell, "other", kind, settings).fit
    ours, plain = (cost_model.step_seconds(each, BASE, 32, 100, device) for each in (fit, cell.fit))
    assert ours / plain == pytest.approx(times, rel=0.05)


@pytest.mark.parametrize(
    ("epochs", "settings", "seen", "attacked"),
    [
        (1, {"from_epoch": 2, "every": None}, 100, 0),
        (3, {"from_epoch": 2, "every": None}, 100 + 110 + 120, 40),
        (3, {"from_epoch": 3, "every": None}, 100 + 100 + 110, 20),
        (3, {"from_epoch": 2, "every": None, "keep_rows": False}, 100 + 110 + 110, 40),
        (3, {"from_epoch": 2, "every": None, "attacked_rows": 0.2}, 100 + 110 + 120, 40),
        (2, {"from_epoch": 2, "every": None, "attacked_rows": 500}, 100 + 150, 100),
        (1, {"every": 40}, 120, 40),  # after 40 and 80
        (1, {"every": 100}, 100, 0),
        (9, {"from_epoch": 2, "every": None}, 200, 20),  # 200 examples seen: it has ended
        (9, {"every": 10}, 200, 19 * 20),
    ],
)
def test_rounds_and_their_rows_are_counted(
    epochs: int, settings: dict[str, Any], seen: float, attacked: float
) -> None:
    """100 rows; 20 are attacked a round, and half of them are added."""
    _, cell = one(f"fit.max_epochs={epochs}")
    fit = by(cell, "ada", "ada", {**ADA, "attacked_rows": 20, **settings}).fit
    most = 200 if epochs == 9 else 1e9
    assert course(fit, 100, most) == Course(seen, attacked)


def test_a_fit_takes_what_its_attacks_would_take_alone() -> None:
    plan, cell = one("attack.at_once=4")
    texts = plan.costs.sizes.texts(cell.fit.dataset, cell.fit.data)
    same = replace(texts, test_words=texts.train_words, attacked_words=texts.train_words)
    fit = by(cell, "ada", "ada", ADA, {"at_once": 4}).fit
    network = plan.costs.sizes.network(fit.model, fit.language_model)
    example = cost_model.example_seconds(cell, network, same, CPU)
    for device in (CPU, A10G):
        seconds = cost_model.attacking_seconds(fit, network, texts, device)
        example = cost_model.example_seconds(cell, network, same, device)
        rows = course(fit, texts.train, 1e9).attacked
        assert rows >= 50 and seconds == pytest.approx(rows * example)
    dear = by(cell, "ada", "ada", ADA, {"kind": "misspellings"}).fit
    few = by(cell, "ada", "ada", ADA, {"query_budget": 5}).fit
    costs = [cost_model.fit_seconds(f, network, texts, CPU) for f in (cell.fit, few, fit, dear)]
    assert all(1.2 * less < more for less, more in pairwise(costs)), costs


def test_a_measured_fit_is_of_its_trainings_settings_and_attack(tmp_path: Path) -> None:
    """Also where a user has edited the file of that name."""
    _, cell = one()
    store = Store(str(tmp_path))
    ada = by(cell, "ada", "ada", ADA)
    write(ada, store, lambda _, id: "failed")

    def basis(other: Cell) -> str:
        return plan_of(str(tmp_path)).costs.of(other, "fit").basis

    again = ada.model_copy(update={"fit": ada.fit.model_copy(update={"key": "again", "seed": 7})})
    assert basis(again) == "measured"
    assert basis(by(cell, "ada", "ada", {**ADA, "attacked_rows": 500})) == "modelled"
    assert basis(by(cell, "ada", "ada", ADA, {"kind": "misspellings"})) == "modelled"
    assert basis(by(cell, "ada", "standard", {})) == "modelled"
    assert basis(cell) == "modelled"


def test_a_rehearsed_step_corrects_a_fit_by_what_it_was_a_step_of(tmp_path: Path) -> None:
    """A standard step as modelled, a freelb one three times dearer."""
    before, cell = one(*ON_GPUS)
    many = by(cell, "many", "freelb", FREELB)
    figures: Any = []
    for each, off in ((many, 3.0), (cell, 1.0)):
        entry, network = each.fit.training_entry, before.costs._sizes(each.fit)[0]
        seconds = off * cost_model.step_seconds(each.fit, network, 8, 60, A10G)
        tried: Tried = {
            "what": "fit", "seconds": 1.0, "dataset": "sst2", "model": cell.fit.model,
            "head": cell.fit.head, "device": A10G, "step_texts": 8, "step_tokens": 60.0,
            "step_seconds": seconds, "training_kind": entry.kind,
            "training_settings": entry.settings,
        }  # fmt: skip
        figures.append(tried)
    store = Store(str(tmp_path))
    store.write_rehearsal(before.space.name, {"figures": _figures(figures)})
    now = plan_of(str(tmp_path), *ON_GPUS).costs
    thirty = by(cell, "thirty", "freelb", {**FREELB, "steps": 30})
    adversarial = by(cell, "adversarial", "adversarial", ADVERSARIAL)
    for each, off in ((cell, 1.0), (many, 3.0), (thirty, 3.0)):
        cost, was = now.of(each, "fit"), before.costs.of(each, "fit", A10G)
        assert (cost.basis, cost.seconds) == ("rehearsed", pytest.approx(off * was.seconds))
    assert now.of(adversarial, "fit").seconds < 3 * before.costs.of(adversarial, "fit").seconds


def test_a_fits_own_attack_that_was_rehearsed_corrects_its_cost(tmp_path: Path) -> None:
    before, cell = one(*ON_GPUS)
    ada = by(cell, "ada", "ada", ADA)
    network, texts = before.costs._sizes(ada.fit)
    assert ada.fit.attack is not None
    search = cost_model.search_within(ada.fit, ada.fit.attack, texts)
    step = cost_model.step_seconds(ada.fit, network, 8, 60, A10G)
    tried: Tried = {
        "what": "fit", "seconds": 1.0, "dataset": "sst2", "model": cell.fit.model,
        "head": cell.fit.head, "device": A10G, "step_texts": 8, "step_tokens": 60.0,
        "step_seconds": step, "training_kind": "ada", "training_settings": ADA,
    }  # fmt: skip
    same = replace(search, words=search.attacked)
    seconds = 3 * cost_model.lone_example_seconds(ada.fit, same, network, A10G)
    tried["own_attack"] = {search.name: {"seconds": seconds, "words": search.attacked}}
    store = Store(str(tmp_path))
    store.write_rehearsal(before.space.name, {"figures": _figures([tried])})
    now = plan_of(str(tmp_path), *ON_GPUS).costs.of(ada, "fit")
    attacks = cost_model.attacking_seconds(ada.fit, network, texts, A10G)
    modelled = cost_model.fit_seconds(ada.fit, network, texts, A10G)
    assert now.basis == "rehearsed" and now.seconds == pytest.approx(modelled + 2 * attacks)


def test_the_longest_training_begins_first() -> None:
    plan, cell = one()
    cells = [
        cell,
        by(cell, "adversarial", "adversarial", ADVERSARIAL),
        by(cell, "ten", "freelb", FREELB),
        by(cell, "thirty", "freelb", {**FREELB, "steps": 30}),
    ]
    searcher = FitFirst(
        cells,
        [],
        lambda task: {"key": task.cell.key, "phase": task.phase},
        plan.fit_cost,
        plan.attack_cost,
        nodes=lambda: [(4, 0)],
        verdict=lambda cell: "run again",
        give_up=lambda cell: None,
    )
    begun: list[Any] = [searcher.suggest(str(number)) for number in range(4)]
    assert Searcher.FINISHED not in begun
    assert [config["key"] for config in begun] == [each.key for each in reversed(cells)]


def test_a_training_that_never_ran_here_is_expected_to_take_its_passes() -> None:
    plan, cell = one()
    cells = [cell.model_copy(update={"key": f"{n}"}) for n in range(4)]
    fits = [cell.fit.model_copy(update={"key": f"fit {n}", "seed": n}) for n in range(4)]
    cells = [c.model_copy(update={"fit": fit}) for c, fit in zip(cells, fits, strict=True)]
    long = by(cells[3], "thirty", "freelb", {**FREELB, "steps": 30})
    plan = with_cells(plan, *cells[:3], long)
    times = plan.costs.times_plain(long)
    assert 20 < times < 30, "evaluations are not made thirty times"
    progress = Progress(plan)
    for each in cells[:3]:
        progress.update(each, {"phase": "fit", "finished": 0, "total": 100})
        done: Any = {"phase": "attack", "finished": 0, "total": 5, "fit_done": True}
        progress.update(each, {**done, "fit_seconds": 10.0})
    assert progress.expected(long, "fit") == pytest.approx(10 * times, rel=0.2)
    progress.update(long, {"phase": "fit", "finished": 50, "total": 100})
    task = progress._estimator.open["fit", long.fit.key]
    assert task.done == pytest.approx(task.units / 2)


def test_a_dry_run_says_what_each_training_costs_where_there_are_several(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = ["--store", str(tmp_path), "--dry-run"]
    for part in ONE:
        asked += ["--only", part]
    assert sweep.main([*asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["costs"]["trainings"] == {}
    space = tmp_path / "space.yaml"
    space.write_text(with_trainings("standard, adversarial"))
    asked = ["--space", str(space), *asked]
    assert sweep.main([*asked, "--json"]) == 0
    of = json.loads(capsys.readouterr().out)["costs"]["trainings"]
    assert of["standard"]["times_standard"] == 1 and of["standard"]["fits"] == 1
    assert list(of) == ["adversarial", "standard"] and not of["adversarial"]["measured"]
    assert 1.3 < of["adversarial"]["times_standard"] < 5 / 3
    assert of["adversarial"]["seconds"] / of["standard"]["seconds"] == pytest.approx(
        of["adversarial"]["times_standard"]
    )
    assert sweep.main(asked) == 0
    out = capsys.readouterr().out
    assert "\n  fits by training, the dearest first:\n    adversarial  1 fit, " in out


def by_training(plan: Plan, *cells: Cell) -> list[str]:
    names = list(dict.fromkeys(cell.fit.training for cell in cells))
    axes = plan.space.axes.model_copy(update={"training": names})
    space = plan.space.model_copy(update={"axes": axes})
    lines = list(in_words(costs_of(replace(with_cells(plan, *cells), space=space))))
    first = lines.index("  fits by training, the dearest first:") + 1
    return lines[first : first + len(names)]


def test_trainings_have_a_line_each_the_dearest_first() -> None:
    plan, cell = one()
    long = by(cell, "thirty", "freelb", {**FREELB, "steps": 30})
    again = long.fit.model_copy(update={"key": "again", "seed": 7})
    two = long, long.model_copy(update={"key": "another", "fit": again})
    first, last = by_training(plan, cell, *two)
    assert first.startswith("    thirty    2 fits, ")
    assert first.endswith(" × standard, by the model of cost")
    assert last.startswith("    standard  1 fit, ") and "×" not in last


def test_what_was_measured_gives_the_ratio_where_both_were() -> None:
    plan, cell = one()
    long = by(cell, "thirty", "freelb", {**FREELB, "steps": 30})
    plan.costs.rates.add_fit(fit_task(long.fit), CPU, 60.0)
    assert by_training(plan, cell, long)[0].endswith("by the model of cost")
    plan, _ = one()
    plan.costs.rates.add_fit(fit_task(long.fit), CPU, 60.0)
    plan.costs.rates.add_fit(fit_task(cell.fit), CPU, 50.0)
    said = ["    thirty    1 fit, 60 s, 1.2 × standard, as measured", "    standard  1 fit, 50 s"]
    assert by_training(plan, cell, long) == said


def test_what_a_plan_does_not_know_of_a_users_training_is_said() -> None:
    plan, cell = one()
    for kind, settings, said in (
        ("freelb", FREELB, []),
        ("mine:Own", {}, ["training own is taken to cost what plain fine-tuning does"]),
        ("mine:Own", ADA, ["training own is taken to cost what plain fine-tuning does, and its "
         "attacks on rows are left out"]),
    ):  # fmt: skip
        own = by(cell, "own", kind, settings)
        plan = with_cells(one()[0], own)
        assert costs_of(plan).assumed == said
    plan = with_cells(one()[0], own)
    plan.costs.rates.add_fit(fit_task(own.fit), CPU, 60.0)
    assert costs_of(plan).assumed == []


def attacking(cell: Cell, resources: str = "textattack") -> Cell:
    return by(cell, "ada", "ada", ADA, {"resources": resources})


def test_a_fits_own_attack_has_its_resources_in_a_process_of_its_own() -> None:
    """Where they are not those of the cell's attack, its trial ends with the fit."""
    _, cell = one()
    other, same = attacking(cell), attacking(cell, "embedded")
    assert [resources_in(other, phase) for phase in ("fit", "attack")] == ["textattack", "embedded"]
    assert fits_only(other) and not fits_only(same) and not fits_only(cell)
    assert all_resources([other], [other]) == {"embedded", "textattack"}
    assert all_resources([other], []) == {"embedded"}, "its fit is made"


@pytest.mark.parametrize("attack", ["textbugger", "textfooler"])
def test_resources_of_attacks_within_fits_are_found_before_a_sweep(
    attack: str, tmp_path: Path
) -> None:
    """Every attack on a cell is told to use others, so only the fits need the packaged ones: a fit
    does not depend on what an override by attack says."""
    catalog = tmp_path / "catalog/trainings"
    catalog.mkdir(parents=True)
    (catalog / "mine.yaml").write_text(
        f"about: Attacks its rows.\nkind: mine:Own\nsettings: {{attack: {attack}}}\n"
    )
    space = with_trainings("standard, mine")
    override = "\noverrides:\n- {when: {attack: textfooler}, attack: {resources: textattack}}\n"
    (tmp_path / "space.yaml").write_text(space + override)

    def names(training: str) -> set[str]:
        axes = [f"training={training}", "attack=textfooler"]
        space = load(str(tmp_path / "space.yaml"), only=axes)
        return {asset.name.split("/")[0] for asset in needed(space, Assets("embedded"))}

    assert "textattack" in names("standard") and "attack resources" not in names("standard")
    assert {"textattack", "attack resources"} <= names("mine")


@pytest.mark.parametrize(
    ("more", "left_out"),
    [
        ("not_for: {masked: none}", ""),
        ("", "exclude:\n- {training: mine, attack: textfooler, reason: none}"),
        ("", "exclude:\n- {training: mine, seed: [0], reason: none}"),
    ],
)
def test_resources_of_a_training_without_a_cell_are_not_needed(
    more: str, left_out: str, tmp_path: Path
) -> None:
    catalog = tmp_path / "catalog/trainings"
    catalog.mkdir(parents=True)
    mine = f"about: mine\nkind: mine:Own\nsettings: {{attack: textbugger}}\n{more}\n"
    (catalog / "mine.yaml").write_text(mine)
    override = "overrides:\n- {when: {training: mine}, attack: {resources: textattack}}\n"
    text = with_trainings("standard, mine")

    def resources(left_out: str, model: str) -> set[str]:
        (tmp_path / "space.yaml").write_text(f"{text}\n{override}{left_out}\n")
        only = [*ONE, f"model={model}"] if model == "gpt2-embedded" else ONE
        return attack_resources(load(str(tmp_path / "space.yaml"), only, seeds=[0]))

    assert resources(left_out, "bert-embedded") == {"embedded"}
    assert resources("", "gpt2-embedded") == {"embedded", "textattack"}


def test_progress_of_a_fit_never_falls_though_rows_are_added() -> None:
    plan, cell = one()
    progress = Progress(with_cells(plan, cell))
    task = progress._estimator.open["fit", cell.fit.key]
    shares, done = [], []
    for finished, total in ((0, 100), (50, 100), (50, 150), (75, 150), (100, 160)):
        progress.update(cell, {"phase": "fit", "finished": finished, "total": total})
        (running,) = progress.snapshot().running_cells
        assert (running.finished, running.total) == (finished, total)
        shares.append(running.share)
        done.append(task.done / task.units)
    assert shares == pytest.approx([0, 0.5, 0.5, 0.5, 0.625]) and done == pytest.approx(shares)
    progress.update(cell, {"phase": "died", "error": "gone"})
    progress.update(cell, {"phase": "begun", "node": "1"})
    progress.update(cell, {"phase": "fit", "finished": 10, "total": 100})
    assert progress.snapshot().running_cells[0].share == task.done / task.units == 0.1


def test_a_rehearsal_tries_each_training_and_the_attack_within_its_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))
    cell = plan_of(str(tmp_path), "fit.train_examples=40").todo[0]
    ada = by(cell, "ada", "standard", ADA)  # its steps are plain
    assert chosen([cell, ada])["fit"] == [cell, ada]
    _, tried = rehearse("fit", [ada], store, Assets("embedded"))
    assert tried["own_attack"]["textfooler"]["queries"] > 0

    def fails(*_: Any, **__: Any) -> None:
        raise LookupError("Resource not found")

    prepare_textattack("embedded")
    monkeypatch.setattr("trainables.attacks.recipes.word_vectors", fails)
    _, tried = rehearse("fit", [ada], store, Assets("embedded"))
    assert "Resource not found" in tried["error"] and tried["training_settings"] == ADA

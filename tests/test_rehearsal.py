"""A rehearsal finds what is broken before anything is trained, and measures what it will cost."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import ray
from commands import ONE_FIT, options, run
from ray.cluster_utils import Cluster

from orchestrator.plan.plan import Plan, make_plan
from orchestrator.run.rehearsal import chosen, is_due
from orchestrator.sweep.costs import costs_of
from search_spaces.cell import Cell
from search_spaces.space import load
from trainables.assets import Assets
from trainables.attacks.resources import prepare_textattack
from trainables.records import Tried
from trainables.rehearsal import rehearse
from trainables.store import Store

ASSETS = Assets("embedded")
ON_GPUS = ["resources.fit.gpus=1", "resources.attack.gpus=0.25"]
SMALL = ["fit.train_examples=40", "attack.examples=4"]


def planned(store: Store, *only: str, sets: list[str] = SMALL) -> Plan:
    return make_plan(load("embedded", only=only, sets=sets), ASSETS, store)


def tried(phase: str, cells: list[Cell], store: Store) -> list[Tried]:
    first, *others = rehearse(phase, cells, store, ASSETS)
    assert first["what"] == "store"
    return others


def test_every_part_of_a_space_occurs(tmp_path: Path) -> None:
    plan = planned(Store(str(tmp_path)))
    cells = chosen(plan.todo)
    attacks = {(c.fit.model, c.attack) for c in plan.todo}
    for names in (("model", "dataset"), ("head", "training")):
        of = [
            {tuple(c.axes()[n] for n in names) for c in each} for each in (cells["fit"], plan.todo)
        ]
        assert of[0] == of[1]
    assert len(cells["fit"]) <= 15 + len({c.fit.head for c in plan.todo}) - 1
    assert sorted((c.fit.model, c.attack) for c in cells["attack"]) == sorted(attacks)
    assert {c.fit.dataset for c in cells["attack"]} == {c.fit.dataset for c in plan.todo}
    kinds = [c.fit.head_entry.kind for c in cells["fit"]]
    assert kinds.count("mvp") >= 15, "it reads the most text"


def test_a_sweep_begins_with_one_only_before_its_first_fit_on_a_gpu(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert not is_due(planned(store, *ONE_FIT))
    plan = planned(store, *ONE_FIT, sets=[*SMALL, *ON_GPUS])
    assert is_due(plan)
    some = frozenset(plan.fits)
    assert not is_due(Plan(plan.space, plan.cells, some, plan.costs))


def test_what_works_is_measured_and_nothing_is_kept(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    (cell, *_) = planned(store, *ONE_FIT).todo
    (fit,) = tried("fit", [cell], store)
    assert "error" not in fit and fit["step_seconds"] > 0 and fit["device"] == "cpu"
    assert fit["step_texts"] == cell.fit.settings.batch_size
    assert 2 < fit["step_tokens"] <= cell.fit.settings.max_length
    (attack,) = tried("attack", [cell], store)
    assert "error" not in attack and attack["queries"] > 1 and attack["example_seconds"] > 0
    assert not store.fits_read() and not store.logs_begun() and not list(tmp_path.glob("notes/*"))


@pytest.mark.parametrize(
    ("attack", "broken"),
    [
        ("textfooler", "trainables.attacks.recipes.word_vectors"),
        ("textbugger", "trainables.attacks.offline.sentence_encoder"),
        ("textfooler", "trainables.attacks.offline.tags"),
        ("bert_attack", "trainables.attacks.resources._masked_language_model"),
    ],
)
def test_a_resource_that_is_broken_is_found(
    attack: str, broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise LookupError("Resource not found")

    prepare_textattack("embedded")
    import_module(broken.rpartition(".")[0])
    monkeypatch.setattr(broken, fails)
    store = Store(str(tmp_path))
    only = ("dataset=sst2", "model=bert-embedded", "head=mlp_ft", f"attack={attack}")
    (entry,) = tried("attack", planned(store, *only).todo, store)
    assert "LookupError: Resource not found" in entry["error"]


def test_after_the_loss_of_the_gpu_nothing_more_is_tried(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    plan = planned(store, "model=bert-embedded", sets=[*SMALL, *ON_GPUS])
    (entry,) = tried("fit", chosen(plan.todo)["fit"], store)
    assert entry["gpu_lost"] and "NoGPU" in entry["error"]


def test_where_gpus_cannot_be_used_a_sweep_ends_before_any_fit(tmp_path: Path) -> None:
    """The node says that it has a GPU, and torch finds none."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 1})
    try:
        arguments = options(ONE_FIT, [*SMALL, *ON_GPUS])
        done = run("sweep", *arguments, "--store", str(tmp_path), "--ray-address", cluster.address)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert done.returncode == 2, done.stderr
    assert "0 of 1 fits work" in done.stdout and "NoGPU: torch" in done.stdout
    assert "nothing was trained" in done.stderr
    assert not (tmp_path / "cells").exists() and not (tmp_path / "fits").exists()


@pytest.mark.slow
def test_on_its_own_it_shows_what_the_plan_costs(tmp_path: Path) -> None:
    one = [*ONE_FIT, "attack=misspellings"]
    done = run("sweep", *options(one, SMALL), "--store", str(tmp_path), "--rehearse")
    assert done.returncode == 0, done.stderr
    assert "1 of 1 fits work" in done.stdout and "1 of 1 attacks work" in done.stdout
    assert "fits: 1 by a rehearsal" in done.stdout
    costs = costs_of(planned(Store(str(tmp_path)), *one))
    assert costs.basis == {"fit": {"rehearsed": 1}, "attack": {"rehearsed": 1}}

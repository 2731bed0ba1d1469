"""fit.dtype and attack.dtype: what products are computed in, who says so, and what has none."""

from pathlib import Path
from typing import Any

import pytest
import torch
from test_batch_invariance import TEXTS, check_alone, every_head, head_of

from orchestrator.plan.plan import make_plan
from orchestrator.sweep.__main__ import main
from search_spaces.cell import Cell
from search_spaces.errors import BadInput
from search_spaces.space import load
from trainables import dtype
from trainables.assets import Assets
from trainables.cell import Worker
from trainables.data import Example
from trainables.fit import fresh_head, gradients
from trainables.optimizer import adamw
from trainables.ran_on import short, where_runs
from trainables.store import Store
from trainables.training.adversarial import adversarial_loss
from trainables.training.base import FromFunction
from trainables.training.standard import standard_loss

ASSETS = Assets("embedded")
ONE = ("dataset=sst2", "model=bert-embedded", "head=mvp", "attack=misspellings")


def cell_with(*sets: str, store: str = "/nonexistent") -> Cell:
    small = ("fit.train_examples=16", "attack.examples=2", *sets)
    (cell,) = make_plan(load("embedded", only=ONE, sets=small), ASSETS, Store(store)).todo
    return cell


def test_only_another_dtype_is_in_a_key() -> None:
    usual, same = cell_with(), cell_with("fit.dtype=fp32", "attack.dtype=fp32")
    assert (same.key, same.log, same.fit.key) == (usual.key, usual.log, usual.fit.key)
    attack, fit = cell_with("attack.dtype=bf16"), cell_with("fit.dtype=bf16")
    assert attack.fit.key == usual.fit.key and attack.log != usual.log
    assert fit.fit.key != usual.fit.key


@pytest.mark.parametrize("phase", ["fit", "attack"])
def test_tf32_without_a_gpu_ends_before_anything_is_computed(
    phase: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--space", "embedded", "--store", str(tmp_path), "--set", f"{phase}.dtype=tf32"]
    assert main(arguments) == 2
    assert f"{phase}.dtype tf32 where resources.{phase}.gpus is 0" in capsys.readouterr().err
    load("embedded", sets=[f"{phase}.dtype=tf32", f"resources.{phase}.gpus=1"])


@pytest.mark.parametrize("asked", ["bf16", "tf32"])
def test_a_gpu_that_has_none_is_told_in_one_line(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    gpu = torch.device("cuda")
    with pytest.raises(BadInput, match=f"Tesla T4 has no {asked} .*7.5.*; use fp32"):
        dtype.check(asked, gpu)
    dtype.check("fp32", gpu)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    dtype.check(asked, gpu)


def test_a_head_on_a_cpu_refuses_tf32() -> None:
    with pytest.raises(BadInput, match="a CPU has no tf32"):
        head_of("mlp_ft", "bert").compute_in("tf32")


def test_tf32_is_put_back() -> None:
    before = torch.get_float32_matmul_precision()
    with pytest.raises(ZeroDivisionError), dtype.products("tf32"):
        assert torch.get_float32_matmul_precision() == "high"
        raise ZeroDivisionError
    assert torch.get_float32_matmul_precision() == before
    with dtype.products("bf16"):
        assert torch.get_float32_matmul_precision() == before


@every_head
def test_bf16_scores_are_near_and_not_rounded_to_it(kind: str, model: str) -> None:
    head = head_of(kind, model)
    usual = head.predict(TEXTS)
    assert torch.equal(head.predict(TEXTS), usual)
    head.compute_in("bf16")
    scores = check_alone(head, TEXTS[::3])
    wanted = usual[::3]
    assert not torch.equal(scores, wanted)
    spread = float(wanted.std())
    torch.testing.assert_close(scores, wanted, atol=0.2 * spread, rtol=0)
    rounded = scores.to(torch.bfloat16).float()
    assert (scores != rounded).float().mean() > 0.9, "class scores have float32's bits"
    head.compute_in("fp32")
    assert torch.equal(head.predict(TEXTS), usual)


@pytest.mark.parametrize(("kind", "model"), [("mlp_ft", "bert"), ("mvp", "gpt2")])
@pytest.mark.parametrize("kind_of_training", ["standard", "adversarial"])
def test_a_step_in_bf16_is_near_and_its_weights_are_float32(
    kind: str, model: str, kind_of_training: str
) -> None:
    settings = {
        "norm": "l2",
        "epsilon": 0.1,
        "steps": 1,
        "step_size": None,
        "start": "ball",
        "inner_dropout": True,
    }
    loss_of: Any = standard_loss if kind_of_training == "standard" else adversarial_loss
    batch = [Example(number, texts, number % 2) for number, texts in enumerate(TEXTS[4:12])]
    found = []
    for of in ("fp32", "bf16"):
        head = head_of(kind, model)
        head.compute_in(of)
        torch.manual_seed(0)
        loss, _ = gradients(
            head.eval(), adamw(head, 0.1, 0.0, True), batch, FromFunction(loss_of, settings), 8
        )
        last = [weight.grad for weight in head.parameters() if weight.grad is not None]
        assert all(weight.dtype == torch.float32 for weight in head.parameters())
        dense = [g.to_dense() if g.is_sparse else g for g in last]
        assert all(g.dtype == torch.float32 and g.isfinite().all() for g in dense)
        found.append((float(loss), torch.cat([g.flatten() for g in dense])))
    (loss, gradient), (near, like) = found
    assert near != loss and near == pytest.approx(loss, abs=0.05)
    assert float(torch.cosine_similarity(gradient, like, dim=0)) > 0.98


def test_a_record_says_what_its_products_were_computed_in(tmp_path: Path) -> None:
    cell = cell_with("attack.dtype=bf16", store=str(tmp_path))
    store = Store(str(tmp_path))
    *_, last = Worker(store, ASSETS).run(cell)
    assert last["phase"] == "done", last
    assert short(store.read_fit(cell.fit.key)["ran_on"]).endswith(", float32")
    places = {record["ran_on"] for record in store.attacked(cell.log).values()}
    assert len(places) == 1 and places.pop().endswith(", bfloat16")
    head = head_of("mlp_ft", "bert")
    assert where_runs(head)["dtype"] == "float32"


def test_a_fit_in_tf32_is_loaded_where_it_cannot_be_computed() -> None:
    """Attacks may run on a CPU, in a dtype of their own."""
    space = load(
        "embedded",
        only=["dataset=sst2", "model=bert-embedded", "head=mlp_ft", "attack=misspellings"],
        sets=["fit.dtype=tf32", "resources.fit.gpus=1"],
    )
    (planned,) = make_plan(space, Assets("embedded"), Store("/nonexistent")).todo
    head = fresh_head(planned.fit, Assets("embedded"))
    head.compute_in(planned.attack_dtype)
    assert head.predict([("a film",)]).isfinite().all()
    with pytest.raises(BadInput, match="a CPU has no tf32"):
        head.compute_in(planned.fit.settings.dtype)

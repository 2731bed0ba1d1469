"""While a fit trains on a GPU it asks for deterministic algorithms, and says if it had them.

Without a GPU: the CPU is made to count as one, and an operation that has no deterministic algorithm
on a CPU either is used in a loss.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from test_snapshots import ASSETS, fit_of, head_of, made, sha, splits
from torch import Tensor

from search_spaces.cell import Fit
from trainables import fit as fit_module
from trainables.cell import StoredHead, fit_and_store
from trainables.deterministic import NotDeterministic, deterministic, each_within
from trainables.fit import Fitted, fine_tune
from trainables.heads.base import Batch, Head
from trainables.store import Store
from trainables.training.standard import standard_loss

states: list[tuple[bool, bool]] = []  # in each step: deterministic at all, and only warning


def state() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def noting_loss(head: Head, batch: Batch, labels: Tensor, settings: Any) -> Tensor:
    states.append(state())
    return standard_loss(head, batch, labels, settings)


def putting_loss(head: Head, batch: Batch, labels: Tensor, settings: Any) -> Tensor:
    """From the fourth step on uses an operation that has no deterministic algorithm."""
    loss = noting_loss(head, batch, labels, settings)
    if len(states) > 3:
        torch.zeros(3).put_(torch.tensor([0, 1]), torch.ones(2))
    return loss


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    states.clear()
    monkeypatch.setattr(fit_module, "may_vary", lambda device: True)


def with_loss(name: str, **settings: Any) -> Fit:
    fit = fit_of("mlp_ft", "standard")
    training = fit.training_entry.model_copy(update={"kind": f"{__name__}:{name}"})
    changed = fit.settings.model_copy(update=settings)
    return fit.model_copy(update={"training_entry": training, "settings": changed})


def fine_tuned(fit: Fit, folder: Path, **more: Any) -> Fitted:
    reported = []
    for each in fine_tune(fit, head_of(fit, folder, False), splits(), **more):
        assert state() == (False, False), "it lasts while others use what was reported"
        reported.append(each)
    assert isinstance(reported[-1], Fitted)
    return reported[-1]


def test_training_is_deterministic_and_nothing_else(tiny_bert: Path) -> None:
    fitted = fine_tuned(with_loss("noting_loss"), tiny_bert)
    assert set(states) == {(True, False)} and state() == (False, False)
    assert fitted.record["deterministic"] is True


def test_it_can_be_turned_off_and_the_record_says_so(tiny_bert: Path) -> None:
    fitted = fine_tuned(with_loss("noting_loss", deterministic=False), tiny_bert)
    assert set(states) == {(False, False)}
    assert fitted.record["deterministic"] is False


def test_on_a_cpu_nothing_is_asked_and_all_is_deterministic(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    fitted = fine_tuned(with_loss("noting_loss", deterministic=False), tiny_bert)
    assert set(states) == {(False, False)} and fitted.record["deterministic"] is True


def test_an_operation_without_a_deterministic_algorithm_is_named(tiny_bert: Path) -> None:
    with pytest.raises(NotDeterministic) as raised:
        fine_tuned(with_loss("putting_loss"), tiny_bert)
    assert raised.value.operation.startswith("put_") and len(states) == 4
    assert state() == (False, False)


def test_such_a_fit_begins_again_and_its_record_says_which(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = with_loss("putting_loss")
    monkeypatch.setattr(fit_module, "SNAPSHOT_EVERY", 0.0)
    monkeypatch.setattr(fit_module, "fresh_head", lambda fit, *_: head_of(fit, tiny_bert, False))
    monkeypatch.setattr(fit_module, "load_data", lambda *_: splits())
    store = Store(str(tmp_path))
    *reports, stored = fit_and_store(fit, store, ASSETS)
    assert isinstance(stored, StoredHead) and not any("found" in report for report in reports)
    assert states[:4] == [(True, False)] * 4 and set(states[4:]) == {(True, True)}
    assert str(store.read_fit(fit.key)["deterministic"]).startswith("put_")
    plain = made(with_loss("noting_loss", deterministic=False), tiny_bert)
    assert len(states) == 4 + 2 * len(plain.snapshots)
    assert store.read_fit(fit.key)["curve"] == plain.fitted.record["curve"]


def test_a_snapshot_goes_on_without_as_it_began(tiny_bert: Path) -> None:
    fit, kept = with_loss("putting_loss"), list[bytes]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_module, "SNAPSHOT_EVERY", 0.0)
        whole = fine_tuned(fit, tiny_bert, keep=kept.append, without="put_")
    states.clear()
    resumed = fine_tuned(fit, tiny_bert, resume=kept[4])
    assert set(states) == {(True, True)} and resumed.record["deterministic"] == "put_"
    assert sha(resumed) == sha(whole)


def test_other_errors_stay_as_they_are_and_all_is_restored() -> None:
    torch.backends.cudnn.benchmark = True
    try:
        with pytest.raises(RuntimeError, match="something else"), deterministic(strict=True):
            assert not torch.backends.cudnn.benchmark
            raise RuntimeError("something else")
        assert torch.backends.cudnn.benchmark and state() == (False, False)
    finally:
        torch.backends.cudnn.benchmark = False


def test_cublas_without_its_workspace_is_named() -> None:
    said = (
        "Deterministic behavior was enabled with either `torch.use_deterministic_algorithms(True)` "
        "or `at::Context::setDeterministicAlgorithms(true)`, but this operation is not "
        "deterministic because it uses CuBLAS and you have CUDA >= 10.2."
    )
    with pytest.raises(NotDeterministic, match="CUBLAS_WORKSPACE_CONFIG"), deterministic(True):
        raise RuntimeError(said)


def test_a_context_for_each_item_holds_only_while_it_is_made() -> None:
    def items() -> Any:
        yield state()
        yield state()

    made = each_within(lambda: deterministic(True), items())
    for item in made:
        assert item == (True, False) and state() == (False, False)

"""A GPU whose memory is too small, as its libraries would say it: less at a time, and no leaks."""

import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables import memory
from trainables.data import Example
from trainables.fit import gradients
from trainables.heads import build_head
from trainables.heads.base import MEMORY, Batch, Head, HeadSpec
from trainables.memory import in_halves, is_out_of_memory, moved
from trainables.optimizer import adamw
from trainables.probe import _features
from trainables.training.base import FromFunction, Training
from trainables.training.standard import standard_loss

CUBLAS = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
ROWS = [Example(id, ("a long film about nothing " * 3,), id % 2) for id in range(8)]
too_small = pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(CUBLAS)]
)


def head_of(folder: Path) -> Head:
    torch.manual_seed(0)
    return build_head("mlp_ft", HeadSpec(folder, False, 2, None, 40))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 MiB"), True),
        (RuntimeError(CUBLAS), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"), False),
        (ValueError("CUDA error: out of memory"), False),
    ],
)
def test_what_counts_as_too_little_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


class OutOfMemory(torch.autograd.Function):
    """Fails where a step needs most: in backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, error: Exception) -> Tensor:
        ctx.error = error
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        raise type(ctx.error)(*ctx.error.args)


@too_small
def test_what_a_failed_try_computed_is_freed_before_the_next(
    error: Exception, tiny_bert: Path
) -> None:
    saved: list[Any] = []
    alive: list[int] = []
    sizes: list[int] = []

    def loss_of(head: Head, encoded: Batch, labels: Tensor, settings: Any) -> Tensor:
        alive.append(sum(reference() is not None for reference in saved))
        sizes.append(len(labels))
        saved.clear()

        def pack(tensor: Tensor) -> Tensor:
            # Detached: an output that its own node keeps through a hook would never be freed.
            kept = tensor.detach()
            if tensor.grad_fn is not None:
                saved.append(weakref.ref(kept))
            return kept

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = standard_loss(head, encoded, labels, settings)
        failing: Callable[..., Tensor] = OutOfMemory.apply
        return failing(loss, error) if len(labels) > 2 else loss

    head = head_of(tiny_bert).train()
    _, at_once = gradients(head, adamw(head, 0.1, 0.0, True), ROWS, FromFunction(loss_of, {}), 8)
    assert at_once == 2 and sizes == [8, 4, 2, 2, 2, 2]
    assert alive == [0] * 6 and saved


@too_small
def test_a_step_that_cannot_be_divided_says_what_to_do(error: Exception, tiny_bert: Path) -> None:
    tries: list[int] = []

    class Whole(Training):
        splits = False

        def losses(self, head: Head, batch: Batch, labels: Tensor) -> Iterator[Tensor]:
            tries.append(len(labels))
            yield standard_loss(head, batch, labels, {})
            raise error

    head = head_of(tiny_bert)
    with pytest.raises(RuntimeError, match="a step of 8 texts, which this training cannot divide"):
        gradients(head, adamw(head, 0.1, 0.0, True), ROWS, Whole({}), 2)
    assert tries == [8]


def test_another_error_is_not_tried_again(tiny_bert: Path) -> None:
    tries: list[int] = []

    def loss_of(*_: Any) -> Tensor:
        tries.append(1)
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    head = head_of(tiny_bert)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        gradients(head, adamw(head, 0.1, 0.0, True), ROWS, FromFunction(loss_of, {}), 8)
    assert len(tries) == 1


def failing_above(head: Head, most: int, error: Exception, monkeypatch: Any) -> list[int]:
    """Make a head that has memory for so many texts; returns how many it was given each time."""
    score, sizes = head.score, list[int]()

    def limited(batch: Batch) -> Tensor:
        logits = score(batch)
        sizes.append(len(logits))
        if len(logits) > most:
            raise error
        return logits

    monkeypatch.setattr(head, "score", limited)
    return sizes


@too_small
def test_probing_halves_its_batches(
    error: Exception, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = head_of(tiny_bert)
    linear = head.last_linear()
    assert linear is not None
    whole = _features(head, linear, ROWS)
    sizes = failing_above(head, 3, error, monkeypatch)
    assert whole.shape == (8, 32)
    np.testing.assert_allclose(_features(head, linear, ROWS), whole, atol=1e-6)
    assert sizes == [8, 4, 2, 2, 2, 2]
    _features(head, linear, ROWS)
    assert sizes[6:] == [2, 2, 2, 2], "it knows by now"


@too_small
def test_predictions_are_halved(
    error: Exception,
    tiny_bert: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    head = head_of(tiny_bert)
    texts = [row.texts for row in ROWS]
    whole = head.predict(texts)
    sizes = failing_above(head, 3, error, monkeypatch)
    assert torch.equal(head.predict(texts), whole)
    assert sizes == [8, 4, 2, 2, 2, 2]
    ours = [line.message for line in caplog.records if line.name.startswith("trainables")]
    assert ours == [MEMORY], "said once"


def test_batches_of_fixed_shape_are_halved_and_stay_full(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = head_of(tiny_bert)
    texts = [row.texts for row in ROWS[:3]]
    whole = head.predict(texts)
    monkeypatch.setattr(Head, "fixed_shapes", True)
    sizes = failing_above(head, 16, torch.OutOfMemoryError("CUDA out of memory"), monkeypatch)
    for _ in range(2):
        torch.testing.assert_close(head.predict(texts), whole, atol=1e-6, rtol=0)
    assert sizes == [64, 32, *[16] * 4, 16]


def test_the_last_batch_that_does_not_fit_is_halved_by_its_own_size() -> None:
    def do(rows: range) -> list[int]:
        if 6 in rows and len(rows) > 1:
            raise torch.OutOfMemoryError
        return list(rows)

    assert [made for made, _ in in_halves(8, 5, do)] == [[0, 1, 2, 3, 4], [5], [6], [7]]


class Crowded(torch.nn.Module):
    """A GPU's memory is held by a neighbour for some tries."""

    def __init__(self, tries: int) -> None:
        super().__init__()
        self.left = tries

    def to(self, *_: Any, **__: Any) -> "Crowded":
        self.left -= 1
        if self.left > 0:
            raise RuntimeError("CUDA error: out of memory")
        return self


def test_a_model_waits_for_a_neighbour_that_is_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(memory.time, "sleep", waits.append)
    model = Crowded(3)
    assert moved(model, "cuda") is model and waits == [memory.WAIT] * 2
    with pytest.raises(RuntimeError, match="out of memory"):
        moved(Crowded(100), "cuda")
    assert len(waits) == 2 + memory.TRIES - 1

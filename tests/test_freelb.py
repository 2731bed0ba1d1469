"""FreeLB and FreeLB++ do what their formulas say, on tiny models with random weights."""

import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.catalog import Catalog, Prompts
from trainables.data import Example
from trainables.fit import gradients
from trainables.heads import build_head
from trainables.heads.base import Batch, Head, HeadSpec
from trainables.optimizer import adamw
from trainables.training.base import FromFunction, Training
from trainables.training.freelb import Dropout, FreeLB
from trainables.training.perturbation import perturbed
from trainables.training.standard import standard_loss

PROMPTS = Prompts(
    templates=["[SEP] the film is [MASK]", "a [MASK] plot : "],
    decoder_templates=["[SEP] the film is [MASK]", "[SEP] so it was [MASK]"],
    label_words=[["bad"], ["good"], ["great"]],
)
ROWS = [
    Example(0, ("the film was good",), 1),
    Example(1, ("bad",), 0),
    Example(2, ("a very dull plot , never great !",), 2),
    Example(3, ("the plot",), 0),
]


@pytest.fixture(params=["bert", "roberta", "gpt2"])
def model(request: pytest.FixtureRequest) -> tuple[str, Path]:
    name = str(request.param)
    return name, request.getfixturevalue(f"tiny_{name}")


@pytest.fixture(params=["mlp_ft", "mvp"])
def head(request: pytest.FixtureRequest, model: tuple[str, Path]) -> Head:
    """In evaluation mode: without dropout."""
    return head_of(request.param, *model).eval()


def head_of(kind: str, name: str, folder: Path) -> Head:
    torch.manual_seed(0)
    prompts = PROMPTS
    if name == "gpt2":
        assert PROMPTS.decoder_templates is not None
        prompts = Prompts(templates=PROMPTS.decoder_templates, label_words=PROMPTS.label_words)
    return build_head(kind, HeadSpec(folder, name == "gpt2", 3, prompts, 48))


def encoded(head: Head, rows: list[Example] = ROWS) -> tuple[Batch, Tensor]:
    batch = head.encode([row.texts for row in rows]).to(head.device)
    return batch, torch.tensor([row.label for row in rows])


class Seen(FreeLB):
    """Keeps the perturbations and losses of its passes."""

    def __init__(self, **changed: Any) -> None:
        named = Catalog().training("freelb_pp").settings
        super().__init__({**named, "steps": 4, **changed})
        self.deltas: list[Tensor] = []

    def at(self, head: Head, batch: Batch, labels: Tensor, delta: Tensor, dropout: Dropout) -> Any:
        self.deltas.append(delta.detach().clone())
        return super().at(head, batch, labels, delta, dropout)


def made(training: Training, head: Head, batch: Batch, labels: Tensor) -> list[float]:
    """The losses of a step, each back-propagated."""
    head.zero_grad()
    losses = []
    for loss in training.losses(head, batch, labels):
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.item())
    return losses


def grads(module: nn.Module) -> dict[str, Tensor]:
    return {n: w.grad.clone() for n, w in module.named_parameters() if w.grad is not None}


def equal(one: dict[str, Tensor], other: dict[str, Tensor], within: float = 1e-5) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=within, rtol=1e-4, msg=name)


def lengths(delta: Tensor) -> Tensor:
    return delta.flatten(1).norm(dim=1)


def test_one_step_from_nothing_is_the_standard_training(head: Head) -> None:
    batch, labels = encoded(head)
    (plain,) = made(FromFunction(standard_loss, {}), head, batch, labels)
    standard = grads(head)
    (loss,) = made(Seen(steps=1, start_size=0.0), head, batch, labels)
    assert loss == pytest.approx(plain, abs=1e-6)
    equal(grads(head), standard)


def test_each_sequence_moves_by_the_step_size_from_a_small_start(head: Head) -> None:
    training = Seen(step_size=0.25, start_size=0.05)
    batch, labels = encoded(head)
    made(training, head, batch, labels)
    first = lengths(training.deltas[0])
    assert len(training.deltas) == 4
    assert (first > 0).all() and (first <= 0.05 + 1e-6).all()
    for before, after in zip(training.deltas, training.deltas[1:], strict=False):
        torch.testing.assert_close(lengths(after - before), torch.full_like(first, 0.25))
    assert (lengths(training.deltas[-1]) <= first + 3 * 0.25 + 1e-5).all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_bound_is_kept_and_none_is_none(head: Head, norm: str) -> None:
    batch, labels = encoded(head)
    for bound, most in ((0.3, 0.3), (None, 0.8)):
        training = Seen(step_size=0.25, start_size=0.05, bound=bound, norm=norm)
        made(training, head, batch, labels)
        last = training.deltas[-1]
        size = lengths(last) if norm == "l2" else last.abs().flatten(1).amax(dim=1)
        assert (size <= most + 1e-5).all()
        assert bound is not None or (size > 0.3).any()


def test_the_gradient_is_the_mean_of_those_along_the_path(head: Head) -> None:
    """Each written out at its δ, which is constant: nothing flows through the path."""
    training = Seen(step_size=0.2, start_size=0.1)
    batch, labels = encoded(head)
    made(training, head, batch, labels)
    ours = grads(head)
    head.zero_grad()
    for delta in training.deltas:
        with perturbed(head, delta):
            loss = F.cross_entropy(head.score(batch), labels) / len(training.deltas)
        loss.backward()  # type: ignore[no-untyped-call]
    equal(ours, grads(head))


def test_two_halves_of_a_batch_are_the_whole(head: Head) -> None:
    training = Seen(step_size=0.1, start_size=0.0)
    optimizer = adamw(head, 0.1, 0.0, True)
    whole, _ = gradients(head, optimizer, ROWS, training, 4)
    together = grads(head)
    halves, at_once = gradients(head, optimizer, ROWS, training, 2)
    assert at_once == 2
    torch.testing.assert_close(halves, whole, atol=1e-5, rtol=0)
    equal(grads(head), together, 1e-4)


def test_all_passes_have_the_same_dropout_if_asked(model: tuple[str, Path]) -> None:
    head = head_of("mvp", *model).train()
    batch, labels = encoded(head)
    same = made(Seen(step_size=0.0, start_size=0.0), head, batch, labels)
    assert len(set(same)) == 1
    other = made(Seen(step_size=0.0, start_size=0.0, same_dropout=False), head, batch, labels)
    assert len(set(other)) == 4

    def state_after(steps: int) -> Tensor:
        torch.manual_seed(3)
        made(Seen(steps=steps), head, batch, labels)
        return torch.get_rng_state()

    assert torch.equal(state_after(1), state_after(5))


def test_padding_is_not_perturbed_and_changes_nothing(head: Head) -> None:
    batch, labels = encoded(head)
    assert (batch.attention_mask == 0).any()
    training = Seen(step_size=0.3, start_size=0.1)
    made(training, head, batch, labels)
    for delta in training.deltas:
        assert (delta[batch.attention_mask == 0] == 0).all()
    short = made(Seen(step_size=0.3, start_size=0.0), head, batch, labels)
    ours = grads(head)
    longer = batch.take(range(len(ROWS)), batch.attention_mask.shape[1] + 5).to(head.device)
    assert made(Seen(step_size=0.3, start_size=0.0), head, longer, labels) == pytest.approx(
        short, abs=1e-5
    )
    equal(grads(head), ours, 1e-4)


def test_the_loss_does_not_fall_along_the_path(head: Head) -> None:
    batch, labels = encoded(head)
    losses = made(Seen(step_size=0.001, start_size=0.0, steps=6), head, batch, labels)
    assert losses == sorted(losses) and losses[-1] > losses[0]


def test_memory_does_not_grow_with_the_number_of_steps(head: Head) -> None:
    """Of what the passes keep for their gradients, that of one is there at a time."""

    class Kept:
        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor

    def most(steps: int) -> int:
        alive: weakref.WeakSet[Kept] = weakref.WeakSet()
        counts = []

        class Counted(Seen):
            def at(self, *given: Any) -> Any:
                found = super().at(*given)
                counts.append(len(alive))
                return found

        def keep(tensor: Tensor) -> Kept:
            kept = Kept(tensor)
            alive.add(kept)
            return kept

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept.tensor):
            gradients(head, adamw(head, 0.1, 0.0, True), ROWS, Counted(steps=steps), 4)
        return max(counts)

    assert most(6) == most(1) > 0

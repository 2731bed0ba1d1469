"""Adversarial training and linear probing do what their formulas say, on tiny models."""

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from search_spaces.catalog import Prompts
from search_spaces.errors import BadInput
from search_spaces.space import FitSettings
from trainables.batches import Batches
from trainables.data import Example
from trainables.heads import build_head
from trainables.heads.base import Batch, Head, HeadSpec
from trainables.probe import probe
from trainables.training.adversarial import adversarial_loss, random_in_ball, random_on_sphere
from trainables.training.perturbation import perturbed, project

WORDS = ["the", "film", "movie", "was", "good", "bad", "great", "dull", "plot"]
PROMPTS = Prompts(
    templates=["[SEP] the film is [MASK]"], label_words=[["bad"], ["good"], ["great"]]
)
TEXTS = [("the film was good",), ("bad",), ("a very dull plot , never great !",)]
LABELS = torch.tensor([0, 1, 2])


@pytest.fixture(params=["bert", "roberta", "gpt2"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(name: str, request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(f"tiny_{name}")
    return found


def head_of(folder: Path, name: str, kind: str = "mlp_ft", classes: int = 3) -> Head:
    torch.manual_seed(0)
    return build_head(kind, HeadSpec(folder, name == "gpt2", classes, PROMPTS, 32)).eval()


def settings(norm: str, **changed: Any) -> dict[str, object]:
    plain = {"step_size": None, "start": "ball", "inner_dropout": True}
    return {"norm": norm, "epsilon": 1.0, "steps": 1, **plain, **changed}


def sequence_norms(delta: torch.Tensor) -> torch.Tensor:
    return delta.flatten(1).norm(dim=1)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_random_perturbation_lies_in_the_ball_and_spares_padding(
    name: str, folder: Path, norm: str
) -> None:
    head = head_of(folder, name, "mvp")
    batch = head.encode(TEXTS)
    assert (batch.attention_mask == 0).any()
    for _ in range(20):
        delta = random_in_ball(head, batch, norm, 0.7)
        size = sequence_norms(delta) if norm == "l2" else delta.abs().flatten(1).amax(dim=1)
        assert (size <= 0.7 + 1e-5).all() and (size > 0).all()
        assert (delta[batch.attention_mask == 0] == 0).all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_projection_brings_back_into_the_ball_and_leaves_the_inside_alone(norm: str) -> None:
    torch.manual_seed(0)
    far, near = torch.randn(4, 5, 6) * 10, torch.randn(4, 5, 6) * 0.01
    assert torch.equal(project(near, norm, 1.0), near)
    projected = project(far, norm, 1.0)
    size = sequence_norms(projected) if norm == "l2" else projected.abs().flatten(1).amax(dim=1)
    torch.testing.assert_close(size, torch.ones(4))


@pytest.mark.parametrize(("norm", "steps"), [("l2", 1), ("linf", 1), ("l2", 3)])
def test_the_loss_is_that_of_the_formula_written_out(
    name: str, folder: Path, norm: str, steps: int
) -> None:
    """The inner maximisation by hand, on embeddings given to the model as such."""
    head = head_of(folder, name)
    batch = head.encode(TEXTS)
    mask = batch.attention_mask[:, :, None].float()
    epsilon = 0.5
    alpha = 1.5 * epsilon / steps

    def loss_at(delta: torch.Tensor) -> torch.Tensor:
        embedded = head.model.get_input_embeddings()(batch.inputs["input_ids"])
        with_embeddings = {k: v for k, v in batch.inputs.items() if k != "input_ids"}
        if name == "gpt2":  # finds the last token by ids, which embeddings do not have
            hidden = head.model.transformer(
                inputs_embeds=embedded + delta, **with_embeddings
            ).last_hidden_state
            last = batch.attention_mask.sum(dim=1) - 1
            return F.cross_entropy(head.model.score(hidden[torch.arange(3), last]), LABELS)
        logits = head.model(inputs_embeds=embedded + delta, **with_embeddings).logits
        return F.cross_entropy(logits, LABELS)

    torch.manual_seed(5)
    delta = random_in_ball(head, batch, norm, epsilon)
    for _ in range(steps):
        delta = delta.clone().requires_grad_(True)
        loss_at(delta).backward()
        gradient = delta.grad
        for row in range(3):
            g = gradient[row] * mask[row]
            step = g.sign() if norm == "linf" else g / g.norm()
            moved = delta[row].detach() + alpha * step
            if norm == "linf":
                moved = moved.clamp(-epsilon, epsilon)
            elif moved.norm() > epsilon:
                moved = moved * epsilon / moved.norm()
            with torch.no_grad():
                delta[row] = moved
        delta = delta.detach()
    expected = loss_at(delta)
    torch.manual_seed(5)
    ours = adversarial_loss(head, batch, LABELS, settings(norm, epsilon=epsilon, steps=steps))
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["mlp_ft", "mvp"])
def test_the_perturbation_makes_the_loss_larger(name: str, folder: Path, kind: str) -> None:
    head = head_of(folder, name, kind)
    batch = head.encode(TEXTS)
    clean = F.cross_entropy(head.score(batch), LABELS)
    torch.manual_seed(1)
    assert adversarial_loss(head, batch, LABELS, settings("l2", steps=5)) > clean


def test_a_start_on_the_sphere_is_drawn_as_in_the_papers_code(name: str, folder: Path) -> None:
    head = head_of(folder, name, "mvp")
    batch = head.encode(TEXTS)
    real = batch.attention_mask.bool()
    torch.manual_seed(4)
    delta = random_on_sphere(head, batch, "l2", 0.7)
    torch.testing.assert_close(sequence_norms(delta), torch.full((len(delta),), 0.7))
    assert (delta[~real] == 0).all()
    torch.manual_seed(4)
    uniform = torch.rand(delta.shape)
    drawn = torch.where(real[:, :, None], uniform * (2.0 * uniform - 1.0), 0)
    torch.testing.assert_close(delta, 0.7 * drawn / drawn.flatten(1).norm(dim=1)[:, None, None])


@pytest.mark.parametrize("inner_dropout", [True, False])
def test_the_inner_step_has_dropout_unless_it_is_without(
    inner_dropout: bool, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = head_of(folder, name).train()
    batch, score, modes = head.encode(TEXTS), head.score, list[bool]()

    def seen(batch: Batch) -> torch.Tensor:
        modes.append(head.training and all(module.training for module in head.modules()))
        return score(batch)

    monkeypatch.setattr(head, "score", seen)
    adversarial_loss(head, batch, LABELS, settings("l2", steps=2, inner_dropout=inner_dropout))
    assert modes == [inner_dropout, inner_dropout, True]


def test_inner_steps_leave_no_gradients_behind(name: str, folder: Path) -> None:
    head = head_of(folder, name)
    batch = head.encode(TEXTS)
    torch.manual_seed(2)
    loss = adversarial_loss(head, batch, LABELS, settings("l2", steps=3))
    assert all(parameter.grad is None for parameter in head.parameters())
    loss.backward()
    one_pass = [parameter.grad for parameter in head.parameters()]

    head.zero_grad(set_to_none=True)
    torch.manual_seed(2)
    delta = _final_delta(head, batch)
    with perturbed(head, delta):
        F.cross_entropy(head.score(batch), LABELS).backward()
    for ours, alone in zip(one_pass, head.parameters(), strict=True):
        if ours is None:  # the last layer's bias of the keys, which has no effect
            assert alone.grad is None
        else:
            torch.testing.assert_close(ours, alone.grad, atol=1e-6, rtol=0)


def _final_delta(head: Head, batch: Batch) -> torch.Tensor:
    """The result of three steps, by plain autograd."""
    delta = random_in_ball(head, batch, "l2", 1.0)
    for _ in range(3):
        delta.requires_grad_(True)
        with perturbed(head, delta):
            loss = F.cross_entropy(head.score(batch), LABELS)
        (gradient,) = torch.autograd.grad(loss, delta)
        unit = gradient / gradient.flatten(1).norm(dim=1)[:, None, None]
        step = 0.5 * unit * batch.attention_mask[:, :, None]
        delta = project(delta.detach() + step, "l2", 1.0)
    return delta


def rows(classes: int, count: int, seed: int) -> list[Example]:
    """Texts whose words are more frequent in their class."""
    draw = np.random.default_rng(seed)
    examples = []
    for number in range(count):
        label = number % classes
        words = [WORDS[3 * label + draw.integers(3)], *draw.choice(WORDS, 4)]
        examples.append(Example(number, (" ".join(words),), label))
    return examples


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", ["mlp_ft", "project_cls"])
def test_a_probed_head_starts_as_the_logistic_regression(
    name: str, folder: Path, kind: str, classes: int
) -> None:
    if name == "gpt2" and kind == "project_cls":
        pytest.skip("does not apply to a causal model")
    head = head_of(folder, name, kind, classes)
    train, validation = rows(classes, 60, 0), rows(classes, 30, 1)
    features: list[torch.Tensor] = []
    regression = probe(head, train, validation)
    linear = head.last_linear()
    assert linear is not None
    linear.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    for example in validation:
        logits = head.predict([example.texts])[0]
        at = features.pop()[0]
        decision = regression.decision_function(
            (at[-1] if at.dim() == 2 else at).double().numpy()[None]
        )[0]
        got = logits[1] - logits[0] if classes == 2 else logits
        np.testing.assert_allclose(got.numpy(), decision, atol=1e-4)


def test_a_head_that_cannot_be_probed_says_so(tiny_bert: Path) -> None:
    with pytest.raises(BadInput, match="has no last linear layer"):
        probe(head_of(tiny_bert, "bert", "mvp"), rows(3, 9, 0), rows(3, 9, 1))


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=120),
    size=st.integers(1, 9),
    epochs=st.integers(1, 3),
)
@hypothesis_settings(deadline=None, max_examples=40)
def test_batches_of_like_length_hold_every_row_once_an_epoch(
    lengths: list[int], size: int, epochs: int
) -> None:
    rows = [Example(id, ("a" * length,), 0) for id, length in enumerate(lengths)]
    fit = FitSettings(batch_size=size, max_epochs=epochs, group_by_length=True)
    found = list(Batches(rows, fit, random.Random(0)))
    assert found == list(Batches(rows, fit, random.Random(0)))
    for epoch in range(epochs):
        of_it = found[epoch * len(found) // epochs : (epoch + 1) * len(found) // epochs]
        assert sorted(e.id for batch in of_it for e in batch) == list(range(len(rows)))
        if len(rows) <= 50 * size:  # one window: batches do not overlap in length
            spans = sorted(sorted(len(e.texts[0]) for e in batch) for batch in of_it)
            assert all(a[-1] <= b[0] for a, b in pairwise(spans))

"""InfoBERT's two bounds and its step, on random vectors and tiny models."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from test_freelb import Seen, encoded, equal, grads, head_of, made
from torch import Tensor, nn

from search_spaces.catalog import Catalog
from trainables.heads.base import Batch, Head
from trainables.heads.hidden import read_states, watched
from trainables.training.freelb import Dropout
from trainables.training.infobert import InfoBERT
from trainables.training.information import Critic, anchored, lower_bound, upper_bound
from trainables.training.perturbation import perturbed

SEEDS = st.integers(0, 2**16)


@pytest.fixture(params=["bert", "roberta", "gpt2"])
def model(request: pytest.FixtureRequest) -> tuple[str, Path]:
    name = str(request.param)
    return name, request.getfixturevalue(f"tiny_{name}")


@pytest.fixture(params=["mlp_ft", "mvp"])
def head(request: pytest.FixtureRequest, model: tuple[str, Path]) -> Head:
    return head_of(request.param, *model).eval()


class SeenInfoBERT(InfoBERT):
    """Keeps the perturbations and features of its passes."""

    def __init__(self, head: Head, **changed: Any) -> None:
        super().__init__({**Catalog().training("infobert").settings, **changed})
        torch.manual_seed(1)
        self.build(head)
        self.deltas: list[Tensor] = []
        self.kept: list[tuple[Tensor, Tensor]] = []

    def at(self, head: Head, batch: Batch, labels: Tensor, delta: Tensor, dropout: Dropout) -> Any:
        self.deltas.append(delta.detach().clone())
        return super().at(head, batch, labels, delta, dropout)

    def features(self, *given: Any) -> tuple[Tensor, Tensor]:
        self.kept.append(found := super().features(*given))
        return found


def test_without_its_terms_it_is_freelb_gradient_for_gradient(head: Head) -> None:
    batch, labels = encoded(head)
    path = {"steps": 3, "step_size": 0.04, "start_size": 0.08}
    torch.manual_seed(2)
    losses = made(Seen(**path), head, batch, labels)
    freelb = grads(head)
    training = SeenInfoBERT(head, upper_weight=0.0, lower_weight=0.0)
    torch.manual_seed(2)
    assert made(training, head, batch, labels) == losses
    equal(grads(head), freelb, 0.0)


def test_passes_share_their_dropout_and_draw_their_own_pairs(model: tuple[str, Path]) -> None:
    head = head_of("mlp_ft", *model).train()
    batch, labels = encoded(head)

    def different(**changed: Any) -> int:
        training = SeenInfoBERT(head, step_size=0.0, start_size=0.0, **changed)
        return len(set(made(training, head, batch, labels)))

    assert different(upper_weight=1.0, lower_weight=0.0, exact=True) == 1
    assert different(upper_weight=1.0, lower_weight=0.0) == 3
    assert different(upper_weight=0.0, lower_weight=1.0) == 3


def objective(
    head: Head, batch: Batch, labels: Tensor, delta: Tensor, critic: nn.Module, upper: float
) -> Tensor:
    """Cross entropy + upper U - 0.2 N at δ, written out: U is exact, features are the tokens whose
    gradients' ranks are from 50 to 90 %, each with what is read of its sequence."""
    with perturbed(head, delta), watched(head) as seen:
        loss = F.cross_entropy(head.score(batch), labels)
    assert seen.embedded is not None and seen.last is not None and batch.positions is not None
    real = [int(n) for n in batch.attention_mask.sum(dim=1)]
    tokens = torch.cat([seen.embedded[row, :n] for row, n in enumerate(real)])
    loss = loss + upper * ((tokens - tokens.mean(dim=0)) ** 2).mean(dim=0).sum()
    (gradient,) = torch.autograd.grad(loss, delta, retain_graph=True)
    x, z = [], []
    for row, n in enumerate(real):
        ranked = gradient[row, :n].norm(dim=1).argsort()[math.ceil(0.5 * n) : math.ceil(0.9 * n)]
        places = batch.positions[row].flatten()
        for token in sorted(ranked.tolist()):
            x.append(seen.embedded[row, token])
            z.append(seen.last[row, places].mean(dim=0))
    return loss - 0.2 * lower_bound(torch.stack(x), torch.stack(z), critic, len(labels))


@pytest.mark.parametrize("upper", [0.0, 0.1])
def test_the_gradient_is_that_of_the_formula_written_out(head: Head, upper: float) -> None:
    batch, labels = encoded(head)
    training = SeenInfoBERT(head, upper_weight=upper, lower_weight=0.2, exact=True)
    torch.manual_seed(4)
    losses = made(training, head, batch, labels)
    ours = {**grads(head), **grads(training)}
    head.zero_grad()
    training.zero_grad()
    torch.manual_seed(4)
    training.start(head, batch)
    for loss, delta in zip(losses, training.deltas, strict=True):
        delta.requires_grad_(True)
        expected = objective(head, batch, labels, delta, training.critic, upper) / 3
        expected.backward()  # type: ignore[no-untyped-call]
        assert loss == pytest.approx(expected.item(), abs=1e-5)
    equal(ours, {**grads(head), **grads(training)}, 1e-5)
    assert all(grad.abs().sum() > 0 for grad in grads(training).values())


def test_longer_padding_changes_neither_losses_nor_gradients(head: Head) -> None:
    batch, labels = encoded(head)
    longer = batch.take(range(len(labels)), batch.attention_mask.shape[1] + 5).to(head.device)
    changed = {"upper_weight": 0.3, "lower_weight": 0.0, "exact": True, "start_size": 0.0}
    losses = made(SeenInfoBERT(head, **changed), head, batch, labels)
    ours = grads(head)
    again = made(SeenInfoBERT(head, **changed), head, longer, labels)
    assert again == pytest.approx(losses, abs=1e-5)
    equal(grads(head), ours, 1e-4)


def test_the_way_does_not_depend_on_the_lower_bound(head: Head) -> None:
    batch, labels = encoded(head)
    ways = []
    for weight in (0.0, 0.01, 5.0):
        training = SeenInfoBERT(head, lower_weight=weight, exact=True)
        torch.manual_seed(3)
        made(training, head, batch, labels)
        ways.append(training.deltas)
    for others in ways[1:]:
        for ours, theirs in zip(ways[0], others, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@given(SEEDS, st.integers(1, 30), st.integers(1, 6))
@hypothesis_settings(deadline=None, max_examples=30)
def test_the_exact_upper_bound_is_the_sum_of_the_variances(
    seed: int, rows: int, width: int
) -> None:
    x = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)).double()
    variances = sum(((x[:, d] - x[:, d].mean()) ** 2).mean() for d in range(width))
    torch.testing.assert_close(upper_bound(x, exact=True), variances)
    same = x[:1].expand(rows, -1)
    for exact in (True, False):
        assert upper_bound(same, exact).item() == pytest.approx(0, abs=1e-12)


def test_sampled_upper_bounds_have_the_exact_one_as_their_mean() -> None:
    torch.manual_seed(0)
    x = torch.randn(40, 5).double()
    sampled = torch.stack([upper_bound(x, exact=False) for _ in range(2000)])
    error = sampled.std() / math.sqrt(2000)
    assert abs(sampled.mean() - upper_bound(x, exact=True)) < 4 * error


def test_the_upper_bound_ignores_padding(head: Head) -> None:
    batch, labels = encoded(head)
    longer = batch.take(range(len(labels)), batch.attention_mask.shape[1] + 5).to(head.device)
    found = []
    for each in (batch, longer):
        with watched(head) as seen, torch.no_grad():
            head.score(each)
        assert seen.embedded is not None
        found.append(upper_bound(seen.embedded[each.attention_mask.bool()], exact=True))
    torch.testing.assert_close(*found)


@given(SEEDS, st.integers(1, 12), st.integers(1, 5), st.floats(0.1, 50))
@hypothesis_settings(deadline=None, max_examples=40)
def test_the_lower_bound_is_at_most_log_n_for_any_critic(
    seed: int, pairs: int, chunk: int, scale: float
) -> None:
    torch.manual_seed(seed)
    x, z = scale * torch.randn(pairs, 4), torch.randn(pairs, 3)
    critic = Critic(4, 3, 6)
    bound = lower_bound(x, z, critic, chunk)
    assert bound <= math.log(max(min(chunk, pairs), 1)) + 1e-4
    if pairs == 1 or chunk == 1:
        assert bound == 0


class Same(nn.Module):
    """Knows which z belongs to which x."""

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return 30.0 * (x[..., :, None, :] == z[..., None, :, :]).all(dim=-1).float()


def test_a_critic_scores_each_with_each() -> None:
    """A row of scores for each x, a column for each z, of the two together."""
    critic = Critic(4, 3, 6)
    x, z = torch.randn(2, 5, 4), torch.randn(2, 5, 3)
    scores = critic(x, z)
    assert scores.shape == (2, 5, 5) and (scores > 0).all()
    together = torch.cat([x[1, 2], z[1, 4]])
    alone = F.softplus(critic.last(critic.first(together).relu()))
    torch.testing.assert_close(scores[1, 2, 4], alone[0])


def test_the_lower_bound_of_what_determines_each_other_is_log_n() -> None:
    x = torch.arange(8.0)[:, None]
    assert lower_bound(x, x, Same(), 8).item() == pytest.approx(math.log(8), abs=1e-4)
    assert lower_bound(x, torch.zeros(8, 1) - 1, Same(), 8).item() == pytest.approx(0, abs=1e-6)


def test_the_lower_bound_of_one_chunk_does_not_depend_on_the_order_of_pairs() -> None:
    torch.manual_seed(0)
    x, z, critic = torch.randn(7, 4), torch.randn(7, 3), Critic(4, 3, 6)
    bounds = {round(lower_bound(x, z, critic, 7).item(), 5) for _ in range(5)}
    assert len(bounds) == 1


def test_a_last_chunk_of_one_pair_is_left_out() -> None:
    """Here it would be the only one with a bound of 0."""
    x = torch.arange(5.0)[:, None]
    assert lower_bound(x, x, Same(), 2).item() == pytest.approx(math.log(2), abs=1e-4)


@given(SEEDS, st.lists(st.integers(1, 15), min_size=1, max_size=5), st.floats(0, 0.9), st.data())
@hypothesis_settings(deadline=None, max_examples=60)
def test_tokens_of_middling_influence_are_kept(
    seed: int, counts: list[int], first: float, data: st.DataObject
) -> None:
    last = data.draw(st.floats(first, 1.0, exclude_min=True))
    length = max(counts) + 2
    generator = torch.Generator().manual_seed(seed)
    influence = torch.stack([torch.randperm(length, generator=generator) for _ in counts]).double()
    real = torch.tensor([[1] * n + [0] * (length - n) for n in counts])
    kept = anchored(influence, real, first, last)
    for row, n in enumerate(counts):
        ranked = influence[row, :n].argsort().tolist()
        expected = set(ranked[math.ceil(first * n) : math.ceil(last * n)])
        assert set(kept[row].nonzero().flatten().tolist()) == expected


def test_features_are_paired_with_what_the_head_reads_of_their_sequence(head: Head) -> None:
    batch, labels = encoded(head)
    training = SeenInfoBERT(head, start_size=0.0, steps=1, keep_from=0.0, keep_to=1.0)
    made(training, head, batch, labels)
    with watched(head) as seen, torch.no_grad():
        head.score(batch)
    assert seen.embedded is not None and seen.last is not None
    real = batch.attention_mask.bool()
    x, z = training.kept[0]
    torch.testing.assert_close(x.detach(), seen.embedded[real])
    read = read_states(seen.last, batch).mean(dim=1)
    expected = torch.cat([read[[row]].expand(int(n), -1) for row, n in enumerate(real.sum(dim=1))])
    torch.testing.assert_close(z.detach(), expected)


def test_embeddings_are_what_enters_the_first_layer(model: tuple[str, Path]) -> None:
    name, _ = model
    head = head_of("mlp_ft", *model).eval()
    batch, _ = encoded(head)
    base = head.model.base_model
    first = base.h[0] if name == "gpt2" else base.encoder
    entered: list[Tensor] = []
    hook = first.register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    with watched(head) as seen, torch.no_grad():
        head.score(batch)
    hook.remove()
    assert seen.embedded is not None
    torch.testing.assert_close(seen.embedded, entered[0])

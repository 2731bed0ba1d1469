"""What a fit's steps are made of: AdamW, the learning rate's schedule, samples, dropout, losses."""

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orchestrator.plan.plan import make_plan
from search_spaces.cell import Fit
from search_spaces.space import FitSettings, load
from trainables import fit as fit_module
from trainables import probe as probe_module
from trainables import snapshot, speed
from trainables.assets import Assets
from trainables.batches import Moment
from trainables.data import Example, Splits, sampled
from trainables.fit import Fitted, fine_tune, fresh_head, set_dropout
from trainables.heads import build_head
from trainables.heads.base import Head, HeadSpec
from trainables.optimizer import adamw, put_back, state_of
from trainables.schedule import share_of_rate
from trainables.snapshot import HowFar
from trainables.store import Store
from trainables.training import adversarial
from trainables.training.ada import Ada
from trainables.training.freelb import FreeLB
from trainables.training.infobert import InfoBERT

ASSETS = Assets("embedded")
WORDS = ["the", "film", "movie", "was", "good", "bad", "great", "dull", "plot"]
SMALL = [
    "fit.train_examples=20", "fit.max_length=24", "fit.batch_size=4", "fit.max_epochs=2",
    "fit.patience=2", "fit.learning_rate=0.003",
]  # fmt: skip


def fit_of(*sets: str, head: str = "mlp_ft", model: str = "bert-embedded") -> Fit:
    only = ["dataset=sst2", f"model={model}", f"head={head}", "attack=misspellings"]
    (cell,) = make_plan(load("embedded", only, [*SMALL, *sets]), ASSETS, Store("nowhere")).todo
    return cell.fit


def splits() -> Splits:
    draw = random.Random(0)
    every = [Example(id, (" ".join(draw.choices(WORDS, k=6)),), id % 2) for id in range(60)]
    return Splits(every[:20], every[20:40], every[40:])


def tiny(folder: Path, kind: str = "mlp_ft") -> Head:
    torch.manual_seed(0)
    return build_head(kind, HeadSpec(folder, False, 2, None, 24))


def test_linear_falls_from_all_to_almost_nothing_constant_stays_and_cooldown_falls_late() -> None:
    def shares(steps: int, **settings: Any) -> list[float]:
        return [share_of_rate(FitSettings(**settings), step, steps) for step in range(steps)]

    assert shares(4, schedule="linear") == [1, 0.75, 0.5, 0.25]
    assert shares(4, schedule="constant") == [1, 1, 1, 1]
    cooldown = [1] * 8 + [2 / 3, 1 / 3]
    assert shares(10, schedule="cooldown") == pytest.approx(cooldown)
    warmed = [0, 0.5, *cooldown[2:]]
    assert shares(10, schedule="cooldown", warmup=0.2) == pytest.approx(warmed)


def rates_of(fit: Fit, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    rates = []

    class Seen(torch.optim.AdamW):
        def step(self, closure: Any = None) -> Any:
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "AdamW", Seen)
    *_, fitted = fine_tune(fit, tiny(folder), splits())
    assert isinstance(fitted, Fitted)
    return rates


def test_each_step_has_the_rate_of_its_schedule_over_all_epochs(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constant = rates_of(fit_of(), tiny_bert, monkeypatch)
    assert constant == [0.003] * 10
    linear = rates_of(fit_of("fit.schedule=linear"), tiny_bert, monkeypatch)
    assert linear == pytest.approx([0.003 * (10 - step) / 10 for step in range(10)])


def test_an_optimizers_state_put_back_goes_on_to_the_same_bits() -> None:
    def trained(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
        for step in steps:
            optimizer.zero_grad()
            F.cross_entropy(model(torch.tensor([step, 3])), torch.tensor([0, 1])).backward()
            optimizer.step()

    torch.manual_seed(0)
    one = nn.Sequential(nn.Embedding(12, 5), nn.Linear(5, 2))
    its = adamw(one, 0.05, 0.5, True)
    trained(one, its, range(3))
    other = nn.Sequential(nn.Embedding(12, 5), nn.Linear(5, 2))
    other.load_state_dict(one.state_dict())
    others = adamw(other, 0.05, 0.5, True)
    put_back(others, {name: tensor.clone() for name, tensor in state_of(its).items()})
    trained(one, its, range(3, 6))
    trained(other, others, range(3, 6))
    for ours, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_sample_is_the_same_each_time_and_all_rows_where_there_are_no_more() -> None:
    rows = list(range(100))
    assert sampled(rows, 30) == sampled(rows, 30) != rows[:30]
    assert len(set(sampled(rows, 30))) == 30
    assert sampled(rows, 100) == sampled(rows, None) == rows


def test_validation_and_probe_are_on_samples_and_the_test_set_is_whole(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated: list[list[int]] = []
    probed: list[list[int]] = []
    predicted, probe = fit_module._predicted, probe_module.probe

    def seen(head: Head, rows: Any) -> tuple[Tensor, Tensor]:
        evaluated.append([row.id for row in rows])
        return predicted(head, rows)

    def probe_seen(head: Head, train: Any, validation: Any) -> Any:
        probed.extend([row.id for row in rows] for rows in (train, validation))
        return probe(head, train, validation)

    monkeypatch.setattr(fit_module, "_predicted", seen)
    monkeypatch.setattr(probe_module, "probe", probe_seen)
    sets = ("fit.validation_examples=7", "fit.probe_examples=9", "fit.evaluate_every=20")
    for seed in ("seeds=[0]", "seeds=[1]"):
        list(fine_tune(fit_of(*sets, seed, head="lpft_dense"), tiny(tiny_bert), splits()))
    first, test = evaluated[0], evaluated[-1]
    assert evaluated == [first, first, first, test] * 2  # the third: the best weights' calibration
    assert len(first) == 7 and set(first) < set(range(20, 40)) and test == list(range(40, 60))
    train, validation = probed[:2]
    assert probed == [train, validation] * 2
    assert len(set(train)) == 9 and max(train) < 20 and validation == first


def test_the_weights_that_are_kept_are_the_first_of_the_best_on_validation(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = []
    accuracy = fit_module._accuracy

    def seen(head: Head, rows: Any) -> float:
        weights.append({name: tensor.clone() for name, tensor in head.state_dict().items()})
        return accuracy(head, rows)

    monkeypatch.setattr(fit_module, "_accuracy", seen)
    head, fit = tiny(tiny_bert), fit_of("fit.evaluate_every=4")
    settings = fit.settings.model_copy(update={"patience": 10})
    *_, fitted = fine_tune(fit.model_copy(update={"settings": settings}), head, splits())
    assert isinstance(fitted, Fitted)
    found = [point["validation_accuracy"] for point in fitted.record["curve"]]
    best = found.index(max(found))
    assert found[-1] < max(found) and best > 0, f"take a fit that does not end at its best: {found}"
    assert fitted.record["validation_accuracy"] == max(found)
    assert all(torch.equal(weights[best][name], kept) for name, kept in head.state_dict().items())


def test_adversarial_training_is_validated_on_clean_text(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracy, perturb, perturbing = fit_module._accuracy, adversarial.perturbed, list[bool]()

    @contextmanager
    def seen(head: Head, delta: Tensor) -> Iterator[None]:
        perturbing.append(True)
        with perturb(head, delta):
            yield

    def evaluated(head: Head, rows: Any) -> float:
        assert perturbing and not head.model.get_input_embeddings()._forward_hooks
        before = len(perturbing)
        found = accuracy(head, rows)
        assert len(perturbing) == before
        return found

    monkeypatch.setattr(adversarial, "perturbed", seen)
    monkeypatch.setattr(fit_module, "_accuracy", evaluated)
    fit = fit_of("axes.training=[adversarial]")
    assert fit.training_entry.kind == "adversarial"
    list(fine_tune(fit, tiny(tiny_bert), splits()))


def test_a_probes_features_are_each_rows_own_and_batches_of_like_length(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = tiny(tiny_bert)
    linear = head.last_linear()
    assert linear is not None
    lengths = [9, 1, 5, 9, 2, 1]
    rows = [Example(n, (" ".join(WORDS[:length]),), 0) for n, length in enumerate(lengths)]
    alone = [probe_module._features(head, linear, [row])[0] for row in rows]
    padded, encode = [], head.encode

    def seen(texts: Any) -> Any:
        batch = encode(texts)
        padded.append(tuple(batch.attention_mask.shape))
        return batch

    monkeypatch.setattr(head, "encode", seen)
    monkeypatch.setattr(probe_module, "BATCH", 2)
    together = probe_module._features(head, linear, rows)
    assert [rows for rows, _ in padded] == [2, 2, 2]
    assert len({length for _, length in padded}) == 3
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-5)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("model", ["bert-embedded", "roberta-embedded", "gpt2-embedded"])
def test_without_dropout_a_model_says_the_same_twice_in_training(model: str, plain: bool) -> None:
    def differ(fit: Fit) -> bool:
        with speed.off(*(speed.NAMES if plain else ())):
            head = fresh_head(fit, ASSETS).train()
            one, other = (head([("a good film",), ("bad",)]) for _ in range(2))
        return not torch.equal(one, other)

    assert differ(fit_of("fit.dropout=null", model=model))
    assert not differ(fit_of("fit.dropout=0", model=model))


def test_dropout_is_set_in_layers_of_ones_own_too() -> None:
    layers = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    set_dropout(layers, 0.25)
    assert layers[1].p == 0.25


def training_on_a_gpu(monkeypatch: pytest.MonkeyPatch, at_most: int) -> list[int]:
    """Have losses stay unread as on a GPU; returns how many are read at once, as it goes."""
    reads: list[int] = []
    read = HowFar.read_losses

    def counted(training: HowFar) -> None:
        reads.append(len(training.unread))
        read(training)

    monkeypatch.setattr(snapshot, "UNREAD_AT_MOST", at_most)
    monkeypatch.setattr(snapshot, "is_read_at_once", lambda loss: False)
    monkeypatch.setattr(HowFar, "read_losses", counted)
    return reads


def test_losses_that_are_read_seldom_are_the_same(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 steps, an evaluation every 5: read after 3 steps, before each evaluation, and no more."""
    fit = fit_of("fit.evaluate_every=20")
    *_, before = fine_tune(fit, tiny(tiny_bert), splits())
    reads = training_on_a_gpu(monkeypatch, 3)
    *_, after = fine_tune(fit, tiny(tiny_bert), splits())
    assert isinstance(before, Fitted) and isinstance(after, Fitted)
    assert before.record["curve"] == after.record["curve"]
    assert [number for number in reads if number] == [3, 2, 3, 2]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("until", ["the limit", "an evaluation", "a snapshot"])
def test_a_loss_that_is_not_a_number_is_found_before_anything_is_kept(
    bad: float, until: str, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training_on_a_gpu(monkeypatch, 3 if until == "the limit" else 1000)
    monkeypatch.setattr(fit_module, "SNAPSHOT_EVERY", 0.0 if until == "a snapshot" else 1e9)
    gradients, made, kept = fit_module.gradients, list[int](), list[bytes]()

    def broken(*given: Any) -> tuple[Tensor, int]:
        loss, at_once = gradients(*given)
        made.append(len(made))
        return (loss * bad if len(made) == 2 else loss), at_once

    monkeypatch.setattr(fit_module, "gradients", broken)
    reports = []
    with pytest.raises(FloatingPointError, match=f"the loss became {bad}"):
        for report in fine_tune(fit_of(), tiny(tiny_bert), splits(), kept.append):
            reports.append(report)
    assert not reports
    assert len(made) == {"the limit": 3, "an evaluation": 10, "a snapshot": 2}[until]
    assert len(kept) == (1 if until == "a snapshot" else 0)


def test_each_of_a_steps_losses_must_be_a_number(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, passes = FreeLB.at, list[int]()

    def broken(self: FreeLB, *given: Any) -> Any:
        loss, gradient = at(self, *given)
        passes.append(len(passes))
        return (loss * math.nan if len(passes) == 14 else loss), gradient

    monkeypatch.setattr(FreeLB, "at", broken)
    with pytest.raises(FloatingPointError, match="the loss became nan within 8 examples"):
        list(fine_tune(fit_of("axes.training=[freelb_pp]"), tiny(tiny_bert), splits()))


def test_a_trainings_own_parameters_are_trained_and_not_stored(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, kept = InfoBERT.build, list[tuple[InfoBERT, list[Tensor]]]()

    def seen(self: InfoBERT, head: Head) -> None:
        build(self, head)
        kept.append((self, [weight.detach().clone() for weight in self.parameters()]))

    monkeypatch.setattr(InfoBERT, "build", seen)
    *_, fitted = fine_tune(fit_of("axes.training=[infobert]"), tiny(tiny_bert), splits())
    assert isinstance(fitted, Fitted)
    ((training, before),) = kept
    assert len(before) == 4
    for weight, first in zip(training.parameters(), before, strict=True):
        assert not torch.equal(weight, first)
    standard = tiny(tiny_bert)
    assert fitted.head.weights().keys() == standard.weights().keys()
    standard.load_bytes(fitted.head.to_bytes())


def test_an_epoch_of_which_a_round_leaves_nothing_ends_with_an_evaluation(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only rows of the round before are left, and the round that replaces them makes none."""
    made = [[Example(100 + n, ("good",), 0) for n in range(8)], []]

    def rows(self: Ada, moment: Moment, *_: Any) -> Iterator[Example]:
        yield from made[moment.round]

    monkeypatch.setattr(Ada, "new_rows", rows)
    monkeypatch.setattr(Ada, "is_due", lambda self, moment: moment.seen in (16, 20))
    monkeypatch.setattr(random.Random, "shuffle", lambda self, items: None)
    fit = fit_of("axes.training=[a2t_embedded]")
    epochs = fit.settings.model_copy(update={"max_epochs": 1, "group_by_length": False})
    *_, fitted = fine_tune(fit.model_copy(update={"settings": epochs}), tiny(tiny_bert), splits())
    assert isinstance(fitted, Fitted) and fitted.record["added_rows"] == [8, 0]
    assert [point["examples_seen"] for point in fitted.record["curve"]] == [20]


def test_the_rate_falls_to_the_end_of_the_epochs_also_where_rows_are_added(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many steps more as the added rows take, and none at a rate below 0."""
    monkeypatch.setattr(
        Ada, "new_rows", lambda self, moment, head, rows, attack: iter(rows[: 4 * moment.epoch])
    )
    settings = {"attack": "misspellings", "attacked_rows": 1, "keep_rows": True}
    fit = fit_of("fit.schedule=linear", "axes.training=[ada_embedded]")
    epochs = fit.settings.model_copy(update={"max_epochs": 3})
    entry = fit.training_entry.model_copy(
        update={"settings": {**settings, "from_epoch": 2, "every": None}}
    )
    fit = fit.model_copy(update={"training_entry": entry, "settings": epochs})
    rates = rates_of(fit, tiny_bert, monkeypatch)
    assert len(rates) == 5 + (5 + 2) + (5 + 2 + 3)
    assert rates[:5] == pytest.approx([0.003 * (15 - step) / 15 for step in range(5)])
    assert rates == sorted(rates, reverse=True) and 0 < rates[-1] < rates[4] / 5


def test_a_rate_of_dropout_that_a_model_keeps_as_a_number_is_set_too() -> None:
    from transformers import OPTConfig, OPTModel

    model = OPTModel(
        OPTConfig(
            vocab_size=50,
            hidden_size=16,
            ffn_dim=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            word_embed_proj_dim=16,
            dropout=0.5,
        )
    )
    model.train()
    ids = torch.arange(12)[None]

    def twice() -> list[torch.Tensor]:
        return [model(input_ids=ids).last_hidden_state for _ in range(2)]

    assert not torch.equal(*twice())
    set_dropout(model, 0.0)
    assert torch.equal(*twice())

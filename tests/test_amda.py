"""Mixup mixes what it says, and rows made by attacking within a fit are what they should be."""

import math
import random
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from test_freelb import ROWS, encoded, equal, grads, head_of, made
from torch import Tensor

from orchestrator.plan.plan import make_plan
from search_spaces.catalog import Catalog
from search_spaces.cell import Fit
from search_spaces.errors import BadInput
from search_spaces.space import load
from trainables.assets import Assets
from trainables.attacks.in_fits import Tried, attack_of
from trainables.batches import Batches, Moment
from trainables.data import Example, Splits
from trainables.fit import Fitted, fine_tune, fresh_head, load_data
from trainables.heads.base import Batch, Head
from trainables.heads.hidden import changed_after, layers_of, read_states, watched
from trainables.store import Store
from trainables.training.ada import Ada
from trainables.training.amda import Amda
from trainables.training.base import training_of
from trainables.training.mixup import SMIX, TMIX, Mix, drawn, mixed_logits, mixed_loss

pytestmark = pytest.mark.usefixtures("one_thread")

SWAP = torch.tensor([1, 0, 3, 2])
ASSETS = Assets("embedded")
HEADS = [
    (kind, model)
    for kind in ("mlp_ft", "project_cls", "cls_prompt", "mvp")
    for model in ("bert", "roberta", "gpt2")
    if model != "gpt2" or kind in ("mlp_ft", "mvp")
]


@pytest.fixture(params=HEADS, ids="-".join)
def head(request: pytest.FixtureRequest) -> Head:
    kind, model = request.param
    return head_of(kind, model, request.getfixturevalue(f"tiny_{model}")).eval()


def mixed(head: Head, kind: str, share: float, partners: Tensor, layer: int) -> Tensor:
    batch, _ = encoded(head)
    with torch.no_grad():
        return mixed_logits(head, batch, Mix(kind, share, partners, layer))


def plain(head: Head) -> Tensor:
    with torch.no_grad():
        return head.score(encoded(head)[0])


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", [SMIX, TMIX])
@pytest.mark.parametrize("layer", [1, 2])
def test_all_of_ones_own_states_or_those_of_oneself_change_nothing(
    head: Head, kind: str, layer: int
) -> None:
    logits = plain(head)
    close(mixed(head, kind, 1.0, SWAP, layer), logits)
    close(mixed(head, kind, 0.3, torch.arange(4), layer), logits)


@pytest.mark.parametrize("kind", [SMIX, TMIX])
@pytest.mark.parametrize("layer", [1, 2])
def test_a_mix_after_any_layer_changes_logits(head: Head, kind: str, layer: int) -> None:
    changed = (mixed(head, kind, 0.5, SWAP, layer) - plain(head)).abs().amax(dim=1)
    assert (changed > 1e-3).all()


def tail(head: Head, read: Tensor, batch: Batch) -> Tensor:
    """Logits of the states that a head reads [sequences, k, width], in its own words."""
    texts = len(ROWS)
    if hasattr(head, "class_scores"):  # k places, or a sequence for each template
        scores = head.class_scores(read.flatten(0, 1)).unflatten(0, read.shape[:2])
        return scores.mean(dim=1).view(-1, texts, scores.shape[-1]).mean(dim=0)
    read = read[:, 0]
    if hasattr(head, "linear"):
        return head.linear(torch.tanh(read))
    if hasattr(head.model, "score"):
        return head.model.score(read)
    if hasattr(head.model, "bert"):
        return head.model.classifier(head.model.bert.pooler(read[:, None]))
    return head.model.classifier(read[:, None])


@pytest.mark.parametrize("kind", [SMIX, TMIX])
def test_after_the_last_layer_the_states_that_are_read_are_mixed(head: Head, kind: str) -> None:
    batch, _ = encoded(head)
    with torch.no_grad(), watched(head) as seen:
        head.score(batch)
    assert seen.last is not None
    read = read_states(seen.last, batch)
    sequences = torch.cat([SWAP + first for first in range(0, len(read), len(ROWS))])
    with torch.no_grad():
        expected = tail(head, 0.3 * read + 0.7 * read[sequences], batch)
    close(mixed(head, kind, 0.3, SWAP, len(layers_of(head))), expected)


def test_what_is_mixed_the_other_way_round_is_the_partners(head: Head) -> None:
    one = mixed(head, SMIX, 0.2, SWAP, len(layers_of(head)))
    other = mixed(head, SMIX, 0.8, SWAP, len(layers_of(head)))
    close(one, other[SWAP])


@pytest.mark.parametrize("model", ["bert", "roberta"])
def test_states_are_mixed_where_both_texts_have_tokens(
    model: str, request: pytest.FixtureRequest
) -> None:
    """By hand: the second layer on a mixture of the first one's outputs, at the text's own mask."""
    head = head_of("mlp_ft", model, request.getfixturevalue(f"tiny_{model}")).eval()
    batch, _ = encoded(head)
    encoder = head.model.base_model.encoder
    real = batch.attention_mask.bool()
    with torch.no_grad():
        states = head.model.base_model.embeddings(input_ids=batch.inputs["input_ids"])
        mask = torch.where(real, 0.0, torch.finfo(torch.float32).min)[:, None, None]
        states = encoder.layer[0](states, mask)[0]
        both = (real & real[SWAP])[:, :, None]
        states = torch.where(both, 0.6 * states + 0.4 * states[SWAP], states)
        last = encoder.layer[1](states, mask)[0]
        expected = tail(head, last[:, :1], batch)
    close(mixed(head, TMIX, 0.6, SWAP, 1), expected)


@given(st.integers(0, 2**16), st.floats(0.01, 0.99))
@hypothesis_settings(deadline=None, max_examples=30)
def test_the_mixed_loss_is_the_mixed_cross_entropy_less_the_entropy_of_the_labels(
    seed: int, share: float
) -> None:
    torch.manual_seed(seed)
    logits, labels = 50 * torch.randn(4, 3).double(), torch.randint(3, (4,))
    loss = mixed_loss(logits, labels, Mix(SMIX, share, SWAP, 1))
    own, others = F.cross_entropy(logits, labels), F.cross_entropy(logits, labels[SWAP])
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    differ = (labels != labels[SWAP]).double().mean()
    expected = share * own + (1 - share) * others - entropy * differ
    torch.testing.assert_close(loss, expected)


def test_a_step_of_amda_is_cross_entropy_and_the_loss_of_the_mix(head: Head) -> None:
    settings = {**Catalog().training("amda").settings, "beta": 5.0, "layers": [0.5, 1.0]}
    training = Amda(settings)
    training.build(head)
    batch, labels = encoded(head)
    torch.manual_seed(6)
    losses = made(training, head, batch, labels)
    ours = grads(head)
    head.zero_grad()
    torch.manual_seed(6)
    mix = drawn(SMIX, 5.0, [0.5, 1.0], len(labels), head)
    expected = [
        F.cross_entropy(head.score(batch), labels),
        mixed_loss(mixed_logits(head, batch, mix), labels, mix),
    ]
    sum(expected).backward()  # type: ignore[union-attr]
    assert losses == pytest.approx([loss.item() for loss in expected], abs=1e-6)
    equal(ours, grads(head), 1e-5)


@pytest.mark.parametrize("kind", ["amda", "infobert"])
def test_a_head_that_does_not_say_where_it_reads_is_refused(kind: str, tiny_bert: Path) -> None:
    head = head_of("mlp_ft", "bert", tiny_bert)
    head.reads_states = False
    with pytest.raises(BadInput, match="MlpFt does not say where it reads hidden states"):
        training_of(Catalog().training(kind), head)


def test_states_that_are_not_changed_once_are_an_error(tiny_bert: Path) -> None:
    head = head_of("mlp_ft", "bert", tiny_bert)
    with (
        pytest.raises(RuntimeError, match="BertForSequenceClassification were changed 0 times"),
        changed_after(head, 1, lambda hidden: hidden),
    ):
        pass


def test_layers_are_shares_of_the_depth(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = head_of("mlp_ft", "bert", tiny_bert)
    shares = [0.58, 0.75, 1.0]
    assert {drawn(SMIX, 0.4, shares, 4, head).layer for _ in range(30)} == {2}
    monkeypatch.setattr("trainables.training.mixup.layers_of", lambda _: range(12))
    mixes = [drawn(SMIX, 0.4, shares, 4, head) for _ in range(60)]
    assert {mix.layer for mix in mixes} == {7, 9, 12}
    assert all(sorted(mix.partners.tolist()) == [0, 1, 2, 3] for mix in mixes)
    assert all(0 <= mix.share <= 1 for mix in mixes)


# The order of rows

SETTINGS = {"attack": "misspellings", "attacked_rows": 5, "keep_rows": True}


@given(
    rows=st.integers(1, 60), size=st.integers(1, 9), epochs=st.integers(1, 4),
    by_length=st.booleans(), keep=st.booleans(), added=st.lists(st.integers(0, 7), max_size=12),
    data=st.data(),
)  # fmt: skip
@hypothesis_settings(deadline=None, max_examples=60)
def test_each_row_is_in_one_batch_of_each_epoch_from_when_it_is_there(
    rows: int, size: int, epochs: int, by_length: bool, keep: bool, added: list[int],
    data: st.DataObject,
) -> None:  # fmt: skip
    settings = load("embedded").fit.model_copy(
        update={"batch_size": size, "max_epochs": epochs, "group_by_length": by_length}
    )
    train = [Example(id, ("a" * (id % 7 + 1),), 0) for id in range(rows)]
    batches = Batches(train, settings, random.Random(0))
    next_id, present, step = rows, {row.id for row in train}, -1.0
    clean = set(present)
    here: list[int] = []
    there, epoch = set(present), 1
    while not batches.ended:
        moment = batches.moment
        if moment.epoch != epoch:
            assert sorted(here) == sorted(there)
            here, there, epoch = [], set(present), moment.epoch
        assert moment.begins == (not here)
        if added and data.draw(st.booleans()):
            new = [Example(next_id + n, ("b",), 0) for n in range(added.pop())]
            next_id += len(new)
            if not keep:
                there -= (present - clean) - set(here)
                present = set(clean)
            present |= {row.id for row in new}
            there |= {row.id for row in new}
            batches.add(new, keep)
            if batches.moment.epoch != epoch:
                continue
        assert step < batches.step < epochs * math.ceil(rows / size)
        step = batches.step
        total = batches.total
        batch = next(batches)
        assert 1 <= len(batch) <= size and batches.total == total
        here += [row.id for row in batch]
    assert sorted(here) == sorted(there)
    assert batches.moment.seen == batches.total


def test_rounds_are_due_at_epochs_or_after_examples() -> None:
    def due(train: int, epochs: int, **settings: Any) -> list[int]:
        training = Ada({**SETTINGS, **settings})
        fit = load("embedded").fit.model_copy(update={"batch_size": 8, "max_epochs": epochs})
        batches = Batches([Example(n, ("a",), 0) for n in range(train)], fit, random.Random(0))
        found = []
        while not batches.ended:
            if training.is_due(batches.moment):
                found.append(batches.moment.seen)
            next(batches)
        return found

    assert due(20, 4, from_epoch=2, every=None) == [20, 40, 60]
    assert due(20, 4, from_epoch=4, every=None) == [60]
    assert due(64, 1, from_epoch=None, every=20) == [24, 40]
    assert due(64, 2, from_epoch=None, every=100) == [104]


# Rows made by attacking


@cache
def fits(dataset: str = "sst2", head: str = "mlp_ft", *sets: str) -> dict[str, Fit]:
    """Fits of a few rows, by training."""
    only = [f"dataset={dataset}", "model=bert-embedded", f"head={head}", "attack=misspellings"]
    small = ["fit.train_examples=120", "fit.max_length=32", "fit.batch_size=8",
             "axes.training=[standard, ada_embedded, amda_embedded]"]  # fmt: skip
    cells = make_plan(load("embedded", only, [*small, *sets]), ASSETS, Store("nowhere")).todo
    return {cell.fit.training: cell.fit for cell in cells}


def with_attack(fit: Fit, **settings: Any) -> Fit:
    """With rounds after every 80 examples, of a quick attack."""
    attack = {"name": "misspellings", "kind": "misspellings", "settings": {
        "max_words_changed_count": 1, "min_word_length": 4}}  # fmt: skip
    assert fit.attack is not None
    entry = fit.training_entry
    own = {**entry.settings, "attacked_rows": 12, "every": 80, **settings}
    return fit.model_copy(
        update={
            "attack": fit.attack.model_copy(update=attack),
            "training_entry": entry.model_copy(update={"settings": own}),
        }
    )


def weights(fit: Fit, attack: Any = None) -> tuple[bytes, Fitted]:
    splits = load_data(fit, ASSETS)
    few = Splits(splits.train, splits.validation[:20], splits.test[:20])
    *_, fitted = fine_tune(
        fit, fresh_head(fit, ASSETS), few, attack=attack or attack_of(fit, ASSETS)
    )
    assert isinstance(fitted, Fitted)
    return fitted.head.to_bytes(), fitted


@pytest.mark.parametrize("dataset", ["sst2", "mrpc"])
def test_rows_that_are_added_fool_the_head_of_that_moment(dataset: str) -> None:
    """And have the row's label; a pair's other column is as it was."""
    fit = with_attack(fits(dataset)["ada_embedded"])
    settings = fit.settings.model_copy(update={"train_examples": 200})
    fit = fit.model_copy(update={"settings": settings})
    column = fit.data.columns.index(fit.data.attacked)
    real, rounds = attack_of(fit, ASSETS), list[list[Example]]()
    assert real is not None

    def seen(head: Head, rows: Sequence[Example], round: int) -> Iterator[Tried]:
        by_id = {row.id: row for row in rows}
        assert len(by_id) == 12 and all(row in train for row in rows) and not head.training
        labels = head.predict([row.texts for row in rows]).argmax(dim=1).tolist()
        right = dict(zip(by_id, labels, strict=True))
        every = list(real(head, rows, round))
        assert sorted(tried.row for tried in every) == sorted(by_id)
        for tried in every:
            if (row := tried.found) is None:
                continue
            clean = by_id[tried.row]
            assert row.id == clean.id and right[row.id] == clean.label == row.label
            assert head.predict([row.texts])[0].argmax() != row.label
            changed = [a != b for a, b in zip(row.texts, clean.texts, strict=True)]
            assert changed == [number == column for number in range(len(row.texts))]
        rounds.append([tried.found for tried in every if tried.found is not None])
        yield from every

    train = load_data(fit, ASSETS).train
    _, fitted = weights(fit, seen)
    assert any(rounds)
    added = fitted.record["examples_seen"] - 200
    assert added == sum(map(len, rounds))
    assert fitted.record["added_rows"] == list(map(len, rounds))
    assert fitted.record["rounds_in_weights"] == len(rounds)
    assert fitted.record["attack_errors"] == 0


def test_a_fit_with_attacks_in_it_is_the_same_each_time() -> None:
    """Whatever ran in the process before, and however many are attacked at the same time."""
    fit = with_attack(fits("sst2", "mvp")["amda_embedded"])
    once, fitted = weights(fit)
    assert fitted.record["examples_seen"] > 120
    assert fit.attack is not None and fit.attack.at_once > 1
    random.seed(5), np.random.seed(5)
    other = with_attack(fits("mrpc")["ada_embedded"])
    list(attack_of(other, ASSETS)(fitted.head, load_data(other, ASSETS).train[:3], 0))  # type: ignore[misc]
    alone = fit.model_copy(update={"attack": fit.attack.model_copy(update={"at_once": 1})})
    again, _ = weights(alone)
    assert once == again


def test_attacks_that_find_nothing_leave_the_fit_as_the_standard_one() -> None:
    """To the bit: the random states after a round are those before it."""
    sets = ("fit.dropout=0.1",)

    def nothing(head: Head, rows: Sequence[Example], round: int) -> Iterator[Tried]:
        torch.rand(3), random.random(), np.random.rand()
        yield from (Tried(row.id, None, False) for row in rows)

    by_training = fits("sst2", "mlp_ft", *sets)
    ada, _ = weights(with_attack(by_training["ada_embedded"]), nothing)
    standard, _ = weights(by_training["standard"])
    again, _ = weights(by_training["standard"])
    assert standard == again
    assert ada == standard


def test_what_an_attack_in_a_fit_depends_on_is_in_the_fits_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def keys(*sets: str) -> dict[str, str]:
        fits.cache_clear()
        return {name: fit.key for name, fit in fits("sst2", "mlp_ft", *sets).items()}

    plain = keys()
    for limits in (
        "attack.scores=margin", "attack.query_budget=7", "attack.seconds_per_example=3",
        "attack.examples=3", "attack.at_once=2",
    ):  # fmt: skip
        assert keys(limits) == plain
    override = "overrides=[{when: {attack: misspellings}, attack: {protocol: textattack}}]"
    assert keys(override) == plain
    protocol = keys("attack.protocol=textattack")
    assert protocol["standard"] == plain["standard"]
    assert protocol["ada_embedded"] != plain["ada_embedded"]
    with monkeypatch.context() as patch:
        patch.setattr("orchestrator.plan.keys.version", lambda name: "9.9")
        assert keys()["ada_embedded"] != plain["ada_embedded"]
    with monkeypatch.context() as patch:
        identity = "orchestrator.plan.cells.resources_identity"
        patch.setattr(identity, lambda name: {"word_vectors": "others"})
        changed = keys()
    assert changed["standard"] == plain["standard"]
    assert changed["ada_embedded"] != plain["ada_embedded"]
    assert changed["amda_embedded"] != plain["amda_embedded"]


def test_a_moment_tells_a_training_where_the_fit_is() -> None:
    assert Amda({**SETTINGS, "from_epoch": 2, "every": None}).is_due(Moment(2, True, 9, 8, 0))
    assert not Amda({**SETTINGS, "from_epoch": 2, "every": None}).is_due(Moment(2, False, 9, 8, 0))

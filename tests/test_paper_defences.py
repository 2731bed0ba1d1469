"""The spaces of the defences, and how `paper_defences` differs from the codes of their authors.

What those codes have of settings is written out here; what the catalog has otherwise is in the
space's list. Each entry of the list is so; those of behaviour name the test that shows it.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_goal import TEXTS, WordsHead

from orchestrator.plan.plan import make_plan
from search_spaces.catalog import Catalog
from search_spaces.space import Space, load
from search_spaces.trainings import rounds_of
from trainables.assets import EMBEDDED as PACKAGED
from trainables.assets import Assets
from trainables.attacks import KINDS as ATTACKS
from trainables.attacks.in_fits import attack_of
from trainables.data import Example
from trainables.heads import build_head
from trainables.heads.base import Head, HeadSpec
from trainables.heads.hidden import layers_of
from trainables.store import Store
from trainables.training.information import Critic, lower_bound
from trainables.training.mixup import Mix, mixed_logits, mixed_loss

HERE = Path(__file__).parent
PAPER, SPACE, EMBEDDED = load("paper"), load("paper_defences"), load("defences")
LISTED = SPACE.differences
CATALOG = Catalog()

# By training. FreeLB: zhuchen03/FreeLB at eb23701, SST-2 on RoBERTa large (fairseq-RoBERTa/launch).
# FreeLB++: RockyLzy/TextDefender at 06a5068, defaults. InfoBERT: AI-secure/InfoBERT at 9ac17f9,
# ANLI. AMDA: thunlp/MixADA at 8d247f3, SST-2 on RoBERTa by TextFooler; its layers are of 12.
CODES: dict[str, dict[str, Any]] = {
    "freelb": {
        "steps": 2, "step_size": 0.1, "start_size": 1.0, "bound": 0.6, "norm": "l2",
        "same_dropout": True,
    },
    "freelb_pp": {
        "steps": 5, "step_size": 0.03, "start_size": 0.05, "bound": None, "norm": "l2",
        "same_dropout": False,
    },
    "infobert": {
        "steps": 3, "step_size": 0.04, "start_size": 0.08, "bound": None, "norm": "l2",
        "same_dropout": True, "upper_weight": 5e-3, "lower_weight": 5e-3, "exact": False,
        "keep_from": 0.5, "keep_to": 0.9, "critic_width": 300,
    },
    "amda": {
        "attack": "textfooler", "attacked_rows": 1500, "from_epoch": 2, "every": None,
        "keep_rows": True, "mix": "smix", "layers": [7, 9, 12], "beta": 0.4,
    },
    "high_temperature": {"temperature": 200},
}  # fmt: skip
EXCUSES = {
    ("freelb_pp", "steps"): "freelb_pp_steps",
    ("freelb_pp", "same_dropout"): "freelb_pp_dropout",
}


def settings(name: str) -> dict[str, Any]:
    return CATALOG.training(name).settings


@pytest.mark.parametrize("name", CODES)
def test_settings_are_those_of_the_authors_or_listed(name: str) -> None:
    here = dict(settings(name))
    if "layers" in here:
        here["layers"] = [math.ceil(share * 12) for share in here["layers"]]
    assert here.keys() == CODES[name].keys()
    different = {(name, each) for each in here if here[each] != CODES[name][each]}
    assert different == {each for each in EXCUSES if each[0] == name}


def test_variants_differ_in_what_their_names_say() -> None:
    every = {"attacked_rows": 50, "from_epoch": None, "every": 400}
    variants: list[tuple[str, str, dict[str, Any]]] = [
        ("freelb_pp_30", "freelb_pp", {"steps": 30}),
        ("amda_tmix", "amda", {"mix": "tmix"}),
        ("ada_embedded", "ada", every),
        ("a2t_embedded", "a2t", every),
        ("amda_embedded", "amda", every),
        ("amda_tmix_embedded", "amda_embedded", {"mix": "tmix"}),
        ("adversarial_embedded", "adversarial", {"epsilon": 0.03}),
        ("freelb_pp_embedded", "freelb_pp", {"step_size": 0.01, "start_size": 0.015}),
        ("high_temperature_embedded", "high_temperature", {"temperature": 10}),
    ]
    for name, of, what in variants:
        assert settings(name) == {**settings(of), **what}
    assert settings("ada").items() <= settings("amda").items()


@pytest.mark.parametrize(("space", "of"), [(SPACE, PAPER), (EMBEDDED, load("embedded"))])
def test_fits_of_standard_training_are_those_of_the_whole_grid(space: Space, of: Space) -> None:
    assert space.fit == of.fit and space.assets == of.assets and set(space.seeds) <= set(of.seeds)
    for axis in ("dataset", "model", "head", "attack"):
        assert set(getattr(space.axes, axis)) <= set(getattr(of.axes, axis))
    of_attacks = {"examples": EMBEDDED.attack.examples} if space is EMBEDDED else {}
    assert space.attack == of.attack.model_copy(update=of_attacks)
    assert "standard" in space.axes.training and not space.overrides and not space.exclude


def test_every_defence_is_in_one_of_the_spaces() -> None:
    older = {"adversarial_linf", "amda_tmix_embedded"}  # ours, and without a place in them
    shares = {name for name in CATALOG.names("training") if name.startswith("standard_")}
    both = {*SPACE.axes.training, *EMBEDDED.axes.training}
    assert set(CATALOG.names("training")) - both == older | shares


def held_by(place: str) -> Callable[[], bool]:
    """Whether a test of that name is there: `file.py: name`."""
    file, _, name = place.partition(": ")
    return lambda: f"\ndef {name}(" in (HERE / file).read_text()


def head_of(classes: int = 2) -> Head:
    torch.manual_seed(0)
    return build_head("mlp_ft", HeadSpec(PACKAGED / "bert", False, classes, None, 32)).eval()


def pairs_come_in_another_order_each_time() -> bool:
    torch.manual_seed(0)
    x, z, critic = torch.randn(9, 4), torch.randn(9, 4), Critic(4, 4, 8)
    found = {float(lower_bound(x, z, critic, 3).detach()) for _ in range(5)}
    return len(found) == 5


def tmix_mixes_tokens_that_both_have() -> bool:
    """Seen from the layer that follows, where all of the state is the partner's."""
    head, seen = head_of(), list[torch.Tensor]()
    batch = head.encode([("the film was good",), ("bad",)])
    first, second = layers_of(head)[:2]
    first.register_forward_hook(lambda _layer, _inputs, output: seen.append(_hidden(output)))
    second.register_forward_pre_hook(lambda _layer, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        mixed_logits(head, batch, Mix("tmix", 0.0, torch.tensor([1, 0]), 1))
    before, mixed = seen
    real = batch.attention_mask.bool()
    partners, both = before[[1, 0]], real[0] & real[1]
    kept = torch.equal(mixed[real & ~both], before[real & ~both])
    return kept and torch.equal(mixed[:, both], partners[:, both]) and not real[1].all()


def _hidden(output: Any) -> torch.Tensor:
    found: torch.Tensor = output if isinstance(output, torch.Tensor) else output[0]
    return found


def four_classes_are_mixed() -> bool:
    logits, labels = torch.randn(2, 4), torch.tensor([3, 1])
    loss = mixed_loss(logits, labels, Mix("smix", 1.0, torch.tensor([1, 0]), 1))
    return torch.allclose(loss, torch.nn.functional.cross_entropy(logits, labels))


def texts_are_padded_on_the_right() -> bool:
    """By `encode`, which reads the texts of training and of attacks alike."""
    real = head_of().encode([("the film was good",), ("bad",)]).attention_mask
    return bool(real[:, 0].all() and not real[1, -1])


def rows_that_were_wrong_before_add_nothing() -> bool:
    """Half of the rows have a label that the head does not give them."""
    head, only = WordsHead(2), ["dataset=sst2", "model=bert-embedded", "head=mlp_ft"]
    space = load("defences", [*only, "training=ada_embedded", "attack=misspellings"])
    (made,) = make_plan(space, Assets("embedded"), Store("/nonexistent")).todo
    labels = [head.label(text) ^ number % 2 for number, text in enumerate(TEXTS)]
    rows = [Example(id, (text,), labels[id]) for id, text in enumerate(TEXTS)]
    attack = attack_of(made.fit, Assets("embedded"))
    assert attack is not None
    found = [tried.found for tried in attack(head, rows, 0) if tried.found is not None]
    turned = all(row.label == labels[row.id] != head.label(row.texts[0]) for row in found)
    return turned and bool(found) and all(row.id % 2 == 0 for row in found)


def rounds(name: str) -> Any:
    found = rounds_of(CATALOG.training(name))
    assert found is not None
    return found


HELD: dict[str, Callable[[], bool]] = {
    "baselines": lambda: not set(SPACE.axes.training) & set(PAPER.axes.training) - {"standard"},
    "grid": lambda: (
        " ".join(SPACE.axes.dataset) == "sst2 ag_news boolq"
        and SPACE.axes.model == ["roberta-base", "bert-base-uncased"]
    ),
    "fit_settings": lambda: (
        (SPACE.fit.learning_rate, SPACE.fit.schedule, SPACE.fit.warmup) == (1e-5, "linear", 0)
        and (SPACE.fit.batch_size, SPACE.fit.max_epochs) == (8, 20)
    ),
    "weight_decay": lambda: SPACE.fit.weight_decay == 0.01 and not SPACE.fit.decay_norms_and_biases,
    "text_length": lambda: SPACE.fit.max_length == 512,
    "infobert_dropout": lambda: SPACE.fit.dropout is None and not SPACE.overrides,
    "amda_textfooler": lambda: (
        rounds("amda").attack == "textfooler"
        and CATALOG.attack("textfooler").kind in ATTACKS
        and "textfooler" in SPACE.axes.attack
    ),
    "a2t_encoder": held_by("test_a2t.py: test_it_has_the_parts_of_textattacks_recipe"),
    "a2t_gradient": held_by(
        "test_a2t.py: test_words_are_tried_in_the_order_of_the_gradient_by_word"
    ),
    "freelb_data_sets": lambda: not SPACE.overrides,
    "freelb_pp_steps": lambda: (
        [settings(name)["steps"] for name in ("freelb_pp", "freelb_pp_30")] == [10, 30]
    ),
    "freelb_pp_dropout": lambda: bool(settings("freelb_pp")["same_dropout"]),
    "amda_attacks": lambda: (
        (rounds("amda").attack, rounds("amda").attacked_rows, rounds("amda").beta)
        == ("textfooler", 1500, 0.4)
    ),
    "a2t_rows": lambda: (
        (rounds("a2t").attacked_rows, rounds("a2t").from_epoch, rounds("a2t").keep_rows)
        == (0.2, 2, False)
    ),
    "amda_classes": four_classes_are_mixed,
    "amda_reading": texts_are_padded_on_the_right,
    "amda_masks": tmix_mixes_tokens_that_both_have,
    "amda_rows": rows_that_were_wrong_before_add_nothing,
    "infobert_pairs": pairs_come_in_another_order_each_time,
    "infobert_last_chunk": held_by("test_infobert.py: test_a_last_chunk_of_one_pair_is_left_out"),
    "best_weights": held_by(
        "test_fit_steps.py: test_the_weights_that_are_kept_are_the_first_of_the_best_on_validation"
    ),
    "amda_layers": lambda: settings("amda")["layers"] == [0.58, 0.75, 1.0],
}


def test_each_listed_difference_is_held_and_each_excuse_is_listed() -> None:
    assert set(LISTED) == set(HELD)
    assert set(EXCUSES.values()) <= set(LISTED)


@pytest.mark.parametrize("name", LISTED)
def test_a_listed_difference_is_one(name: str) -> None:
    assert HELD[name]()

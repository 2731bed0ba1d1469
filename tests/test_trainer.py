"""A fit's steps are those of the Trainer of transformers: the same weights after the same batches.

The Trainer has the library's own models, and for MVP its formula over the whole vocabulary. Both
begin from the same weights, without dropout; then only rounding may differ.
"""

import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    Trainer,
    TrainingArguments,
)

from orchestrator.plan.plan import make_plan
from search_spaces.catalog import Prompts
from search_spaces.cell import Fit
from search_spaces.space import FitSettings, load
from trainables import fit as fit_module
from trainables.assets import Assets
from trainables.batches import Batches
from trainables.data import Example, Splits
from trainables.fit import Fitted, fine_tune, set_dropout
from trainables.heads import build_head
from trainables.heads.base import Head, HeadSpec
from trainables.optimizer import norms_and_biases
from trainables.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = ["the", "film", "movie", "was", "good", "bad", "great", "dull", "plot"]
PROMPTS = Prompts(
    templates=["[SEP] the film is [MASK]", "a [MASK] plot : "],
    label_words=[["bad", "dull"], ["good", "great"]],
)
# As the Trainer's constant schedule, AdamW and no more; each test changes some of it.
PLAIN = {
    "schedule": "constant", "warmup": 0.0, "max_grad_norm": None, "decay_norms_and_biases": True,
}  # fmt: skip
BASE = {
    "learning_rate": 2e-5, "weight_decay": 20.0, "batch_size": 4, "max_epochs": 2, "dropout": 0.0,
    "max_length": 24, "evaluate_every": 1000,
}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "linear": {"schedule": "linear"},
    "linear with warm-up": {"schedule": "linear", "warmup": 0.25},
    "cosine": {"schedule": "cosine"},
    "cosine with warm-up": {"schedule": "cosine", "warmup": 0.25},
    "constant with warm-up": {"warmup": 0.25},
    "clipping": {"max_grad_norm": 0.5},
    "no decay of norms and biases": {"decay_norms_and_biases": False},
    "the paper's code's": {
        "schedule": "linear", "max_grad_norm": 1.0, "decay_norms_and_biases": False,
    },
}  # fmt: skip


def splits() -> Splits:
    draw = random.Random(0)
    every = [
        Example(id, (" ".join(draw.choices(WORDS, k=3 + id % 5)),), id % 2) for id in range(40)
    ]
    return Splits(every[:20], every[20:30], every[30:])


@cache
def planned() -> Fit:
    only = ["dataset=sst2", "model=bert-embedded", "head=mlp_ft", "attack=misspellings"]
    (cell,) = make_plan(load("embedded", only), Assets("embedded"), Store("nowhere")).todo
    return cell.fit


def fit_of(settings: dict[str, Any]) -> Fit:
    changed = FitSettings.model_validate({**BASE, **PLAIN, **settings})
    return planned().model_copy(update={"settings": changed})


def head_of(folder: Path, kind: str) -> Head:
    torch.manual_seed(0)
    head = build_head(kind, HeadSpec(folder, "gpt2" in folder.name, 2, PROMPTS, 24))
    set_dropout(head, 0.0)
    return head


def ours(fit: Fit, head: Head) -> dict[str, Tensor]:
    """Weights after the last step: it is evaluated once, so its last weights are its best."""
    *_, fitted = fine_tune(fit, head, splits())
    assert isinstance(fitted, Fitted) and len(fitted.record["curve"]) == 1
    return {name: weight.detach().clone() for name, weight in head.model.named_parameters()}


class OnOurBatches(Trainer):
    """The Trainer, on given batches: inputs and labels, or what a `loss` takes."""

    def __init__(self, given: list[Any], loss: Any, **more: Any) -> None:
        super().__init__(**more)
        self.given, self.loss = given, loss

    def get_train_dataloader(self) -> Any:
        return DataLoader(self.given, batch_size=None, shuffle=False)  # type: ignore[arg-type]

    def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Any:
        labels = inputs.pop("labels")
        return F.cross_entropy(self.loss(model, inputs), labels)


def trainers(fit: Fit, head: Head, folder: Path, kind: str, out: Path) -> dict[str, Tensor]:
    """Weights after the Trainer's last step, on the batches that a fit has."""
    settings = fit.settings
    order = Batches(splits().train, settings, random.Random(fit.seed))
    given = [
        {
            **plain_inputs(head, [example.texts[0] for example in batch]),
            "labels": torch.tensor([example.label for example in batch]),
        }
        for batch in order
    ]
    if kind == "mlp_ft":
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
        model.load_state_dict(head.model.state_dict())
        model.config.pad_token_id = head.tokenizer.pad_token_id
    else:
        model = AutoModelForMaskedLM.from_pretrained(folder)
    set_dropout(model, 0.0)
    names = {"constant": "constant_with_warmup" if settings.warmup else "constant"}
    trainer = OnOurBatches(
        given,
        (lambda model, inputs: model(**inputs).logits) if kind == "mlp_ft" else mvp_logits(head),
        model=model,
        args=TrainingArguments(
            output_dir=str(out),
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            lr_scheduler_type=names.get(settings.schedule, settings.schedule),
            warmup_ratio=settings.warmup,
            max_grad_norm=settings.max_grad_norm or 0.0,
            num_train_epochs=1,
            max_steps=len(given),
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        ),
    )
    if settings.decay_norms_and_biases:
        trainer.get_decay_parameter_names = lambda model: [n for n, _ in model.named_parameters()]
    trainer.train()
    return {name: weight.detach() for name, weight in model.named_parameters()}


def plain_inputs(head: Any, texts: list[str]) -> dict[str, Tensor]:
    if type(head).__name__ == "Mvp":
        sep, mask = head.tokenizer.sep_token, head.tokenizer.mask_token
        first, second = (t.replace("[MASK]", mask) for t in PROMPTS.templates)
        texts = [text + first.replace("[SEP]", sep) for text in texts] + [
            second + text for text in texts
        ]
    return dict(head.tokenizer(texts, padding=True, return_tensors="pt"))


def mvp_logits(head: Any) -> Any:
    """MVP's formula: the whole vocabulary at the mask, max over words, mean over templates."""
    tokenizer = head.tokenizer
    words = [
        [tokenizer(f" {word}", add_special_tokens=False).input_ids[0] for word in of_class]
        for of_class in PROMPTS.label_words
    ]

    def logits(model: Any, inputs: dict[str, Tensor]) -> Tensor:
        at_mask = model(**inputs).logits[inputs["input_ids"] == tokenizer.mask_token_id]
        scores = torch.stack([at_mask[:, ids].amax(dim=1) for ids in words], dim=1)
        return scores.view(len(PROMPTS.templates), -1, len(words)).mean(dim=0)

    return logits


@cache
def plain(folder: Path, kind: str) -> dict[str, Tensor]:
    """What a fit without the settings under test comes to."""
    return ours(fit_of({}), head_of(folder, kind))


def furthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference of a weight.

    Without the biases of keys: they change nothing, and what moves them is rounding alone.
    """

    def with_effect(name: str, weight: Tensor) -> Tensor:
        query, key, value = weight.chunk(3) if "attn.c_attn.bias" in name else (weight,) * 3
        return torch.cat([query, value]) if key is not weight else weight

    names = [name for name in one if name in other and "key.bias" not in name]
    assert len(names) > 20
    return max(
        (with_effect(name, one[name]) - with_effect(name, other[name])).abs().max().item()
        for name in names
    )


CASES = [("tiny_bert", "mlp_ft", name) for name in SETTINGS]
CASES += [
    (model, kind, "the paper's code's")
    for model, kind in [("tiny_roberta", "mlp_ft"), ("tiny_gpt2", "mlp_ft"), ("tiny_bert", "mvp")]
]


@pytest.mark.parametrize(("model", "kind", "name"), CASES)
def test_the_same_weights_as_the_trainers_after_the_same_batches(
    model: str, kind: str, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder: Path = request.getfixturevalue(model)
    fit = fit_of(SETTINGS[name])
    expected = trainers(fit, head_of(folder, kind), folder, kind, tmp_path)
    assert furthest(ours(fit, head_of(folder, kind)), expected) < 1e-6
    if SETTINGS[name]:
        assert furthest(plain(folder, kind), expected) > 3e-6


def test_the_weights_that_are_not_decayed_are_the_trainers(
    request: pytest.FixtureRequest,
) -> None:
    """By type of layer and by name, in each model and head, and in layers of one's own."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.Linear(2, 2, bias=False)
            self.layer = nn.ModuleDict({"k_norm": nn.Linear(2, 2), "normal": nn.LayerNorm(2)})
            self.scale = nn.Parameter(torch.ones(2))
            self.relative_attention_bias = nn.Embedding(3, 2)

    models = ["tiny_bert", "tiny_roberta", "tiny_gpt2"]
    every: list[nn.Module] = [
        head_of(request.getfixturevalue(model), kind)
        for model, kind in [*((model, "mlp_ft") for model in models), ("tiny_bert", "mvp")]
    ]
    for model in [*every, Own()]:
        decayed = set(Trainer.get_decay_parameter_names(None, model))  # type: ignore[arg-type]
        names = {name for name, _ in model.named_parameters()}
        assert norms_and_biases(model) == names - decayed


@pytest.mark.parametrize("at_most", [1, 3])
def test_a_batch_in_parts_is_clipped_as_a_whole(
    at_most: int, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that was halved for lack of memory has the norm of all its parts together."""
    fit = fit_of({"max_grad_norm": 0.5})
    whole = ours(fit, head_of(tiny_bert, "mlp_ft"))
    gradients = fit_module.gradients
    monkeypatch.setattr(
        fit_module,
        "gradients",
        lambda *given: gradients(*given[:4], min(given[4], at_most), *given[5:]),
    )
    assert furthest(ours(fit, head_of(tiny_bert, "mlp_ft")), whole) < 1e-6

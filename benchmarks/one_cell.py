"""One cell as a hand-written script runs it: the Trainer fits, textattack.Attacker attacks.

    python -m benchmarks.one_cell cell.json     (as benchmarks/grid.py writes it; result: cell.out)

The other side of benchmarks/grid.py. One process per cell: nothing is shared with other cells,
and no head, no loop and no engine of trainables/ is used. Both sides have the same rows, settings
and attack resources.

mlp_ft is AutoModelForSequenceClassification under TextAttack's HuggingFaceModelWrapper, which pads
to the maximum length. mvp is the formula of its paper over the masked language model's logits, all
of its vocabulary at all places; its batches are padded to their longest text.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from datasets import Dataset
from torch import Tensor, nn
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from search_spaces.catalog import Prompts
from search_spaces.cell import Cell
from trainables import speed
from trainables.assets import Assets
from trainables.attacks.resources import prepare_textattack
from trainables.data import Example, attacked_examples, load_splits

prepare_textattack("embedded")

import textattack  # noqa: E402
from textattack.models.wrappers import HuggingFaceModelWrapper, ModelWrapper  # noqa: E402

from benchmarks.attack import plain_masked_lm  # noqa: E402
from trainables.attacks.recipes import build_attack  # noqa: E402

EVALUATION_BATCH = 64


class MlpFt:
    """The library's own classification head."""

    def __init__(self, cell: Cell, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(
            folder, model_max_length=cell.fit.settings.max_length
        )
        self.model = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=len(cell.fit.data.labels)
        )
        self.collate = DataCollatorWithPadding(self.tokenizer)

    def row(self, text: str) -> dict[str, Any]:
        encoded = self.tokenizer(text, truncation=True)
        return {**encoded, "length": len(encoded.input_ids)}

    def victim(self) -> ModelWrapper:
        self.model.eval()
        return HuggingFaceModelWrapper(self.model, self.tokenizer)


class MvpModel(nn.Module):
    """Logits of classes: at the mask the best label word's, mean over templates."""

    def __init__(self, masked_lm: nn.Module, mask_id: int, word_ids: list[list[int]]) -> None:
        super().__init__()
        self.masked_lm, self.mask_id, self.word_ids = masked_lm, mask_id, word_ids

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """input_ids, attention_mask: [texts, templates, length]."""
        texts, templates, length = input_ids.shape
        ids = input_ids.view(-1, length)
        logits = self.masked_lm(ids, attention_mask=attention_mask.view(-1, length)).logits
        at_mask = logits[ids == self.mask_id]  # one mask a sequence: [sequences, vocabulary]
        by_class = [at_mask[:, words].amax(dim=1) for words in self.word_ids]
        scores = torch.stack(by_class, dim=1).view(texts, templates, -1).mean(dim=1)
        loss = {} if labels is None else {"loss": F.cross_entropy(scores, labels)}
        return {**loss, "logits": scores}


class Mvp(ModelWrapper):
    """Model-tuning via prompts, on all templates in one batch; a victim by itself."""

    def __init__(self, cell: Cell, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(
            folder, model_max_length=cell.fit.settings.max_length
        )
        masked_lm = AutoModelForMaskedLM.from_pretrained(folder)
        assert cell.fit.prompts is not None
        self.prompts: Prompts = cell.fit.prompts
        words = [
            self.tokenizer.convert_tokens_to_ids(list(each)) for each in self.prompts.label_words
        ]
        self.model = MvpModel(masked_lm, self.tokenizer.mask_token_id, words)

    def row(self, text: str) -> dict[str, Any]:
        """The text under each template; a text that is too long is cut, the template never."""
        ids = [self._under(template, text) for template in self.prompts.templates]
        return {"input_ids": ids, "length": max(map(len, ids))}

    def _under(self, template: str, text: str) -> list[int]:
        template = template.replace("[MASK]", self.tokenizer.mask_token)
        if not template.startswith("[SEP]"):
            ids: list[int] = self.tokenizer(template + text, truncation=True).input_ids
            return ids
        after = template.removeprefix("[SEP]")
        ids = self.tokenizer(text, after, truncation="only_first").input_ids
        return ids

    def collate(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        ids = [{"input_ids": sequence} for row in rows for sequence in row["input_ids"]]
        padded = self.tokenizer.pad(ids, return_tensors="pt")
        shape = (len(rows), len(self.prompts.templates), -1)
        batch = {name: padded[name].view(shape) for name in ("input_ids", "attention_mask")}
        if "label" in rows[0]:
            batch["labels"] = torch.tensor([row["label"] for row in rows])
        return batch

    def victim(self) -> ModelWrapper:
        self.model.eval()
        return self

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        return self.model(**self.collate([self.row(text) for text in texts]))["logits"]


HEADS: dict[str, type[MlpFt] | type[Mvp]] = {"mlp_ft": MlpFt, "mvp": Mvp}


class EvaluateAtTheEnd(TrainerCallback):
    """The Trainer evaluates at intervals; this adds an evaluation at the last step."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.global_step >= state.max_steps:
            control.should_evaluate = control.should_save = True


def rows(head: MlpFt | Mvp, examples: Sequence[Example]) -> Dataset:
    return Dataset.from_list([{**head.row(e.texts[0]), "label": e.label} for e in examples])


def fit(
    cell: Cell,
    head: MlpFt | Mvp,
    train: Sequence[Example],
    validation: Sequence[Example],
    folder: str,
) -> Trainer:
    """Fine-tune, with the settings of the space; the model has the best weights then."""
    settings = cell.fit.settings
    evaluate_every = settings.evaluate_every // settings.batch_size
    trainer = Trainer(
        model=head.model,
        args=TrainingArguments(
            output_dir=folder,
            seed=cell.fit.seed,
            per_device_train_batch_size=settings.batch_size,
            per_device_eval_batch_size=EVALUATION_BATCH,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            lr_scheduler_type=settings.schedule,  # of the space embedded: one that it has, too
            max_grad_norm=settings.max_grad_norm or 0.0,
            num_train_epochs=settings.max_epochs,
            group_by_length=settings.group_by_length,
            eval_strategy="steps",
            eval_steps=evaluate_every,
            save_strategy="steps",
            save_steps=evaluate_every,
            save_total_limit=1,
            save_only_model=True,
            save_safetensors=False,  # which refuses custom modules with tied weights
            load_best_model_at_end=True,
            metric_for_best_model="accuracy",
            label_names=["labels"],
            dataloader_pin_memory=False,
            disable_tqdm=True,
            report_to="none",
        ),
        train_dataset=rows(head, train),
        eval_dataset=rows(head, validation),
        data_collator=head.collate,
        compute_metrics=accuracy,
        callbacks=[EarlyStoppingCallback(settings.patience), EvaluateAtTheEnd()],
    )
    trainer.train()
    return trainer


def accuracy(predicted: Any) -> dict[str, float]:
    right = predicted.predictions.argmax(axis=1) == predicted.label_ids
    return {"accuracy": float(right.mean())}


def attack(cell: Cell, victim: ModelWrapper, examples: list[Example]) -> list[str]:
    """How each example ended, by TextAttack's name."""
    settings, data = cell.attack_settings, cell.fit.data
    with speed.off():
        recipe = build_attack(
            cell.attack_kind,
            victim,
            settings,
            cell.attack_resources,
            plain_masked_lm(),
            data.columns,
            data.attacked,
        )
    dataset = textattack.datasets.Dataset([(e.texts[0], e.label) for e in examples])
    arguments = textattack.AttackArgs(
        num_examples=len(examples), random_seed=cell.fit.seed, disable_stdout=True, silent=True
    )
    results = textattack.Attacker(recipe, dataset, arguments).attack_dataset()
    return [type(result).__name__.removesuffix("AttackResult") for result in results]


def run(cell: Cell) -> dict[str, Any]:
    torch.set_num_threads(cell.resources.fit.cpus)
    torch.manual_seed(cell.fit.seed)
    assets = Assets("embedded")
    data = cell.fit.data
    splits = load_splits(cell.fit.dataset, data, assets.dataset_files(cell.fit.dataset, data))
    head = HEADS[cell.fit.head](cell, assets.model_folder(cell.fit.model, cell.fit.language_model))
    started = time.perf_counter()
    train, count = splits.train, cell.fit.settings.train_examples
    if count is not None:
        train = random.Random(0).sample(train, count)
    with tempfile.TemporaryDirectory() as folder:
        trainer = fit(cell, head, train, splits.validation, folder)
    test_accuracy = trainer.evaluate(rows(head, splits.test))["eval_accuracy"]
    fitted = time.perf_counter()
    sample = attacked_examples(splits.test, cell.examples)
    ended = attack(cell, head.victim(), sample)
    right = len(ended) - ended.count("Skipped")
    return {
        "key": cell.key,
        "test_accuracy": test_accuracy,
        "clean_accuracy": right / len(ended),
        "accuracy_under_attack": ended.count("Failed") / len(ended),
        "fit_seconds": fitted - started,
        "attack_seconds": time.perf_counter() - fitted,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cell", type=Path, help="cell.json; the result is written beside it")
    file = parser.parse_args().cell
    found = run(Cell.model_validate_json(file.read_text()))
    file.with_suffix(".out").write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()

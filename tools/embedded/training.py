"""Train a small language model against the clock, save it, and measure what was saved.

Shared by make_bert.py and make_bpe_models.py. What differs between masked and causal models is the
function that gives the scores of a batch (`masked_scores`, `next_token_scores`).
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.nn import functional
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    pipeline,
)

from tools.embedded.text import IGNORE, SPECIAL_PIECES, Batch, Batches

# Scores over the vocabulary and the right pieces, wherever a piece is to be predicted.
Scores = Callable[[Any, Batch], tuple[torch.Tensor, torch.Tensor]]

WARM_UP = 0.05  # share of the training time
TIED = {
    "cls.predictions.decoder.weight",
    "cls.predictions.decoder.bias",
    "lm_head.decoder.weight",
    "lm_head.decoder.bias",
    "lm_head.weight",
}
BUFFERS = ("position_ids", ".attn.bias", ".masked_bias")
PROMPTS = (
    "the capital of france is [MASK].",
    "this movie was really [MASK], i loved every minute of it.",
    "he was born in [MASK] and moved to london as a child.",
    "she plays the [MASK] in a rock band.",
    "the company was founded in 1998 by two [MASK] students.",
)


def masked_scores(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """At the chosen positions only: the projection onto the whole vocabulary is the most expensive
    matrix multiplication of so small a model."""
    inputs, attention, labels = batch
    hidden = model.base_model(inputs, attention_mask=attention).last_hidden_state
    chosen = labels != IGNORE
    head = model.cls if hasattr(model, "cls") else model.lm_head  # BERT's name, RoBERTa's name
    return head(hidden[chosen]).float(), labels[chosen]


def next_token_scores(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Wherever there is a next token."""
    inputs, attention, labels = batch
    hidden = model.transformer(inputs, attention_mask=attention).last_hidden_state[:, :-1]
    truth = labels[:, 1:]
    real = truth != IGNORE
    return model.lm_head(hidden[real]).float(), truth[real]


@dataclass(frozen=True)
class HeldOut:
    """How well a model predicts held-out pieces.

    unigram_accuracy: of the baseline that always predicts the commonest piece. loss: per piece.
    """

    accuracy: float
    unigram_accuracy: float
    loss: float
    pieces: int

    def figures(self) -> dict[str, float]:
        """Rounded, without the number of pieces."""
        return {
            "accuracy": round(self.accuracy, 4),
            "unigram_accuracy": round(self.unigram_accuracy, 4),
            "loss": round(self.loss, 3),
        }


@torch.inference_mode()
def evaluate(
    model: PreTrainedModel,
    batches: Batches,
    scores: Scores,
    commonest: int,
    limit: int | None = None,
    plain: bool = False,
) -> HeldOut:
    """Measure a model on all batches (the first ``limit``), always with the same masking."""
    model.eval()
    right = base = seen = 0
    loss = 0.0
    for number, batch in enumerate(batches.epoch(torch.Generator().manual_seed(1), plain)):
        if number == limit:
            break
        predicted, truth = scores(model, batch)
        loss += float(functional.cross_entropy(predicted, truth, reduction="sum"))
        right += int((predicted.argmax(-1) == truth).sum())
        base += int((truth == commonest).sum())
        seen += len(truth)
    return HeldOut(right / seen, base / seen, loss / seen, seen)


def evaluate_masked(
    model: PreTrainedModel,
    batches: Batches,
    commonest: int,
    limit: int | None = None,
    plain: bool = False,
) -> dict[str, float]:
    """Masked-token accuracy and loss, with the unigram baseline, as figures."""
    held_out = evaluate(model, batches, masked_scores, commonest, limit, plain)
    return {**held_out.figures(), "masked_tokens": held_out.pieces}


def save(model: PreTrainedModel, folder: Path, dropouts: tuple[str, ...]) -> None:
    """Write config.json and half-precision weights; tied weights are stored once.

    dropouts: names of the configuration's dropout rates, which are written as 0.1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config.to_diff_dict()
    config.update(architectures=[type(model).__name__], dtype="float32")
    config.update(dict.fromkeys(dropouts, 0.1))
    config.pop("_name_or_path", None)
    text = json.dumps(config, indent=2, sort_keys=True)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")
    state = {
        name: value.detach().half().contiguous()
        for name, value in model.state_dict().items()
        if name not in TIED and not name.endswith(BUFFERS)
    }
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)


def save_masked(model: PreTrainedModel, folder: Path) -> None:
    """Write a masked language model."""
    save(model, folder, ("hidden_dropout_prob", "attention_probs_dropout_prob"))


def prepare(model: torch.nn.Module, rate: float) -> torch.optim.Optimizer:
    """Turn dropout off (less than one pass over the text: nothing to regularize); the optimizer."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    decay = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decay, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)


def train(
    model: PreTrainedModel,
    batches: Batches,
    scores: Scores,
    minutes: float,
    rate: float,
    checkpoint: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Train for some minutes; the figures of the training.

    The learning rate follows the clock: warm-up, then a linear decay that reaches zero when the
    minutes are over. checkpoint: called every five minutes with the number of tokens seen.
    """
    optimizer = prepare(model, rate)
    total = minutes * 60
    begin = last_checkpoint = last_print = time.monotonic()
    steps = tokens = 0
    running: float | None = None
    for batch in _forever(batches):
        now = time.monotonic()
        done = (now - begin) / total
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate * min(done / WARM_UP, (1 - done) / (1 - WARM_UP))
        loss = float(_step(model, optimizer, scores, batch))
        steps += 1
        tokens += int(batch[1].sum())
        running = loss if running is None else 0.98 * running + 0.02 * loss
        if now - last_print > 30:
            last_print = now
            print(
                f"{now - begin:6.0f} s  step {steps}  tokens {tokens:,}  loss {running:.3f}",
                flush=True,
            )
        if checkpoint is not None and now - last_checkpoint > 300:
            last_checkpoint = now
            checkpoint(tokens)
    return {"train_minutes": minutes, "steps": steps, "tokens_seen": tokens}


def _forever(batches: Batches) -> Iterator[Batch]:
    generator = torch.Generator().manual_seed(0)
    while True:
        yield from batches.epoch(generator)


def _step(
    model: PreTrainedModel, optimizer: torch.optim.Optimizer, scores: Scores, batch: Batch
) -> torch.Tensor:
    model.train()
    # Measured here: bf16 autocast makes a step 1.4 to 1.9 times faster on this kind of CPU.
    with torch.autocast("cpu", torch.bfloat16):
        predicted, truth = scores(model, batch)
    loss = functional.cross_entropy(predicted, truth)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.detach()


def train_masked(
    model: PreTrainedModel,
    batches: Batches,
    held: Batches,
    commonest: int,
    minutes: float,
    rate: float,
    folder: Path,
) -> dict[str, Any]:
    """Masked language modelling into a folder, saved and measured every five minutes."""
    encoder: Any = model.base_model.encoder
    for layer in encoder.layer:
        layer.attention.self.dropout_prob = 0.0
    curve: list[dict[str, Any]] = []

    def checkpoint(tokens: int) -> None:
        save_masked(model, folder)
        curve.append({"tokens": tokens, **evaluate_masked(model, held, commonest, 20)})
        print(curve[-1], flush=True)

    figures = train(model, batches, masked_scores, minutes, rate, checkpoint)
    save_masked(model, folder)
    return {**figures, "curve": curve}


@torch.inference_mode()
def query_time(folder: Path) -> float:
    """Milliseconds for one 24-token text in a batch of 32, one core, fp32, best of 20."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    inputs = torch.randint(SPECIAL_PIECES, model.config.vocab_size, (32, 24))
    best = math.inf
    for _ in range(20):
        begin = time.perf_counter()
        model(inputs, attention_mask=torch.ones_like(inputs))
        best = min(best, time.perf_counter() - begin)
    torch.set_num_threads(threads)
    return round(best / 32 * 1000, 2)


def fillings(folder: Path, mask: str) -> dict[str, list[list[Any]]]:
    """The five best pieces for each prompt, with probabilities.

    mask: what the tokenizer reads for a masked word, with the space before it if it needs one.
    """
    fill = pipeline("fill-mask", model=str(folder), top_k=5)
    return {
        prompt: [
            [guess["token_str"].strip(), round(guess["score"], 3)]
            for guess in fill(prompt.replace(" [MASK]", mask))
        ]
        for prompt in PROMPTS
    }


def fine_tune_check(folder: Path, sst2: Path) -> dict[str, float]:
    """Validation accuracy after three epochs on 1,000 rows of SST-2 (lr 1e-4, batch 32)."""
    import pyarrow.parquet as parquet

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    rows = parquet.read_table(sst2 / "train.parquet").to_pylist()
    random.Random(0).shuffle(rows)
    rows = rows[:1000]
    test = parquet.read_table(sst2 / "validation.parquet").to_pylist()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    begin = time.monotonic()
    for _ in range(3):
        model.train()
        random.Random(1).shuffle(rows)
        for start in range(0, len(rows), 32):
            part = rows[start : start + 32]
            inputs = tokenizer([row["sentence"] for row in part], padding=True, return_tensors="pt")
            model(**inputs, labels=torch.tensor([row["label"] for row in part])).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    seconds = time.monotonic() - begin
    model.eval()
    right = 0
    with torch.inference_mode():
        for start in range(0, len(test), 32):
            part = test[start : start + 32]
            inputs = tokenizer([row["sentence"] for row in part], padding=True, return_tensors="pt")
            guess = model(**inputs).logits.argmax(-1).tolist()
            right += sum(g == row["label"] for g, row in zip(guess, part, strict=True))
    ones = sum(row["label"] for row in test) / len(test)
    return {
        "train_rows": len(rows),
        "validation_rows": len(test),
        "validation_accuracy": round(right / len(test), 4),
        "commonest_label": round(max(ones, 1 - ones), 4),
        "seconds": round(seconds, 1),
    }

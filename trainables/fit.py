"""Fine-tuning: one readable loop for every head.

Input: a fit (search_spaces/cell.py). Output: the weights that are best on validation, and the
training curve. Deterministic given seed and number of threads. Knows nothing of attacks or of the
store.
"""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from search_spaces.catalog import Dataset
from search_spaces.cell import Fit, OtherDataset
from search_spaces.space import FitSettings
from trainables.assets import Assets, dataset_digest, digest, model_files
from trainables.data import Example, Splits, load_splits, load_test, training_rows
from trainables.heads import build_head
from trainables.heads.base import Batch, Head, HeadSpec
from trainables.kinds import load_kind
from trainables.records import CurvePoint, Evaluation, FitMeasured, TrialReport
from trainables.speed.optimizer import AdamW
from trainables.training import KINDS as TRAININGS

EVALUATION_BATCH = 64
Loss = Callable[[Head, Batch, Tensor, dict[str, Any]], Tensor]


@dataclass
class Fitted:
    """A fine-tuned head and the record of its training."""

    head: Head
    record: FitMeasured


def load_data(fit: Fit, assets: Assets) -> Splits:
    """The fit's rows. Raises RuntimeError if the files differ from those at planning time."""
    files = _files(fit.dataset, fit.data, fit.dataset_digest, assets)
    return load_splits(fit.dataset, fit.data, files)


def load_test_rows(fit: Fit, assets: Assets) -> list[Example]:
    """The fit's test rows, as `load_data` has them, without reading the others."""
    files = _files(fit.dataset, fit.data, fit.dataset_digest, assets)
    return load_test(fit.dataset, fit.data, files)


def _files(name: str, data: Dataset, planned: str, assets: Assets) -> dict[str, list[Path]]:
    files = assets.dataset_files(name, data, planned)
    _same(planned, dataset_digest(files), f"data set {name}")
    return files


def evaluate_on(head: Head, other: OtherDataset, assets: Assets) -> Evaluation:
    """Clean accuracy on the test set of another data set with the same labels."""
    files = _files(other.name, other.data, other.digest, assets)
    test = load_test(other.name, other.data, files)
    return {"dataset": other.name, "accuracy": _accuracy(head, test), "examples": len(test)}


def fresh_head(fit: Fit, assets: Assets, device: str = "cpu") -> Head:
    """The fit's head before any training, on a device (device.py)."""
    folder = assets.model_folder(fit.model, fit.language_model, fit.model_digest)
    _same(fit.model_digest, digest(model_files(folder)), f"model {fit.model}")
    torch.manual_seed(fit.seed)
    spec = HeadSpec(
        model_folder=folder,
        causal=fit.language_model.kind == "causal",
        classes=len(fit.data.labels),
        prompts=fit.prompts,
        max_length=fit.settings.max_length,
        pretrained=fit.head_entry.pretrained,
    )
    head = build_head(fit.head_entry.kind, spec)
    return head.to(device)


def fine_tune(fit: Fit, head: Head, splits: Splits) -> Iterator[TrialReport | Fitted]:
    """Train a fresh head; yields a progress record per evaluation, and finally the Fitted.

    Training stops after `max_epochs`, or after `patience` evaluations without a better validation
    accuracy; the best weights are kept (the earliest of equals). Raises FloatingPointError when
    the loss is not a number, OutOfMemoryError when not even one example fits the GPU's memory.
    """
    settings = fit.settings
    started = time.perf_counter()
    train = training_rows(splits.train, settings.train_examples, fit.training_entry.train_share)
    loss_of = load_kind("training", fit.training_entry.kind, TRAININGS)
    if fit.head_entry.probe_first:
        from trainables.probe import probe

        probe(head, train, splits.validation)
    shuffle = random.Random(fit.seed)
    optimizer = AdamW(head, settings.learning_rate, settings.weight_decay)
    curve: list[CurvePoint] = []
    best, best_accuracy, since_best = head.snapshot(), -1.0, 0
    seen, total = 0, settings.max_epochs * len(train)
    losses: list[float] = []
    training, at_once = fit.training_entry.settings, settings.batch_size

    for batch in batches(train, settings, shuffle):
        head.train()
        loss, at_once = gradients(head, optimizer, batch, loss_of, training, at_once)
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss became {loss} after {seen} examples")
        optimizer.step()
        losses.append(loss)
        due = (seen + len(batch)) // settings.evaluate_every > seen // settings.evaluate_every
        seen += len(batch)
        if not due and seen < total:
            continue
        optimizer.settle()
        accuracy = _accuracy(head, splits.validation)
        curve.append(
            {
                "examples_seen": seen,
                "train_loss": sum(losses) / len(losses),
                "validation_accuracy": accuracy,
            }
        )
        losses = []
        yield {"phase": "fit", "finished": seen, "total": total, "validation_accuracy": accuracy}
        if accuracy > best_accuracy:
            best, best_accuracy, since_best = head.snapshot(), accuracy, 0
        else:
            since_best += 1
        if since_best >= settings.patience:
            break

    head.restore(best)
    record: FitMeasured = {
        "key": fit.key,
        "validation_accuracy": best_accuracy,
        "test_accuracy": _accuracy(head, splits.test),
        "train_examples": len(train),
        "examples_seen": seen,
        "curve": curve,
        "examples_at_once": at_once,
        "seconds": time.perf_counter() - started,
    }
    yield Fitted(head, record)


def gradients(
    head: Head,
    optimizer: AdamW,
    batch: list[Example],
    loss_of: Loss,
    settings: dict[str, Any],
    at_once: int,
) -> tuple[float, int]:
    """The gradients of the mean loss over a batch; returns that loss, and the examples per pass.

    When the GPU's memory does not hold `at_once` examples, that number is halved and the gradients
    of the parts are added up: the same step, in less memory.
    """
    while True:
        optimizer.zero_grad()
        total = 0.0
        try:
            for start in range(0, len(batch), at_once):
                part = batch[start : start + at_once]
                labels = torch.tensor([example.label for example in part], device=head.device)
                encoded = head.encode([example.texts for example in part])
                loss = loss_of(head, encoded, labels, settings) * (len(part) / len(batch))
                loss.backward()
                total += loss.item()
            return total, at_once
        except torch.OutOfMemoryError:
            if at_once == 1:
                raise
            at_once = max(min(at_once, len(batch)) // 2, 1)
        torch.cuda.empty_cache()


def batches(
    train: Sequence[Example], settings: FitSettings, shuffle: random.Random
) -> Iterator[list[Example]]:
    """Batches of all epochs, in a seeded order.

    group_by_length: rows are sorted by length within windows of 50 batches, which then come in a
    random order (the Trainer of transformers does the same under that name).
    """
    size = settings.batch_size
    for _ in range(settings.max_epochs):
        order = list(train)
        shuffle.shuffle(order)
        if settings.group_by_length:
            windows = (order[i : i + 50 * size] for i in range(0, len(order), 50 * size))
            order = [e for window in windows for e in sorted(window, key=_characters)]
        epoch = [order[start : start + size] for start in range(0, len(order), size)]
        if settings.group_by_length:
            shuffle.shuffle(epoch)
        yield from epoch


def _characters(example: Example) -> int:
    return sum(map(len, example.texts))


def _accuracy(head: Head, examples: Sequence[Example]) -> float:
    predicted = head.predict([e.texts for e in examples], EVALUATION_BATCH).argmax(dim=1)
    labels = torch.tensor([e.label for e in examples])
    return (predicted == labels).double().mean().item()


def _same(planned: str, actual: str, what: str) -> None:
    if planned != actual:
        raise RuntimeError(
            f"the files of {what} on this node are not those the sweep was planned with "
            f"(digest {actual[:12]}, planned {planned[:12]})"
        )

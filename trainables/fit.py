"""Fine-tuning: one readable loop for every head.

Input: a fit (search_spaces/cell.py). Output: the weights that are best on validation, and the
training curve. Knows nothing of attacks or of the store.

Repeatable to the bit on one kind of CPU, given seed and number of threads. On a GPU as far as its
algorithms are deterministic, which the record says (deterministic.py); on one kind of GPU, with one
version of torch: another kind adds in another order. A batch that had to be halved for lack of
memory draws its dropout anew.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.catalog import Dataset
from search_spaces.cell import Fit, OtherDataset
from search_spaces.space import FitSettings
from trainables.assets import Assets, dataset_digest, digest, model_files
from trainables.calibration import calibration
from trainables.data import Example, Splits, load_splits, load_test, sampled, training_rows
from trainables.deterministic import deterministic, each_within, may_vary
from trainables.dtype import forward_pass, products
from trainables.heads import build_head
from trainables.heads.base import Batch, Head, HeadSpec, Texts
from trainables.kinds import load_kind
from trainables.memory import free, is_out_of_memory, moved
from trainables.optimizer import adamw, clip_gradients, set_rate
from trainables.ran_on import short, where_runs
from trainables.records import Evaluation, FitMeasured, TrialReport
from trainables.schedule import share_of_rate, steps_of
from trainables.snapshot import Training, resumed, taken
from trainables.speed.encoded import encoded_once
from trainables.training import KINDS as TRAININGS

SNAPSHOT_EVERY = 600.0  # seconds: it takes some, and so much is lost with a machine at most
Loss = Callable[[Head, Batch, Tensor, dict[str, Any]], Tensor]
Encode = Callable[[Texts], Batch]


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
    """The fit's head before any training, on a device (device.py); it computes in fp32."""
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
        one_template=fit.head_entry.templates_in_training == "one",
    )
    head = build_head(fit.head_entry.kind, spec)
    if fit.settings.dropout is not None:
        set_dropout(head, fit.settings.dropout)
    return moved(head, device)


def set_dropout(head: nn.Module, rate: float) -> None:
    """Drop out this share everywhere, in place of what the model's config says."""
    for module in head.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
        # Copies of it that a model's own forward reads, such as BERT's `dropout_prob`.
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, rate)


def fine_tune(
    fit: Fit,
    head: Head,
    splits: Splits,
    keep: Callable[[bytes], None] | None = None,
    resume: bytes | None = None,
    without: str = "",
) -> Iterator[TrialReport | Fitted]:
    """Train a fresh head; yields a progress record per evaluation, and finally the Fitted.

    Training stops after `max_epochs`, or after `patience` evaluations without a better validation
    accuracy; the best weights are kept (the earliest of equals). Raises FloatingPointError when
    the loss is not a number, OutOfMemoryError when not even one example fits the GPU's memory.

    keep: is given a snapshot every SNAPSHOT_EVERY seconds. resume: one of them, to go on from; it
    is ignored if it is of another fit or version of torch.
    without: an operation that has no deterministic algorithm, which raises NotDeterministic as long
    as it is not named here.
    """
    head.compute_in(fit.settings.dtype)
    settings = fit.settings
    optimizer = adamw(
        head, settings.learning_rate, settings.weight_decay, settings.decay_norms_and_biases
    )
    training = resumed(resume, fit.key, head, optimizer) if resume is not None else None
    del resume  # as large as the weights, three times
    if training is None:
        training = Training(head.snapshot(), settings.batch_size, without or True)
    steps = _train(fit, head, splits, optimizer, training, keep)
    if may_vary(head.device) and settings.deterministic:
        steps = each_within(lambda: deterministic(training.deterministic is True), steps)
    elif may_vary(head.device):
        training.deterministic = False
    yield from steps


def _train(
    fit: Fit,
    head: Head,
    splits: Splits,
    optimizer: torch.optim.Optimizer,
    training: Training,
    keep: Callable[[bytes], None] | None,
) -> Iterator[TrialReport | Fitted]:
    settings = fit.settings
    here = short(where_runs(head))
    training.made_on = [*(place for place in training.made_on if place != here), here]
    kept = time.perf_counter()
    started = kept - training.seconds
    train = training_rows(splits.train, settings.train_examples, fit.training_entry.train_share)
    validation = sampled(splits.validation, settings.validation_examples)
    total = settings.max_epochs * len(train)
    steps = steps_of(settings, len(train))
    loss_of = load_kind("training", fit.training_entry.kind, TRAININGS)
    if training.steps:
        yield {**_report(training, total), "found": training.seen}
    elif fit.head_entry.probe_first:
        from trainables.probe import probe

        probe(head, sampled(train, settings.probe_examples), validation)
        training.best = head.snapshot()

    encode = encoded_once(head) if settings.max_epochs > 1 else head.encode
    every_batch = batches(train, settings, random.Random(fit.seed))
    for batch in islice(every_batch, training.steps, None):
        if training.since_best >= settings.patience:
            break
        head.train()
        loss, training.at_once = gradients(
            head, optimizer, batch, loss_of, fit.training_entry.settings, training.at_once, encode
        )
        clip_gradients(head, settings.max_grad_norm)
        set_rate(optimizer, settings.learning_rate * share_of_rate(settings, training.steps, steps))
        optimizer.step()
        due = training.seen % settings.evaluate_every + len(batch) >= settings.evaluate_every
        training.trained(loss, len(batch))
        if due or training.seen >= total:
            training.read_losses()
            training.evaluated(_accuracy(head, validation), head)
            yield _report(training, total)
        if keep is not None and time.perf_counter() - kept >= SNAPSHOT_EVERY:
            training.seconds = time.perf_counter() - started
            keep(taken(fit.key, training, head, optimizer))
            kept = time.perf_counter()

    head.restore(training.best)
    on_validation, on_test = _predicted(head, validation), _predicted(head, splits.test)
    record: FitMeasured = {
        "key": fit.key,
        "validation_accuracy": training.best_accuracy,
        "test_accuracy": _share_right(*on_test),
        "calibration": calibration(*on_validation, *on_test),
        "train_examples": len(train),
        "examples_seen": training.seen,
        "curve": training.curve,
        "examples_at_once": training.at_once,
        "deterministic": training.deterministic,
        "seconds": time.perf_counter() - started,
    }
    if others := training.made_on[:-1]:
        record["begun_on"] = others
    yield Fitted(head, record)


def _report(training: Training, total: int) -> TrialReport:
    report: TrialReport = {"phase": "fit", "finished": training.seen, "total": total}
    if training.curve:
        report["validation_accuracy"] = training.curve[-1]["validation_accuracy"]
    return report


def gradients(
    head: Head,
    optimizer: torch.optim.Optimizer,
    batch: list[Example],
    loss_of: Loss,
    settings: dict[str, Any],
    at_once: int,
    encode: Encode | None = None,
) -> tuple[Tensor, int]:
    """The gradients of the mean loss over a batch; returns that loss [], on the head's device, and
    the examples per pass.

    When the GPU's memory does not hold `at_once` examples, that number is halved and the gradients
    of the parts are added up: the same step, in less memory. encode: the head's by default.
    """
    encode = encode or head.encode
    while True:
        optimizer.zero_grad()
        try:
            parts = (batch[start : start + at_once] for start in range(0, len(batch), at_once))
            losses = [
                _backward(head, part, len(batch), loss_of, settings, encode) for part in parts
            ]
            return torch.stack(losses).sum(), at_once
        except RuntimeError as error:
            if at_once == 1 or not is_out_of_memory(error):
                raise
        # Here the error is gone, and with it the frames that hold what was computed.
        at_once = max(min(at_once, len(batch)) // 2, 1)
        free()


def _backward(
    head: Head,
    part: list[Example],
    whole: int,
    loss_of: Loss,
    settings: dict[str, Any],
    encode: Encode,
) -> Tensor:
    """Add the gradients of a part of a batch; returns its share of the mean loss [].

    A function of its own: what it computed is freed when it fails.
    """
    labels = torch.tensor([example.label for example in part], device=head.device)
    encoded = encode([example.texts for example in part]).to(head.device)
    with products(head.dtype):
        with forward_pass(head.dtype, head.device):
            loss = loss_of(head, encoded, labels, settings) * (len(part) / whole)
        loss.backward()
    return loss.detach()


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
    return _share_right(*_predicted(head, examples))


def _predicted(head: Head, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Logits [examples, classes] and labels [examples]."""
    labels = torch.tensor([e.label for e in examples])
    return head.predict([e.texts for e in examples]), labels


def _share_right(logits: Tensor, labels: Tensor) -> float:
    return (logits.argmax(dim=1) == labels).double().mean().item()


def _same(planned: str, actual: str, what: str) -> None:
    if planned != actual:
        raise RuntimeError(
            f"the files of {what} on this node are not those the sweep was planned with "
            f"(digest {actual[:12]}, planned {planned[:12]})"
        )

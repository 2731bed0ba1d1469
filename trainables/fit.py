"""Fine-tuning: one readable loop for every head.

Input: a fit (search_spaces/cell.py). Output: the weights that are best on validation, and the
training curve. Knows nothing of the store, and of attacks only that a training may ask for one.

Repeatable to the bit on one kind of CPU, given seed and number of threads. On a GPU as far as its
algorithms are deterministic, which the record says (deterministic.py); on one kind of GPU, with one
version of torch: another kind adds in another order. A batch that had to be halved for lack of
memory draws its dropout anew.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from search_spaces.catalog import Dataset
from search_spaces.cell import Fit, OtherDataset
from trainables.assets import Assets, dataset_digest, digest, model_files
from trainables.attacks.in_fits import Attack
from trainables.batches import Batches
from trainables.calibration import calibration
from trainables.data import Example, Splits, load_splits, load_test, sampled, training_rows
from trainables.deterministic import deterministic, each_within, may_vary
from trainables.dtype import forward_pass, products
from trainables.heads import build_head
from trainables.heads.base import Batch, Head, HeadSpec, Texts
from trainables.memory import free, is_out_of_memory, moved
from trainables.optimizer import adamw, clip_gradients, set_rate
from trainables.ran_on import short, where_runs
from trainables.records import Evaluation, FitMeasured, TrialReport
from trainables.rounds import Rounds
from trainables.schedule import share_of_rate, steps_of
from trainables.snapshot import HowFar, resumed, taken
from trainables.speed.encoded import encoded_once
from trainables.training.base import Training, training_of

SNAPSHOT_EVERY = 600.0  # seconds: it takes some, and so much is lost with a machine at most
REPORT_EVERY = 1.0  # seconds between progress records while rows are attacked
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
    attack: Attack | None = None,
) -> Iterator[TrialReport | Fitted]:
    """Train a fresh head; yields a progress record per evaluation, and finally the Fitted.

    Training stops after `max_epochs`, or after `patience` evaluations without a better validation
    accuracy; the best weights are kept (the earliest of equals). Raises FloatingPointError when
    the loss is not a number, OutOfMemoryError when not even one example fits the GPU's memory.

    keep: is given a snapshot every SNAPSHOT_EVERY seconds. resume: one of them, to go on from; it
    is ignored if it is of another fit or version of torch.
    without: an operation that has no deterministic algorithm, which raises NotDeterministic as long
    as it is not named here. attack: for a training that makes rows by attacking.
    """
    head.compute_in(fit.settings.dtype)
    settings = fit.settings
    training = training_of(fit.training_entry, head)
    optimizer = adamw(
        head,
        settings.learning_rate,
        settings.weight_decay,
        settings.decay_norms_and_biases,
        training.parameters(),
    )
    so_far = None
    if resume is not None:
        so_far = resumed(resume, fit.key, head, training, optimizer)
    del resume  # as large as the weights, three times
    if so_far is None:
        so_far = HowFar(head.snapshot(), settings.batch_size, without or True)
    steps = _train(fit, head, splits, training, optimizer, so_far, keep, attack)
    if may_vary(head.device) and settings.deterministic:
        steps = each_within(lambda: deterministic(so_far.deterministic is True), steps)
    elif may_vary(head.device):
        so_far.deterministic = False
    yield from steps


def _train(
    fit: Fit,
    head: Head,
    splits: Splits,
    training: Training,
    optimizer: torch.optim.Optimizer,
    so_far: HowFar,
    keep: Callable[[bytes], None] | None,
    attack: Attack | None,
) -> Iterator[TrialReport | Fitted]:
    settings = fit.settings
    here = short(where_runs(head))
    so_far.made_on = [*(place for place in so_far.made_on if place != here), here]
    kept = time.perf_counter()
    started = kept - so_far.seconds
    train = training_rows(splits.train, settings.train_examples, fit.training_entry.train_share)
    validation = sampled(splits.validation, settings.validation_examples)
    steps = steps_of(settings, len(train))
    batches = Batches(train, settings, random.Random(fit.seed))
    same_bits = may_vary(head.device) and settings.deterministic
    rounds = Rounds(fit.seed, head, training, train, attack, same_bits)
    reported = kept
    done = so_far.steps
    if not done and fit.head_entry.probe_first:
        from trainables.probe import probe

        probe(head, sampled(train, settings.probe_examples), validation)
        so_far.best = head.snapshot()

    encode = encoded_once(head) if settings.max_epochs > 1 else head.encode

    def keep_now() -> None:
        nonlocal kept
        if keep is not None:
            so_far.seconds = time.perf_counter() - started
            keep(taken(fit.key, so_far, head, training, optimizer))
            kept = time.perf_counter()

    def is_due() -> bool:
        return keep is not None and time.perf_counter() - kept >= SNAPSHOT_EVERY

    for _ in range(done):
        if training.is_due(moment := batches.moment):
            batches.add(so_far.rounds[moment.round], training.keeps_rows)
        next(batches)
    if done:
        yield {**_report(so_far, batches), "found": so_far.seen}
    while not batches.ended and so_far.since_best < settings.patience:
        if training.is_due(moment := batches.moment):
            if len(so_far.rounds) == moment.round:
                for _ in rounds.make(moment, so_far, is_due, keep_now):
                    if time.perf_counter() - reported > REPORT_EVERY:
                        reported = time.perf_counter()
                        yield _report(so_far, batches)
            batches.add(so_far.rounds[moment.round], training.keeps_rows)
            if batches.ended:
                break
        step, batch = batches.step, next(batches)
        head.train()
        loss, so_far.at_once = gradients(head, optimizer, batch, training, so_far.at_once, encode)
        clip_gradients(head, settings.max_grad_norm)
        set_rate(optimizer, settings.learning_rate * share_of_rate(settings, step, steps))
        optimizer.step()
        due = so_far.seen % settings.evaluate_every + len(batch) >= settings.evaluate_every
        so_far.trained(loss, len(batch))
        if due or batches.ended:
            so_far.read_losses()
            so_far.evaluated(_accuracy(head, validation), head)
            yield _report(so_far, batches)
        if is_due():
            keep_now()
    if so_far.losses or so_far.unread:
        so_far.read_losses()
        so_far.evaluated(_accuracy(head, validation), head)
        yield _report(so_far, batches)

    head.restore(so_far.best)
    on_validation, on_test = _predicted(head, validation), _predicted(head, splits.test)
    record: FitMeasured = {
        "key": fit.key,
        "validation_accuracy": so_far.best_accuracy,
        "test_accuracy": _share_right(*on_test),
        "calibration": calibration(*on_validation, *on_test),
        "train_examples": len(train),
        "examples_seen": so_far.seen,
        "curve": so_far.curve,
        "examples_at_once": so_far.at_once,
        "deterministic": so_far.deterministic,
        "seconds": time.perf_counter() - started,
    }
    if so_far.rounds:
        record["added_rows"] = [len(rows) for rows in so_far.rounds]
        record["rounds_in_weights"] = so_far.rounds_in_best
        record["attack_errors"] = so_far.attack_errors
    if others := so_far.made_on[:-1]:
        record["begun_on"] = others
    yield Fitted(head, record)


def _report(so_far: HowFar, batches: Batches) -> TrialReport:
    report: TrialReport = {"phase": "fit", "finished": so_far.seen, "total": batches.total}
    if so_far.curve:
        report["validation_accuracy"] = so_far.curve[-1]["validation_accuracy"]
    return report


def gradients(
    head: Head,
    optimizer: torch.optim.Optimizer,
    batch: list[Example],
    training: Training,
    at_once: int,
    encode: Encode | None = None,
) -> tuple[Tensor, int]:
    """The gradients of the mean loss over a batch; returns that loss [], on the head's device, and
    the examples per pass.

    When the GPU's memory does not hold `at_once` examples, that number is halved and the gradients
    of the parts are added up: the same step, in less memory. A training whose steps cannot be made
    of parts raises RuntimeError then. encode: the head's by default.
    """
    encode = encode or head.encode
    while True:
        optimizer.zero_grad()
        size = at_once if training.splits else len(batch)
        try:
            parts = (batch[start : start + size] for start in range(0, len(batch), size))
            losses = [_backward(head, part, len(batch), training, encode) for part in parts]
            return torch.stack(losses).sum(), at_once
        except RuntimeError as error:
            if size == 1 or not is_out_of_memory(error):
                raise
        # Here the error is gone, and with it the frames that hold what was computed.
        if not training.splits:
            raise RuntimeError(
                f"the GPU's memory is too small for a step of {len(batch)} texts, which this "
                "training cannot divide; give a smaller fit.batch_size or fit.max_length, or a GPU "
                "with more memory"
            )
        at_once = max(min(size, len(batch)) // 2, 1)
        free()


def _backward(
    head: Head, part: list[Example], whole: int, training: Training, encode: Encode
) -> Tensor:
    """Add the gradients of a part of a batch; returns its share of the mean loss [].

    A function of its own: what it computed is freed when it fails.
    """
    labels = torch.tensor([example.label for example in part], device=head.device)
    encoded = encode([example.texts for example in part]).to(head.device)
    losses = iter(training.losses(head, encoded, labels))
    total: Tensor | None = None
    with products(head.dtype):
        while True:
            with forward_pass(head.dtype, head.device):
                loss = next(losses, None)
                if loss is None:
                    break
                loss = loss * (len(part) / whole)
            loss.backward()
            total = loss.detach() if total is None else total + loss.detach()
    if total is None:
        raise ValueError(f"{type(training).__name__}.losses gave no loss of a step")
    return total


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

"""What a kind of training makes of a fit: passes of its steps, rows it sees, rows it attacks.

A plain step is 1: a third each for the pass forward, the gradients of activations and those of
weights. A user's own kind counts as plain, and what it attacks as nothing. Knows nothing of
devices.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.plan.sizes import Network
from search_spaces.catalog import Training
from search_spaces.cell import Fit
from search_spaces.trainings import SETTINGS, rows_attacked

TO_PERTURBATION = 2 / 3  # forward and back to the embeddings, without gradients of weights
BACK_AGAIN = 1 / 3  # over a graph that is kept
ATTACKING = ("ada", "amda")
SUCCEED = 0.5  # of attacked rows; the others add none

STANDARD = Training(about="Plain fine-tuning on clean text.", kind="standard")


def plain(fit: Fit) -> Fit:
    """The same fit by standard training."""
    key = f"{fit.key} by standard training"
    entry = {"key": key, "training": "standard", "training_entry": STANDARD, "attack": None}
    return fit.model_copy(update=entry)


def passes(training: Training, network: Network, texts: int) -> float:
    """A step on so many texts, in plain steps."""
    of = PASSES.get(training.kind)
    return of(training.settings, network, texts) if of else 1.0


def _infobert(settings: Mapping[str, Any], network: Network, texts: int) -> float:
    """Each token that is kept is scored by the critic with each of as many as there are texts."""
    if not settings["lower_weight"]:
        return float(settings["steps"])
    kept = settings["keep_to"] - settings["keep_from"]
    critic = kept * texts * 2 * network.width * settings["critic_width"] / network.weights
    return float(settings["steps"] * (1 + BACK_AGAIN + critic))


def _amda(settings: Mapping[str, Any], network: Network, texts: int) -> float:
    """A plain pass and a mixed one, which computes the last layer at every token unless it mixes
    after it, and not only where the head reads."""
    width, inner, layers = network.width, network.inner, network.layers
    queries_and_after = (2 * width + 2 * inner) / (4 * width + 2 * inner)
    before_last = [math.ceil(share * layers - 1e-9) < layers for share in settings["layers"]]
    plain = 1 - queries_and_after / layers
    return 1 + 1 + sum(before_last) / len(before_last) * (1 / plain - 1)


PASSES: dict[str, Callable[[Mapping[str, Any], Network, int], float]] = {
    "adversarial": lambda settings, *_: 1 + TO_PERTURBATION * settings["steps"],
    "freelb": lambda settings, *_: settings["steps"],
    "infobert": _infobert,
    "amda": _amda,
}


def assumed(fit: Fit) -> str:
    """What is taken for granted of a fit by a user's own kind; empty for one of ours."""
    if fit.training_entry.kind in SETTINGS:
        return ""
    attacks = ", and its attacks on rows are left out" if fit.attack is not None else ""
    return f"training {fit.training} is taken to cost what plain fine-tuning does{attacks}"


@dataclass(frozen=True)
class Course:
    """Of a fit: training examples seen, clean and added ones; rows attacked, in all rounds."""

    seen: float
    attacked: float = 0.0


def course(fit: Fit, rows: int, most: float) -> Course:
    """rows: clean ones. most: training ends after that many examples seen, or after the epochs."""
    epochs, settings = fit.settings.max_epochs, fit.training_entry.settings
    if fit.attack is None or fit.training_entry.kind not in ATTACKING:
        return Course(min(epochs * rows, most))
    keep = settings["keep_rows"]
    from_epoch, every = settings["from_epoch"], settings["every"]
    every = every and max(every, fit.settings.batch_size)
    a_round = rows_attacked(settings, rows)
    new = SUCCEED * a_round
    seen = added = attacked = 0.0
    rounds = 0
    for epoch in range(1, epochs + 1):
        if from_epoch is not None and epoch >= from_epoch:
            attacked += a_round
            added = new + added * keep
        end = seen + rows + added
        while every is not None and (rounds + 1) * every < min(end, most):
            rounds += 1
            attacked += a_round
            added = new + added * keep
            end += new
        seen = end
        if seen >= most:
            return Course(most, attacked)
    return Course(seen, attacked)

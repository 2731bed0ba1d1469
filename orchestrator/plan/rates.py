"""Measured seconds of fits and of attacked examples, each by all that decides them.

A rate applies to a fit or an attack of the same names and settings on the same kind of device, and
to no other: seeds, learning rates and numbers of examples may differ. `Rehearsed` figures, of a
few steps and examples, are kept as what they are: a measure of how wrong the model of cost is.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from pydantic import ValidationError

from orchestrator.plan.cost_model import CPU, threads
from orchestrator.plan.scores import distinct_scores
from search_spaces.cell import Cell, Fit
from search_spaces.space import FitSettings
from trainables import ran_on
from trainables.records import FitRecord, Rehearsed, Result

# Settings that do not decide how long a fit takes.
NO_TIME = {
    "learning_rate", "schedule", "warmup", "max_grad_norm", "weight_decay",
    "decay_norms_and_biases",
}  # fmt: skip

FitTask = tuple[str, str, str, str, str, int]  # names, settings, threads
AttackTask = tuple[str, str, str, str, str, str]  # names, settings


@dataclass
class Rates:
    """Measured seconds, by task and device."""

    fits: dict[tuple[FitTask, str], list[float]] = field(default_factory=dict)
    examples: dict[tuple[AttackTask, str], list[float]] = field(default_factory=dict)
    rehearsed: list[Rehearsed] = field(default_factory=list)
    gpus: Counter[str] = field(default_factory=Counter)  # how much was measured on each

    def fit_seconds(self, fit: Fit, device: str) -> float | None:
        """Expected seconds of a fit, or None if none like it was measured on such a device."""
        return _median(self.fits.get((fit_task(fit), device)))

    def example_seconds(self, cell: Cell, device: str) -> float | None:
        """Expected seconds of one of a cell's examples, or None."""
        return _median(self.examples.get((attack_task(cell), device)))

    def add_fit(self, fit: FitTask, device: str, seconds: float) -> None:
        self.fits.setdefault((fit, device), []).append(seconds)
        self._count(device)

    def add_examples(self, attack: AttackTask, device: str, seconds: float) -> None:
        """seconds: of one."""
        self.examples.setdefault((attack, device), []).append(seconds)
        self._count(device)

    def add_rehearsed(self, record: Rehearsed) -> None:
        self.rehearsed.append(record)
        self._count(record["device"])

    def _count(self, device: str) -> None:
        if device != CPU:
            self.gpus[device] += 1


def measured(
    fits: Iterable[FitRecord],
    results: Iterable[tuple[Cell, Result]],
    rehearsed: Iterable[Rehearsed] = (),
) -> Rates:
    """Rates of what a store holds. results: with the cells that they are of."""
    rates = Rates()
    for fit in fits:
        task, device = _task_of(fit), device_of(fit)
        if task is not None and device is not None:
            rates.add_fit(task, device, fit["seconds"])
    for cell, result in results:
        metrics, device = result["metrics"], device_of(result)
        examples, seconds = metrics["num_examples"], metrics["attack_seconds"]
        if examples and seconds is not None and device is not None:
            rates.add_examples(attack_task(cell), device, seconds / examples)
    for record in rehearsed:
        rates.add_rehearsed(record)
    return rates


def fit_task(fit: Fit) -> FitTask:
    """All that decides how long a fit takes on a device."""
    names = fit.dataset, fit.model, fit.head, fit.training
    training = fit.training_entry.model_dump()
    attack = fit.attack.model_dump() if fit.attack is not None else None
    return *names, _settings(fit.settings, training, attack), threads(fit)


def attack_task(cell: Cell) -> AttackTask:
    """All that decides how long an example takes on a device."""
    fit, holds = cell.fit, cell.resources.attack
    settings = {
        "kind": cell.attack_kind,
        "settings": cell.attack_settings,
        "resources": cell.attack_resources,
        "seconds": cell.seconds_per_example,
        "max_length": fit.settings.max_length,
        "cpus": holds.cpus,
        "gpus": float(holds.gpus),
        "dtype": cell.attack_dtype,
        "scores": distinct_scores(cell.scores, len(fit.data.labels)),
        "query_budget": cell.query_budget,
    }
    names = cell.attack, fit.dataset, fit.model, fit.head, fit.training
    return *names, json.dumps(settings, sort_keys=True)


def device_of(record: Mapping[str, Any]) -> str | None:
    """The device that a fit or a result was made on: `cpu`, or a GPU's name; None for several.

    A record without one is from a version that did not record it, and is taken for a CPU's.
    """
    made = record.get("ran_on")
    if isinstance(made, Mapping):
        return str(made.get("device", CPU))
    kinds = {ran_on.device_of(line) for line in made or ()}
    return CPU if not kinds else next(iter(kinds)) if len(kinds) == 1 else None


def _task_of(record: FitRecord) -> FitTask | None:
    """None for a record of a version that kept less."""
    spec: Mapping[str, Any] = record["spec"]
    try:
        settings = FitSettings.model_validate(spec["settings"])
        decides = _settings(settings, spec["training_entry"], spec.get("attack"))
        training, cpus = str(spec["training"]), int(spec["identity"]["threads"])
    except (KeyError, TypeError, ValidationError):
        return None
    return spec["dataset"], spec["model"], spec["head"], training, decides, cpus


def _settings(
    settings: FitSettings, training: Mapping[str, Any], attack: Mapping[str, Any] | None
) -> str:
    """training: its catalog entry. attack: what it attacks its rows with."""
    entry = {name: training[name] for name in ("kind", "settings", "train_share")}
    decides = settings.model_dump(exclude=NO_TIME) | {"training": entry, "attack": attack}
    return json.dumps(decides, sort_keys=True)


def _median(values: list[float] | None) -> float | None:
    return median(values) if values else None

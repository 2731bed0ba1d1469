"""Space → plan: which cells there are, which share a fit, what is done already, what it will cost.

Reads the space, digests the assets and looks into the store; changes nothing and imports neither
torch nor Ray, so that `--dry-run` answers at once.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from statistics import median
from typing import Any

from orchestrator import keys
from search_spaces.catalog import attack_settings
from search_spaces.cell import Cell, Fit
from search_spaces.space import Space
from trainables.assets import Assets, dataset_digest, digest, model_files
from trainables.attacks.resources import identity as resources_identity
from trainables.data import check_columns
from trainables.store import Store


@dataclass(frozen=True)
class PlannedCell:
    """A cell; status is done, todo, failed (run again) or not_applicable (with a reason)."""

    cell: Cell
    status: str
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """All cells of a space in a fixed order, the fits stored already, and measured rates."""

    space: Space
    cells: list[PlannedCell]
    fits_done: frozenset[str]
    rates: "Rates"

    def with_status(self, *statuses: str) -> list[Cell]:
        return [planned.cell for planned in self.cells if planned.status in statuses]

    @property
    def todo(self) -> list[Cell]:
        """Cells to run: those never finished, failed ones among them."""
        return self.with_status("todo", "failed")

    @property
    def fits(self) -> dict[str, list[Cell]]:
        """Applicable cells by fit key."""
        grouped: dict[str, list[Cell]] = {}
        for cell in self.with_status("todo", "failed", "done"):
            grouped.setdefault(cell.fit.key, []).append(cell)
        return grouped

    def estimated_seconds(self) -> float | None:
        """Compute left, in seconds of one trial at a time; None without any measured rate."""
        fits = {cell.fit.key: cell.fit for cell in self.todo if cell.fit.key not in self.fits_done}
        costs = [self.rates.fit_seconds(fit) for fit in fits.values()]
        costs += [self.rates.attack_seconds(cell) for cell in self.todo]
        return None if None in costs else sum(cost or 0.0 for cost in costs)

    def to_json(self) -> dict[str, Any]:
        """The documented object of `--dry-run --json` (README, "Plan without running")."""
        cells = [
            {
                "key": planned.cell.key,
                **planned.cell.axes(),
                "fit": planned.cell.fit.key,
                "status": planned.status,
                "reason": planned.reason,
            }
            for planned in self.cells
        ]
        fits = [
            {"key": key, "cells": [cell.key for cell in cells], "done": key in self.fits_done}
            for key, cells in self.fits.items()
        ]
        statuses = [planned.status for planned in self.cells]
        totals = {
            "cells": len(self.cells),
            **{s: statuses.count(s) for s in ("done", "todo", "failed", "not_applicable")},
            "fits": len(fits),
            "fits_done": sum(fit["done"] is True for fit in fits),
            "fits_shared": sum(len(cells) > 1 for cells in self.fits.values()),
            "estimated_seconds": self.estimated_seconds(),
        }
        return {"space": self.space.name, "cells": cells, "fits": fits, "totals": totals}


@dataclass
class Rates:
    """Measured seconds of fits, and of one attacked example, by what they were measured on."""

    fits: dict[tuple[str, ...], list[float]] = field(default_factory=dict)
    examples: dict[tuple[str, ...], list[float]] = field(default_factory=dict)

    def fit_seconds(self, fit: Fit) -> float | None:
        """Expected seconds of a fit: of the most alike that were measured, else None."""
        return _median_of_first(self.fits, _likeness(fit.dataset, fit.model, fit.head))

    def attack_seconds(self, cell: Cell) -> float | None:
        """Expected seconds of all a cell's examples, else None."""
        fit = cell.fit
        each = _median_of_first(
            self.examples, _likeness(cell.attack, fit.model, fit.dataset, fit.head)
        )
        return None if each is None else each * cell.examples

    def add_fit(self, fit: dict[str, Any], seconds: float) -> None:
        for like in _likeness(fit["dataset"], fit["model"], fit["head"]):
            self.fits.setdefault(like, []).append(seconds)

    def add_attack(self, result: dict[str, Any]) -> None:
        metrics = result["metrics"]
        if metrics["num_examples"]:
            axes = (result[axis] for axis in ("attack", "model", "dataset", "head"))
            for like in _likeness(*axes):
                each = metrics["attack_seconds"] / metrics["num_examples"]
                self.examples.setdefault(like, []).append(each)


def make_plan(space: Space, assets: Assets, store: Store) -> Plan:
    """Resolve a space into a plan. Raises BadInput for a missing asset or a broken data file."""
    cells = list(_resolve(space, assets))
    done = store.cells_with("result.json", (cell.key for cell in cells))
    failed = store.cells_with("error.txt", (cell.key for cell in cells)) - done
    planned = []
    for cell in cells:
        status = "done" if cell.key in done else "failed" if cell.key in failed else "todo"
        reason = f"see {store.error_path(cell.key)}" if status == "failed" else ""
        planned.append(PlannedCell(cell, status, reason))
    fits_done = frozenset(store.fits_done())
    return Plan(space, planned, fits_done, _measured(store, fits_done, done))


def _resolve(space: Space, assets: Assets) -> Iterator[Cell]:
    axes, catalog = space.axes, space.catalog
    attacked_with = resources_identity(space.attack.resources)
    datasets = {}
    for name in axes.dataset:
        entry = catalog.dataset(name)
        files = assets.dataset_files(name, entry)
        check_columns(name, entry, files)
        datasets[name] = entry, dataset_digest(files)
    models = {}
    for name in axes.model:
        language_model = catalog.model(name)
        folder = assets.model_folder(name, language_model)
        models[name] = language_model, digest(model_files(folder))

    grid = product(axes.dataset, axes.model, axes.head, axes.training, space.seeds)
    for dataset, model, head, training, seed in grid:
        fit, identity = _fit(space, dataset, model, head, training, seed, datasets, models)
        for attack in axes.attack:
            recipe = catalog.attack(attack)
            settings = attack_settings(
                recipe, fit.data, space.attack.protocol, space.attack.resources
            )
            log_identity = keys.attack_identity(
                identity, recipe.kind, settings, attacked_with, space.resources.attack.cpus
            )
            readable = f"{dataset}-{model}-{head}-{training}-{attack}-s{seed}"
            yield Cell(
                key=keys.key(readable, {"log": log_identity, "examples": space.attack.examples}),
                log=keys.key(readable, log_identity),
                fit=fit,
                attack=attack,
                attack_kind=recipe.kind,
                attack_settings=settings,
                attack_resources=space.attack.resources,
                examples=space.attack.examples,
                resources=space.resources,
            )


def _fit(
    space: Space,
    dataset: str,
    model: str,
    head: str,
    training: str,
    seed: int,
    datasets: dict[str, Any],
    models: dict[str, Any],
) -> tuple[Fit, dict[str, Any]]:
    data, data_digest = datasets[dataset]
    language_model, model_digest = models[model]
    head_entry = space.catalog.head(head)
    training_entry = space.catalog.training(training)
    used = {"columns", "label", "labels", "splits", "drop_rows_without_letters"}
    if head_entry.uses_prompts:
        used.add("prompts")
    identity = keys.fit_identity(
        dataset={"digest": data_digest, **data.model_dump(include=used)},
        model={"digest": model_digest},
        head=head_entry.model_dump(exclude={"about"}),
        training=training_entry.model_dump(exclude={"about"}),
        settings=space.fit.model_dump(),
        seed=seed,
        cpus=space.resources.fit.cpus,
    )
    fit = Fit(
        key=keys.key(f"{dataset}-{model}-{head}-{training}-s{seed}", identity),
        dataset=dataset,
        model=model,
        head=head,
        training=training,
        seed=seed,
        data=data,
        dataset_digest=data_digest,
        language_model=language_model,
        model_digest=model_digest,
        head_entry=head_entry,
        training_entry=training_entry,
        settings=space.fit,
    )
    return fit, identity


def _measured(store: Store, fits: Iterable[str], cells: Iterable[str]) -> Rates:
    rates = Rates()
    for key in fits:
        record = store.read_fit(key)
        rates.add_fit(record["spec"], record["seconds"])
    for key in cells:
        rates.add_attack(store.read_result(key))
    return rates


def _likeness(*names: str) -> list[tuple[str, ...]]:
    """The names, then ever shorter beginnings of them: from the same to the merely alike."""
    return [names[:length] for length in range(len(names), -1, -1)]


def _median_of_first(
    measured: dict[tuple[str, ...], list[float]], likeness: Iterable[tuple[str, ...]]
) -> float | None:
    for like in likeness:
        if like in measured:
            return median(measured[like])
    return None

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
from search_spaces.catalog import SPLIT, Dataset, LanguageModel, attack_settings, prompts_of
from search_spaces.cell import Cell, Fit, OtherDataset
from search_spaces.errors import BadInput
from search_spaces.space import Space
from trainables.assets import Assets, NotDownloaded, dataset_digest, digest, model_files
from trainables.attacks import KINDS as ATTACKS
from trainables.attacks.resources import identity as resources_identity
from trainables.cell import evaluation_name
from trainables.chinese import hold_chinese
from trainables.data import check_columns
from trainables.heads import KINDS as HEADS
from trainables.lookup import check_kind, kind_digest
from trainables.store import Store
from trainables.training import KINDS as TRAININGS

NOT_HERE = "not downloaded yet"


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


def make_plan(space: Space, assets: Assets, store: Store, provisional: bool = False) -> Plan:
    """Resolve a space into a plan. Raises BadInput for a missing asset or a broken data file.

    provisional: what the hub has and this machine has not is planned for without its digest.
    """
    resolved = list(_resolve(space, assets, provisional))
    done = store.cells_with("result.json", (cell.key for cell, _ in resolved))
    failed = store.cells_with("error.txt", (cell.key for cell, _ in resolved)) - done
    planned = []
    for cell, reason in resolved:
        if reason:
            planned.append(PlannedCell(cell, "not_applicable", reason))
        elif cell.key in done and not _not_evaluated(cell.fit, store):
            planned.append(PlannedCell(cell, "done"))
        elif cell.key in failed:
            planned.append(PlannedCell(cell, "failed", f"see {store.error_path(cell.key)}"))
        else:
            planned.append(PlannedCell(cell, "todo"))
    wanted = {cell.fit.key for cell, _ in resolved}
    fits_done = frozenset(store.fits_done() & wanted)
    return Plan(space, planned, fits_done, _measured(store))


def _not_evaluated(fit: Fit, store: Store) -> bool:
    """Whether a stored fit lacks an evaluation on another data set that was asked for since."""
    asked = {evaluation_name(other) for other in fit.evaluate_also}
    return bool(asked) and not asked <= set(store.evaluations(fit.key))


def _resolve(space: Space, assets: Assets, provisional: bool) -> Iterator[tuple[Cell, str]]:
    """Every cell of the grid, with the reason why it does not apply, or an empty one."""
    axes, catalog = space.axes, space.catalog
    attacked_with = resources_identity(space.attack.resources)
    datasets = {
        name: (catalog.dataset(name), _dataset_digest(space, assets, name, provisional))
        for name in axes.dataset
    }
    by_column = {name: _are_chinese_pairs(space, assets, name) for name in axes.dataset}
    models = {
        name: (catalog.model(name), _model_digest(space, assets, name, provisional))
        for name in axes.model
    }
    others = {
        name: [
            OtherDataset(
                name=other,
                data=catalog.dataset(other),
                digest=_dataset_digest(space, assets, other, provisional),
            )
            for other in space.evaluate_also.get(name, [])
        ]
        for name in axes.dataset
    }
    attacks = {name: catalog.attack(name) for name in axes.attack}
    for recipe in attacks.values():
        check_kind("attack", recipe.kind, ATTACKS)

    grid = product(axes.dataset, axes.model, axes.head, axes.training, space.seeds)
    for dataset, model, head, training, seed in grid:
        fit, reason = _fit(
            space, (dataset, *datasets[dataset]), (model, *models[model]), head, training, seed
        )
        fit = fit.model_copy(update={"evaluate_also": others[dataset]})
        for attack, recipe in attacks.items():
            settings = attack_settings(
                recipe, fit.data, space.attack.protocol, space.attack.resources
            )
            log_identity = keys.attack_identity(
                fit.identity,
                recipe.kind,
                settings,
                attacked_with,
                space.resources.attack.cpus,
                kind_digest("attack", recipe.kind, ATTACKS),
                space.attack.seconds_per_example,
                by_column[dataset],
            )
            readable = f"{dataset}-{model}-{head}-{training}-{attack}-s{seed}"
            cell = Cell(
                key=keys.cell_key(readable, log_identity, space.attack),
                log=keys.key(readable, log_identity),
                fit=fit,
                attack=attack,
                attack_kind=recipe.kind,
                attack_settings=settings,
                attack_resources=space.attack.resources,
                examples=space.attack.examples,
                precision=space.attack.precision,
                seconds_per_example=space.attack.seconds_per_example,
                resources=space.resources,
                identity=log_identity,
            )
            yield cell, reason


def _dataset_digest(space: Space, assets: Assets, name: str, provisional: bool) -> str:
    entry = space.catalog.dataset(name)
    try:
        files = assets.dataset_files(name, entry)
    except NotDownloaded:
        if provisional:
            return NOT_HERE
        raise
    check_columns(name, entry, files)
    return dataset_digest(files)


def _are_chinese_pairs(space: Space, assets: Assets, name: str) -> bool:
    """Whether the test texts are pairs of columns, of which one holds Chinese."""
    entry = space.catalog.dataset(name)
    split = SPLIT.match(entry.splits.test)
    if len(entry.columns) == 1 or split is None:
        return False
    try:
        return hold_chinese(assets.dataset_files(name, entry)[split["split"]], entry.columns)
    except BadInput:
        return False  # what is not here is said where its digest is taken


def _model_digest(space: Space, assets: Assets, name: str, provisional: bool) -> str:
    try:
        return digest(model_files(assets.model_folder(name, space.catalog.model(name))))
    except NotDownloaded:
        if provisional:
            return NOT_HERE
        raise


def _fit(
    space: Space,
    dataset: tuple[str, Dataset, str],
    model: tuple[str, LanguageModel, str],
    head: str,
    training: str,
    seed: int,
) -> tuple[Fit, str]:
    """A fit, and why it does not apply (or an empty reason)."""
    dataset_name, data, data_digest = dataset
    model_name, language_model, model_digest = model
    head_entry, training_entry = space.catalog.head(head), space.catalog.training(training)
    prompts = prompts_of(data, head_entry, language_model)
    reason = head_entry.not_for.get(language_model.kind, "")
    if isinstance(prompts, str):
        reason = reason or prompts
        prompts = None
    used = {"columns", "label", "labels", "splits", "drop_rows_without_letters"}
    read_at = {}
    if language_model.kind == "causal" and head_entry.kind != "mvp":
        # Read elsewhere until now: texts that are empty, or end in the token that GPT-2 pads with.
        read_at = {"read_at": "last token of each text"}
    identity = keys.fit_identity(
        dataset={"digest": data_digest, **data.model_dump(include=used)},
        model={"digest": model_digest, "kind": language_model.kind},
        head={
            "kind": head_entry.kind,
            "pretrained": head_entry.pretrained,
            "probe_first": head_entry.probe_first,
            "prompts": prompts and prompts.model_dump(include={"templates", "label_words"}),
            "code": kind_digest("head", head_entry.kind, HEADS),
            **read_at,
        },
        training={
            **training_entry.model_dump(exclude={"about"}),
            "code": kind_digest("training", training_entry.kind, TRAININGS),
        },
        settings=space.fit.model_dump(),
        seed=seed,
        cpus=space.resources.fit.cpus,
    )
    fit = Fit(
        key=keys.key(f"{dataset_name}-{model_name}-{head}-{training}-s{seed}", identity),
        dataset=dataset_name,
        model=model_name,
        head=head,
        training=training,
        seed=seed,
        data=data,
        dataset_digest=data_digest,
        language_model=language_model,
        model_digest=model_digest,
        head_entry=head_entry,
        prompts=prompts,
        training_entry=training_entry,
        settings=space.fit,
        identity=identity,
    )
    return fit, reason


def _measured(store: Store) -> Rates:
    """Rates of all that the store holds, whatever space it was run for."""
    rates = Rates()
    for record in store.fits_read():
        rates.add_fit(record["spec"], record["seconds"])
    for result in store.results_read():
        rates.add_attack(result)
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

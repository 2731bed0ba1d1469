"""Space → plan: which cells there are, which share a fit, what is done already, what it will cost.

Reads the space, digests the assets and looks into the store; changes nothing and imports neither
torch nor Ray, so that `--dry-run` answers at once.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import PackageNotFoundError
from itertools import product
from statistics import median
from typing import Any, TypeVar

from orchestrator import keys
from orchestrator.elsewhere import Elsewhere
from search_spaces.catalog import Dataset, LanguageModel, attack_settings, prompts_of
from search_spaces.cell import Cell, Fit, OtherDataset
from search_spaces.errors import BadInput
from search_spaces.space import Space
from trainables.assets import Assets, NotDownloaded, dataset_digest, digest, model_files
from trainables.attacks import KINDS as ATTACKS
from trainables.attacks.resources import identity as resources_identity
from trainables.cell import evaluation_name, is_of_weights
from trainables.chinese import hold_chinese
from trainables.families import cannot_have
from trainables.heads import KINDS as HEADS
from trainables.lookup import kind_digest
from trainables.model_folder import ModelFolder
from trainables.results import why_not_of
from trainables.rows import check_columns
from trainables.store import Store
from trainables.training import KINDS as TRAININGS

NOT_HERE = "not downloaded yet"
AT_ONCE = 16  # attack logs read at a time
Found = TypeVar("Found")


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


def make_plan(
    space: Space,
    assets: Assets,
    store: Store,
    provisional: bool = False,
    trusted: Collection[str] = (),
    reading: bool = False,
) -> Plan:
    """Resolve a space into a plan. Raises BadInput for a missing asset or a broken data file.

    A cell is done when its result, its fit's record and its attacked examples are there, are whole
    and belong together. What is damaged in the store counts as missing (`Store.damaged`).

    provisional: what the hub has and this machine has not is planned for without its digest.
    trusted: keys of cells whose results need not be looked at again.
    reading: nothing is to be run, so the store is enough: cells whose data, models or code this
    machine has not are those of the store of which the same was asked.
    """
    machine = _ThisMachine(assets, provisional, reading)
    resolved = list(_resolve(space, machine))
    if machine.lacks:
        others = Elsewhere(store, [cell.key for cell, _ in resolved])
        resolved = [(others.find(cell) or cell, reason) for cell, reason in resolved]
    fits, results = store.fits_read(), store.results_read()
    failed = store.cells_with("error.txt", (cell.key for cell, _ in resolved)) - results.keys()

    def planned(cell: Cell, reason: str) -> PlannedCell:
        if reason:
            return PlannedCell(cell, "not_applicable", reason)
        if cell.key in results:
            fit, result = fits.get(cell.fit.key), results[cell.key]
            why = "" if cell.key in trusted else _why_not_done(cell, result, fit, store)
            return PlannedCell(cell, "todo", why) if why else PlannedCell(cell, "done")
        if cell.key in failed:
            return PlannedCell(cell, "failed", f"see {store.error_path(cell.key)}")
        return PlannedCell(cell, "todo")

    with ThreadPoolExecutor(AT_ONCE) as threads:
        cells = list(threads.map(lambda each: planned(*each), resolved))
    wanted = {cell.fit.key for cell, _ in resolved}
    fits_done = frozenset(store.fits_with_weights() & fits.keys() & wanted)
    return Plan(space, cells, fits_done, _measured(fits.values(), results.values()))


def _why_not_done(
    cell: Cell, result: dict[str, Any], fit: dict[str, Any] | None, store: Store
) -> str:
    """Why a cell that has a result is run again all the same; empty where it is not.

    What it was made of must be there and be what it was.
    """
    if fit is None:
        return "the record of its fit is missing"
    if not is_of_weights(result, fit):
        return "its fit was made again since, with other weights"
    if _not_evaluated(cell.fit, store):
        return "its fit is to be evaluated on another data set"
    return why_not_of(result, store.attacked(cell.log))


def _not_evaluated(fit: Fit, store: Store) -> bool:
    """Whether a stored fit lacks an evaluation on another data set that was asked for since."""
    asked = {evaluation_name(other) for other in fit.evaluate_also}
    return bool(asked) and not asked <= set(store.evaluations(fit.key))


class _ThisMachine:
    """The assets and the code of this machine, by digest; NOT_HERE where it may lack them.

    lacks: whether it lacked any that reading does not need.
    """

    def __init__(self, assets: Assets, provisional: bool, reading: bool) -> None:
        self.assets, self.provisional, self.reading = assets, provisional, reading
        self.lacks = False

    def dataset(self, name: str, entry: Dataset) -> str:
        return self._unless_missing(partial(_dataset_digest, self.assets, name, entry), NOT_HERE)

    def has_chinese_pairs(self, name: str, entry: Dataset) -> bool:
        """Whether the test texts are pairs of columns, of which one holds Chinese."""
        if len(entry.columns) == 1:
            return False
        split, _ = entry.splits.share("test")
        return self._unless_missing(
            lambda: hold_chinese(self.assets.dataset_files(name, entry)[split], entry.columns),
            False,
        )

    def model(self, name: str, entry: LanguageModel) -> tuple[str, str]:
        """Its digest, and its type as its config.json says."""
        return self._unless_missing(partial(_model, self.assets, name, entry), (NOT_HERE, ""))

    def code(self, what: str, kind: str, ours: dict[str, str]) -> str | None:
        """Digest of the code of a user's own kind, None for ours. Raises BadInput."""
        unknown: str | None = NOT_HERE
        return self._unless_missing(partial(kind_digest, what, kind, ours), unknown)

    def attack_resources(self, name: str) -> dict[str, str]:
        try:
            return resources_identity(name)
        except PackageNotFoundError as error:
            if not self.reading:
                raise BadInput(
                    f"attack.resources {name} need the package {error.name}: install the extra "
                    f"`{name}` (pip install 'robustness-sweep[{name}]')"
                ) from None
            self.lacks = True
            return {"all": NOT_HERE}

    def _unless_missing(self, find: Callable[[], Found], else_: Found) -> Found:
        try:
            return find()
        except NotDownloaded:
            if not (self.provisional or self.reading):
                raise
        except (BadInput, OSError):
            if not self.reading:
                raise
        self.lacks = self.reading
        return else_


def _resolve(space: Space, machine: _ThisMachine) -> Iterator[tuple[Cell, str]]:
    """Every cell of the grid, with the reason why it does not apply, or an empty one."""
    axes, catalog = space.axes, space.catalog
    attacked_with = cache(machine.attack_resources)
    datasets = {
        name: (catalog.dataset(name), machine.dataset(name, catalog.dataset(name)))
        for name in axes.dataset
    }
    by_column = {
        name: machine.has_chinese_pairs(name, catalog.dataset(name)) for name in axes.dataset
    }
    models = {
        name: (catalog.model(name), *machine.model(name, catalog.model(name)))
        for name in axes.model
    }
    others = {
        name: [
            OtherDataset(
                name=other,
                data=catalog.dataset(other),
                digest=machine.dataset(other, catalog.dataset(other)),
            )
            for other in space.evaluate_also.get(name, [])
        ]
        for name in axes.dataset
    }
    attacks = {name: catalog.attack(name) for name in axes.attack}
    code = {name: machine.code("attack", each.kind, ATTACKS) for name, each in attacks.items()}

    grid = product(axes.dataset, axes.model, axes.head, axes.training, space.seeds)
    for dataset, model, head, training, seed in grid:
        fit, reason = _fit(
            space,
            machine,
            (dataset, *datasets[dataset]),
            (model, *models[model]),
            head,
            training,
            seed,
        )
        fit = fit.model_copy(update={"evaluate_also": others[dataset]})
        place = {"dataset": dataset, "model": model, "head": head, "training": training}
        for attack, recipe in attacks.items():
            here = space.settings_at(**place, attack=attack)
            settings = attack_settings(
                recipe, fit.data, here.attack.protocol, here.attack.resources
            )
            log_identity = keys.attack_identity(
                fit.identity,
                recipe.kind,
                settings,
                attacked_with(here.attack.resources),
                here.resources.attack.cpus,
                code[attack],
                here.attack.seconds_per_example,
                by_column[dataset],
            )
            readable = f"{dataset}-{model}-{head}-{training}-{attack}-s{seed}"
            cell = Cell(
                key=keys.cell_key(readable, log_identity, here.attack),
                log=keys.key(readable, log_identity),
                fit=fit,
                attack=attack,
                attack_kind=recipe.kind,
                attack_settings=settings,
                attack_resources=here.attack.resources,
                examples=here.attack.examples,
                precision=here.attack.precision,
                seconds_per_example=here.attack.seconds_per_example,
                resources=here.resources,
                identity=log_identity,
            )
            yield cell, space.excluded(cell.axes()) or reason


def _dataset_digest(assets: Assets, name: str, entry: Dataset) -> str:
    files = assets.dataset_files(name, entry)
    check_columns(name, entry, files)
    return dataset_digest(files)


def _model(assets: Assets, name: str, entry: LanguageModel) -> tuple[str, str]:
    folder = assets.model_folder(name, entry)
    return digest(model_files(folder)), ModelFolder(name, folder).type


def _fit(
    space: Space,
    machine: _ThisMachine,
    dataset: tuple[str, Dataset, str],
    model: tuple[str, LanguageModel, str, str],
    head: str,
    training: str,
    seed: int,
) -> tuple[Fit, str]:
    """A fit, and why it does not apply (or an empty reason)."""
    dataset_name, data, data_digest = dataset
    model_name, language_model, model_digest, model_type = model
    head_entry, training_entry = space.catalog.head(head), space.catalog.training(training)
    prompts = prompts_of(data, head_entry, language_model)
    here = space.settings_at(dataset=dataset_name, model=model_name, head=head, training=training)
    reason = head_entry.not_for.get(language_model.kind, "")
    reason = reason or cannot_have(head_entry.kind, model_type)
    if isinstance(prompts, str):
        reason = reason or prompts
        prompts = None
    used = {"columns", "label", "labels", "splits", "drop_rows_without_letters"}
    read_at = {}
    if language_model.kind == "causal" and head_entry.kind != "mvp":
        # Read elsewhere until now: texts that are empty, or end in the token that GPT-2 pads with.
        read_at = {"read_at": "last token of each text"}
    identity = keys.fit_identity(
        dataset={
            "digest": data_digest,
            **data.model_dump(include=used),
            **data.rows_identity(),
        },
        model={"digest": model_digest, "kind": language_model.kind},
        head={
            "kind": head_entry.kind,
            "pretrained": head_entry.pretrained,
            "probe_first": head_entry.probe_first,
            "prompts": prompts and prompts.model_dump(include={"templates", "label_words"}),
            "code": machine.code("head", head_entry.kind, HEADS),
            **read_at,
        },
        training={
            **training_entry.model_dump(exclude={"about"}),
            "code": machine.code("training", training_entry.kind, TRAININGS),
        },
        settings=here.fit.model_dump(),
        seed=seed,
        cpus=here.resources.fit.cpus,
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
        settings=here.fit,
        identity=identity,
    )
    return fit, reason


def _measured(fits: Iterable[dict[str, Any]], results: Iterable[dict[str, Any]]) -> Rates:
    """Rates of all that a store holds, whatever space it was run for."""
    rates = Rates()
    for record in fits:
        rates.add_fit(record["spec"], record["seconds"])
    for result in results:
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

"""What a report is made of: cells with their outcomes, example by example, and cells not run.

The same from a store (from_store.py) as from MLflow (from_mlflow.py), so that no table or plot
knows where its numbers come from. Knows nothing of statistics.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from orchestrator.plan.compared import Method as Method
from orchestrator.plan.compared import method as method_of
from orchestrator.plan.compared import name_of as name_of
from orchestrator.plan.scores import KINDS, with_scores
from orchestrator.report.registry import Registry
from search_spaces.catalog import Catalog
from search_spaces.cell import Axes, Cell, Fit
from search_spaces.errors import BadInput
from search_spaces.trainings import SETTINGS
from trainables.records import Evaluation, ExampleRecord, FitMeasured, Metrics

Place = tuple[str, str, str]  # data set, model, attack

UNDER_ATTACK = "right_under_attack"
CLEAN = "right_before"
STANDARD = "standard"
CONTROLS = frozenset({"high_temperature"})  # seem robust by the scale of their scores alone
WORST = "right_under_all"  # of all attacks together, so not a column of a cell's Outcomes


@dataclass(frozen=True)
class Outcomes:
    """The attacked examples of a cell as columns, one entry each; errors are left out.

    labels: -1 where a record has none. words_changed (a share), similarity (a cosine),
    edit_distance (in characters) and bits_before and bits_after (a character, of the two texts) are
    nan except for successful attacks; all but the first are nan too if the record has none.
    words_unread: beyond what the model reads. ran_on: how many were made where; those that do not
    say so under an empty text.
    """

    ids: np.ndarray
    labels: np.ndarray
    right_before: np.ndarray
    right_under_attack: np.ndarray
    queries: np.ndarray
    words_changed: np.ndarray
    similarity: np.ndarray
    edit_distance: np.ndarray
    bits_before: np.ndarray
    bits_after: np.ndarray
    words: np.ndarray
    words_unread: np.ndarray
    timeout: np.ndarray
    budget: np.ndarray
    ran_on: Mapping[str, int]

    @staticmethod
    def of(records: Iterable[ExampleRecord]) -> "Outcomes":
        """The columns of records as the engine makes them (trainables/attacks/engine.py)."""
        kept = [record for record in records if record["status"] != "error"]
        successful = [record["status"] == "successful" for record in kept]
        changed = [record["words_changed"] / max(record["words"], 1) for record in kept]
        bits = [record.get("bits_per_character") or (None, None) for record in kept]
        return Outcomes(
            ids=np.array([record["id"] for record in kept], dtype=np.int64),
            labels=np.array([_label(record) for record in kept], dtype=np.int64),
            right_before=np.array([record["status"] != "skipped" for record in kept], dtype=bool),
            right_under_attack=np.array([r["status"] == "failed" for r in kept], dtype=bool),
            queries=np.array([record["queries"] for record in kept], dtype=np.int64),
            words_changed=np.where(successful, np.array(changed, dtype=float), np.nan),
            similarity=_measured(record.get("similarity") for record in kept),
            edit_distance=_measured(record.get("edit_distance") for record in kept),
            bits_before=_measured(before for before, _ in bits),
            bits_after=_measured(after for _, after in bits),
            words=np.array([record["words"] for record in kept], dtype=np.int64),
            words_unread=np.array([r.get("words_unread", 0) for r in kept], dtype=np.int64),
            timeout=np.array([r.get("timeout", False) for r in kept], dtype=bool),
            budget=np.array([r.get("budget", False) for r in kept], dtype=bool),
            ran_on=Counter(record.get("ran_on", "") for record in kept),
        )


def _label(record: ExampleRecord) -> int:
    label = record.get("label")
    return -1 if label is None else label


def _measured(figures: Iterable[float | None]) -> np.ndarray:
    return np.array([np.nan if figure is None else figure for figure in figures], dtype=float)


@dataclass(frozen=True)
class CellResult:
    """One cell: what was asked, its metrics and outcomes, and the fit it attacked.

    final: False where the cell is not finished; its figures are over what is attacked so far.
    fit: the fit's record (accuracies, seconds, curve).
    records: reads the attacked examples with their texts, in the order of the sample.
    interval: of the accuracy under attack, where the sweep stopped by `--precision`.
    """

    cell: Cell
    metrics: Metrics
    outcomes: Outcomes
    fit: FitMeasured
    evaluations: list[Evaluation]
    records: Callable[[], list[ExampleRecord]]
    final: bool = True
    interval: Sequence[float] | None = None

    @property
    def method(self) -> Method:
        return method_of(self.cell)

    @property
    def place(self) -> Place:
        return self.cell.fit.dataset, self.cell.fit.model, self.cell.attack

    @property
    def seed(self) -> int:
        return self.cell.fit.seed


@dataclass(frozen=True)
class Absent:
    """A cell that has no results: its axes, its status, and the reason if there is one."""

    axes: Axes
    status: str
    reason: str = ""


@dataclass(frozen=True)
class Transfer:
    """Adversarial examples found by a cell and replayed on a fit: how many, of how many of them the
    fit classifies the original correctly, and how many of these fooled it."""

    source: Cell
    target: Fit
    replayed: int
    right_before: int
    fooled: int


@dataclass(frozen=True)
class Results:
    """All that a space's report is made of. `source` says where it was read, for messages.

    registry: the claims that its figures are shown beside. by_scores: the finished cells under each
    kind of attack score, where some were run under another kind than the space's.
    """

    space: str
    source: str
    cells: list[CellResult]
    absent: list[Absent] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    registry: Registry = field(default_factory=Registry)
    by_scores: dict[str, list[CellResult]] = field(default_factory=dict)

    @cached_property
    def methods(self) -> list[Method]:
        """Heads and trainings in the order of the space."""
        return list(dict.fromkeys(result.method for result in self.cells))

    @cached_property
    def attacks(self) -> list[str]:
        return list(dict.fromkeys(result.cell.attack for result in self.cells))

    @cached_property
    def homes(self) -> list[tuple[str, str]]:
        """Data sets and models."""
        return list(dict.fromkeys(result.place[:2] for result in self.cells))

    @cached_property
    def _by_place(self) -> dict[tuple[Method, Place], list[CellResult]]:
        grouped: dict[tuple[Method, Place], list[CellResult]] = {}
        for result in self.cells:
            grouped.setdefault((result.method, result.place), []).append(result)
        return grouped

    def at(self, method: Method, place: Place) -> list[CellResult]:
        """A method's cells at a place, one per seed; empty if there are none."""
        return self._by_place.get((method, place), [])

    @cached_property
    def _awaited(self) -> set[tuple[Method, Place]]:
        """Places of methods for which requested seeds are still missing."""
        return {
            ((str(axes["head"]), str(axes["training"])), _place(axes))
            for absent in self.absent
            if absent.status != "not_applicable"
            for axes in [absent.axes]
        }

    @cached_property
    def _fit_of(self) -> dict[Method, Fit]:
        """One of each method's fits."""
        return {result.method: result.cell.fit for result in reversed(self.cells)}

    def _kind_of(self, method: Method) -> str | None:
        """The kind of a method's training; None if it was not run."""
        fit = self._fit_of.get(method)
        return None if fit is None else fit.training_entry.kind

    def is_standard(self, method: Method) -> bool:
        """Whether a method that was run trains in the standard way, if need be on fewer rows."""
        return self._kind_of(method) == STANDARD

    def is_control(self, method: Method) -> bool:
        return self._kind_of(method) in CONTROLS

    def is_defence(self, method: Method) -> bool:
        """Whether a method that was run trains in another way than the standard one, and is there
        to be robust."""
        return _is_of_defence(self._kind_of(method))

    def is_known_defence(self, method: Method) -> bool:
        """Whether its kind is one of ours, which are published ones, and not a user's own."""
        return self.is_defence(method) and self._kind_of(method) in SETTINGS

    @property
    def controls(self) -> list[Method]:
        return [method for method in self.methods if self.is_control(method)]

    def label_of(self, method: Method) -> str:
        return f"{name_of(method)} (control)" if self.is_control(method) else name_of(method)

    @cached_property
    def defences_to_come(self) -> set[Method]:
        """Methods of which nothing was run yet, without those whose training is known to be none.

        A training is known by other heads' fits or by the catalog.
        """
        kinds = {training: self._kind_of((head, training)) for head, training in self.methods}
        return {
            (head, training)
            for head, training in self.to_come - set(self.methods)
            if _is_of_defence(kinds.get(training) or _cataloged_kind(training))
        }

    @property
    def defences(self) -> list[Method]:
        return [method for method in self.methods if self.is_defence(method)]

    def standard_of(self, method: Method) -> Method | None:
        """The standard training of a method's head, on as many rows; None if it was not run."""
        share = self._fit_of[method].training_entry.train_share
        alike = [
            other
            for other in self.methods
            if other[0] == method[0]
            and self.is_standard(other)
            and self._fit_of[other].training_entry.train_share == share
        ]
        plain = (method[0], "standard")
        return plain if plain in alike else next(iter(alike), None)

    @cached_property
    def _seen(self) -> dict[Method, frozenset[str]]:
        trained_on: dict[Method, set[str]] = {}
        for result in self.cells:
            if result.cell.fit.attack is not None:
                trained_on.setdefault(result.method, set()).add(result.cell.fit.attack.kind)
        attacks = {result.cell.attack: result.cell.attack_kind for result in self.cells}
        return {
            method: frozenset(name for name, kind in attacks.items() if kind in kinds)
            for method, kinds in trained_on.items()
        }

    def seen(self, method: Method) -> frozenset[str]:
        """The attacks of the kind that a method makes training rows with, whatever their names."""
        return self._seen.get(method, frozenset())

    @cached_property
    def seen_by_any(self) -> frozenset[str]:
        return frozenset().union(*self._seen.values())

    def unseen(self, places: Iterable[Place]) -> list[Place]:
        """Those of these places whose attack no method has seen."""
        return [place for place in places if place[2] not in self.seen_by_any]

    def has_seen(self, method: Method, places: Iterable[Place]) -> bool:
        """Whether a method has seen the attack of any of these places."""
        seen = self.seen(method)
        return any(attack in seen for *_, attack in places)

    @property
    def to_come(self) -> set[Method]:
        """Methods that cells are still to come of."""
        return {method for method, _ in self._awaited}

    def is_final(self, method: Method, places: Iterable[Place]) -> bool:
        """Whether the method's figures at these places will stay as they are."""
        return not any(
            (method, place) in self._awaited or not all(r.final for r in self.at(method, place))
            for place in places
        )

    def awaited(self, method: Method, homes: Iterable[tuple[str, str]]) -> list[Place]:
        """Places of these data sets and models where cells of a method are still to come."""
        wanted = set(homes)
        return [at for other, at in self._awaited if other == method and at[:2] in wanted]

    def is_complete(self, method: Method) -> bool:
        """Whether all cells of a method are there and final."""
        awaited = [place for other, place in self._awaited if other == method]
        return self.is_final(method, [*awaited, *self.places(method)])

    def places(self, method: Method) -> list[Place]:
        return [place for other, place in self._by_place if other == method]

    @property
    def finished(self) -> list[str]:
        """Keys of the cells whose figures are final."""
        return [result.cell.key for result in self.cells if result.final]

    @property
    def final(self) -> bool:
        return all(result.final for result in self.cells)

    def only(self, keep: Callable[[CellResult], bool]) -> "Results":
        kept = [result for result in self.cells if keep(result)]
        return Results(self.space, self.source, kept, self.absent)


def by_scores(
    cells: Sequence[CellResult],
    finished: Collection[str],
    read: Callable[[Cell], CellResult | None],
) -> dict[str, list[CellResult]]:
    """The same cells under each kind of attack score that some of them were run under.

    Empty if they were run under one kind only. What two kinds order alike was run under both.
    finished: the keys of all cells that have a result; read: one of these.
    """
    own = {result.cell.scores for result in cells}
    under: dict[str, list[CellResult]] = {}
    for kind in sorted(KINDS, key=lambda kind: kind not in own):
        asked = [(result, with_scores(result.cell, kind)) for result in cells]
        if kind in own or any(
            cell.key != result.cell.key and cell.key in finished for result, cell in asked
        ):
            found = (
                replace(result, cell=cell)
                if cell.key == result.cell.key
                else read(cell)
                if cell.key in finished
                else None
                for result, cell in asked
            )
            under[kind] = [each for each in found if each is not None]
    return under if len(under) > 1 else {}


def _is_of_defence(kind: str | None) -> bool:
    return kind is not None and kind != STANDARD and kind not in CONTROLS


def _cataloged_kind(training: str) -> str:
    """By the catalog; a name that it does not have is its own kind."""
    try:
        return Catalog().training(training).kind
    except BadInput:  # a training of the user's own
        return training


def _place(axes: Axes) -> Place:
    return str(axes["dataset"]), str(axes["model"]), str(axes["attack"])


def fits(cells: Iterable[CellResult]) -> Iterator[CellResult]:
    """One cell of each fit."""
    seen: set[str] = set()
    for result in cells:
        if result.cell.fit.key not in seen:
            seen.add(result.cell.fit.key)
            yield result

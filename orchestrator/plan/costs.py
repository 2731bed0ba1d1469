"""What each cell of a plan will cost: as measured, else by the model of cost.

Where a rehearsal has run, the model of cost is corrected by what it was off there, on the same
language model, and with the same kind of training, head and data set if they were rehearsed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import median
from typing import Literal

from orchestrator.plan import cost_model
from orchestrator.plan.cost_model import CPU, TYPICAL_GPU, Search, is_known
from orchestrator.plan.rates import Rates, attack_task, fit_task
from orchestrator.plan.sizes import Network, Sizes, Texts
from orchestrator.plan.training_cost import STANDARD, assumed, plain
from search_spaces.catalog import Training
from search_spaces.cell import Cell, Fit
from trainables.records import Rehearsed

Phase = Literal["fit", "attack"]
Basis = Literal["measured", "rehearsed", "modelled"]


@dataclass(frozen=True)
class Cost:
    """Seconds of one trial, and what they are based on."""

    seconds: float
    basis: Basis


@dataclass
class Costs:
    """Costs of fits and attacks, on the device that they will run on or on any other.

    read: what was measured; called once, when a cost is first asked for.
    """

    read: Callable[[], Rates] = Rates
    sizes: Sizes = field(default_factory=lambda: Sizes(None))
    _known: dict[tuple[str, str, Phase], Cost] = field(default_factory=dict)
    _times_plain: dict[str, float] = field(default_factory=dict)
    _unlike: set[str] = field(default_factory=set)
    _of_trainings: set[str] = field(default_factory=set)

    @property
    def assumed(self) -> list[str]:
        """A line on each size, GPU's speed and training that was assumed so far."""
        as_fast = f"is taken to be as fast as an {TYPICAL_GPU}: the model of cost does not know it"
        gpus = (f"GPU {name} {as_fast}" for name in sorted(self._unlike))
        return [*self.sizes.assumed, *gpus, *sorted(self._of_trainings)]

    @cached_property
    def rates(self) -> Rates:
        return self.read()

    def device(self, cell: Cell, phase: Phase) -> str:
        """That a phase will run on: a CPU, or the GPU on which most was measured so far."""
        holds = cell.resources.fit if phase == "fit" else cell.resources.attack
        return self._gpu if holds.gpus else CPU

    @cached_property
    def _gpu(self) -> str:
        most = self.rates.gpus.most_common(1)
        return most[0][0] if most else TYPICAL_GPU

    def of(self, cell: Cell, phase: Phase, gpu: str | None = None) -> Cost:
        """Of a cell's fit, or of all examples of its attack. gpu: on this one, if it holds any."""
        device = self.device(cell, phase)
        if gpu is not None and device != CPU:
            device = gpu
        key = cell.fit.key if phase == "fit" else cell.key, device, phase
        if key not in self._known:
            of = self._of_fit if phase == "fit" else self._of_attack
            self._known[key] = of(cell, device)
            if self._known[key].basis == "modelled" and not is_known(device):
                self._unlike.add(device)
        return self._known[key]

    def measured(self, cell: Cell, phase: Phase) -> float | None:
        """Seconds, where they were measured."""
        cost = self.of(cell, phase)
        return cost.seconds if cost.basis == "measured" else None

    def earlier(self, cells: Iterable[Cell]) -> Iterator[tuple[Phase, Cell, list[float]]]:
        """All that was measured of these cells' fits and attacks, once each: a cell it is of, and
        seconds of a fit or of an example."""
        seen = set()
        for cell in cells:
            fit = fit_task(cell.fit), self.device(cell, "fit")
            attack = attack_task(cell), self.device(cell, "attack")
            if fit not in seen and fit in self.rates.fits:
                yield "fit", cell, self.rates.fits[fit]
            if attack not in seen and attack in self.rates.examples:
                yield "attack", cell, self.rates.examples[attack]
            seen |= {fit, attack}

    def times_plain(self, cell: Cell) -> float:
        """A cell's fit, as a multiple of the same by standard training: by the model of cost."""
        fit, device = cell.fit, self.device(cell, "fit")
        if fit.key not in self._times_plain:
            network, texts = self._sizes(fit)
            seconds, of_plain = (
                cost_model.fit_seconds(each, network, texts, device) for each in (fit, plain(fit))
            )
            self._times_plain[fit.key] = seconds / of_plain
        return self._times_plain[fit.key]

    def measured_times_plain(self, cell: Cell) -> float | None:
        """The same as measured; None where either is not."""
        device = self.device(cell, "fit")
        both = [self.rates.fit_seconds(fit, device) for fit in (cell.fit, plain(cell.fit))]
        return None if both[0] is None or not both[1] else both[0] / both[1]

    def _of_fit(self, cell: Cell, device: str) -> Cost:
        fit = cell.fit
        seconds = self.rates.fit_seconds(fit, device)
        if seconds is not None:
            return Cost(seconds, "measured")
        network, texts = self._sizes(fit)
        self._of_trainings |= {assumed(fit)} - {""}

        def was_off(record: Rehearsed) -> float:
            made = fit.model_copy(update={"training_entry": _training_of(record)})
            count, length = record["step_texts"], record["step_tokens"]
            return record["step_seconds"] / cost_model.step_seconds(
                made, network, count, length, device
            )

        seconds = cost_model.training_seconds(fit, network, texts, device)
        cost = _corrected(seconds, fit, self._rehearsed(device), was_off)
        if fit.attack is None:
            return cost
        search = cost_model.search_within(fit, fit.attack, texts)
        seconds = cost_model.attacking_seconds(fit, network, texts, device)
        attacks = self._attacks_corrected(seconds, fit, search, device)
        return Cost(cost.seconds + attacks.seconds, cost.basis)

    def _of_attack(self, cell: Cell, device: str) -> Cost:
        network, texts = self._sizes(cell.fit)
        count = min(cell.examples, texts.test)
        seconds = self.rates.example_seconds(cell, device)
        if seconds is not None:
            return Cost(seconds * count, "measured")
        seconds = cost_model.example_seconds(cell, network, texts, device) * count
        search = cost_model.search_of(cell, texts)
        return self._attacks_corrected(seconds, cell.fit, search, device)

    def _attacks_corrected(self, seconds: float, fit: Fit, search: Search, device: str) -> Cost:
        network, _ = self._sizes(fit)

        def was_off(record: Rehearsed) -> float:
            of = record["attacks"][search.name]
            same = replace(search, words=of["words"], attacked=of["words"])
            expected = cost_model.lone_example_seconds(fit, same, network, device)
            if queries := of.get("queries"):
                # How often one example was queried says little of others: what a query took counts.
                expected *= queries / cost_model.example_queries(same)
            return of["seconds"] / expected

        records = [r for r in self._rehearsed(device) if search.name in r.get("attacks", {})]
        return _corrected(seconds, fit, records, was_off)

    def _sizes(self, fit: Fit) -> tuple[Network, Texts]:
        network = self.sizes.network(fit.model, fit.language_model)
        return network, self.sizes.texts(fit.dataset, fit.data)

    def _rehearsed(self, device: str) -> list[Rehearsed]:
        return [record for record in self.rates.rehearsed if record["device"] == device]


def _corrected(
    seconds: float, fit: Fit, records: Sequence[Rehearsed], was_off: Callable[[Rehearsed], float]
) -> Cost:
    """By what the model was off on this model: with the same kind of training if there is one, on
    the same head, and data set."""
    kind = fit.training_entry.kind
    like = [record for record in records if record["model"] == fit.model]
    like = [record for record in like if _training_of(record).kind == kind] or like
    like = [record for record in like if record["head"] == fit.head] or like
    like = [record for record in like if record["dataset"] == fit.dataset] or like
    if not like:
        return Cost(seconds, "modelled")
    return Cost(seconds * median(map(was_off, like)), "rehearsed")


def _training_of(record: Rehearsed) -> Training:
    """Of its steps; older versions did not record it."""
    if "training_kind" not in record:
        return STANDARD
    kind, settings = record["training_kind"], record["training_settings"]
    return Training(about=kind, kind=kind, settings=settings)

"""Fit once, attack many: a Tune searcher that releases cells in the right order.

First one cell of each fit that is not stored yet (the leader), longest expected fit first. When a
leader reports `fit_done` its siblings are released, longest expected attack first, and find the fit
in the store. No trial ever waits for another while it holds a GPU. If a leader fails before its fit
is stored, a sibling takes the lead.

A trial holds what its phase wants. Where both phases want the same, a leader goes on to attack;
where an attack wants less, the leader is done with its fit and the cell is handed out again.

As many cells are out as the cluster has room for now, and some more that are pending, so that an
autoscaler sees what is wanted. Fits go first; attacks get what fits leave.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ray.tune.search import Searcher

from orchestrator.slots import Shape, Slots
from search_spaces.cell import Cell
from search_spaces.space import PhaseResources

PHASES = ("fit", "attack")


class Queue:
    """Cells of one phase, the one of the highest cost first; of equal ones the earliest."""

    def __init__(self, cost: Callable[[Cell], float]) -> None:
        self.cost = cost
        self._heap: list[tuple[float, int, Cell]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    def first(self) -> Cell:
        return self._heap[0][2]

    def push(self, cell: Cell) -> None:
        heapq.heappush(self._heap, (-self.cost(cell), self._count, cell))
        self._count += 1

    def pop(self) -> Cell:
        return heapq.heappop(self._heap)[2]


class FitFirst(Searcher):
    """Hands out cells as the cluster has room.

    config_of: a cell's and its phase's trial config. nodes: CPUs and GPUs of each node there is
    now. again: whether a cell whose process died is run again (None: ask later). pending: how many
    cells of a phase may wait for room; if more than one, as many may as run, so that a cluster can
    double. max_concurrent: never more cells out than this. stopped: when true, no more are
    handed out.
    """

    def __init__(
        self,
        cells: Iterable[Cell],
        fits_done: Iterable[str],
        config_of: Callable[[Cell, str], dict[str, Any]],
        fit_cost: Callable[[Cell], float],
        attack_cost: Callable[[Cell], float],
        nodes: Callable[[], Sequence[Shape]],
        again: Callable[[Cell], bool | None],
        pending: int = 1,
        max_concurrent: int | None = None,
        stopped: Callable[[], object] = lambda: False,
    ) -> None:
        super().__init__(metric=None, mode=None)
        self.config_of = config_of
        self.nodes = nodes
        self.again = again
        self.pending = pending
        self.max_concurrent = max_concurrent
        self.stopped = stopped
        self.slots = Slots()
        self.queues = {"fit": Queue(fit_cost), "attack": Queue(attack_cost)}
        self.waiting: dict[str, list[Cell]] = {}  # by fit, the longest attack last
        self.out: dict[str, tuple[Cell, str]] = {}  # by trial: the cell and its phase
        self.out_in = Counter[str]()  # how many, by phase
        self.died: list[tuple[Cell, str]] = []  # and what becomes of them is not known yet
        self.stored = set(fits_done)
        for cell in cells:
            if cell.fit.key in self.stored:
                self.queues["attack"].push(cell)
            else:
                self.waiting.setdefault(cell.fit.key, []).append(cell)
        for fit, siblings in list(self.waiting.items()):
            self.waiting[fit] = sorted(reversed(siblings), key=attack_cost)
            self._next_leads(fit)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        finished: Any = Searcher.FINISHED
        if self.stopped():
            return finished
        self._settle_deaths()
        if self.max_concurrent is not None and len(self.out) >= self.max_concurrent:
            return None
        self.slots.resize(self.nodes())
        for phase in PHASES:
            queue = self.queues[phase]
            if queue and self.slots.place(trial_id, shape(queue.first(), phase)):
                return self._hand_out(trial_id, phase)
        for phase in PHASES:
            queue = self.queues[phase]
            if queue and self._may_wait(phase):
                self.slots.wait(trial_id, shape(queue.first(), phase))
                return self._hand_out(trial_id, phase)
        if self.out or self.waiting or self.died:
            return None
        return finished

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if result.get("fit_done") and trial_id in self.out:
            self._release(self.out[trial_id][0].fit.key)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self.slots.give_back(trial_id)
        cell, phase = self.out.pop(trial_id)
        self.out_in[phase] -= 1
        if error:
            self.died.append((cell, phase))
        elif result and result.get("fit_done"):
            self._release(cell.fit.key)
            self.queues["attack"].push(cell)
        elif phase == "fit":
            self._next_leads(cell.fit.key)

    def _settle_deaths(self) -> None:
        died, self.died = self.died, []
        for cell, phase in died:
            again = self.again(cell)
            if again is None:
                self.died.append((cell, phase))
            elif again:
                self.queues["attack" if cell.fit.key in self.stored else "fit"].push(cell)
            elif phase == "fit":
                self._next_leads(cell.fit.key)

    def _may_wait(self, phase: str) -> bool:
        """Whether one more cell of a phase may be handed out that there is no room for."""
        if phase == "attack" and self.queues["fit"]:
            fit, attack = (shape(self.queues[p].first(), p) for p in PHASES)
            if bool(fit[1]) == bool(attack[1]):
                return False  # Ray would not know that the fits waiting go first.
        pending = sum(self.out[trial_id][1] == phase for trial_id in self.slots.pending)
        if self.pending == 1:
            return pending < 1
        return pending < max(self.pending, self.out_in[phase] - pending)

    def _hand_out(self, trial_id: str, phase: str) -> dict[str, Any]:
        cell = self.queues[phase].pop()
        self.out[trial_id] = cell, phase
        self.out_in[phase] += 1
        return self.config_of(cell, phase)

    def _release(self, fit: str) -> None:
        self.stored.add(fit)
        for cell in self.waiting.pop(fit, []):
            self.queues["attack"].push(cell)

    def _next_leads(self, fit: str) -> None:
        """Have a sibling lead, where one waits: none does once the fit is stored."""
        siblings = self.waiting.get(fit, [])
        if siblings:
            self.queues["fit"].push(siblings.pop())
        if not siblings:
            self.waiting.pop(fit, None)

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its searcher for Tuner.restore, which a sweep never uses.
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: what is left to do is read from the store."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: what is left to do is read from the store."""


def shape(cell: Cell, phase: str) -> Shape:
    """CPUs and GPUs that a cell wants in a phase."""
    wanted: PhaseResources = getattr(cell.resources, phase)
    return wanted.cpus, wanted.gpus


def fits_only(cell: Cell) -> bool:
    """Whether a trial of this cell's fit ends with the fit: its attack wants other resources."""
    return cell.resources.fit != cell.resources.attack

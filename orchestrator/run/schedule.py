"""Fit once, attack many: a Tune searcher that releases cells in the right order.

First one cell of each fit that is not stored yet (the leader), longest expected fit first. When a
leader reports `fit_done` its siblings are released, longest expected attack first, and find the fit
in the store. No trial ever waits for another while it holds a GPU. If a leader fails before its fit
is stored, a sibling takes the lead.

A trial holds what its phase needs. If both phases need the same, a leader goes on to attack; if an
attack needs less, the leader ends with its fit and the cell is handed out again.

As many cells are handed out as the cluster has room for now, and some more that are pending, so
that an autoscaler sees what is needed. Fits go first; attacks get what fits leave.

Before all that go the cells that are brought forward for a first comparison (order.py), by their
rank: an attack before the fits of a higher rank. Once the first comparison has begun and until its
fits have ended, nothing of a higher rank waits for room.

An attack that takes longer than each slot's share of what is left of all attacks would leave slots
idle at the end. It is handed out in parts, each with some of its examples; a part that fails is
handed out once more, one that dies a few times. When they have ended, successfully or not, so is
the cell itself: it attacks what is missing and has the result. A running attack is not divided, so
a leader whose attack will be divided ends with its fit.
"""

import heapq
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Any

from ray.tune.search import Searcher

from orchestrator.run.deaths import RESTARTS, Verdict
from orchestrator.run.imported import resources_in
from orchestrator.run.order import FIRST
from orchestrator.run.slots import PHASES, Shape, Slots, on_gpus, shape
from search_spaces.cell import Cell
from trainables.cell import Part
from trainables.trial import TrialConfig

SMALLEST_PART = 10  # examples: fewer are not worth loading a model
PARTS_PER_SLOT = 2  # if one attack is left: examples and slots are not equally fast
MARGIN = 2  # an attack may take twice what is expected: one of half a slot's share is divided too


@dataclass(frozen=True)
class TrialTask:
    """What a trial is to do: a phase of a cell, or a part of its attack; and its expected cost."""

    cell: Cell
    phase: str
    part: Part | None
    cost: float


AT_ONCE, LAST = -1, sys.maxsize  # ranks: before all others, and of what is not brought forward


class Queue:
    """Tasks of one phase, the one of the lowest rank first; of equal ones that of the highest
    cost, and of these the earliest."""

    def __init__(self) -> None:
        self.cost = 0.0  # of all of them
        self._heap: list[tuple[int, float, int, TrialTask]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    def first(self) -> TrialTask:
        return self._heap[0][-1]

    def bring_forward(self, allowed: Callable[[TrialTask], bool]) -> bool:
        """Move the first task that is allowed to the front; False if there is none."""
        if not self._heap or allowed(self.first()):
            return bool(self._heap)
        entry = min((entry for entry in self._heap if allowed(entry[-1])), default=None)
        if entry is None:
            return False
        self._heap.remove(entry)
        heapq.heapify(self._heap)
        heapq.heappush(self._heap, (AT_ONCE, -math.inf, *entry[2:]))
        return True

    def push(self, task: TrialTask, rank: int = LAST) -> None:
        cost = math.inf if rank == AT_ONCE else task.cost
        heapq.heappush(self._heap, (rank, -cost, self._count, task))
        self._count += 1
        self.cost += task.cost

    def pop(self) -> TrialTask:
        task = heapq.heappop(self._heap)[-1]
        self.cost = self.cost - task.cost if self._heap else 0.0
        return task


class FitFirst(Searcher):
    """Hands out cells as the cluster has room.

    config_of: a task's trial config. nodes: CPUs and GPUs of each node there is now. verdict: what
    becomes of a cell that failed or whose process died; never asked about parts. give_up: called
    with each that is given up. pending: how many tasks of a phase may wait for room; if more than
    one, as many may as run, so that a cluster can double. max_concurrent: never more tasks out than
    this. stopped: when true, no more are handed out. in_time: whether a task would end in time;
    others are not handed out. ranks: of the cells that are brought forward (order.py).
    """

    def __init__(
        self,
        cells: Iterable[Cell],
        fits_done: Iterable[str],
        config_of: Callable[[TrialTask], TrialConfig],
        fit_cost: Callable[[Cell], float],
        attack_cost: Callable[[Cell], float],
        nodes: Callable[[], Sequence[Shape]],
        verdict: Callable[[Cell], Verdict],
        give_up: Callable[[Cell], None],
        pending: int = 1,
        max_concurrent: int | None = None,
        stopped: Callable[[], object] = lambda: False,
        in_time: Callable[[TrialTask], bool] = lambda task: True,
        ranks: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        super().__init__(metric=None, mode=None)
        self.config_of = config_of
        self.cost_of = {"fit": fit_cost, "attack": attack_cost}
        self.nodes = nodes
        self.verdict = verdict
        self.give_up = give_up
        self.pending = pending
        self.max_concurrent = max_concurrent
        self.stopped = stopped
        self.in_time = in_time
        self.ranks = ranks
        self.slots = Slots()
        self.queues = {phase: Queue() for phase in PHASES}
        self.waiting: dict[str, list[Cell]] = {}  # by fit, the one that goes first last
        self.out: dict[str, TrialTask] = {}  # by trial
        self.out_in = Counter[str]()  # how many, by phase
        self.attacking: dict[str, float] = {}  # by trial that attacks: the attack's cost
        self.first: set[str] = set()  # trials of the first comparison, ...
        self.fitting_first: set[str] = set()  # ... and those of them that have to fit
        self.ended_badly: list[TrialTask] = []  # and what becomes of them is not known yet
        self.parts_left: dict[str, int] = {}  # that have not ended, by key of a divided cell
        self.parts_again = Counter[tuple[str, Part | None]]()  # how often handed out once more
        self.stored = set(fits_done)
        for cell in cells:
            if cell.fit.key in self.stored:
                self._queue(cell, "attack")
            else:
                self.waiting.setdefault(cell.fit.key, []).append(cell)
        for fit, siblings in list(self.waiting.items()):
            siblings.sort(key=lambda cell: (self._rank(cell), -attack_cost(cell)))
            siblings.reverse()
            self._next_leads(fit)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        finished: Any = Searcher.FINISHED
        if self.stopped():
            return finished
        self._settle_bad_ends()
        if self.max_concurrent is not None and len(self.out) >= self.max_concurrent:
            return None
        self.slots.resize(self.nodes())
        phases = [phase for phase in PHASES if self.queues[phase].bring_forward(self.in_time)]
        phases.sort(key=lambda phase: self._rank(self.queues[phase].first().cell))  # Fits if equal.
        want_the_same = len(phases) == 2 and self._fits_want(self.queues["attack"].first().cell)
        # What goes first waits before the other is handed out, so that slots keep room for it, and
        # the other never: Ray would not know which goes first.
        those_that_wait = phases[:1] if want_the_same else phases
        for phase in those_that_wait if self._first_is_to_come() else phases:
            needed = shape(self.queues[phase].first().cell, phase)
            if self.slots.place(trial_id, needed):
                return self._hand_out(trial_id, phase)
            if want_the_same and phase in those_that_wait and self._may_wait(phase):
                self.slots.wait(trial_id, needed)
                return self._hand_out(trial_id, phase)
        for phase in those_that_wait:
            if self._may_wait(phase):
                self.slots.wait(trial_id, shape(self.queues[phase].first().cell, phase))
                return self._hand_out(trial_id, phase)
        # Cells that wait for a fit wait in vain if the fit itself is no longer handed out.
        if self.out or self.ended_badly:
            return None
        return finished

    def ends_with_fit(self, trial_id: str) -> bool:
        """Whether a trial whose fit is stored now ends, and the cell is queued for its attack."""
        task = self.out[trial_id]
        if task.phase != "fit":
            return False
        cell = task.cell
        attack = TrialTask(cell, "attack", None, self.cost_of["attack"](cell))
        return fits_only(cell) or self._parts_of(cell) > 1 or not self.in_time(attack)

    def wants(self, phase: str) -> bool:
        """Whether there are tasks of a phase that have not ended, or will be."""
        begun = bool(self.queues[phase]) or self.out_in[phase] > 0 or bool(self.ended_badly)
        return begun or bool(self.waiting)

    def attack_slots(self, cell: Cell) -> int:
        """How many attacks like a cell's may run at once."""
        self.slots.resize(self.nodes())
        slots = self.slots.capacity(shape(cell, "attack"))
        return slots if self.max_concurrent is None else min(slots, self.max_concurrent)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if result.get("fit_done") and trial_id in self.out:
            cell = self.out[trial_id].cell
            self.attacking[trial_id] = self.cost_of["attack"](cell)
            self.fitting_first.discard(trial_id)
            self._release(cell.fit.key)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self.slots.give_back(trial_id)
        task = self.out.pop(trial_id)
        self.attacking.pop(trial_id, None)
        self.first.discard(trial_id)
        self.fitting_first.discard(trial_id)
        self.out_in[task.phase] -= 1
        if task.part is not None:
            self._part_ended(task, error, bool(result and result.get("error")))
        elif error or (result and result.get("phase") == "failed"):
            self.ended_badly.append(task)
        elif result and result.get("fit_done"):
            self._release(task.cell.fit.key)
            self._queue(task.cell, "attack")
        elif task.phase == "fit":
            self._next_leads(task.cell.fit.key)

    def _settle_bad_ends(self) -> None:
        ended_badly, self.ended_badly = self.ended_badly, []
        for task in ended_badly:
            cell = task.cell
            verdict = self.verdict(cell)
            if verdict == "not known yet":
                self.ended_badly.append(task)
            elif verdict == "run again":
                self._queue(cell, "attack" if cell.fit.key in self.stored else "fit")
            else:
                if verdict == "given up":
                    self.give_up(cell)
                if task.phase == "fit":
                    self._next_leads(cell.fit.key)

    def _may_wait(self, phase: str) -> bool:
        """Whether one more task of a phase may be handed out that there is no room for."""
        if self._first_is_to_come() and self._rank(self.queues[phase].first().cell) > FIRST:
            return False  # It would get the room that the first comparison will want.
        pending = sum(self.out[trial_id].phase == phase for trial_id in self.slots.pending)
        if self.pending == 1:
            return pending < 1
        return pending < max(self.pending, self.out_in[phase] - pending)

    def _hand_out(self, trial_id: str, phase: str) -> dict[str, Any]:
        if phase == "attack":
            self._divide_first()
        task = self.queues[phase].pop()
        self.out[trial_id] = task
        self.out_in[phase] += 1
        if phase == "attack":
            self.attacking[trial_id] = task.cost
        if self._rank(task.cell) == FIRST:
            self.first.add(trial_id)
            if phase == "fit":
                self.fitting_first.add(trial_id)
        return {**self.config_of(task)}

    def _divide_first(self) -> None:
        """Replace the first attack of the queue by its parts, if it is to be divided."""
        queue = self.queues["attack"]
        task = queue.first()
        count = 1 if task.part is not None else self._parts_of(task.cell)
        if count > 1:
            queue.pop()
            self.parts_left[task.cell.key] = count
            for number in range(count):
                # At once: a cell that was begun should end, and this trial is one of them.
                part = TrialTask(task.cell, "attack", Part(number, count), task.cost / count)
                queue.push(part, AT_ONCE)

    def _parts_of(self, cell: Cell) -> int:
        """Into how many parts a cell's attack is to be divided; 1: it is not."""
        if self._fits_want(cell) or cell.key in self.parts_left or cell.precision is not None:
            return 1  # Slots are for fits; an attack that may stop early runs example by example.
        most = cell.examples // SMALLEST_PART
        slots = self.attack_slots(cell)
        cost = self.cost_of["attack"](cell)
        if min(most, slots) < 2 or _is_at_most(cost, self.queues["attack"].cost / slots / MARGIN):
            return 1  # The queue alone shows it: the most frequent and fastest case.
        share = self._attacks_left() / slots
        if _is_at_most(cost, share / MARGIN):
            return 1
        return min(math.ceil(PARTS_PER_SLOT * cost / share), most)

    def _rank(self, cell: Cell) -> int:
        return self.ranks.get(cell.key, LAST)

    def _first_is_to_come(self) -> bool:
        """Whether the first comparison has begun, and not all its fits have ended."""
        return bool(self.fitting_first) and any(trial in self.slots.placed for trial in self.first)

    def _fits_want(self, cell: Cell) -> bool:
        """Whether fits are queued that want what a cell's attack would hold."""
        if not self.queues["fit"]:
            return False
        fit = shape(self.queues["fit"].first().cell, "fit")
        return bool(fit[1]) == bool(shape(cell, "attack")[1])

    def _attacks_left(self) -> float:
        """Cost of all attacks that have not ended; half the cost of those that are running."""
        fitting = (task.cell for trial, task in self.out.items() if trial not in self.attacking)
        siblings = (cell for waiting in self.waiting.values() for cell in waiting)
        to_come = sum(map(self.cost_of["attack"], chain(fitting, siblings)))
        return self.queues["attack"].cost + to_come + sum(self.attacking.values()) / 2

    def _part_ended(self, task: TrialTask, died: bool, failed: bool) -> None:
        """A part that failed is handed out once more, it may have been the node; one whose process
        died, a few times: with its node, probably, and all that it attacked is kept. After the last
        part has ended, successfully or not, the cell itself is handed out."""
        cell, again = task.cell, (task.cell.key, task.part)
        if self.parts_again[again] < (RESTARTS if died else int(failed)):
            self.parts_again[again] += 1
            self.queues["attack"].push(task, AT_ONCE)
            return
        self.parts_left[cell.key] -= 1
        if self.parts_left[cell.key] == 0:
            self._queue(cell, "attack")

    def _queue(self, cell: Cell, phase: str) -> None:
        """Queue a cell; at once and without cost if its parts have done the work."""
        divided = cell.key in self.parts_left
        cost = 0.0 if divided else self.cost_of[phase](cell)
        rank = AT_ONCE if divided else self._rank(cell)
        self.queues[phase].push(TrialTask(cell, phase, None, cost), rank)

    def _release(self, fit: str) -> None:
        self.stored.add(fit)
        for cell in self.waiting.pop(fit, []):
            self._queue(cell, "attack")

    def _next_leads(self, fit: str) -> None:
        """Make a waiting sibling the leader; none waits once the fit is stored."""
        siblings = self.waiting.get(fit, [])
        if siblings:
            self._queue(siblings.pop(), "fit")
        if not siblings:
            self.waiting.pop(fit, None)

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its searcher for Tuner.restore, which a sweep never uses.
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: what is left to do is read from the store."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: what is left to do is read from the store."""


def fits_only(cell: Cell) -> bool:
    """Whether a trial of this cell's fit ends with the fit: its attack needs other resources, of
    the node or of TextAttack."""
    same = resources_in(cell, "fit") == resources_in(cell, "attack")
    return cell.resources.fit != cell.resources.attack or not same


def slots_held(cell: Cell, phase: str) -> float:
    """How many attacks could run on what a cell's phase holds, by the scarcer one; at least 1."""
    (cpus, gpus), (need_cpus, need_gpus) = shape(cell, phase), shape(cell, "attack")
    by_gpus = 0.0
    if need_gpus:
        by_gpus = on_gpus(int(gpus), need_gpus) if gpus >= 1 else gpus / need_gpus
    return max(1.0, cpus / need_cpus, by_gpus)


def _is_at_most(cost: float, limit: float) -> bool:
    return cost <= limit * (1 + 1e-9)  # A sum of equal costs is not quite a multiple of them.

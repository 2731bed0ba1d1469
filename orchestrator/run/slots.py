"""Room on a cluster: which of the trials handed out can run now, by its nodes' resources.

Ray places trials; this only tells the searcher how many to hand out. Nodes come and go. GPUs are
counted one by one, as Ray does: a fraction is of one GPU, a whole number is of GPUs that nobody
uses. Four quarters that are free on four GPUs are no room for a trial that needs a whole one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from heapq import nlargest

from search_spaces.cell import Cell
from search_spaces.space import PhaseResources

PHASES = ("fit", "attack")

Shape = tuple[float, float]  # CPUs and GPUs: of a node, or needed by a trial

WHOLE = 10_000  # Ray counts in ten-thousandths: a tenth of a GPU, ten times, is a whole one


def shape(cell: Cell, phase: str) -> Shape:
    """CPUs and GPUs that a cell needs in a phase."""
    needed: PhaseResources = getattr(cell.resources, phase)
    return needed.cpus, needed.gpus


def room_in(node: Shape, trial: Shape) -> int:
    """How many trials of a shape a node has room for while nothing else runs on it."""
    by_cpus = _parts(node[0]) // _parts(trial[0])
    return by_cpus if not trial[1] else min(by_cpus, on_gpus(int(node[1]), trial[1]))


def on_gpus(gpus: int, need: float) -> int:
    """How many trials that need some of a GPU, or several, have room on this many."""
    return gpus * (WHOLE // _parts(need)) if need < 1 else gpus // round(need)


@dataclass(frozen=True)
class Held:
    """CPUs, and parts of GPUs by their number, that a trial holds on a node."""

    cpus: int
    gpus: dict[int, int]


@dataclass
class Room:
    """What is free on a node: CPUs and each of its GPUs, in ten-thousandths."""

    cpus: int
    gpus: list[int]

    @staticmethod
    def on(node: Shape) -> "Room":
        """All of a node."""
        return Room(_parts(node[0]), [WHOLE] * int(node[1]))

    def take(self, trial: Shape, kept: Collection[int] = ()) -> Held | None:
        """Room for a trial, on the GPUs that Ray would choose; None where there is none.

        A fraction goes to the GPU on which the least is left then, a whole number to the first
        ones that are free. kept: GPUs that no fraction may have.
        """
        cpus, gpus = _parts(trial[0]), _parts(trial[1])
        if cpus > self.cpus:
            return None
        held: dict[int, int] = {}
        if gpus >= WHOLE:
            free = [number for number, left in enumerate(self.gpus) if left == WHOLE]
            held = dict.fromkeys(free[: gpus // WHOLE], WHOLE)
            if len(held) * WHOLE < gpus:
                return None
        elif gpus:
            fits = [
                (left, number)
                for number, left in enumerate(self.gpus)
                if left >= gpus and number not in kept
            ]
            if not fits:
                return None
            held = {min(fits)[1]: gpus}
        self._add(-cpus, {number: -part for number, part in held.items()})
        return Held(cpus, held)

    def give_back(self, held: Held) -> None:
        self._add(held.cpus, held.gpus)

    def _add(self, cpus: int, gpus: dict[int, int]) -> None:
        self.cpus += cpus
        for number, part in gpus.items():
            self.gpus[number] += part


class Slots:
    """Trials by name, each on the first node with room for it, or pending.

    While trials wait for whole GPUs, as many GPUs are kept for them: those of which the most is
    free get no more trials that want a fraction. Else fractions that end one by one would be
    filled again one by one, and no GPU would ever be free.
    """

    def __init__(self) -> None:
        self.nodes: list[Shape] = []
        self.placed: dict[str, tuple[Shape, int, Held]] = {}  # its node, and what it holds there
        self.pending: dict[str, Shape] = {}
        self._free: list[Room] = []
        self._no_room_for: set[Shape] = set()  # until something is given back
        self._capacity: dict[Shape, int] = {}

    def resize(self, nodes: Sequence[Shape]) -> None:
        """The cluster's nodes as they are now. What no longer has room becomes pending."""
        if nodes != self.nodes:
            trials = {name: shape for name, (shape, *_) in self.placed.items()} | self.pending
            self.nodes = list(nodes)
            # Nodes without GPUs first: trials that need none should leave the others free.
            ordered = sorted(nodes, key=lambda node: (node[1], node[0]))
            self._free = [Room.on(node) for node in ordered]
            self.placed.clear()
            self.pending.clear()
            self._no_room_for.clear()
            self._capacity.clear()
            for name, shape in trials.items():
                if not self.place(name, shape):
                    self.pending[name] = shape

    def place(self, name: str, shape: Shape) -> bool:
        """Give a trial room now; False where there is none."""
        if shape not in self._no_room_for:
            kept = self._kept() if 0 < shape[1] < 1 else {}
            for node, free in enumerate(self._free):
                if (held := free.take(shape, kept.get(node, ()))) is not None:
                    self.placed[name] = (shape, node, held)
                    return True
            self._no_room_for.add(shape)
        return False

    def capacity(self, shape: Shape) -> int:
        """How many trials of a shape the nodes have room for while nothing else runs."""
        if shape not in self._capacity:
            self._capacity[shape] = sum(room_in(node, shape) for node in self.nodes)
        return self._capacity[shape]

    def wait(self, name: str, shape: Shape) -> None:
        """Count a trial as pending: it gets room when some is given back."""
        self.pending[name] = shape

    def give_back(self, name: str) -> None:
        """A trial has ended: its room goes to those pending, the longest waiting first."""
        self._no_room_for.clear()  # GPUs were kept for one that was pending, too.
        if self.pending.pop(name, None) is None:
            _, node, held = self.placed.pop(name)
            self._free[node].give_back(held)
            for waiting, shape in list(self.pending.items()):
                if self.place(waiting, shape):
                    del self.pending[waiting]
                    self._no_room_for.clear()

    def _kept(self) -> dict[int, set[int]]:
        """GPUs kept for those that wait for whole ones, by node."""
        count = sum(int(gpus) for _, gpus in self.pending.values() if gpus >= 1)
        if not count:
            return {}
        free = [
            (left, -node, -gpu)
            for node, room in enumerate(self._free)
            for gpu, left in enumerate(room.gpus)
        ]
        kept: dict[int, set[int]] = {}
        for _, node, gpu in nlargest(count, free):
            kept.setdefault(-node, set()).add(-gpu)
        return kept


def _parts(number: float) -> int:
    return round(number * WHOLE)

"""Room on a cluster: which of the trials handed out can run now, by its nodes' resources.

Ray places trials; this only tells the searcher how many to hand out. Nodes come and go.
"""

from collections.abc import Sequence

from search_spaces.cell import Cell
from search_spaces.space import PhaseResources

PHASES = ("fit", "attack")

Shape = tuple[float, float]  # CPUs and GPUs: of a node, or needed by a trial

_ROUNDING = 1e-6  # a tenth of a GPU, ten times, is not quite one


def shape(cell: Cell, phase: str) -> Shape:
    """CPUs and GPUs that a cell needs in a phase."""
    needed: PhaseResources = getattr(cell.resources, phase)
    return needed.cpus, needed.gpus


class Slots:
    """Trials by name, each on the first node with room for it, or pending."""

    def __init__(self) -> None:
        self.nodes: list[Shape] = []
        self.placed: dict[str, tuple[Shape, int]] = {}
        self.pending: dict[str, Shape] = {}
        self._free: list[Shape] = []
        self._no_room_for: set[Shape] = set()  # until something is given back
        self._capacity: dict[Shape, int] = {}

    def resize(self, nodes: Sequence[Shape]) -> None:
        """The cluster's nodes as they are now. What no longer has room becomes pending."""
        if nodes != self.nodes:
            trials = {name: shape for name, (shape, _) in self.placed.items()} | self.pending
            self.nodes = list(nodes)
            # Nodes without GPUs first: trials that need none should leave the others free.
            self._free = sorted(nodes, key=lambda node: (node[1], node[0]))
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
            cpus, gpus = shape
            for node, (free_cpus, free_gpus) in enumerate(self._free):
                if cpus <= free_cpus + _ROUNDING and gpus <= free_gpus + _ROUNDING:
                    self._free[node] = (free_cpus - cpus, free_gpus - gpus)
                    self.placed[name] = (shape, node)
                    return True
            self._no_room_for.add(shape)
        return False

    def capacity(self, shape: Shape) -> int:
        """How many trials of a shape the nodes have room for while nothing else runs."""
        if shape not in self._capacity:
            self._capacity[shape] = sum(
                min(int(have / need + _ROUNDING) for have, need in pairs if need)
                for pairs in (list(zip(node, shape, strict=True)) for node in self.nodes)
            )
        return self._capacity[shape]

    def wait(self, name: str, shape: Shape) -> None:
        """Count a trial as pending: it gets room when some is given back."""
        self.pending[name] = shape

    def give_back(self, name: str) -> None:
        """A trial has ended: its room goes to those pending, the longest waiting first."""
        if self.pending.pop(name, None) is None:
            (cpus, gpus), node = self.placed.pop(name)
            free_cpus, free_gpus = self._free[node]
            self._free[node] = (free_cpus + cpus, free_gpus + gpus)
            self._no_room_for.clear()
            for waiting, shape in list(self.pending.items()):
                if self.place(waiting, shape):
                    del self.pending[waiting]

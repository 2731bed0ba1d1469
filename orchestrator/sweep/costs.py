"""What is left of a plan in hours, and in money for some types of node: a dry run shows it."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from orchestrator.follow.eta import seconds_in_words
from orchestrator.plan.cost_model import UNCERTAINTY, gpu_kind
from orchestrator.plan.costs import Costs, Phase
from orchestrator.plan.plan import Plan
from orchestrator.plan.training_cost import STANDARD
from orchestrator.run.slots import room_in, shape
from orchestrator.sweep.node_types import NODE_TYPES, PRICES_OF, SHOWN, NodeType
from search_spaces.cell import Cell

HOUR = 3600.0
FITS = "fits"


@dataclass
class OnNodes:
    """On nodes of one type. gpu_hours: of fits and of each attack. hours: of nodes that are full.

    hours, dollars: None where a phase does not fit on such a node.
    """

    name: str
    gpu: str
    gpus: int
    gpu_hours: dict[str, float]
    hours: float | None
    dollars: float | None


@dataclass
class OfTraining:
    """Fits by a training: how many, their seconds, and how many times what they would take by
    standard training: `measured` where all of both are, else by the model of cost."""

    fits: int
    seconds: float
    times_standard: float
    measured: bool


@dataclass
class CostsLeft:
    """seconds: of fits and of each attack, one trial at a time, on the device that is expected.

    basis: how many fits and attacks are measured, rehearsed or modelled. uncertainty: a factor, of
    what is not measured. trainings: of fits by each, where a space has several. assumed: a line for
    each size or GPU that is not known. nodes: empty where no trial holds a GPU.
    """

    seconds: dict[str, float]
    basis: dict[str, dict[str, int]]
    uncertainty: int = UNCERTAINTY
    trainings: dict[str, OfTraining] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)
    nodes: list[OnNodes] = field(default_factory=list)
    prices: str = PRICES_OF


def costs_of(plan: Plan, prices: Mapping[str, float] | None = None) -> CostsLeft:
    """prices: dollars an hour, by node type; those named are shown too."""
    prices = prices or {}
    work = list(_work(plan))
    seconds: dict[str, float] = defaultdict(float)
    basis: dict[str, Counter[str]] = {"fit": Counter(), "attack": Counter()}
    for name, cell, phase in work:
        cost = plan.costs.of(cell, phase)
        seconds[name] += cost.seconds
        basis[phase][cost.basis] += 1
    on_gpus = any(shape(cell, phase)[1] for _, cell, phase in work)
    types = [NODE_TYPES[name] for name in dict.fromkeys((*SHOWN, *prices))]
    priced = [replace(each, dollars=prices.get(each.name, each.dollars)) for each in types]
    return CostsLeft(
        dict(seconds),
        {phase: dict(counts) for phase, counts in basis.items()},
        nodes=[_on(each, plan, work) for each in priced] if on_gpus else [],
        trainings=_by_training(plan),
        assumed=plan.costs.assumed,
    )


def in_words(costs: CostsLeft) -> Iterator[str]:
    """The lines that a dry run ends with."""
    total = seconds_in_words(sum(costs.seconds.values()))
    yield f"estimated cost of what is left: {total} of one trial at a time"
    if not costs.seconds:
        return
    if costs.nodes:
        yield from ("", *_table(costs), "")
    else:
        yield "  " + ", ".join(f"{n} {seconds_in_words(s)}" for n, s in costs.seconds.items())
    yield from _table_of_trainings(costs.trainings)
    yield from _what_it_is_based_on(costs)
    yield from costs.assumed
    if costs.nodes:
        yield f"prices of nodes an hour: {costs.prices}, or as --price gives them"


def _table_of_trainings(trainings: Mapping[str, OfTraining]) -> Iterator[str]:
    if trainings:
        yield "  fits by training, the dearest first:"
    longest = max(map(len, trainings), default=0)
    for name, of in trainings.items():
        line = f"    {name:<{longest}}  {of.fits} fit{'s' * (of.fits != 1)}"
        line += f", {seconds_in_words(of.seconds)}"
        if name != STANDARD.kind:
            line += f", {of.times_standard:.2g} × standard"
            line += ", as measured" if of.measured else ", by the model of cost"
        yield line


def _by_training(plan: Plan) -> dict[str, OfTraining]:
    """Of the fits to be made, the dearest first; empty where a space has one training."""
    fits: dict[str, list[Cell]] = defaultdict(list)
    for cell in plan.fits_todo.values() if len(plan.space.used("training")) > 1 else ():
        fits[cell.fit.training].append(cell)
    found = {name: _of_training(plan.costs, cells) for name, cells in fits.items()}
    return dict(sorted(found.items(), key=lambda named: -named[1].seconds))


def _of_training(costs: Costs, cells: list[Cell]) -> OfTraining:
    """cells: one of each fit."""
    seconds = [costs.of(cell, "fit").seconds for cell in cells]
    ratios = [ratio for cell in cells if (ratio := costs.measured_times_plain(cell))]
    measured = len(ratios) == len(cells)
    times = ratios if measured else list(map(costs.times_plain, cells))
    standard = sum(each / ratio for each, ratio in zip(seconds, times, strict=True))
    return OfTraining(len(cells), sum(seconds), sum(seconds) / standard, measured)


def _work(plan: Plan) -> Iterator[tuple[str, Cell, Phase]]:
    """What is to be done: fits, then attacks."""
    for cell in plan.fits_todo.values():
        yield FITS, cell, "fit"
    for cell in plan.todo:
        yield cell.attack, cell, "attack"


def _on(node: NodeType, plan: Plan, work: list[tuple[str, Cell, Phase]]) -> OnNodes:
    measured_on = (gpu for gpu in plan.costs.rates.gpus if gpu_kind(gpu) == node.gpu)
    gpu = next(measured_on, node.gpu)
    gpu_hours: dict[str, float] = defaultdict(float)
    hours: float | None = 0.0
    for name, cell, phase in work:
        holds = shape(cell, phase)
        each = plan.costs.of(cell, phase, gpu).seconds / HOUR
        gpu_hours[name] += each * holds[1]
        room = room_in((node.cpus, node.gpus), holds)
        hours = hours + each / room if hours is not None and room else None
    dollars = None if hours is None else hours * node.dollars
    return OnNodes(node.name, gpu, node.gpus, dict(gpu_hours), hours, dollars)


def _table(costs: CostsLeft) -> Iterator[str]:
    nodes = costs.nodes
    rows = [["", *(node.name for node in nodes)], ["GPU-hours", *map(_gpus, nodes)]]
    for name in costs.seconds:
        rows.append([f"  {name}", *(f"{node.gpu_hours[name]:,.1f}" for node in nodes)])
    rows.append(["  all", *(f"{sum(node.gpu_hours.values()):,.1f}" for node in nodes)])
    rows.append(["hours of a node", *(_or_none(node.hours, ",.1f") for node in nodes)])
    rows.append(["dollars", *(_or_none(node.dollars, ",.0f") for node in nodes)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = (text.rjust(width) for text, width in zip(others, widths[1:], strict=True))
        yield "  " + "   ".join([first.ljust(widths[0]), *cells]).rstrip()


def _gpus(node: OnNodes) -> str:
    return f"{node.gpus} × {gpu_kind(node.gpu) or node.gpu}"


def _or_none(number: float | None, form: str) -> str:
    return "no room" if number is None else format(number, form)


def _what_it_is_based_on(costs: CostsLeft) -> Iterator[str]:
    words = {
        "measured": "measured",
        "rehearsed": "by a rehearsal",
        "modelled": "by a model of cost",
    }
    for phase, counts in costs.basis.items():
        if parts := [f"{counts[basis]} {words[basis]}" for basis in words if basis in counts]:
            yield f"  {phase}s: {', '.join(parts)}"
    expected = {basis for counts in costs.basis.values() for basis in counts} - {"measured"}
    if by := " or ".join(words[basis] for basis in words if basis in expected):
        yield f"  {by}, not measured: within a factor of {costs.uncertainty}"

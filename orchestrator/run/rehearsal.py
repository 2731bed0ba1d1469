"""Rehearse a plan on the cluster before its first fit (trainables/rehearsal.py).

On one node of each kind, holding what trials hold: steps of each model on each data set, and each
attack on each model. What breaks is said before any time is spent; what steps and examples take is
kept in the store, where plans find it.
"""

import itertools
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from orchestrator.cli import stopping
from orchestrator.plan.cost_model import templates_of
from orchestrator.plan.plan import Plan
from orchestrator.run.imported import resources_in
from orchestrator.run.slots import PHASES, Shape, room_in, shape
from search_spaces.cell import Cell
from search_spaces.errors import BadInput
from trainables.assets import Assets
from trainables.device import prepare
from trainables.records import Rehearsed, Tried
from trainables.rehearsal import figures_of, rehearse
from trainables.store import Store

LOOK_EVERY = 0.5  # seconds
ANYWHERE = "the first node with room"
ANSWER_WITHIN = 1200.0  # seconds: a GPU that hangs would keep it waiting for ever
WAITING_AFTER = 30.0  # seconds after which it is said that no node has room yet
SHOWN = 3  # names of what breaks for the same reason

Say = Callable[[str], object]


@dataclass(frozen=True)
class Visit:
    """A phase of some cells on a node; node None: wherever there is room first."""

    phase: str
    cells: list[Cell]
    node: str | None
    where: str


def is_due(plan: Plan) -> bool:
    """Whether a sweep begins with a rehearsal: it has fits to make on GPUs, and none is made."""
    return not plan.fits_done and any(cell.resources.fit.gpus for cell in plan.fits_todo.values())


def run_rehearsal(plan: Plan, store: Store, assets: Assets, say: Say) -> None:
    """Rehearse on the Ray that this process has opened, and keep the figures in the store.

    say: called with each line about what works and what it took. Raises BadInput where anything
    does not work.
    """
    began = time.perf_counter()
    visits = _visits(plan)
    say(f"a rehearsal, before anything is trained: {_what(visits)}")
    results = list(_on_ray(visits, store, assets, say))
    for visit, tried in results:
        for line in _in_words(visit, tried):
            say(line)
    tried_in_all = [each for _, tried in results for each in tried]
    figures = _figures(tried_in_all)
    if figures:
        store.write_rehearsal(plan.space.name, {"figures": figures})
    broken = sum("error" in each for each in tried_in_all)
    if broken:
        raise BadInput(
            f"the rehearsal failed: {broken} of {len(tried_in_all)} things tried do not work; "
            "nothing was trained. Mend what is said above, or give --no-rehearse"
        )
    say(f"the rehearsal went well, in {time.perf_counter() - began:.0f} s")


def chosen(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """Cells to rehearse by phase, few of them, but every part of the space occurs.

    fit: each model on each data set, with the head that reads the most text, and each other head
    and training once. attack: each attack on each model, with data sets in turn.
    """

    def texts_read(cell: Cell) -> float:
        return math.prod(templates_of(cell.fit))

    fits: dict[tuple[str, str], Cell] = {}
    ordered = sorted(cells, key=texts_read, reverse=True)
    for cell in ordered:
        fits.setdefault((cell.fit.model, cell.fit.dataset), cell)
    there = {(cell.fit.head, cell.fit.training) for cell in fits.values()}
    for cell in ordered:
        kind = cell.fit.head, cell.fit.training
        if kind not in there:
            there.add(kind)
            fits[kind] = cell
    by_attack: dict[tuple[str, ...], dict[str, Cell]] = defaultdict(dict)
    for cell in ordered:
        of = cell.fit.model, cell.attack, cell.attack_resources
        by_attack[of].setdefault(cell.fit.dataset, cell)
    turns = itertools.count()
    attacks = [list(each.values())[next(turns) % len(each)] for each in by_attack.values()]
    return {"fit": list(fits.values()), "attack": attacks}


def _visits(plan: Plan) -> list[Visit]:
    """What is tried where: on the first node of each kind that has room for the phase."""
    import ray

    kinds: dict[tuple[Any, ...], dict[str, Any]] = {}
    for node in ray.nodes():
        if node["Alive"]:
            has = node["Resources"]
            accelerator = [name for name in has if name.startswith("accelerator_type:")]
            kinds.setdefault((has.get("CPU", 0), has.get("GPU", 0), *accelerator), node)
    visits = []
    for phase, of_phase in chosen(plan.todo).items():
        # TextAttack is imported with one set of resources in a process.
        sets: dict[str, list[Cell]] = defaultdict(list)
        for cell in of_phase:
            attacks = phase == "attack" or cell.fit.attack is not None
            sets[resources_in(cell, phase) if attacks else ""].append(cell)
        for cells in sets.values():
            needed = _needed(phase, cells)
            there = [node for kind, node in kinds.items() if room_in((kind[0], kind[1]), needed)]
            places = [(node["NodeID"], node["NodeManagerAddress"]) for node in there]
            for node_id, where in places or [(None, ANYWHERE)]:
                visits.append(Visit(phase, cells, node_id, where))
    return visits


def _needed(phase: str, cells: list[Cell]) -> Shape:
    """What the largest of the trials holds."""
    return max(shape(cell, phase) for cell in cells)


def _what(visits: list[Visit]) -> str:
    counts = {p: len({c.key for v in visits if v.phase == p for c in v.cells}) for p in PHASES}
    nodes = len({visit.where for visit in visits})
    return (
        f"steps of {counts['fit']} fits and {counts['attack']} attacks on {nodes} "
        f"node{'s' * (nodes != 1)}, about a minute"
    )


def _on_ray(
    visits: list[Visit], store: Store, assets: Assets, say: Say
) -> Iterator[tuple[Visit, list[Tried]]]:
    """Each visit with what was tried there, as they end."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # A process of its own for each visit, which gives back the GPU's memory when it ends.
    task = ray.remote(max_retries=0, max_calls=1)(_rehearse)

    def begin(visit: Visit) -> Any:
        cpus, gpus = _needed(visit.phase, visit.cells)
        how: dict[str, Any] = {"num_cpus": cpus, "num_gpus": gpus}
        if visit.node is not None:
            how["scheduling_strategy"] = NodeAffinitySchedulingStrategy(visit.node, soft=False)
        cells = [cell.model_dump_json() for cell in visit.cells]
        url = store.local_folder or store.url
        return task.options(**how).remote(visit.phase, cells, gpus, url, assets.location)

    out = {begin(visit): visit for visit in visits}
    began, said = time.monotonic(), False
    while out:
        stopping.check()
        for reference in ray.wait(list(out), timeout=LOOK_EVERY)[0]:
            visit = out.pop(reference)
            try:
                yield visit, ray.get(reference)
            except ray.exceptions.RayError as error:
                living = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
                if visit.node is not None and visit.node not in living:
                    elsewhere = replace(visit, node=None, where=ANYWHERE)
                    out[begin(elsewhere)] = elsewhere
                else:
                    yield visit, [_failed(visit, str(error).strip().splitlines()[-1])]
        passed = time.monotonic() - began
        if passed > WAITING_AFTER and not said and any(v.node is None for v in out.values()):
            say("no node has room for a trial yet: waiting for one")
            said = True
        if passed > ANSWER_WITHIN:
            for reference, visit in list(out.items()):
                if visit.node is not None:
                    del out[reference]
                    ray.cancel(reference, force=True)
                    yield visit, [_failed(visit, f"no answer within {ANSWER_WITHIN / 60:.0f} min")]


def _failed(visit: Visit, why: str) -> Tried:
    return {"what": visit.phase, "seconds": 0.0, "error": why}


def _rehearse(phase: str, cells: list[str], gpus: float, store: str, assets: str) -> list[Tried]:
    prepare(gpus)
    parsed = [Cell.model_validate_json(cell) for cell in cells]
    return list(rehearse(phase, parsed, Store(store), Assets(assets)))


def _in_words(visit: Visit, tried: list[Tried]) -> Iterator[str]:
    """Lines about a visit: what works, and each reason why something does not."""
    mine = [each for each in tried if each["what"] == visit.phase]
    well = [each for each in mine if "error" not in each]
    device = next((each["device"] for each in well), "")
    of = len(visit.cells)
    what = "fits" if visit.phase == "fit" else "attacks"
    line = f"  {visit.where}{f', {device}' * bool(device)}: {len(well)} of {of} {what} work"
    if well and visit.phase == "fit":
        line += f"; a step takes {_range([1e3 * e['step_seconds'] for e in well])} ms"
        if memory := max((each.get("memory", 0) for each in well), default=0):
            there = well[0].get("memory_there", 0)
            line += f" and {memory / 2**30:.1f} of {there / 2**30:.1f} GiB of its memory"
    elif well:
        queries = [1e3 * e["victim_seconds"] / e["queries"] for e in well if e["queries"]]
        line += f"; an example takes {_range([e['example_seconds'] for e in well])} s"
        line += f", a query {_range(queries)} ms" if queries else ""
    yield line
    for operation in sorted({each.get("not_deterministic", "") for each in well} - {""}):
        yield f"  {visit.where}: {operation} has no deterministic algorithm: fits may vary"
    reasons: dict[str, list[str]] = defaultdict(list)
    for each in tried:
        if "error" in each:
            reasons[each["error"]].append(_name(each))
    for reason, names in reasons.items():
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        yield f"  {visit.where}: {', '.join(names[:SHOWN])}{more}: {reason}"


def _name(tried: Tried) -> str:
    names = (tried.get(axis) for axis in ("dataset", "model", "head", "attack"))
    return " ".join([tried["what"], "-".join(str(name) for name in names if name)]).strip()


def _range(values: list[float]) -> str:
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"


def _figures(tried: list[Tried]) -> list[Rehearsed]:
    """What plans are corrected by. An attack belongs to the steps of the same head and data set, by
    one of the trainings, and a training's own attack to its steps."""
    figures: dict[tuple[str, ...], Rehearsed] = {}
    steps: list[Rehearsed] = []
    kept = Rehearsed.__annotations__.keys() - {"attacks"}
    for each in tried:
        if each["what"] == "fit" and "error" not in each:
            steps.append(cast(Rehearsed, {name: each.get(name) for name in kept}))
            if own := each.get("own_attack"):
                steps[-1]["attacks"] = dict(own)
            figures.setdefault(_place(each), steps[-1])
    for each in tried:
        counts = each["what"] == "attack" and not ("error" in each or each.get("timeout"))
        if counts and _place(each) in figures:
            figures[_place(each)].setdefault("attacks", {})[each["attack"]] = figures_of(each)
    return steps


def _place(tried: Tried) -> tuple[str, ...]:
    return tried["dataset"], tried["model"], tried["head"], tried["device"]

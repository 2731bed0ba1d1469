"""The table so far: what finished cells found, and what the others have found until now."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import mean
from typing import Any, TypeVar

from orchestrator.plan import Plan
from search_spaces.cell import Cell
from trainables.results import attack_metrics
from trainables.store import Store

Item = TypeVar("Item")
Place = tuple[str, ...]

AT_ONCE = 16  # cells read at a time: an object store takes 10 ms and more for each file
NOT_FINAL = "*"
LEGEND = f"{NOT_FINAL} not final; in brackets the examples so far, of those asked for"


@dataclass(frozen=True)
class SoFar:
    """A cell's metrics over the `examples` attacked so far."""

    cell: Cell
    metrics: dict[str, Any]
    examples: int
    final: bool


def table_so_far(plan: Plan, store: Store) -> str:
    """Markdown: a table a data set and model, a row a head and training, a column an attack.

    Accuracies in %, means over the seeds that have any. Empty where nothing was attacked yet.
    """
    return as_table(read_so_far(plan, store), plan)


def read_so_far(plan: Plan, store: Store) -> list[SoFar]:
    """The cells of which at least one example was attacked, in the plan's order."""
    begun = store.logs_begun()
    done = {cell.key for cell in plan.with_status("done")}
    cells = plan.with_status("done", "todo", "failed")

    def read(cell: Cell) -> SoFar | None:
        if cell.key in done:
            metrics = store.read_result(cell.key)["metrics"]
            return SoFar(cell, metrics, metrics["num_examples"], final=True)
        metrics = attack_metrics(store.attacked(cell.log).values())
        examples = min(int(metrics["num_examples"] or 0), cell.examples)
        return SoFar(cell, metrics, examples, final=False) if examples else None

    with ThreadPoolExecutor(AT_ONCE) as threads:
        found = threads.map(read, (c for c in cells if c.key in done or c.log in begun))
        return [each for each in found if each is not None]


def as_table(found: list[SoFar], plan: Plan) -> str:
    """The table of what `read_so_far` found."""
    asked = _by_place(plan.with_status("done", "todo", "failed"), lambda cell: cell)
    there = _by_place(found, lambda each: each.cell)
    attacks = _once(each.cell.attack for each in found)
    lines: list[str] = []
    for home in _once(place[:2] for place in there):
        lines += [f"### accuracy under attack so far, {' · '.join(home)}\n"]
        lines += ["| head | clean | " + " | ".join(attacks) + " |"]
        lines += ["|" + " --- |" * (len(attacks) + 2)]
        for method in _once(place[2:4] for place in there if place[:2] == home):
            row = [(*home, *method, attack) for attack in attacks]
            all_of_row = [each for place in row for each in there.get(place, [])]
            head, training = method
            figures = [
                head if training == "standard" else f"{head} + {training}",
                _figure(all_of_row, "clean_accuracy", [c for p in row for c in asked.get(p, [])]),
                *(
                    _figure(there.get(place, []), "accuracy_under_attack", asked.get(place, []))
                    for place in row
                ),
            ]
            lines += ["| " + " | ".join(figures) + " |"]
        lines += [""]
    if any(NOT_FINAL in line for line in lines):
        lines += [LEGEND, ""]
    return "\n".join(lines)


def _figure(found: list[SoFar], metric: str, asked: list[Cell]) -> str:
    """A mean in %; marked, and with its number of examples, where cells asked for are missing."""
    known = [each.metrics[metric] for each in found if each.metrics[metric] is not None]
    if not known:
        return "–"
    shown = f"{100 * mean(known):.1f}"
    if len(found) == len(asked) and all(each.final for each in found):
        return shown
    examples = sum(each.examples for each in found)
    return f"{shown}{NOT_FINAL} ({examples} of {sum(cell.examples for cell in asked)})"


def _by_place(items: Iterable[Item], cell_of: Callable[[Item], Cell]) -> dict[Place, list[Item]]:
    """By data set, model, head, training and attack: what is left of a cell is its seed."""
    grouped: dict[Place, list[Item]] = {}
    for item in items:
        cell = cell_of(item)
        fit = cell.fit
        place = fit.dataset, fit.model, fit.head, fit.training, cell.attack
        grouped.setdefault(place, []).append(item)
    return grouped


def _once(items: Iterable[Item]) -> list[Item]:
    return list(dict.fromkeys(items))

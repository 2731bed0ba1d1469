"""`--explain KEY`: what went into a cell's key, where the cell was made, and why it would be run
again."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from orchestrator.plan.plan import Plan, PlannedCell
from search_spaces.cell import Cell
from search_spaces.errors import BadInput, nearest
from trainables.ran_on import line_of
from trainables.store import Store


def explain(key: str, plan: Plan, store: Store) -> str:
    """A text for the user about a planned cell, or one that the store holds.

    Raises BadInput for a key that is neither.
    """
    planned = {p.cell.key: p for p in plan.cells}
    stored = store.cells_asked()
    if key not in planned and key not in stored:
        raise BadInput(f"no cell {key!r} in the plan or the store; {nearest(key, planned)}")
    if key in planned:
        return "\n".join(_planned(planned[key], store, stored))
    return "\n".join(_stored_only(key, plan, store))


def _planned(planned: PlannedCell, store: Store, stored: set[str]) -> Iterator[str]:
    cell = planned.cell
    yield f"{cell.key}: {planned.status}{f' ({planned.reason})' if planned.reason else ''}"
    yield "its key covers:"
    now = _covered(cell.model_dump(mode="json"))
    yield from (f"  {name}: {value}" for name, value in now.items())
    yield from _made(cell, store)
    if planned.status != "todo":
        return
    others = sorted(other for other in stored if _readable(other) == _readable(cell.key))
    if cell.key in stored:
        yield "it was begun and not finished: what is stored of it is kept"
    for other in others:
        if other != cell.key:
            yield f"it differs from {other}, which the store holds:"
            then = store.sound(store.read_cell, other)
            yield from ["  it is damaged"] if then is None else _differences(_covered(then), now)


def _stored_only(key: str, plan: Plan, store: Store) -> Iterator[str]:
    asked = store.read_cell(key)
    then = _covered(asked)
    yield f"{key}: in the store, not in this plan; its key covers:"
    yield from (f"  {name}: {value}" for name, value in then.items())
    yield from _made(Cell.model_validate(asked), store)
    for planned in plan.cells:
        if _readable(planned.cell.key) == _readable(key):
            yield f"this plan has {planned.cell.key} ({planned.status}) instead:"
            yield from _differences(then, _covered(planned.cell.model_dump(mode="json")))


def _made(cell: Cell, store: Store) -> Iterator[str]:
    """Where the fit and the attacked examples were made, if the store has them and says so."""
    fit = store.sound(store.read_fit, cell.fit.key)
    if fit is not None and "ran_on" in fit:
        driver = fit["ran_on"].get("driver")
        said = fit.get("deterministic")
        more = [f"driver {driver}"] if driver else []
        if said is not None:
            more.append(f"deterministic: {said if isinstance(said, str) else str(said).lower()}")
        yield f"its fit was made on {', '.join([line_of(fit), *more])}"
    attacked = Counter(r.get("ran_on", "") for r in store.attacked(cell.log).values())
    for place in sorted(attacked.keys() - {""}):
        yield f"{attacked[place]} of its attack's examples were made on {place}"


def _differences(then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for name in sorted({*then, *now}):
        before, after = then.get(name, "absent"), now.get(name, "absent")
        if before != after:
            yield f"  {name}: {before} there, {after} here"


def _covered(cell: dict[str, Any]) -> dict[str, Any]:
    settings = {"examples": cell["examples"]}
    if cell.get("precision") is not None:
        settings["precision"] = cell["precision"]
    return dict(_flat({**cell["identity"], **settings}))


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name in sorted(value):
            yield from _flat(value[name], f"{path}.{name}" if path else name)
    else:
        yield path, value


def _readable(key: str) -> str:
    return key.rpartition("-")[0]

"""Stores written by hand, without any model, as trials would write them."""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from commands import small

from orchestrator.cli.arguments import add_plan_arguments, open_plan
from search_spaces.cell import Cell
from trainables.metrics import attack_metrics
from trainables.ran_on import short
from trainables.records import RanOn
from trainables.store import Store

EXAMPLES = 20
SMALL = small()
CURVE = [
    {"examples_seen": seen, "train_loss": 0.7 - seen / 100, "validation_accuracy": 0.5}
    for seen in (16, 32)
]
A10G: RanOn = {
    "device": "NVIDIA A10G", "cpu": "Xeon", "threads": None, "torch": "2.13.0+cu130",
    "dtype": "float32", "tf32": False, "driver": "580.65.06",
}  # fmt: skip
Status = Callable[[Cell, int], str]  # of a cell's example
Place = Callable[[Cell], RanOn]  # where a cell's fit and attack were made


def record(id: int, status: str) -> dict[str, Any]:
    """An attacked example that ended in a status."""
    texts = {"original_text": f"a fine text {id}", "perturbed_text": f"a dull text {id}"}
    scores = {"original_scores": [0.1, 0.9], "perturbed_scores": [0.6, 0.4]}
    outputs = {"label": 1, "original_output": 1, "perturbed_output": 0}
    counts = {"queries": 10 + id, "words": 4, "words_changed": 1, "seconds": 0.5}
    error = {"error": "ValueError: too long"} if status == "error" else {}
    return {"id": id, "status": status, **texts, **scores, **outputs, **counts, **error}


def write(
    cell: Cell,
    store: Store,
    status: Status,
    finished: int = EXAMPLES,
    place: Place | None = None,
) -> None:
    """Store a cell as a trial does; with fewer than EXAMPLES `finished`, as during its attack.

    place: where it is made; None: as older versions, which did not say.
    """
    fit = {"key": cell.fit.key, "seconds": 8.0, "curve": []}
    if place is not None:
        fit["ran_on"] = place(cell)
    _write_fit(cell, store, {**fit, "validation_accuracy": 0.9, "test_accuracy": 0.8})
    store.write_cell(cell.key, json.loads(cell.model_dump_json()))
    records = {id: record(id, status(cell, id)) for id in range(finished)}
    for each in records.values() if place is not None else ():
        each["ran_on"] = short(place(cell))
    if finished < EXAMPLES:
        for each in records.values():
            store.add_attacked(cell.log, each)
        return
    _finish(cell, store, records)


def write_finished(folder: Path, asked: Sequence[str] = SMALL) -> tuple[list[Cell], Store]:
    """A store in which all cells asked for are finished, each with two attacked examples: on a GPU,
    by a version that says so."""
    parser = argparse.ArgumentParser()
    add_plan_arguments(parser)
    plan, store, _ = open_plan(parser.parse_args([*asked, "--store", str(folder)]))
    cells = plan.todo
    attacked = {
        "status": "successful", "queries": 7, "words": 9, "words_changed": 1, "seconds": 0.1,
        "original_text": "naïve", "perturbed_text": "naive", "ran_on": short(A10G),
    }  # fmt: skip
    for cell in cells:
        fit = {"validation_accuracy": 0.6, "test_accuracy": 0.5, "seconds": 1.5}
        _write_fit(cell, store, {**fit, "curve": CURVE, "ran_on": A10G})
        _finish(cell, store, {id: {"id": id, **attacked} for id in (3, 5)})
    return cells, store


def _write_fit(cell: Cell, store: Store, record: dict[str, Any]) -> None:
    if not store.has_fit(cell.fit.key):
        spec = json.loads(cell.fit.model_dump_json())
        store.write_fit(cell.fit.key, b"", {**record, "spec": spec})


def _finish(cell: Cell, store: Store, records: dict[int, dict[str, Any]]) -> None:
    store.merge_log(cell.log, records)
    metrics = attack_metrics(records.values())
    result = {"key": cell.key, **cell.axes(), "fit": cell.fit.key, "metrics": metrics}
    if places := sorted({each["ran_on"] for each in records.values() if "ran_on" in each}):
        result["ran_on"] = places
    store.write_result(cell.key, {**result, "sample": sorted(records)})

"""Stored cells without any model: what a trial would have written, had its examples ended so."""

import json
from collections.abc import Callable
from typing import Any

from search_spaces.cell import Cell
from trainables.metrics import attack_metrics
from trainables.store import Store

EXAMPLES = 20
Status = Callable[[Cell, int], str]  # of a cell's example


def record(id: int, status: str) -> dict[str, Any]:
    texts = {"original_text": f"a fine text {id}", "perturbed_text": f"a dull text {id}"}
    scores = {"original_scores": [0.1, 0.9], "perturbed_scores": [0.6, 0.4]}
    outputs = {"label": 1, "original_output": 1, "perturbed_output": 0}
    counts = {"queries": 10 + id, "words": 4, "words_changed": 1, "seconds": 0.5}
    error = {"error": "ValueError: too long"} if status == "error" else {}
    return {"id": id, "status": status, **texts, **scores, **outputs, **counts, **error}


def write(cell: Cell, store: Store, status: Status, finished: int = EXAMPLES) -> None:
    """Store a cell as a trial does; with fewer than EXAMPLES `finished`, as one in mid-attack."""
    fit = {"spec": json.loads(cell.fit.model_dump_json()), "seconds": 8.0, "curve": []}
    if not store.has_fit(cell.fit.key):
        accuracies = {"validation_accuracy": 0.9, "test_accuracy": 0.8}
        store.write_fit(cell.fit.key, b"", {"key": cell.fit.key, **fit, **accuracies})
    store.write_cell(cell.key, json.loads(cell.model_dump_json()))
    records = {id: record(id, status(cell, id)) for id in range(finished)}
    if finished < EXAMPLES:
        for each in records.values():
            store.add_attacked(cell.log, each)
        return
    store.merge_log(cell.log, records)
    metrics = attack_metrics(records.values())
    result = {"key": cell.key, **cell.axes(), "fit": cell.fit.key, "metrics": metrics}
    store.write_result(cell.key, {**result, "sample": sorted(records)})

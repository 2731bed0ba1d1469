"""For the tests of tracking: a store written by hand, as a small sweep would leave it."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from orchestrator.cli.arguments import add_plan_arguments, open_plan
from search_spaces.cell import Cell
from trainables.metrics import attack_metrics
from trainables.store import Store

SMALL = [
    "--only", "dataset=sst2", "--only", "model=bert-embedded", "--only", "head=mlp_ft",
    "--only", "attack=textfooler,misspellings",
    "--set", "attack.examples=2", "--set", "fit.train_examples=32", "--set", "fit.max_epochs=1",
]  # fmt: skip
CURVE = [
    {"examples_seen": seen, "train_loss": 0.7 - seen / 100, "validation_accuracy": 0.5}
    for seen in (16, 32)
]


def write_finished(folder: Path, asked: Sequence[str] = SMALL) -> tuple[list[Cell], Store]:
    """A store in which all cells asked for are finished, each with two attacked examples."""
    parser = argparse.ArgumentParser()
    add_plan_arguments(parser)
    plan, store, _ = open_plan(parser.parse_args([*asked, "--store", str(folder)]))
    cells = plan.todo
    for cell in cells:
        if not store.has_fit(cell.fit.key):
            record = {"validation_accuracy": 0.6, "test_accuracy": 0.5, "seconds": 1.5}
            spec = json.loads(cell.fit.model_dump_json())
            store.write_fit(cell.fit.key, b"", {**record, "curve": CURVE, "spec": spec})
        for id in (3, 5):
            store.add_attacked(cell.log, {
                "id": id, "status": "successful", "queries": 7, "words": 9, "words_changed": 1,
                "seconds": 0.1, "original_text": "naïve", "perturbed_text": "naive",
            })  # fmt: skip
        store.merge_log(cell.log, store.attacked(cell.log))
        metrics = attack_metrics(store.attacked(cell.log).values())
        result = {"key": cell.key, **cell.axes(), "fit": cell.fit.key, "metrics": metrics}
        store.write_result(cell.key, {**result, "sample": [3, 5]})
    return cells, store

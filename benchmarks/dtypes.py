"""How often bf16 changes a prediction, the status of a record, an accuracy under attack.

    python -m benchmarks.dtypes --examples 20 --train-examples 2000

Fits in fp32, whose test set is then predicted in fp32 and bf16, and whose examples are attacked in
both. On a CPU bf16 is slow, but says the same.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from orchestrator.plan.plan import make_plan
from search_spaces.cell import Cell
from search_spaces.space import load
from trainables.assets import Assets
from trainables.cell import Worker, stored_head
from trainables.fit import load_test_rows
from trainables.store import Store

ASSETS = Assets("embedded")
DTYPES = ("fp32", "bf16")


def cells(only: Sequence[str], sets: Sequence[str], dtype: str, store: Store) -> list[Cell]:
    asked = [*sets, f"attack.dtype={dtype}"]
    return make_plan(load("embedded", only=only, sets=asked), ASSETS, store).todo


def predictions(cell: Cell, store: Store, dtype: str) -> Any:
    head = stored_head(cell.fit, store, ASSETS).head
    head.compute_in(dtype)
    return head.predict([row.texts for row in load_test_rows(cell.fit, ASSETS)])


def compared(pairs: Sequence[tuple[Cell, Cell]], store: Store) -> Iterator[dict[str, Any]]:
    """For each cell, in fp32 and bf16: what differs."""
    fits = dict[str, dict[str, Any]]()
    for exact, rounded in pairs:
        records = []
        for cell in (exact, rounded):
            *_, last = Worker(store, ASSETS).run(cell)
            if last["phase"] != "done":
                raise RuntimeError(last.get("error"))
            records.append(store.attacked(cell.log))
        fit = exact.fit
        if fit.key not in fits:
            one, other = (predictions(exact, store, dtype) for dtype in DTYPES)
            fits[fit.key] = {
                "predicted": len(one),
                "other_class": int((one.argmax(1) != other.argmax(1)).sum()),
                "largest_difference": round(
                    float((one.softmax(1) - other.softmax(1)).abs().max()), 4
                ),
            }
        one, other = records
        same = [all(one[i][k] == other[i][k] for k in ("status", "perturbed_text")) for i in one]
        right = [[each["status"] == "failed" for each in found.values()] for found in records]
        yield {
            "fit": f"{fit.dataset} {fit.model} {fit.head}",
            "attack": exact.attack,
            **fits[fit.key],
            "attacked": len(one),
            "other_status": sum(one[i]["status"] != other[i]["status"] for i in one),
            "other_status_or_text": same.count(False),
            "under_attack": [round(sum(each) / len(each), 3) for each in right],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=20)
    parser.add_argument("--train-examples", type=int, default=4000)
    parser.add_argument("--datasets", default="sst2,ag_news")
    parser.add_argument("--models", default="bert-embedded,gpt2-embedded")
    parser.add_argument("--heads", default="mlp_ft,mvp")
    parser.add_argument("--attacks", default="textfooler,misspellings")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    axes = ("dataset", "model", "head", "attack")
    only = [f"{axis}={getattr(options, f'{axis}s')}" for axis in axes]
    sets = [
        f"fit.train_examples={options.train_examples}",
        f"attack.examples={options.examples}",
    ]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        exact, rounded = (cells(only, sets, dtype, store) for dtype in DTYPES)
        for line in compared(list(zip(exact, rounded, strict=True)), store):
            print(json.dumps(line), flush=True)
            found.append(line)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

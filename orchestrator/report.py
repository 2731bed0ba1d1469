"""The comparison: head × attack for each data set and model, from the store alone.

python -m orchestrator.report --space embedded --store results
"""

import argparse
import sys
from collections.abc import Iterable
from itertools import groupby
from statistics import mean, stdev
from typing import Any

from orchestrator.plan import make_plan
from search_spaces.cell import Cell
from search_spaces.errors import BadInput
from search_spaces.space import load
from trainables.assets import Assets
from trainables.store import Store

COLUMNS = {
    "clean_accuracy": "clean accuracy",
    "accuracy_under_attack": "accuracy under attack",
    "attack_success_rate": "success rate",
    "avg_queries": "queries",
}


def markdown_table(cells: Iterable[Cell], store: Store) -> str:
    """A Markdown table a data set and model: a row a head, training and attack; mean over seeds.

    With several seeds each figure is mean ± standard deviation. Cells must be finished.
    """
    results = [(cell, store.read_result(cell.key)["metrics"]) for cell in cells]
    parts = []
    for (dataset, model), rows in _grouped(results, ("dataset", "model")):
        parts.append(f"### {dataset} · {model}\n")
        parts.append("| head | attack | " + " | ".join(COLUMNS.values()) + " | examples | seeds |")
        parts.append("|" + " --- |" * (len(COLUMNS) + 4))
        for (head, training, attack), seeds in _grouped(rows, ("head", "training", "attack")):
            metrics = [metrics for _, metrics in seeds]
            name = head if training == "standard" else f"{head} + {training}"
            figures = [_figure(column, [m[column] for m in metrics]) for column in COLUMNS]
            counts = [str(sum(m["num_examples"] for m in metrics)), str(len(metrics))]
            parts.append("| " + " | ".join([name, attack, *figures, *counts]) + " |")
        parts.append("")
    resources = sorted({cell.attack_resources for cell, _ in results})
    if resources:
        parts.append(f"Attack resources: {', '.join(resources)}.")
    if resources == ["embedded"]:
        parts.append("These numbers are about the tool at embedded scale, not about the paper.")
    return "\n".join(parts)


def _grouped(
    rows: list[tuple[Cell, dict[str, Any]]], axes: tuple[str, ...]
) -> list[tuple[tuple[str, ...], list[tuple[Cell, dict[str, Any]]]]]:
    def place(row: tuple[Cell, dict[str, Any]]) -> tuple[str, ...]:
        return tuple(str(row[0].axes()[axis]) for axis in axes)

    order = list(dict.fromkeys(place(row) for row in rows))
    ranked = sorted(rows, key=lambda row: order.index(place(row)))
    return [(key, list(group)) for key, group in groupby(ranked, key=place)]


def _figure(column: str, values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    scale, digits = (1, 0) if column == "avg_queries" else (100, 1)
    scaled = [value * scale for value in known]
    spread = f" ± {stdev(scaled):.{digits}f}" if len(scaled) > 1 else ""
    return f"{mean(scaled):.{digits}f}{spread}"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.report", description="Print the comparison of a sweep."
    )
    parser.add_argument("--space", default="embedded", help="name or .yaml file (embedded)")
    parser.add_argument("--store", default="results", help="folder or URL (results)")
    parser.add_argument("--assets", help="embedded, hub or a folder (default: the space's own)")
    arguments = parser.parse_args()
    try:
        space = load(arguments.space)
        store = Store(arguments.store)
        plan = make_plan(space, Assets(arguments.assets or space.assets), store)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    done = plan.with_status("done")
    print(markdown_table(done, store) if done else "no cell of this space is finished yet")
    return 0


if __name__ == "__main__":
    sys.exit(main())

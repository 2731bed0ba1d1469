"""The comparison: head × attack, over all data sets and models and for each, from the store alone.

python -m orchestrator.report --space embedded --store results
"""

import sys
from collections.abc import Iterable
from itertools import groupby
from statistics import mean, stdev
from typing import Any

from orchestrator.arguments import Parser, add_plan_arguments, open_plan
from search_spaces.cell import Cell
from search_spaces.errors import BadInput
from trainables.store import Store

CLEAN = "clean"
COLUMNS = {
    "clean_accuracy": "clean accuracy",
    "accuracy_under_attack": "accuracy under attack",
    "attack_success_rate": "success rate",
    "avg_queries": "queries",
}


def comparison(cells: Iterable[Cell], store: Store) -> str:
    """The summary and then every table, as Markdown. Cells must be finished."""
    cells = list(cells)
    return "\n".join(filter(None, [summary_table(cells, store), markdown_table(cells, store)]))


def summary_table(cells: Iterable[Cell], store: Store) -> str:
    """Heads × attacks as Markdown: clean accuracy, and accuracy under attack.

    Each is the mean over the data sets and models that all heads have, so that no head's mean is
    over easier ones. Empty where there are fewer than two of these. Cells must be finished.
    """
    means: dict[tuple[str, str], dict[tuple[str, str], dict[str, list[float]]]] = {}
    attacks: dict[str, None] = {}
    for cell in cells:
        metrics = store.read_result(cell.key)["metrics"]
        row = means.setdefault((cell.fit.head, cell.fit.training), {})
        figures = row.setdefault((cell.fit.dataset, cell.fit.model), {})
        figures.setdefault(CLEAN, []).append(metrics["clean_accuracy"])
        figures.setdefault(cell.attack, []).append(metrics["accuracy_under_attack"])
        attacks[cell.attack] = None
    columns = [CLEAN, *attacks]
    places = [
        {place for place, figures in row.items() if set(figures) == set(columns)}
        for row in means.values()
    ]
    common = set.intersection(*places) if places else set()
    if len(common) < 2:
        return ""
    lines = [
        f"### accuracy under attack, mean of the {len(common)} data sets × models all heads have\n",
        "| head | " + " | ".join(columns) + " |",
        "|" + " --- |" * (len(columns) + 1),
    ]
    for (head, training), row in means.items():
        averages = [mean(mean(row[place][column]) for place in common) for column in columns]
        shown = " | ".join(f"{100 * average:.1f}" for average in averages)
        lines.append(f"| {_name(head, training)} | {shown} |")
    return "\n".join([*lines, ""])


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
            name = _name(head, training)
            figures = [_figure(column, [m[column] for m in metrics]) for column in COLUMNS]
            counts = [_examples(metrics), str(len(metrics))]
            parts.append("| " + " | ".join([name, attack, *figures, *counts]) + " |")
        parts.append("")
    parts += _elsewhere(results, store)
    resources = sorted({cell.attack_resources for cell, _ in results})
    if resources:
        parts.append(f"Attack resources: {', '.join(resources)}.")
    if resources == ["embedded"]:
        parts.append("These numbers are about the tool at embedded scale, not about the paper.")
    return "\n".join(parts)


def _elsewhere(results: list[tuple[Cell, dict[str, Any]]], store: Store) -> list[str]:
    """Clean accuracy of each fit on other data sets than its own, where a space asks for it."""
    fits = {cell.fit.key: cell.fit for cell, _ in results if cell.fit.evaluate_also}
    lines = [
        f"| {fit.dataset} | {fit.model} | {fit.head} | {fit.training} | {fit.seed} "
        f"| {record['dataset']} | {100 * record['accuracy']:.1f} | {record['examples']} |"
        for fit in fits.values()
        for record in store.evaluations(fit.key).values()
    ]
    if not lines:
        return []
    header = "| trained on | model | head | training | seed | evaluated on | accuracy | examples |"
    return ["### other data sets, clean\n", header, "|" + " --- |" * 8, *lines, ""]


def _grouped(
    rows: list[tuple[Cell, dict[str, Any]]], axes: tuple[str, ...]
) -> list[tuple[tuple[str, ...], list[tuple[Cell, dict[str, Any]]]]]:
    def place(row: tuple[Cell, dict[str, Any]]) -> tuple[str, ...]:
        return tuple(str(row[0].axes()[axis]) for axis in axes)

    order = list(dict.fromkeys(place(row) for row in rows))
    ranked = sorted(rows, key=lambda row: order.index(place(row)))
    return [(key, list(group)) for key, group in groupby(ranked, key=place)]


def _name(head: str, training: str) -> str:
    return head if training == "standard" else f"{head} + {training}"


def _examples(metrics: list[dict[str, Any]]) -> str:
    """How many examples the figures are over, and how many ended in errors and are left out."""
    errors = sum(m["num_errors"] for m in metrics)
    counted = str(sum(m["num_examples"] for m in metrics))
    return f"{counted} ({errors} more: errors)" if errors else counted


def _figure(column: str, values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    scale, digits = (1, 0) if column == "avg_queries" else (100, 1)
    scaled = [value * scale for value in known]
    spread = f" ± {stdev(scaled):.{digits}f}" if len(scaled) > 1 else ""
    return f"{mean(scaled):.{digits}f}{spread}"


def main() -> int:
    parser = Parser(
        prog="python -m orchestrator.report", description="Print the comparison of a sweep."
    )
    add_plan_arguments(parser)
    try:
        plan, store, _ = open_plan(parser.parse_args(), provisional=True)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    done = plan.with_status("done")
    print(comparison(done, store) if done else "no cell of this space is finished yet")
    return 0


if __name__ == "__main__":
    sys.exit(main())

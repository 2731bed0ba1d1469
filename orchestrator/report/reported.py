"""The paper's figures next to ours: those in reported.yaml, and what was measured for each."""

from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from orchestrator.report.results import CellResult, Results
from orchestrator.report.tables import Entry, Figure, Table
from search_spaces.cell import Axis

STATED: tuple[Axis, ...] = ("dataset", "model", "head", "attack")
METRICS = {"clean_accuracy": "clean accuracy", "accuracy_under_attack": "accuracy under attack"}


@cache
def paper() -> dict[str, Any]:
    """What the paper reports: source, gains and figures, in percent."""
    content: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("reported.yaml").read_text())
    return content


def reported_and_measured(results: Results) -> Table:
    """A row per reported figure; measured is a mean over seeds, and attacks if none is stated."""
    rows: list[list[Entry]] = []
    for figure in paper()["figures"]:
        measured = [result for result in results.cells if _is_of(result, figure)]
        attacks = sorted({result.cell.attack for result in measured})
        for metric, name in METRICS.items():
            values = [v for r in measured if (v := r.metrics[metric]) is not None]
            rows.append(
                [
                    figure["where"],
                    figure["dataset"],
                    figure["model"],
                    figure["head"],
                    ", ".join(attacks) or "not run",
                    name,
                    Figure(figure[metric] / 100),
                    Figure(mean(values) if values else None, final=all(r.final for r in measured)),
                    str(sum(len(result.outcomes.ids) for result in measured)),
                ]
            )
    header = ["where", "data set", "model", "head", "measured with", "metric", "reported",
              "measured", "examples"]  # fmt: skip
    notes = [f"Reported: {paper()['source']}; the attack behind its Fig. 1 is not stated there."]
    return Table("paper", "Reported and measured", header, rows, texts=6, notes=notes)


def _is_of(result: CellResult, figure: dict[str, Any]) -> bool:
    axes = result.cell.axes()
    return axes["training"] == "standard" and all(
        figure[name] is None or figure[name] == axes[name] for name in STATED
    )

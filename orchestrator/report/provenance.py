"""Where the numbers come from: every cell by its keys, settings, versions, and what was not run."""

from collections import Counter
from typing import Any

from orchestrator.plan.scores import distinct_scores
from orchestrator.report.devices import UNKNOWN, devices, fitted_on
from orchestrator.report.results import CellResult, Results
from orchestrator.report.rounds import rows_added
from orchestrator.report.tables import Entry, Figure, Table, count
from search_spaces.cell import Fit
from trainables.metrics import METRICS


def cells(results: Results) -> Table:
    """A row per cell with all its metrics, and the keys that name its folders in the store."""
    metrics = [name for name in METRICS if any(name in r.metrics for r in results.cells)]
    interval = any(result.interval is not None for result in results.cells)
    known = devices(results) is not None
    seen = any(results.seen(method) for method in results.methods)
    added = any("added_rows" in result.fit for result in results.cells)
    header = ["dataset", "model", "head", "training", "attack", "seed", "cell_key", "fit_key",
              "attack_resources", "final", *metrics,
              "validation_accuracy", "test_accuracy",
              *(["interval_low", "interval_high"] if interval else []),
              *(["fitted_on", "attacked_on"] if known else []),
              *(["seen"] if seen else []),
              *(["rows_added", "rounds_in_weights"] if added else [])]  # fmt: skip
    rows: list[list[Entry]] = []
    for result in results.cells:
        cell = result.cell
        row: list[Entry] = [str(value) for value in cell.axes().values()]
        row += [cell.key, cell.fit.key, cell.attack_resources, "yes" if result.final else "no"]
        row += [_number(result.metrics.get(name)) for name in metrics]
        row += [_number(result.fit[name]) for name in ("validation_accuracy", "test_accuracy")]
        ends = result.interval or (None, None)
        row += [_number(end) for end in ends] if interval else []
        attacked = "; ".join(sorted(where or UNKNOWN for where in result.outcomes.ran_on))
        row += [fitted_on(result), attacked] if known else []
        is_seen = "yes" if cell.attack in results.seen(result.method) else "no"
        row += [is_seen] if seen else []
        in_weights = result.fit.get("rounds_in_weights")
        row += [rows_added([result]), count(in_weights)] if added else []
        rows.append(row)
    return Table("cells", "All cells", header, rows, texts=10)


def _number(value: float | None) -> Figure:
    """In the unit of its metric, which METRICS says."""
    return Figure(value, percent=False)


def not_run(results: Results) -> Table | None:
    """How many cells have no results, by status, head and reason."""
    if not results.absent:
        return None
    counted = Counter(
        (absent.status.replace("_", " "), str(absent.axes["head"]), _why(absent.reason))
        for absent in results.absent
    )
    rows: list[list[Entry]] = [[*why, count(cells)] for why, cells in sorted(counted.items())]
    header = ["status", "head", "reason", "cells"]
    return Table("not-run", "Cells without results", header, rows, texts=3)


def _why(reason: str) -> str:
    # A failed cell's reason is the file of its traceback, which differs for each.
    return "" if reason.startswith("see ") else reason


def settings(results: Results) -> Table:
    """Settings and versions the cells were run with; several values if cells differ."""
    values_of: dict[str, dict[str, None]] = {}
    for result in results.cells:
        for name, value in settings_of(result).items():
            values_of.setdefault(name, {})[str(value)] = None
    rows: list[list[Entry]] = [
        [name, shown if len(shown := ", ".join(values)) <= 200 else f"{len(values)} values"]
        for name, values in values_of.items()
    ]
    notes = [
        f"The cells were run with several versions of {name.removeprefix('version.')}: they "
        "are not of one sweep."
        for name, values in values_of.items()
        if name.startswith("version.") and len(values) > 1
    ]
    return Table("settings", "Settings and versions", ["what", "value"], rows, texts=2, notes=notes)


def settings_of(result: CellResult) -> dict[str, Any]:
    """What a cell's figures depend on, except its place in the grid, by dotted names."""
    cell, fit = result.cell, result.cell.fit
    return {
        **{f"fit.{name}": value for name, value in fit.settings.identity().items()},
        **{
            f"training.{fit.training}.{name}": value
            for name, value in fit.training_entry.settings.items()
        },
        **_made_rows_with(fit),
        "attack.examples": cell.examples,
        "attack.sample": cell.sample,
        "attack.precision": cell.precision,
        "attack.seconds_per_example": cell.seconds_per_example,
        **({"attack.dtype": cell.attack_dtype} if cell.attack_dtype != "fp32" else {}),
        "attack.scores": distinct_scores(cell.scores, len(fit.data.labels)),
        **({"attack.query_budget": cell.query_budget} if cell.query_budget is not None else {}),
        "attack.resources": cell.attack_resources,
        **{f"attack.{cell.attack}.{name}": v for name, v in cell.attack_settings.items()},
        **{
            f"resource.{name}": value
            for name, value in cell.identity["attack"]["resources"].items()
        },
        f"lowercase.{fit.dataset}": fit.data.lowercase,
        f"digest.{fit.dataset}": fit.dataset_digest[:16],
        f"digest.{fit.model}": fit.model_digest[:16],
        **{
            f"version.{name}": value
            for identity in (fit.identity, cell.identity)
            for name, value in identity["versions"].items()
        },
        "version.format of keys": fit.identity.get("format"),
    }


def _made_rows_with(fit: Fit) -> dict[str, Any]:
    """The attack within a fit; its settings are those of the training's attack, not of cells'."""
    if fit.attack is None:
        return {}
    name, attack = f"training.{fit.training}.{fit.attack.name}", fit.attack
    budget = {} if attack.query_budget is None else {"query_budget": attack.query_budget}
    inner = {**attack.settings, **budget, "resources": attack.resources}
    return {f"{name}.{setting}": value for setting, value in inner.items()}

"""A plan in words, as `--dry-run` prints it."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.plan.cells import NOT_HERE
from orchestrator.plan.plan import Plan
from orchestrator.sweep.costs import costs_of, in_words


def describe(plan: Plan, prices: Mapping[str, float] | None = None) -> str:
    """prices: as `costs_of` takes them."""
    totals = plan.to_json()["totals"]
    lines = [f"space {plan.space.name}: {plan.space.about}", ""]
    for planned in plan.cells:
        reason = f"  ({planned.reason})" if planned.reason else ""
        lines.append(f"  {planned.status:<14} {planned.cell.key}{reason}")
    if any(NOT_HERE in (c.cell.fit.dataset_digest, c.cell.fit.model_digest) for c in plan.cells):
        lines += ["", "some data sets or models are not on this machine yet: keys will change"]
    lines += [
        *_overrides(plan),
        "",
        f"{totals['cells']} cells: {totals['done']} done, {totals['todo']} to do, "
        f"{totals['failed']} failed (run again), {totals['not_applicable']} not applicable",
        f"{totals['fits']} fits: {totals['fits_done']} stored, {totals['fits_shared']} shared by "
        "several cells",
        *in_words(costs_of(plan, prices)),
    ]
    return "\n".join(lines)


def _overrides(plan: Plan) -> Iterator[str]:
    """What the space's overrides set, and for how many cells."""
    cells = plan.applicable
    if plan.space.overrides:
        yield from ("", "overrides (of two for the same setting, the later one applies):")
    for override in plan.space.overrides:
        count = sum(override.when.has(cell.axes()) for cell in cells)
        where = ", ".join(f"{k} {'/'.join(v)}" for k, v in override.when.given().items())
        what = ", ".join(_settings(override.changes()))
        yield f"  {where}: {what}  ({count} cells)"


def _settings(part: dict[str, Any], above: str = "") -> Iterator[str]:
    for name, value in part.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{above}{name}.")
        else:
            yield f"{above}{name}={value}"

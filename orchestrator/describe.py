"""A plan in words, as `--dry-run` prints it."""

from orchestrator.plan import NOT_HERE, Plan


def describe(plan: Plan) -> str:
    totals = plan.to_json()["totals"]
    lines = [f"space {plan.space.name}: {plan.space.about}", ""]
    for planned in plan.cells:
        reason = f"  ({planned.reason})" if planned.reason else ""
        lines.append(f"  {planned.status:<14} {planned.cell.key}{reason}")
    seconds = totals["estimated_seconds"]
    cost = "no rates measured yet" if seconds is None else f"{seconds:.0f} s of one trial at a time"
    if any(NOT_HERE in (c.cell.fit.dataset_digest, c.cell.fit.model_digest) for c in plan.cells):
        lines += ["", "some data sets or models are not on this machine yet: keys will change"]
    lines += [
        "",
        f"{totals['cells']} cells: {totals['done']} done, {totals['todo']} to do, "
        f"{totals['failed']} failed (run again), {totals['not_applicable']} not applicable",
        f"{totals['fits']} fits: {totals['fits_done']} stored, {totals['fits_shared']} shared by "
        "several cells",
        f"estimated cost of what is left: {cost}",
    ]
    return "\n".join(lines)

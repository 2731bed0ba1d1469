"""What a sweep's own run shows in MLflow, while its cells run and at the end."""

from typing import TYPE_CHECKING

from orchestrator.follow.time_spent import Times
from orchestrator.plan.plan import Plan
from orchestrator.report.comparison import headline
from orchestrator.report.results import Results
from orchestrator.report.worst_case import worst_case_metrics
from orchestrator.tracking.runs import HOW_TO_READ, RUNNING, Summary, sweep_files
from trainables.store import Store

if TYPE_CHECKING:
    from orchestrator.report.contents import Files


def beginning(plan: Plan, store: Store) -> Summary:
    """What the sweep's run in MLflow shows while its cells run."""
    return Summary(RUNNING, sweep_files(plan, store), plan.space.axes.model_dump())


def summary(
    plan: Plan, store: Store, results: Results, report: "Files", times: Times | None
) -> Summary:
    """What it shows once the plan has been run, completely or not.

    report: its files. times: where the last sweep's time went; None if that is not known.
    """
    note = "\n".join([*HOW_TO_READ, "", headline(results)])
    shown = {f"report/{name}": content for name, content in report.items()}
    shown |= sweep_files(plan, store)
    axes, metrics = plan.space.axes.model_dump(), worst_case_metrics(results)
    return Summary(note, shown, axes, times, metrics)

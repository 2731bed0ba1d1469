"""What the run of a sweep itself shows in MLflow, while its cells run and at the end."""

from typing import TYPE_CHECKING

from orchestrator.follow.time_spent import Times
from orchestrator.plan.plan import Plan
from orchestrator.report.comparison import headline
from orchestrator.tracking.runs import HOW_TO_READ, RUNNING, Summary, sweep_files
from trainables.store import Store

if TYPE_CHECKING:
    from orchestrator.report.contents import Report


def beginning(plan: Plan, store: Store) -> Summary:
    """What the sweep's run in MLflow shows while its cells run."""
    return Summary(RUNNING, sweep_files(plan, store), plan.space.axes.model_dump())


def summary(plan: Plan, store: Store, report: "Report", times: Times | None) -> Summary:
    """What it shows of a plan that has been run, as far as it went.

    times: where the last sweep's time went; None where that is not known.
    """
    results = report.results
    note = "\n".join([*HOW_TO_READ, "", headline(results)])
    files = {f"report/{name}": content for name, content in report.files.items()}
    files |= sweep_files(plan, store)
    return Summary(note, files, plan.space.axes.model_dump(), times)

"""The plots of a report, the most informative first.

Each is over the data sets and models that all heads have, or if there are none, over the one where
most was run, and says so. Figures that are not final are marked in the title.
"""

from orchestrator.report.plots.accuracy import accuracy, robust_against_clean
from orchestrator.report.plots.attacks import success_by_queries, transfer
from orchestrator.report.plots.defences import defences
from orchestrator.report.plots.forest import forest
from orchestrator.report.plots.ground import ground_of
from orchestrator.report.plots.sample_efficiency import sample_efficiency
from orchestrator.report.plots.style import Plot
from orchestrator.report.plots.time import time
from orchestrator.report.results import Results
from orchestrator.report.tables import Table


def plots(results: Results, overall: Table | None, cost: Table | None = None) -> list[Plot]:
    """All plots that these results allow. overall, cost: comparison.overall_table and
    defences.cost_table of the same results."""
    if not results.cells:
        return []
    ground = ground_of(results)
    drawn = [
        accuracy(results, ground, overall),
        forest(results),
        defences(results, cost),
        robust_against_clean(results),
        sample_efficiency(results),
        success_by_queries(results, ground),
        transfer(results),
        time(results),
    ]
    return [plot for plot in drawn if plot is not None]

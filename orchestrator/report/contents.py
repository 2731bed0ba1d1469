"""What is in a report, in which order, and its files by name."""

from orchestrator.report import claim, comparison, devices, provenance, quality
from orchestrator.report.ablations import ablations
from orchestrator.report.annotations import Annotations, people
from orchestrator.report.baseline import against
from orchestrator.report.defences import defences
from orchestrator.report.forest import forest, ranking
from orchestrator.report.page.page import page
from orchestrator.report.plots.all import plots
from orchestrator.report.reported import reported_and_measured
from orchestrator.report.results import Results
from orchestrator.report.scores import calibration, scores_tables
from orchestrator.report.slices import slices
from orchestrator.report.tables import Table, as_csv, latex, markdown
from orchestrator.report.transfer import transfer_tables
from orchestrator.report.worst_case import worst_case

Files = dict[str, bytes]


def tables(
    results: Results,
    baseline: Results | None = None,
    paper: bool = False,
    annotations: Annotations | None = None,
) -> list[Table]:
    """All tables of a report, the most informative first.

    baseline: another sweep to compare with. paper: put every published figure next to ours, not
    only those of cells that were run. annotations: what people say of the examples.
    """
    return _tables(claim.compare(results), baseline, paper, annotations)


def _tables(
    compared: claim.Compared,
    baseline: Results | None,
    paper: bool,
    annotations: Annotations | None,
) -> list[Table]:
    results = compared.results
    made = [
        comparison.overall_table(results),
        worst_case(results),
        ranking(results),
        *(against(results, baseline) if baseline else []),
        claim.claim(compared),
        forest(results),
        *defences(results),
        reported_and_measured(results, everything=paper),
        *comparison.place_tables(results),
        *scores_tables(results),
        calibration(results),
        ablations(results),
        slices(results),
        quality.quality(results),
        *(people(results, annotations) if annotations else []),
        *transfer_tables(results),
        quality.elsewhere(results),
        quality.cost(results),
        provenance.not_run(results),
        provenance.settings(results),
        devices.devices(results),
    ]
    return [table for table in made if table is not None]


def files(
    results: Results,
    baseline: Results | None = None,
    paper: bool = False,
    annotations: Annotations | None = None,
) -> Files:
    """The report's files by name: index.html, report.md, tables/*.csv and *.tex, plots/*."""
    compared = claim.compare(results)
    shown = _tables(compared, baseline, paper, annotations)
    by_name = {table.name: table for table in shown}
    drawn = plots(results, by_name.get("summary"), by_name.get("defences-cost"))
    verdict = claim.verdict(compared)
    made: dict[str, str] = {"report.md": report_markdown(results, shown, verdict)}
    for table in shown:
        made[f"tables/{table.name}.csv"] = as_csv(table)
        made[f"tables/{table.name}.tex"] = latex(table)
    made["tables/cells.csv"] = as_csv(provenance.cells(results))
    files = {name: text.encode() for name, text in made.items()}
    files["index.html"] = page(results, shown, drawn, verdict)
    for plot in drawn:
        files[f"plots/{plot.name}.svg"] = plot.svg
        files[f"plots/{plot.name}.pdf"] = plot.pdf
    return files


def report_markdown(results: Results, shown: list[Table], verdict: str) -> str:
    lines = [f"# {results.space}", "", verdict, ""]
    for warning in devices.warnings(results.cells):
        lines += [f"**{warning}**", ""]
    lines += comparison.resources(results)
    return "\n".join([*lines, "", *(markdown(table, level=2) for table in shown)])

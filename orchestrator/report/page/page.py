"""The report as one HTML file that needs nothing else: no network, no other file.

page.html is its outline, page.css its look; page.js sorts tables and runs the browser of examples.
Without scripts all tables and plots are still there.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from orchestrator.report import comparison, devices
from orchestrator.report.page.browser import STATUSES, as_json, browsed
from orchestrator.report.plots.style import Plot
from orchestrator.report.results import Results, fits
from orchestrator.report.tables import Figure, Table, as_csv, latex
from trainables.metrics import METRICS

HERE = Path(__file__).parent

HOMES, TRANSFER = "Each data set and model", "Transfer"

# Tables and plots that have a section together: its title, and how their names begin.
TOGETHER = {
    "Comparison": ("summary", "accuracy", "worst-case", "ranking", "robust-clean"),
    "The claim": ("claim", "forest", "reported"),
    "Defences": ("defences",),
    "Robustness or scale of the scores": ("scores", "calibration"),
    "Quality of the attacks": ("quality", "people", "agreement", "queries"),
    TRANSFER: ("transfer",),
    "Time and cost": ("cost", "time"),
}
AFTER_EXAMPLES = ("not-run", "settings", "devices")


@dataclass(frozen=True)
class Section:
    """choose: one table at a time is shown, chosen by its title."""

    title: str
    plots: list[Plot] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    choose: bool = False

    @property
    def id(self) -> str:
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")


def page(results: Results, tables: Sequence[Table], plots: Sequence[Plot], verdict: str) -> bytes:
    """The page: the verdict, these tables and plots in sections, and the browser of examples."""
    sections = _sections(results, tables, plots)
    last = [s for s in sections if any(t.name in AFTER_EXAMPLES for t in s.tables)]
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "inline": _inline,
        "csv": _csv,
        "latex": _latex,
        "parts": _parts,
        "with_intervals": _with_intervals,
    }
    script = (HERE / "page.js").read_text(encoding="utf-8")
    html = environment.get_template("page.html").render(
        space=results.space,
        verdict=verdict,
        mixed=devices.warnings(results.cells),
        facts=_facts(results),
        warnings=comparison.resources(results),
        final=results.final,
        sections=[section for section in sections if section not in last],
        last=last,
        metrics=METRICS,
        statuses=STATUSES,
        examples=Markup(as_json(browsed(results))),
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return html.encode("utf-8", "replace")


def _sections(results: Results, tables: Sequence[Table], plots: Sequence[Plot]) -> list[Section]:
    """In the order of the tables; what is not in TOGETHER has a section of its own."""
    homes = {"-".join(home) for home in results.homes}
    found: dict[str, Section] = {}
    parts: list[Plot | Table] = [*(p for p in plots if p.name == "accuracy"), *tables, *plots]
    for part in parts:
        if part.name in homes:
            title = HOMES
        else:
            own = part.title if isinstance(part, Table) else part.title.partition(" (")[0]
            title = next((t for t, names in TOGETHER.items() if part.name.startswith(names)), own)
        section = found.setdefault(title, Section(title, choose=title in (HOMES, TRANSFER)))
        if isinstance(part, Table):
            section.tables.append(part)
        elif part not in section.plots:
            section.plots.append(part)
    return list(found.values())


def _facts(results: Results) -> list[tuple[str, str]]:
    """What the figures are based on: numbers, and what each counts."""
    cells = results.cells
    examples = sum(len(result.outcomes.ids) for result in cells)
    errors = sum(int(result.metrics.get("num_errors") or 0) for result in cells)
    unfinished = sum(not result.final for result in cells)
    counted = [
        (len(cells), "cell"),
        (len(list(fits(cells))), "fit"),
        (examples, "attacked example"),
        (len({result.seed for result in cells}), "seed"),
        (unfinished, "unfinished cell"),
        (errors, "example in error"),
        (len(results.absent), "cell without results"),
    ]
    return [(f"{count:,}", _plural(name, count)) for count, name in counted if count]


def _plural(name: str, count: int) -> str:
    noun, *rest = re.split(r"(?= in | without )", name)
    return "".join([noun, "s" * (count != 1), *rest])


def _inline(plot: Plot) -> Markup:
    """The plot's SVG as an element of the page: named for screen readers, its ids its own."""
    svg = plot.svg.decode()
    svg = svg[svg.index("<svg") :].replace(
        "<svg", f'<svg role="img" aria-label="{escape(plot.title)}"', 1
    )
    return Markup(re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{plot.name}-", svg))


def _parts(figure: Figure) -> tuple[str, str]:
    """A figure's text, and its interval where there is one."""
    whole = figure if figure.low is None else replace(figure, show_interval=True)
    number, bracket, interval = whole.text().partition(" [")
    return number, bracket.strip() + interval


def _with_intervals(table: Table) -> bool:
    """Whether the page shows intervals that the table's other forms do not have."""
    figures = [entry for row in table.rows for entry in row if isinstance(entry, Figure)]
    return any(figure.low is not None and not figure.show_interval for figure in figures)


def _csv(table: Table) -> str:
    return _data_uri("text/csv", as_csv(table))


def _latex(table: Table) -> str:
    return _data_uri("application/x-tex", latex(table))


def _data_uri(kind: str, content: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content.encode()).decode()}"

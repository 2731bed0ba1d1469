"""The plot of what fits and attacks cost, by head."""

from dataclasses import dataclass

from matplotlib.figure import Figure as Drawing

from orchestrator.report.plots.ground import title_of
from orchestrator.report.plots.style import INK, ROW, ROWS, Plot, draw
from orchestrator.report.quality import HOURS
from orchestrator.report.results import Method, Results, fits, name_of
from orchestrator.report.tables import Entry, Figure, Table, count

BAR, LIGHT_BAR = "#4a6f8a", "#d9e3ea"


@dataclass(frozen=True)
class _Cost:
    method: Method
    fits: int
    examples: int
    fit_seconds: float
    attack_seconds: float

    @property
    def seconds(self) -> float:
        return self.fit_seconds + self.attack_seconds


def time(results: Results) -> Plot:
    costs = [_cost(results, method) for method in results.methods]
    shown = costs[:ROWS]
    longest = max(cost.seconds for cost in shown)
    unit, scale = ("hours", HOURS) if longest >= HOURS else ("minutes", 60.0)

    def onto(drawing: Drawing) -> None:
        axes = drawing.subplots()
        lines = range(len(shown))
        first = [cost.fit_seconds / scale for cost in shown]
        second = [cost.attack_seconds / scale for cost in shown]
        for left, lengths, colour, hatch, name in (
            ([0.0] * len(shown), first, BAR, "", "fits"),
            (first, second, LIGHT_BAR, "////", "attacks"),
        ):
            axes.barh(
                lines, lengths, 0.6, left=left, color=colour, hatch=hatch, label=name,
                edgecolor=INK, linewidth=0.6,
            )  # fmt: skip
        for line, cost in zip(lines, shown, strict=True):
            counts = f"{cost.fits} fit{'s' * (cost.fits != 1)}, {cost.examples:,} examples"
            text = f"{cost.seconds / scale:.1f}  ({counts})"
            axes.annotate(
                text, (cost.seconds / scale, line), (4, 0), textcoords="offset points", va="center"
            )
        axes.set_yticks(lines, [name_of(cost.method) for cost in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(0, (1.45 * longest / scale) or 1)
        axes.set_xlabel(f"{unit} of one trial")
        axes.grid(True, axis="x")
        axes.tick_params(axis="y", length=0)
        drawing.legend(loc="outside upper right", ncols=2)

    rows: list[list[Entry]] = [
        [
            name_of(cost.method), count(cost.fits), count(cost.examples),
            *(Figure(s / scale, percent=False) for s in (cost.fit_seconds, cost.attack_seconds)),
        ]
        for cost in costs
    ]  # fmt: skip
    header = ["head", "fits", "examples", f"{unit} of fits", f"{unit} of attacks"]
    title = title_of("Time and cost", results.cells, len(shown), len(costs))
    about = (
        f"The {unit} that fits and attacks took by head, summed over everything that was run; "
        "heads that have more cells take more."
    )
    data = Table("time", f"Time in {unit}", header, rows)
    return draw("time", title, about, data, ROW * 1.1 * len(shown) + 1.2, onto)


def _cost(results: Results, method: Method) -> _Cost:
    cells = [result for result in results.cells if result.method == method]
    fit_seconds = [float(result.fit["seconds"]) for result in fits(cells)]
    return _Cost(
        method,
        len(fit_seconds),
        sum(len(result.outcomes.ids) for result in cells),
        sum(fit_seconds),
        sum(float(result.metrics["attack_seconds"] or 0) for result in cells),
    )

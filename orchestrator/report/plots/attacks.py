"""The plots of what attacks do: their success by number of queries, and transfer between heads."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from orchestrator.report.plots.ground import Ground, cells_at, title_of
from orchestrator.report.plots.style import (
    INK,
    LINES,
    ROW,
    Look,
    Plot,
    draw,
    looks,
    spread,
)
from orchestrator.report.results import Method, Place, Results, name_of
from orchestrator.report.tables import Entry, Figure, Table
from orchestrator.report.transfer import matrices, transfer_tables

SQUARE = 16  # heads in a heatmap at most
POINTS = 300  # of a curve at most: a million examples would make a million steps


@dataclass(frozen=True)
class _Curve:
    """broken: queries that each successful attack took, sorted. attacked: how many there were."""

    attack: str
    method: Method
    broken: np.ndarray
    attacked: int
    most: int

    def share(self, queries: float) -> float:
        return float(np.searchsorted(self.broken, queries, side="right")) / self.attacked


def success_by_queries(results: Results, ground: Ground) -> Plot | None:
    look = looks(results.methods)
    curves = [
        curve
        for attack in results.attacks
        for method in look
        if (curve := _curve(results, method, attack, ground.places(attack))) is not None
    ]
    if not curves:
        return None
    attacks = list(dict.fromkeys(curve.attack for curve in curves))
    columns = min(len(attacks), 2)
    lines = ceil(len(attacks) / columns)

    def onto(drawing: Drawing) -> None:
        grid = drawing.subplots(lines, columns, sharey=True, squeeze=False)
        for axes in grid.flat[len(attacks) :]:
            axes.set_visible(False)
        for axes, attack in zip(grid.flat, attacks, strict=False):
            axes.set_title(attack)
            _curves_panel(axes, [curve for curve in curves if curve.attack == attack], look)
        drawing.supxlabel("queries to the model (log scale)", size=9)
        drawing.supylabel("attacked examples broken, in %", size=9)

    title = title_of("Success by number of queries", results.cells, len(look), len(results.methods))
    about = (
        "Share of attacked examples that the attack had broken after a number of queries, one "
        "curve per head, one panel per attack "
        f"({ground.text.replace('mean of', 'all examples of')})."
    )
    return draw("queries", title, about, _curves_table(curves), 2.5 * lines + 0.7, onto)


def _curve(results: Results, method: Method, attack: str, places: list[Place]) -> _Curve | None:
    outcomes = [r.outcomes for at in cells_at(results, method, places) for r in at]
    attacked = sum(int(each.right_before.sum()) for each in outcomes)
    if not attacked:
        return None
    broken = [each.queries[each.right_before & ~each.right_under_attack] for each in outcomes]
    most = max(int(each.queries[each.right_before].max(initial=1)) for each in outcomes)
    return _Curve(attack, method, np.sort(np.concatenate(broken)), attacked, most)


def _curves_panel(axes: Axes, curves: Sequence[_Curve], look: dict[Method, Look]) -> None:
    most = max(10, max(curve.most for curve in curves))
    least = min((curve.broken[0] for curve in curves if len(curve.broken)), default=1)
    ends = [100 * curve.share(most) for curve in curves]
    labels = spread(ends, 7.6, 0, 100)
    for curve, end, label in zip(curves, ends, labels, strict=True):
        own = look[curve.method]
        queries = np.unique(np.concatenate([[1], curve.broken, [most]]))
        if len(queries) > POINTS:
            queries = np.unique(np.geomspace(1, most, POINTS).round())
        heights = [100 * curve.share(each) for each in queries]
        axes.plot(queries, heights, ls=own.line, color=own.colour, lw=1.5, drawstyle="steps-post")
        axes.plot([most], [end], own.marker, color=own.colour, markersize=5, clip_on=False)
        axes.annotate(
            name_of(curve.method), xy=(1.0, end), xycoords=("axes fraction", "data"),
            xytext=(1.1, label), textcoords=("axes fraction", "data"), va="center",
            arrowprops={"arrowstyle": "-", "color": LINES, "lw": 0.8, "shrinkA": 1, "shrinkB": 5,
                        "relpos": (0, 0.5)},
            annotation_clip=False,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(max(1, 0.8 * least), most)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 60 * least else (1,)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0, 100)
    axes.grid(True)


def _curves_table(curves: Sequence[_Curve]) -> Table:
    """The curves at powers of ten and between."""
    steps = [1, 3, 10, 30, 100, 300, 1000, 3000, 10000]
    most = max(curve.most for curve in curves)
    shown = [step for step in steps if step < most]
    shown.append(min((step for step in steps if step >= most), default=most))
    rows: list[list[Entry]] = [
        [curve.attack, name_of(curve.method), *(Figure(curve.share(step)) for step in shown)]
        for curve in curves
    ]
    header = ["attack", "head", *(f"≤ {step:,}" for step in shown)]
    title = "Attacked examples broken within a number of queries, in %"
    return Table("queries", title, header, rows, texts=2)


def transfer(results: Results) -> Plot | None:
    """A heatmap over all data sets: a row per head that examples were found against, a column per
    head that they were replayed on. None without replays."""
    tables = transfer_tables(results)
    if not tables:
        return None
    matrix = matrices(results)[0]
    shown = matrix.methods[:SQUARE]
    names = [name_of(method) for method in shown]
    rates = np.full((len(shown), len(shown)), np.nan)
    for row, source in enumerate(shown):
        for column, target in enumerate(shown):
            rate = matrix.rate(source, target)
            rates[row, column] = np.nan if rate is None else 100 * rate

    def onto(drawing: Drawing) -> None:
        axes = drawing.subplots()
        edges = np.arange(len(shown) + 1) - 0.5
        axes.pcolormesh(edges, edges, rates, cmap="Greys", vmin=0, vmax=130, ec="white")
        axes.invert_yaxis()
        for row, column in np.argwhere(~np.isnan(rates)):
            axes.text(
                column, row, f"{rates[row, column]:.0f}", ha="center", va="center",
                color="white" if rates[row, column] > 60 else INK,
            )  # fmt: skip
        axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("replayed on")
        axes.set_ylabel("found against")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)

    title = title_of(f"Transfer, {matrix.title}", results.cells, len(shown), len(matrix.methods))
    about = (
        f"Of the adversarial examples found against one head (row), the share in % that fools "
        f"another (column) too; {matrix.title}. Blank: none replayed."
    )
    return draw("transfer", title, about, tables[0], ROW * len(shown) * 1.2 + 2, onto)

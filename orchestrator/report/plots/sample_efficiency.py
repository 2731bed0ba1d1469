"""The plot of accuracy against the share of training rows: how many of them a head needs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, NullLocator, PercentFormatter

from orchestrator.report.comparison import values
from orchestrator.report.plots.ground import Ground, cells_at, ground_of, title_of
from orchestrator.report.plots.style import Look, Plot, draw, key_columns, looks
from orchestrator.report.results import CellResult, Method, Results, fits, name_of
from orchestrator.report.statistics import Estimate, estimate
from orchestrator.report.tables import Entry, Figure, Table

CLEAN, ROBUST = "clean, whole test set", "under attack"


@dataclass(frozen=True)
class _Point:
    """Of one method. clean: on the whole test set, as the fits' records have it."""

    share: float
    rows: float | None
    clean: float
    robust: Estimate
    fits: int
    final: bool


Curves = dict[Method, list[_Point]]


def sample_efficiency(results: Results) -> Plot | None:
    """A curve per head, or None where no head was trained on several shares of its rows."""
    families = _families(results)
    drawn = {method for methods in families.values() for method in methods}
    here = results.only(lambda result: result.method in drawn)
    if not here.cells:
        return None
    ground = ground_of(here)
    found = {leader: _points(here, ground, methods) for leader, methods in families.items()}
    curves = {leader: points for leader, points in found.items() if len(points) > 1}
    if not curves:
        return None
    look = looks(list(curves))
    columns = key_columns(map(name_of, look))
    shares = sorted({point.share for points in curves.values() for point in points})

    def onto(drawing: Drawing) -> None:
        left, right = drawing.subplots(1, 2, sharex=True, sharey=True)
        for axes, title in ((left, CLEAN), (right, ROBUST)):
            axes.set_title(title)
            axes.set_xlabel("share of the training rows in % (log scale)")
            _panel(axes, curves, look, title == ROBUST)
            _ticks(axes, shares)
        drawing.supylabel("accuracy in %", size=9)
        handles = [_line(look[method], [], [], name_of(method)) for method in look]
        drawing.legend(handles=handles, loc="outside lower center", ncols=columns)

    rows: list[list[Entry]] = [
        [name_of(method), f"{100 * point.share:g} %", *_entries(point)]
        for method, points in curves.items()
        for point in points
    ]
    header = ["head", "share", "training rows", CLEAN, ROBUST, "fits"]
    about = (
        "Accuracy against the share of the training rows that a head was fine-tuned on "
        f"({ground.text}; all attacks, mean over seeds): on the left clean, on the whole test set, "
        "on the right under attack, with 95 % intervals as bars."
    )
    data = Table("sample-efficiency", "Accuracy in % by share of training rows", header, rows, 2)
    title = title_of("Sample efficiency", here.cells, len(look), len(curves))
    height = 2.9 + 0.2 * ceil(len(look) / columns)
    return draw("sample-efficiency", title, about, data, height, onto)


def _families(results: Results) -> dict[Method, list[Method]]:
    """Methods that differ in the share of training rows alone, by rising share; each family under
    the one that was trained on most, and none of a single share."""
    by_kind: dict[tuple[str, str], dict[float, Method]] = {}
    for result in results.cells:
        head, training = result.cell.fit.head, result.cell.fit.training_entry
        kind = json.dumps([training.kind, training.settings], sort_keys=True)
        by_kind.setdefault((head, kind), {}).setdefault(training.train_share, result.method)
    ordered = ([shares[share] for share in sorted(shares)] for shares in by_kind.values())
    return {methods[-1]: methods for methods in ordered if len(methods) > 1}


def _points(results: Results, ground: Ground, methods: Sequence[Method]) -> list[_Point]:
    """Of the methods that have every place of the ground."""
    places = [place for attack in results.attacks for place in ground.places(attack)]
    at = ((method, cells_at(results, method, places)) for method in methods)
    points = (_point(cells, results.is_final(method, places)) for method, cells in at if cells)
    return [point for point in points if point is not None]


def _point(cells: list[list[CellResult]], final: bool) -> _Point | None:
    robust = estimate([values(at) for at in cells])
    if robust is None:
        return None
    made = list(fits(result for at in cells for result in at))
    homes: dict[tuple[str, str], list[float]] = {}
    for result in made:
        homes.setdefault(result.place[:2], []).append(float(result.fit["test_accuracy"]))
    rows = [result.fit["train_examples"] for result in made if "train_examples" in result.fit]
    return _Point(
        cells[0][0].cell.fit.training_entry.train_share,
        mean(rows) if rows else None,
        mean(map(mean, homes.values())),
        robust,
        len(made),
        final,
    )


def _entries(point: _Point) -> list[Entry]:
    robust = point.robust
    return [
        Figure(point.rows, percent=False, digits=0, final=point.final),
        Figure(point.clean, final=point.final),
        Figure(robust.mean, low=robust.low, high=robust.high, final=point.final),
        str(point.fits),
    ]


def _panel(axes: Axes, curves: Curves, look: dict[Method, Look], robust: bool) -> None:
    axes.grid(True)
    for method, own in look.items():
        shares = [point.share for point in curves[method]]
        means = [point.robust.mean if robust else point.clean for point in curves[method]]
        axes.add_line(_line(own, shares, [100 * each for each in means]))
        for point in curves[method] if robust else ():
            ends = [100 * point.robust.low, 100 * point.robust.high]
            axes.plot([point.share] * 2, ends, color=own.colour, lw=0.8, alpha=0.6)


def _ticks(axes: Axes, shares: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(shares[0] / 1.2, shares[-1] * 1.2)
    axes.set_xticks(shares)
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=None, symbol=""))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0, 100)


def _line(look: Look, x: Sequence[float], y: Sequence[float], label: str | None = None) -> Line2D:
    return Line2D(
        x, y, ls=look.line, color=look.colour, lw=1.5, marker=look.marker, ms=5, label=label
    )

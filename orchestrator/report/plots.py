"""The plots of a report: accuracy under attack, robust against clean, success by queries, time.

Each is over the data sets and models that all heads have, or where there are none, over the one
where most was run, and says so. Figures that are not final are marked in the title.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import mean

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from orchestrator.report.comparison import common_places, values
from orchestrator.report.drawing import (
    DISTINCT,
    FAINT,
    INK,
    LINES,
    Look,
    Plot,
    draw,
    looks,
    spread,
)
from orchestrator.report.quality import HOURS
from orchestrator.report.results import (
    CLEAN,
    UNDER_ATTACK,
    CellResult,
    Method,
    Place,
    Results,
    fits,
    name_of,
)
from orchestrator.report.statistics import estimate
from orchestrator.report.tables import Entry, Figure, Table

ROWS = 30  # heads in a plot that has a line for each
ROW = 0.25  # inches
BAR, LIGHT_BAR = "#4a6f8a", "#d9e3ea"


def plots(results: Results, summary: Table | None) -> list[Plot]:
    """All plots that these results can fill. summary: comparison.summary of the same results."""
    if not results.cells:
        return []
    ground = _ground(results)
    found = [
        _accuracy(results, ground, summary),
        _robust_against_clean(results),
        _success_by_queries(results, ground),
        _time(results),
    ]
    return [plot for plot in found if plot is not None]


@dataclass(frozen=True)
class _Ground:
    """Data sets and models that a plot is over, and how to say which."""

    homes: list[tuple[str, str]]
    text: str

    def places(self, attack: str) -> list[Place]:
        return [(*home, attack) for home in self.homes]


def _ground(results: Results) -> _Ground:
    homes = list(
        dict.fromkeys(place[:2] for place in common_places(results, results.methods))
    )
    if len(homes) > 1:
        return _Ground(homes, f"mean of the {len(homes)} data sets × models all heads have")
    if homes:
        return _Ground(homes, " · ".join(homes[0]))
    fullest = max(results.homes, key=lambda home: sum(r.place[:2] == home for r in results.cells))
    return _Ground([fullest], f"{' · '.join(fullest)} only: no data set and model has all heads")


def _cells(results: Results, method: Method, places: Sequence[Place]) -> list[list[CellResult]]:
    """A method's cells at each place; none at all where it lacks one of them."""
    found = [results.at(method, place) for place in places]
    return found if all(found) else []


def _title(text: str, cells: Sequence[CellResult], shown: int, there: int) -> str:
    capped = f" (the first {shown} of {there} heads)" if shown < there else ""
    unfinished = "" if all(result.final for result in cells) else " (not final)"
    return text + capped + unfinished


def _accuracy(results: Results, ground: _Ground, summary: Table | None) -> Plot:
    data = summary or _with_intervals(results, ground)
    rows = data.rows[:ROWS]
    panels = data.header[2:]  # after the head and its clean accuracy
    columns = min(len(panels), 5)
    lines = ceil(len(panels) / columns)

    def onto(drawing: Drawing) -> None:
        grid = drawing.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for number, (axes, panel) in enumerate(zip(grid.flat, panels, strict=False)):
            axes.set_title(panel, weight="bold" if panel == "all attacks" else "normal")
            _accuracy_panel(axes, rows, 2 + number)
        drawing.supxlabel("accuracy in %", size=9)

    about = (
        f"Accuracy under attack by head ({ground.text}): dots, with 95 % intervals as bars; "
        "the small upright ticks are the clean accuracy."
    )
    title = _title("Accuracy under attack", results.cells, len(rows), len(data.rows))
    return draw("accuracy", title, about, data, lines * (ROW * len(rows) + 0.4) + 0.7, onto)


def _accuracy_panel(axes: Axes, rows: Sequence[Sequence[Entry]], column: int) -> None:
    for line, row in enumerate(rows):
        clean, robust = row[1], row[column]
        if isinstance(clean, Figure) and clean.value is not None:
            axes.plot(100 * clean.value, line, "|", color=FAINT, markersize=7, mew=1.4)
        if isinstance(robust, Figure) and robust.value is not None:
            if robust.low is not None and robust.high is not None:
                axes.plot([100 * robust.low, 100 * robust.high], [line] * 2, color=INK, lw=1.4)
            axes.plot(100 * robust.value, line, "o", color=INK, markersize=5)
    axes.set_yticks(range(len(rows)), [str(row[0]) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-4, 104)
    axes.set_xticks([0, 50, 100])
    axes.set_xticks([25, 75], minor=True)
    axes.grid(True, which="both")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _with_intervals(results: Results, ground: _Ground) -> Table:
    """The figures of `comparison.summary`, where there are too few homes for that one."""
    every = ["all attacks"] if len(results.attacks) > 1 else []
    everywhere = [place for attack in results.attacks for place in ground.places(attack)]
    columns = [(UNDER_ATTACK, ground.places(attack)) for attack in results.attacks]
    columns += [(UNDER_ATTACK, everywhere)] * len(every)
    rows: list[list[Entry]] = []
    for method in results.methods:
        there = [place for place in everywhere if results.at(method, place)]
        if there:
            wanted = [(CLEAN, there), *columns]
            rows.append([name_of(method), *(_figure(results, method, *each) for each in wanted)])
    header = ["head", "clean", *results.attacks, *every]
    return Table("accuracy", f"Accuracy in %, {ground.text}", header, rows)


def _figure(results: Results, method: Method, outcome: str, places: list[Place]) -> Figure:
    cells = _cells(results, method, places)
    found = estimate([values(at, outcome) for at in cells])
    if found is None:
        return Figure(None)
    final = all(result.final for at in cells for result in at)
    return Figure(found.mean, low=found.low, high=found.high, final=final)


@dataclass(frozen=True)
class _Mark:
    model: str
    method: Method
    clean: float
    robust: float


def _robust_against_clean(results: Results) -> Plot | None:
    """One mark a head and model."""
    models = list(dict.fromkeys(model for _, model in results.homes))
    marks = [mark for model in models for mark in _marks(results, model)]
    if not marks:
        return None
    models = [model for model in models if any(mark.model == model for mark in marks)]
    columns = min(len(models), 3)
    lines = ceil(len(models) / columns)
    look = looks(results.methods)
    drawn = [method for method in look if any(mark.method == method for mark in marks)]
    key_lines = ceil(len(drawn) / 4)

    def onto(drawing: Drawing) -> None:
        grid = drawing.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(models) :]:
            axes.set_visible(False)
        for axes, model in zip(grid.flat, models, strict=False):
            axes.set_title(model)
            _scatter_panel(axes, [mark for mark in marks if mark.model == model], look)
            axes.set_xlabel("clean accuracy in %")
        _bounds(grid.flat[0], marks)
        drawing.supylabel("accuracy under attack in %", size=9)
        handles = [_mark(look[method], label=name_of(method)) for method in drawn]
        drawing.legend(handles=handles, loc="outside lower center", ncols=4, handletextpad=0.2)

    rows: list[list[Entry]] = [
        [mark.model, name_of(mark.method), Figure(mark.clean), Figure(mark.robust)]
        for mark in marks
    ]
    header = ["model", "head", "clean", "under attack"]
    title = _title("Robust against clean", results.cells, len(look), len(results.methods))
    data = Table("robust-clean", "Clean accuracy and accuracy under attack in %", header, rows, 2)
    about = (
        "Accuracy under attack against clean accuracy, a mark a head, a panel a model; means over "
        "the data sets (all attacks) that every head of the model has."
    )
    return draw("robust-clean", title, about, data, lines * 2.2 + 0.9 + 0.2 * key_lines, onto)


def _marks(results: Results, model: str) -> list[_Mark]:
    here = results.only(lambda result: result.cell.fit.model == model)
    places = common_places(here, here.methods)
    return [
        _Mark(model, m, _mean(here, m, places, CLEAN), _mean(here, m, places, UNDER_ATTACK))
        for m in here.methods
        if places and all(len(r.outcomes.ids) for p in places for r in here.at(m, p))
    ]


def _mean(results: Results, method: Method, places: Sequence[Place], outcome: str) -> float:
    return mean(
        mean(float(getattr(result.outcomes, outcome).mean()) for result in results.at(method, at))
        for at in places
    )


def _scatter_panel(axes: Axes, marks: Sequence[_Mark], look: dict[Method, Look]) -> None:
    axes.grid(True)
    for mark in marks:
        if mark.method in look:
            axes.add_line(_mark(look[mark.method], 100 * mark.clean, 100 * mark.robust))


def _mark(look: Look, x: float = 0, y: float = 0, label: str | None = None) -> Line2D:
    """A hollow mark, so that one below another can be seen."""
    return Line2D(
        [x], [y], ls="", marker=look.marker, mfc="none", mec=look.colour, mew=1.6, ms=7,
        clip_on=False, label=label,
    )  # fmt: skip


def _bounds(axes: Axes, marks: Sequence[_Mark]) -> None:
    """Room around the marks, on whole tens of percent."""
    for limit, shares in (
        (axes.set_xlim, [mark.clean for mark in marks]),
        (axes.set_ylim, [mark.robust for mark in marks]),
    ):
        low, high = 10 * int(10 * min(shares) - 0.5), 10 * ceil(10 * max(shares) + 0.5)
        limit(max(low, 0), min(max(high, low + 20), 100))
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))


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


def _success_by_queries(results: Results, ground: _Ground) -> Plot | None:
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

    title = _title("Success by number of queries", results.cells, len(look), len(results.methods))
    about = (
        "Share of attacked examples that the attack had broken after so many queries, a curve a "
        f"head, a panel an attack ({ground.text.replace('mean of', 'all examples of')})."
    )
    return draw("queries", title, about, _curves_table(curves), 2.5 * lines + 0.7, onto)


def _curve(
    results: Results, method: Method, attack: str, places: list[Place]
) -> _Curve | None:
    outcomes = [r.outcomes for at in _cells(results, method, places) for r in at]
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
        queries = np.concatenate([[1], curve.broken, [most]])
        shares = np.concatenate([[0], np.arange(1, len(curve.broken) + 1), [len(curve.broken)]])
        heights = 100 * shares / curve.attacked
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
    title = "Attacked examples broken by at most so many queries, in %"
    return Table("queries", title, header, rows, texts=2)


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


def _time(results: Results) -> Plot:
    costs = [_cost(results, method) for method in results.methods]
    shown = costs[:ROWS]
    longest = max(cost.seconds for cost in shown)
    unit, scale = ("hours", HOURS) if longest >= HOURS else ("minutes", 60.0)

    def onto(drawing: Drawing) -> None:
        axes = drawing.subplots()
        lines = range(len(shown))
        first = [cost.fit_seconds / scale for cost in shown]
        second = [cost.attack_seconds / scale for cost in shown]
        edge = {"edgecolor": INK, "linewidth": 0.6, "height": 0.6}
        axes.barh(lines, first, color=BAR, label="fits", **edge)
        axes.barh(
            lines, second, left=first, color=LIGHT_BAR, hatch="////", label="attacks", **edge
        )
        for line, cost in zip(lines, shown, strict=True):
            text = f"{cost.seconds / scale:.1f}  ({cost.fits} fit{'s' * (cost.fits != 1)}, {cost.examples:,} examples)"
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
            name_of(cost.method), str(cost.fits), f"{cost.examples:,}",
            *(Figure(s / scale, percent=False) for s in (cost.fit_seconds, cost.attack_seconds)),
        ]
        for cost in costs
    ]  # fmt: skip
    header = ["head", "fits", "attacked examples", f"{unit} of fits", f"{unit} of attacks"]
    title = _title("Time and cost", results.cells, len(shown), len(costs))
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


@dataclass(frozen=True)
class Transfer:
    """Of the adversarial examples found against `source`, the share that fools `target` too."""

    source: Method
    target: Method
    rate: float | None
    examples: int


def transfer_plot(dataset: str, transfers: Sequence[Transfer], final: bool = True) -> Plot:
    """A heatmap of one data set: a row a source, a column a target."""
    there = list(dict.fromkeys(m for each in transfers for m in (each.source, each.target)))
    shown = there[: 2 * DISTINCT]
    by_pair = {(each.source, each.target): each for each in transfers}
    rates = np.full((len(shown), len(shown)), np.nan)
    for row, source in enumerate(shown):
        for column, target in enumerate(shown):
            found = by_pair.get((source, target))
            if found is not None and found.rate is not None:
                rates[row, column] = 100 * found.rate
    names = [name_of(method) for method in shown]

    def onto(drawing: Drawing) -> None:
        axes = drawing.subplots()
        axes.imshow(rates, cmap="Greys", vmin=0, vmax=130, aspect="auto")
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

    rows: list[list[Entry]] = [
        [name_of(each.source), name_of(each.target), Figure(each.rate), f"{each.examples:,}"]
        for each in transfers
    ]
    header = ["found against", "replayed on", "fooled", "examples"]
    capped = f" (the first {len(shown)} of {len(there)} heads)" if len(shown) < len(there) else ""
    title = f"Transfer on {dataset}{capped}{'' if final else ' (not final)'}"
    about = (
        "Of the adversarial examples found against one head (row), the share in % that fools "
        f"another (column) too, on {dataset}."
    )
    data = Table(f"transfer-{dataset}", f"Transfer on {dataset}, in %", header, rows, texts=2)
    return draw(f"transfer-{dataset}", title, about, data, ROW * len(shown) * 1.2 + 2, onto)

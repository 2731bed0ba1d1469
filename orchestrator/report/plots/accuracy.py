"""The plots of accuracies: under attack by head, and under attack against clean."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from orchestrator.report.comparison import change, columns_of, common_places, level, levels
from orchestrator.report.plots.equal_clean import EqualClean, base_of, where_both_are_right
from orchestrator.report.plots.ground import Ground, title_of
from orchestrator.report.plots.style import (
    FAINT,
    INK,
    ROW,
    ROWS,
    Look,
    Plot,
    draw,
    key_columns,
    looks,
)
from orchestrator.report.results import CLEAN, UNDER_ATTACK, Method, Place, Results, name_of
from orchestrator.report.statistics import estimate
from orchestrator.report.tables import Entry, Figure, Table


def accuracy(results: Results, ground: Ground, summary: Table | None) -> Plot:
    data = summary or _with_intervals(results, ground)
    rows = data.rows[:ROWS]
    panels = data.header[2:]  # after the head and its clean accuracy
    lines = ceil(len(panels) / 6)
    columns = ceil(len(panels) / lines)

    def onto(drawing: Drawing) -> None:
        grid = drawing.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for number, (axes, panel) in enumerate(zip(grid.flat, panels, strict=False)):
            axes.set_title(
                panel, weight="bold" if panel in ("worst case", "all attacks") else "normal"
            )
            _accuracy_panel(axes, rows, 2 + number)
        drawing.supxlabel("accuracy in %", size=9)

    about = (
        f"Accuracy under attack by head ({ground.text}): dots, with 95 % intervals as bars; "
        "the small upright ticks are the clean accuracy."
        + " Hollow: its training has seen the attack."
        * bool(results.seen_by_any)
    )
    title = title_of("Accuracy under attack", results.cells, len(rows), len(data.rows))
    return draw("accuracy", title, about, data, lines * (ROW * len(rows) + 0.4) + 0.7, onto)


def _accuracy_panel(axes: Axes, rows: Sequence[Sequence[Entry]], column: int) -> None:
    for line, row in enumerate(rows):
        clean, robust = row[1], row[column]
        if isinstance(clean, Figure) and clean.value is not None:
            axes.plot(100 * clean.value, line, "|", color=FAINT, markersize=7, mew=1.4)
        if isinstance(robust, Figure) and robust.value is not None:
            if robust.low is not None and robust.high is not None:
                axes.plot([100 * robust.low, 100 * robust.high], [line] * 2, color=INK, lw=1.4)
            inside = "white" if robust.seen else INK
            axes.plot(100 * robust.value, line, "o", color=INK, mfc=inside, markersize=5)
    axes.set_yticks(range(len(rows)), [str(row[0]) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-4, 104)
    axes.set_xticks([0, 50, 100])
    axes.set_xticks([25, 75], minor=True)
    axes.grid(True, which="both")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _with_intervals(results: Results, ground: Ground) -> Table:
    """The figures of `comparison.overall_table`, if there are too few homes for that one."""
    everywhere = [place for attack in results.attacks for place in ground.places(attack)]
    columns = columns_of(results, everywhere)
    rows: list[list[Entry]] = []
    for method in results.methods:
        there = [place for place in everywhere if results.at(method, place)]
        if there:
            rows.append([name_of(method)])
            for name, outcome, places in columns:
                own = there if name == "clean" else places
                final = all(result.final for place in own for result in results.at(method, place))
                seen = outcome != CLEAN and results.has_seen(method, own)
                over = estimate(levels(results, method, own, outcome))
                rows[-1].append(level(over, final, seen=seen))
    header = ["head", *(name for name, _, _ in columns)]
    return Table("accuracy", f"Accuracy in %, {ground.text}", header, rows)


@dataclass(frozen=True)
class _Mark:
    model: str
    method: Method
    clean: float
    robust: float
    base: Method  # of its model
    over_base: EqualClean
    final: bool
    base_final: bool
    seen: bool


def robust_against_clean(results: Results) -> Plot | None:
    """One mark per head and model, and what each withstands of the texts that mlp_ft has right too,
    or the first head."""
    models = list(dict.fromkeys(model for _, model in results.homes))
    marks = [mark for model in models for mark in _marks(results, model)]
    if not marks:
        return None
    models = [model for model in models if any(mark.model == model for mark in marks)]
    columns = min(len(models), 3)
    lines = ceil(len(models) / columns)
    look = looks(results.methods)
    drawn = [method for method in look if any(mark.method == method for mark in marks)]
    key = key_columns(map(name_of, drawn))
    key_lines = ceil(len(drawn) / key)

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
        drawing.legend(handles=handles, loc="outside lower center", ncols=key, handletextpad=0.2)

    rows: list[list[Entry]] = [
        [
            mark.model,
            name_of(mark.method),
            Figure(mark.clean, final=mark.final),
            Figure(mark.robust, final=mark.final, seen=mark.seen),
            *_equal(mark),
        ]
        for mark in marks
    ]
    bases = " or ".join(dict.fromkeys(name_of(mark.base) for mark in marks))
    header = ["model", "head", "clean", "under attack", f"over {bases}, both right", "pairs"]
    title = title_of("Robust against clean", results.cells, len(look), len(results.methods))
    data = Table("robust-clean", "Clean accuracy and accuracy under attack in %", header, rows, 2)
    about = (
        "Accuracy under attack against clean accuracy, one mark per head, one panel per model; "
        "means over the data sets (all attacks) that every head of the model has. Above the dotted "
        f"line a head withstands a larger share of what it has right than {bases} does. The last "
        "columns of the table compare at equal clean accuracy: under attack, in points, on the "
        f"texts that both the head and {bases} have right before it, the easier ones of each."
    )
    return draw("robust-clean", title, about, data, lines * 2.2 + 0.9 + 0.2 * key_lines, onto)


def _marks(results: Results, model: str) -> list[_Mark]:
    here = results.only(lambda result: result.cell.fit.model == model)
    places = common_places(here, here.methods)
    there = [
        method
        for method in here.methods
        if places and all(len(r.outcomes.ids) for p in places for r in here.at(method, p))
    ]
    return [
        _Mark(
            model,
            method,
            _mean(here, method, places, CLEAN),
            _mean(here, method, places, UNDER_ATTACK),
            base_of(there),
            where_both_are_right(here, method, base_of(there), places),
            here.is_final(method, places),
            here.is_final(base_of(there), places),
            here.has_seen(method, places),
        )
        for method in there
    ]


def _equal(mark: _Mark) -> list[Entry]:
    if mark.method == mark.base:
        return ["", ""]
    final = mark.final and mark.base_final
    return [change(mark.over_base.difference, final), str(mark.over_base.texts)]


def _mean(results: Results, method: Method, places: Sequence[Place], outcome: str) -> float:
    return mean(
        mean(float(getattr(result.outcomes, outcome).mean()) for result in results.at(method, at))
        for at in places
    )


def _scatter_panel(axes: Axes, marks: Sequence[_Mark], look: dict[Method, Look]) -> None:
    axes.grid(True)
    for mark in marks:
        if mark.method == mark.base and mark.clean:
            slope = mark.robust / mark.clean
            axes.axline((0, 0), slope=slope, color=FAINT, lw=0.9, ls=(0, (1, 2)))
        if mark.method in look:
            axes.add_line(_mark(look[mark.method], 100 * mark.clean, 100 * mark.robust))


def _mark(look: Look, x: float = 0, y: float = 0, label: str | None = None) -> Line2D:
    """A hollow mark, so that overlapping ones can be seen."""
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

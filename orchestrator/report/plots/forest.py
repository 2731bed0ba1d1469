"""The forest plot: the gain of mvp over mlp_ft by attack, data set and model."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from orchestrator.report.forest import Part, parts
from orchestrator.report.forest import forest as forest_table
from orchestrator.report.plots.ground import title_of
from orchestrator.report.plots.style import FAINT, INK, ROW, Plot, draw
from orchestrator.report.results import Results
from orchestrator.report.statistics import Decision

PANELS = ("on all texts", "on texts both had right")


def forest(results: Results) -> Plot | None:
    table = forest_table(results)
    if table is None:
        return None
    shown = parts(results)

    def onto(drawing: Drawing) -> None:
        grid = drawing.subplots(1, 2, sharex=True, sharey=True)
        for axes, title, on_all in zip(grid, PANELS, (True, False), strict=True):
            axes.set_title(title)
            _panel(axes, shown, on_all)
        drawing.supxlabel("mvp over mlp_ft, points of accuracy under attack", size=9)

    about = (
        "Gain in accuracy under attack of mvp over mlp_ft, with 95 % intervals: over everything "
        "that both have, then by attack, data set and model. Filled dots are significant after "
        "Holm's adjustment within a group."
    )
    title = title_of("Where the gain comes from", results.cells, 1, 1)
    lines = len(_lines(shown))
    return draw("forest", title, about, table, ROW * lines + 1.0, onto)


def _lines(shown: Sequence[Part]) -> list[float]:
    """Where each part is from above, with a gap between groups."""
    places, at = [], 0.0
    for number, part in enumerate(shown):
        at += 0.6 if number and part.by != shown[number - 1].by else 0.0
        places.append(at)
        at += 1
    return places


def _panel(axes: Axes, shown: Sequence[Part], on_all: bool) -> None:
    lines = _lines(shown)
    axes.axvline(0, color=FAINT, lw=0.8)
    for line, part in zip(lines, shown, strict=True):
        decision: Decision = part.on_all if on_all else part.both_right
        gain = decision.gain
        if gain is None:
            continue
        adjusted = part.p_value if on_all else part.p_both_right
        axes.plot([100 * gain.low, 100 * gain.high], [line] * 2, color=INK, lw=1.4)
        filled = INK if decision.is_significant(adjusted) else "white"
        marker = "o" if part.by else "D"
        axes.plot(100 * gain.mean, line, marker, mfc=filled, mec=INK, markersize=5)
    axes.set_yticks(lines, [part.name for part in shown])
    axes.set_ylim(lines[-1] + 0.6, -0.6)
    axes.grid(True, axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)

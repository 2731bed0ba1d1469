"""The plot of defences: accuracy under attack against what their training costs."""

from collections.abc import Sequence
from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from orchestrator.report.defences import MULTIPLE, UNSEEN
from orchestrator.report.plots.ground import title_of
from orchestrator.report.plots.style import INK, LINES, Look, Plot, draw, key_columns, looks, spread
from orchestrator.report.results import Method, Results
from orchestrator.report.tables import SEEN, Entry, Figure, Table

Mark = tuple[float, float, str, str]  # multiple, percent under attack, head, training


def defences(results: Results, data: Table | None) -> Plot | None:
    """A mark per head and training; None where no training's cost is known.

    data: defences.cost_table of these results.
    """
    if data is None:
        return None
    unseen = UNSEEN in data.header
    methods = {results.label_of(method): method for method in results.methods}
    found = [(methods[str(row[0])], dict(zip(data.header, row, strict=True))) for row in data.rows]
    marks = [mark for each in found if (mark := _mark(results, *each, unseen)) is not None]
    if all(multiple == 1 for multiple, *_ in marks):
        return None
    heads = list(dict.fromkeys(head for _, _, head, _ in marks))
    look = {head: own for (head, _), own in looks([(head, "") for head in heads]).items()}
    shown = [mark for mark in marks if mark[2] in look]

    def onto(drawing: Drawing) -> None:
        axes = drawing.subplots()
        _panel(axes, shown, look)
        axes.set_ylabel("accuracy under attack in %")
        axes.set_xlabel("seconds of a fit, × those of the standard training (log scale)")
        handles = [_point(look[head], [], [], head) for head in look]
        drawing.legend(handles=handles, loc="outside lower center", ncols=key_columns(look))

    attacks = "the attacks that none of the trainings has seen" if unseen else "all attacks"
    about = (
        f"Accuracy under {attacks} against the cost of training, one mark per head and training: "
        "higher is more robust, further to the right more expensive."
    )
    cells = [r for r in results.cells if r.method in {method for method, _ in found}]
    title = title_of("Robustness beside the cost of training", cells, len(look), len(heads))
    lines = ceil(len(look) / key_columns(look))
    height = max(2.6, 0.16 * len(shown) + 1.2) + 0.2 * lines
    return draw("defences-cost", title, about, data, height, onto)


def _mark(results: Results, method: Method, row: dict[str, Entry], unseen: bool) -> Mark | None:
    under, multiple = row[UNSEEN if unseen else "under attack"], row[MULTIPLE]
    assert isinstance(under, Figure) and isinstance(multiple, Figure)
    if under.value is None or multiple.value is None:
        return None
    head, training = method
    control = " (control)" * results.is_control(method)
    return multiple.value, 100 * under.value, head, training + SEEN * under.seen + control


def _panel(axes: Axes, marks: Sequence[Mark], look: dict[str, Look]) -> None:
    axes.grid(True)
    axes.set_xscale("log")
    multiples, shares = [mark[0] for mark in marks], [mark[1] for mark in marks]
    room = max((max(shares) - min(shares)) / 8, 2.0)
    low, high = max(min(shares) - room, 0.0), min(max(shares) + room, 100.0)
    axes.set_ylim(low, high)
    right = 1.4 * max(multiples)
    axes.set_xlim(min(multiples) / 1.4, right)
    # Labels in a column at the right, each joined to its mark: trainings often cost the same.
    places = spread(shares, (high - low) / max(len(marks), 16), low, high)
    for (multiple, share, head, training), place in zip(marks, places, strict=True):
        axes.plot([multiple, right], [share, place], color=LINES, lw=0.6, zorder=1)
        axes.add_line(_point(look[head], [multiple], [share]))
        axes.annotate(training, (right, place), (4, 0), textcoords="offset points", va="center",
                      color=INK, fontsize=8, annotation_clip=False)  # fmt: skip
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))


def _point(look: Look, x: Sequence[float], y: Sequence[float], label: str | None = None) -> Line2D:
    return Line2D(x, y, ls="", marker=look.marker, mfc="none", mec=look.colour, mew=1.6, ms=7,
                  clip_on=False, label=label)  # fmt: skip

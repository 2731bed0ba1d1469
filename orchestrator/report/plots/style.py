"""How plots look and are saved: for the page and for print, the same bytes for the same results.

Methods never differ by colour alone: each has its own marker and dashes too, and its name is next
to its line or mark wherever there is room.
"""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import matplotlib
import matplotlib.style
from matplotlib.figure import Figure as Drawing

from orchestrator.report.results import Method
from orchestrator.report.tables import Table

WIDTH = 7.2  # inches: the text of a page, or two columns of a paper
LETTERS = 92  # of usual width, in a line of a plot
ROW, ROWS = 0.25, 30  # a row's height in inches, and how many a plot with a row a head has at most
INK, FAINT, LINES = "#1a1a1a", "#595959", "#d4d4d4"

# Okabe and Ito's colours, without the yellow, which is faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#000000", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: tuple[tuple[float, ...], ...] = (
    (), (5, 2), (1, 1.5), (7, 2, 1, 2), (3, 1), (9, 3), (1, 3), (5, 1, 1, 1, 1, 1),
)  # fmt: skip

STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that layouts are the same everywhere
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "figure.titlesize": 10.5,
    "figure.titleweight": "bold",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": LINES,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: it can be searched and copied
    "svg.hashsalt": "robustness-sweep",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class Plot:
    """name: of its files. about: one sentence, what one sees. data: what is drawn, as a table."""

    name: str
    title: str
    about: str
    data: Table
    svg: bytes
    pdf: bytes


@dataclass(frozen=True)
class Look:
    """What one method is drawn with in every plot."""

    colour: str
    marker: str
    dashes: tuple[float, ...]

    @property
    def line(self) -> str | tuple[float, tuple[float, ...]]:
        return (0, self.dashes) if self.dashes else "-"


def looks(methods: Sequence[Method]) -> dict[Method, Look]:
    """A look for each of the first methods; for no more than can be distinguished."""
    ways = zip(COLOURS, MARKERS, DASHES, strict=True)
    return {method: Look(*way) for method, way in zip(methods, ways, strict=False)}


def key_columns(names: Iterable[str]) -> int:
    """How many columns a legend below a plot has room for, at most 4."""
    return max(1, min(4, LETTERS // (max(map(len, names), default=0) + 5)))


def draw(
    name: str,
    title: str,
    about: str,
    data: Table,
    height: float,
    onto: Callable[[Drawing], None],
) -> Plot:
    """Have a plot drawn, `height` inches high, and saved as SVG and PDF."""
    with matplotlib.style.context(["default", STYLE]):
        drawing = Drawing(figsize=(WIDTH, height), layout="constrained")
        drawing.suptitle(title, x=0.01, ha="left")
        onto(drawing)
        svg = _saved(drawing, "svg", {"Date": None, "Creator": None, "Format": None, "Type": None})
        drawing.set_layout_engine("none")  # it is laid out now, which takes the longest
        pdf = _saved(drawing, "pdf", {"CreationDate": None})
    return Plot(name, title, about, data, svg, pdf)


def _saved(drawing: Drawing, form: str, metadata: dict[str, None]) -> bytes:
    out = io.BytesIO()
    drawing.savefig(out, format=form, metadata=metadata)
    return out.getvalue()


def spread(ideal: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places for labels, at least `gap` apart and within low and high where they all fit, each
    group that would overlap around the middle of its ideal places."""
    order = sorted(range(len(ideal)), key=lambda number: ideal[number])
    groups: list[list[float]] = []
    for number in order:
        groups.append([ideal[number]])
        while len(groups) > 1 and _ends(groups[-2], gap)[1] + gap > _ends(groups[-1], gap)[0]:
            last = groups.pop()
            groups[-1] += last
    placed = [
        _ends(group, gap)[0] + gap * number for group in groups for number in range(len(group))
    ]
    floors = [max(place, low + gap * number) for number, place in enumerate(placed)]
    steps_above = range(len(placed) - 1, -1, -1)
    within = [min(place, high - gap * n) for place, n in zip(floors, steps_above, strict=True)]
    places = dict(zip(order, within, strict=True))
    return [places[number] for number in range(len(ideal))]


def _ends(group: Sequence[float], gap: float) -> tuple[float, float]:
    middle, half = sum(group) / len(group), gap * (len(group) - 1) / 2
    return middle - half, middle + half

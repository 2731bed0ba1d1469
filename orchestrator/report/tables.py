"""A table, and how it is written as Markdown, LaTeX and CSV. Knows nothing of what it is about."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

NOT_FINAL = "*"
NOT_FINAL_NOTE = f"{NOT_FINAL} not final: over what is attacked so far."
SEEN = "†"
SEEN_NOTE = (
    f"{SEEN} seen: under an attack of the kind that the training made rows with, or with such a "
    "one among the attacks."
)


@dataclass(frozen=True)
class Figure:
    """A number in a table. Shares are given as shares and shown in percent (`percent`).

    spread: standard deviation over seeds. low, high: ends of a 95 % interval. best: set in bold.
    count: of how many, if it differs from figure to figure. least: smaller ones are shown as
    smaller than this. seen: of a training that has seen the attack.
    """

    value: float | None
    spread: float | None = None
    low: float | None = None
    high: float | None = None
    best: bool = False
    final: bool = True
    percent: bool = True
    digits: int = 1
    signed: bool = False
    show_interval: bool = False
    count: int | None = None
    least: float | None = None
    seen: bool = False

    def text(self, plus_minus: str = " ± ", minus: str = "−") -> str:
        if self.value is None:
            return "–"
        shown = self._number(self.value, self.signed, minus)
        if self.least is not None and self.value < self.least:
            shown = f"<{self._number(self.least, False, minus)}"
        shown += SEEN * self.seen
        if self.spread is not None:
            shown += plus_minus + self._number(self.spread, False, minus)
        if self.show_interval and self.low is not None and self.high is not None:
            ends = [self._number(end, self.signed, minus) for end in (self.low, self.high)]
            shown += f" [{ends[0]}, {ends[1]}]"
        if self.count is not None:
            shown += f" ({self.count})"
        return shown if self.final else f"{shown}{NOT_FINAL}"

    def _number(self, value: float, signed: bool, minus: str) -> str:
        scaled = round(100 * value if self.percent else value, self.digits) + 0.0
        sign = "+" if signed else ""
        return f"{scaled:{sign},.{self.digits}f}".replace("-", minus)


Entry = str | Figure


def p_value(chance: float | None) -> Figure:
    return Figure(chance, percent=False, digits=3, least=0.001)


def count(number: int | None) -> Figure:
    return Figure(number, percent=False, digits=0)


@dataclass(frozen=True)
class Table:
    """name: of its files. texts: how many columns at the left hold text. warnings: shown above it,
    and notes below."""

    name: str
    title: str
    header: list[str]
    rows: list[list[Entry]]
    texts: int = 1
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def all_notes(self) -> list[str]:
        figures = [entry for row in self.rows for entry in row if isinstance(entry, Figure)]
        seen = any(figure.seen for figure in figures)
        unfinished = any(not figure.final for figure in figures)
        return [
            *self.notes,
            *([SEEN_NOTE] if seen else []),
            *([NOT_FINAL_NOTE] if unfinished else []),
        ]


def markdown(table: Table, level: int = 3) -> str:
    align = ["---"] * table.texts + ["--:"] * (len(table.header) - table.texts)
    lines = [f"{'#' * level} {table.title}", ""]
    for warning in table.warnings:
        lines += [f"**{warning}**", ""]
    lines += [_markdown_row(table.header), _markdown_row(align)]
    for row in table.rows:
        lines.append(_markdown_row([_markdown_entry(entry) for entry in row]))
    for note in table.all_notes():
        lines += ["", note]
    return "\n".join([*lines, ""])


def _markdown_row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _markdown_entry(entry: Entry) -> str:
    if isinstance(entry, str):
        return entry.replace("|", "\\|").replace("\n", " ")
    # A star at the end of a number would be read as emphasis together with another one.
    shown = entry.text().replace("*", "\\*")
    return f"**{shown}**" if entry.best else shown


def latex(table: Table) -> str:
    """A booktabs table, to be used with `\\input`."""
    columns = "l" * table.texts + "r" * (len(table.header) - table.texts)
    between = any(_has_interval(entry) for row in table.rows for entry in row)
    notes = [*table.all_notes(), *(["[ ]: 95 % interval."] if between else [])]
    caption = " ".join([f"{table.title}.", *table.warnings, *notes])
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{_latex_text(caption)}}}",
        f"\\label{{tab:{table.name}}}",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        " & ".join(map(_latex_text, table.header)) + " \\\\",
        "\\midrule",
        *(line for row in table.rows for line in _latex_lines(row)),
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_lines(row: Sequence[Entry]) -> list[str]:
    """A row, and below it the intervals of its figures that are not shown beside them."""
    lines = [" & ".join(map(_latex_entry, row)) + " \\\\"]
    if any(map(_has_interval, row)):
        lines.append(" & ".join(map(_latex_interval, row)) + " \\\\")
    return lines


def _has_interval(entry: Entry) -> bool:
    return isinstance(entry, Figure) and entry.low is not None and not entry.show_interval


def _latex_interval(entry: Entry) -> str:
    if isinstance(entry, str) or not _has_interval(entry):
        return ""
    whole = replace(entry, show_interval=True, final=True, count=None)
    shown = whole.text(minus="$-$")
    return f"{{\\scriptsize {shown[shown.index('[') :]}}}"


def _latex_entry(entry: Entry) -> str:
    if isinstance(entry, str):
        return _latex_text(entry)
    shown = entry.text(plus_minus="\\,$\\pm$\\,", minus="$-$").replace("–", "--")
    shown = shown.replace("<", "$<$").replace(SEEN, "$^\\dagger$")
    return f"\\textbf{{{shown}}}" if entry.best else shown


_LATEX = {
    "\\": "\\textbackslash{}", "&": "\\&", "%": "\\%", "$": "\\$", "#": "\\#", "_": "\\_",
    "{": "\\{", "}": "\\}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}",
    "×": "$\\times$", "−": "$-$", "±": "$\\pm$", "–": "--", "…": "\\ldots{}",
    "<": "$<$", ">": "$>$", "≤": "$\\leq$", "≥": "$\\geq$", "·": "$\\cdot$",
    SEEN: "$\\dagger$",
}  # fmt: skip


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def as_csv(table: Table) -> str:
    """Full precision; a figure's spread, interval and whether it is seen and final are in extra
    columns.

    What other forms show in percent are shares here, and the columns' names say so.
    """
    columns = [
        [name] if number < table.texts else _csv_header(name, [row[number] for row in table.rows])
        for number, name in enumerate(table.header)
    ]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([name for names in columns for name in names])
    for row in table.rows:
        cells = zip(row, columns, strict=True)
        writer.writerow([value for entry, names in cells for value in _csv_entry(entry, names)])
    return out.getvalue()


SHARE = " (share)"
_EXTRA = {
    "sd": "spread", "low": "low", "high": "high", "of": "count", "seen": "seen", "final": "final",
}  # fmt: skip


def _csv_header(name: str, entries: Iterable[Entry]) -> list[str]:
    figures = [entry for entry in entries if isinstance(entry, Figure)]
    unit = SHARE if any(figure.percent for figure in figures) else ""
    extra = [
        suffix
        for suffix, attribute in _EXTRA.items()
        if any(getattr(figure, attribute) != getattr(Figure, attribute) for figure in figures)
    ]
    return [f"{name}{unit}", *(_extra_name(name, suffix, unit) for suffix in extra)]


def _extra_name(name: str, suffix: str, unit: str) -> str:
    return f"{name} {suffix}{unit if suffix in ('sd', 'low', 'high') else ''}"


def _csv_entry(entry: Entry, names: list[str]) -> list[object]:
    if isinstance(entry, str):
        return [entry, *([""] * (len(names) - 1))]
    name = names[0].removesuffix(SHARE)
    extra = (each.removesuffix(SHARE).removeprefix(f"{name} ") for each in names[1:])
    values = [entry.value, *(getattr(entry, _EXTRA[suffix]) for suffix in extra)]
    return ["" if value is None else value for value in values]

"""What the user sees while a sweep runs: a live view in a terminal, plain lines in a pipe.

Its input is the progress records of trials; knows nothing of Ray.
"""

import threading
import time
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.follow.eta import seconds_in_words
from orchestrator.follow.progress import Progress, Snapshot
from search_spaces.cell import Cell
from trainables.records import TrialReport

SUMMARY_EVERY = 60.0  # seconds, in a pipe
COMPUTED_EVERY = 1.0  # seconds; the terminal is drawn more often
SEPARATOR = "  ·  "
GAP = "  "
WIDE, WIDE_BAR, NARROW_BAR = 100, 24, 10  # columns
ROOM_FOR_THE_REST = 10  # lines of the terminal that running cells leave free


class View:
    """A context manager; `update` it with each progress record of a cell."""

    def __init__(self, progress: Progress, console: Console) -> None:
        self.progress, self.console = progress, console
        self._left = threading.Event()
        self._drawn: tuple[float, Snapshot] | None = None
        self._is_live = False
        self._compared = False  # it was said that there is a comparison
        self.live = Live(console=console, refresh_per_second=4, get_renderable=self._render)

    def __enter__(self) -> "View":
        self._is_live = self.console.is_terminal
        if self._is_live:
            self.live.start()
        else:
            threading.Thread(target=self._summarise, name="summaries", daemon=True).start()
        self._say_compared()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        if self._is_live:  # The terminal may be gone by now.
            self._drawn = None
            self.live.stop()

    def update(self, cell: Cell, record: TrialReport) -> None:
        """Take in one progress record."""
        before = self.progress.update(cell, record)
        if record.get("fit_done") and before is not None and before["phase"] == "fit":
            self._print(f"fit  {cell.fit.key}  validation {before['validation_accuracy']:.1%}")
        if record["phase"] == "done":
            self._print(
                f"cell {cell.key}  clean {_share(record['metrics']['clean_accuracy'])}"
                f"  under attack {_share(record['metrics']['accuracy_under_attack'])}"
            )
            self._say_compared()
        if record["phase"] == "failed":
            self._print(f"FAILED {cell.key}: {record['error']}")

    def _say_compared(self) -> None:
        """The first comparison, once it is there; how it grows is part of every summary."""
        if not self._compared and (compared := self.progress.comparison.so_far()) is not None:
            self._compared = True
            self._print(f"compared so far: {compared}")

    def _print(self, text: str) -> None:
        seconds = self.progress.clock() - self.progress.began
        at = f"[{seconds:6.0f} s  {self.progress.ended}/{self.progress.cells}]"
        self.console.print(f"{at} {text}", markup=False, soft_wrap=True)

    def _summarise(self) -> None:
        while not self._left.wait(SUMMARY_EVERY):
            self._print(SEPARATOR.join(overview(self.progress.snapshot())))

    def _render(self) -> RenderableType:
        now = time.monotonic()
        if self._drawn is None or now - self._drawn[0] > COMPUTED_EVERY:
            self._drawn = now, self.progress.snapshot()
        return ScaledView(self._drawn[1])


class ScaledView:
    """A snapshot for a terminal of any size: lines broken between facts, no more cells than fit."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[Any]:
        width = options.max_width
        at_most = max(console.height - ROOM_FOR_THE_REST, 1)
        yield Text("\n".join(packed(overview(self.snapshot), width)), style="bold")
        yield _running(self.snapshot, width, at_most)
        for name, cell in (("best", self.snapshot.best), ("worst", self.snapshot.worst)):
            if cell is not None:
                start = f"{name} under attack so far: {_share(cell[1])}  "
                yield Text(start + shortened(cell[0], width - len(start)))


def overview(snapshot: Snapshot) -> list[str]:
    """The state of a sweep, fact by fact."""
    return [
        f"{snapshot.done + snapshot.failed} of {snapshot.cells} cells done",
        f"{snapshot.running} running",
        f"{snapshot.failed} failed",
        f"{snapshot.fits_done} of {snapshot.fits} fits",
        *pace(snapshot),
        *([] if snapshot.compared is None else [f"compared so far: {snapshot.compared}"]),
    ]


def pace(snapshot: Snapshot) -> list[str]:
    """Its speed and the time left, fact by fact."""
    rate = snapshot.examples_per_second
    return [
        *([] if rate is None else [f"{rate:.1f} examples/s in the last minute"]),
        f"{seconds_in_words(snapshot.seconds)} so far",
        "time left not known yet" if snapshot.eta is None else str(snapshot.eta),
    ]


def packed(facts: Iterable[str], width: int) -> list[str]:
    """Facts on as few lines as possible; a fact that fits on a line is never broken."""
    lines: list[str] = []
    for fact in facts:
        if lines and len(lines[-1]) + len(SEPARATOR) + len(fact) <= width:
            lines[-1] += SEPARATOR + fact
        else:
            lines.append(fact)
    return lines


def shortened(key: str, width: int) -> str:
    """A cell's key without its hash, cut in the middle if it is too long: both ends say more."""
    readable = key.rpartition("-")[0] or key
    if len(readable) <= width:
        return readable
    end = max(width - 1, 2) // 2
    return f"{readable[: max(width - 1 - end, 1)]}…{readable[-end:]}"


def _running(snapshot: Snapshot, width: int, at_most: int) -> Table:
    shown = snapshot.running_cells
    if len(shown) > at_most or len(shown) < snapshot.running:
        shown = shown[: at_most - 1]
    counts = [f"{cell.finished}/{cell.total}" if cell.total else "" for cell in shown]
    bar = WIDE_BAR if width >= WIDE else NARROW_BAR
    left = width - len("starting") - max(map(len, counts), default=0) - bar - 3 * len(GAP)
    table = Table.grid(padding=(0, len(GAP)))
    for justify in ("left", "right", "left", "left"):
        table.add_column(no_wrap=True, justify=justify)
    for cell, count in zip(shown, counts, strict=True):
        drawn = ProgressBar(total=1, completed=cell.share, width=bar)
        phase = f"{cell.phase:<{len('starting')}}"
        table.add_row(phase, count, drawn, shortened(cell.key, left))
    if len(shown) < snapshot.running:
        table.add_row("", "", "", f"and {snapshot.running - len(shown)} more")
    return table


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"

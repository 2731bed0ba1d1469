"""What a person sees while a sweep runs: a live view in a terminal, plain lines in a pipe.

Fed with the progress records of trials; knows nothing of Ray.
"""

import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from search_spaces.cell import Cell


class View:
    """A context manager; `update` it with each progress record of a cell."""

    def __init__(self, cells: int, fits: int, estimate: float | None, console: Console) -> None:
        """cells, fits: how many are to be run. estimate: seconds, wall clock, or None."""
        self.cells, self.fits, self.estimate = cells, fits, estimate
        self.console = console
        self.started = time.perf_counter()
        self.running: dict[str, dict[str, Any]] = {}
        self.finished: list[tuple[Cell, dict[str, Any]]] = []
        self.failed = 0
        self.fits_done = 0
        self.attacked = 0
        self.live = Live(console=console, refresh_per_second=4, get_renderable=self._render)

    def __enter__(self) -> "View":
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def update(self, cell: Cell, progress: dict[str, Any]) -> None:
        """Take in one progress record."""
        before = self.running.get(cell.key, {})
        if progress.get("fit_done") and before.get("phase") == "fit":
            self.fits_done += 1
            self._line(f"fit  {cell.fit.key}  validation {before['validation_accuracy']:.1%}")
        if progress["phase"] in ("attack", "done"):
            at_first = before.get("finished", 0) if before.get("phase") == "attack" else 0
            self.attacked += progress["finished"] - at_first
        self.running[cell.key] = progress
        if progress["phase"] == "done":
            del self.running[cell.key]
            self.finished.append((cell, progress))
            self._line(
                f"cell {cell.key}  clean {progress['clean_accuracy']:.1%}"
                f"  under attack {progress['accuracy_under_attack']:.1%}"
            )
        if progress["phase"] == "failed":
            del self.running[cell.key]
            self.failed += 1
            self._line(f"FAILED {cell.key}: {progress['error']}")

    def _line(self, text: str) -> None:
        done = len(self.finished) + self.failed
        elapsed = time.perf_counter() - self.started
        self.console.print(
            f"[{elapsed:6.0f} s  {done}/{self.cells}] {text}", markup=False, soft_wrap=True
        )

    def _render(self) -> Group:
        elapsed = time.perf_counter() - self.started
        done = len(self.finished) + self.failed
        head = (
            f"{done} of {self.cells} cells done, {len(self.running)} running, {self.failed} failed"
            f"  ·  {self.fits_done} of {self.fits} fits"
            f"  ·  {self.attacked / elapsed:.1f} examples/s  ·  {elapsed:.0f} s{self._eta(elapsed)}"
        )
        table = Table.grid(padding=(0, 2))
        for key, progress in self.running.items():
            total = progress.get("total") or 1
            bar = ProgressBar(total=total, completed=progress.get("finished", 0), width=24)
            table.add_row(key, progress["phase"], bar, f"{progress.get('finished', 0)}/{total}")
        return Group(Text(head, style="bold"), table, Text(self._extremes()))

    def _eta(self, elapsed: float) -> str:
        done = len(self.finished) + self.failed
        if done:
            left = elapsed / done * (self.cells - done)
        elif self.estimate is not None:
            left = max(self.estimate - elapsed, 0)
        else:
            return ""
        return f", about {left:.0f} s left"

    def _extremes(self) -> str:
        if not self.finished:
            return ""
        ranked = sorted(self.finished, key=lambda pair: pair[1]["accuracy_under_attack"])
        (low, worst), (high, best) = ranked[0], ranked[-1]
        return (
            f"accuracy under attack so far: best {best['accuracy_under_attack']:.1%} ({high.key}), "
            f"worst {worst['accuracy_under_attack']:.1%} ({low.key})"
        )

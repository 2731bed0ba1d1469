"""Fit once, attack many: a Tune searcher that releases cells in the right order.

First one cell of each fit that is not stored yet (the leader), longest expected fit first. When a
leader reports `fit_done` its siblings are released, and find the fit in the store. No trial ever
waits for another while it holds a GPU. If a leader dies or fails before its fit is stored, a
sibling takes the lead.
"""

from collections.abc import Callable, Iterable
from typing import Any

from ray.tune.search import Searcher

from search_spaces.cell import Cell


class FitFirst(Searcher):
    """Hands out cells as Tune has room; `config_of` turns a cell into a trial's config."""

    def __init__(
        self,
        cells: Iterable[Cell],
        fits_done: Iterable[str],
        config_of: Callable[[Cell], dict[str, Any]],
        fit_cost: Callable[[Cell], float],
        max_concurrent: int,
    ) -> None:
        super().__init__(metric=None, mode=None)
        self.config_of = config_of
        self.max_concurrent = max_concurrent
        self.ready: list[Cell] = []
        self.waiting: dict[str, list[Cell]] = {}
        self.running: dict[str, Cell] = {}
        stored = set(fits_done)
        for cell in cells:
            if cell.fit.key in stored:
                self.ready.append(cell)
            else:
                self.waiting.setdefault(cell.fit.key, []).append(cell)
        by_cost = sorted(self.waiting.values(), key=lambda group: -fit_cost(group[0]))
        self.leaders = [group.pop(0) for group in by_cost]

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        if len(self.running) >= self.max_concurrent:
            return None
        queue = self.leaders or self.ready
        if queue:
            cell = self.running[trial_id] = queue.pop(0)
            return self.config_of(cell)
        if any(self.waiting.values()):
            return None
        finished: Any = Searcher.FINISHED
        return finished

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if result.get("fit_done"):
            self.ready += self.waiting.pop(self.running[trial_id].fit.key, [])

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        cell = self.running.pop(trial_id, None)
        siblings = self.waiting.get(cell.fit.key) if cell else None
        if siblings:
            self.leaders.append(siblings.pop(0))

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: what is left to do is read from the store."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: what is left to do is read from the store."""

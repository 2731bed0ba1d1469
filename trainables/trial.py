"""A cell as a Ray Tune trial: the one file of this package that knows Ray.

A trial is a `Worker` stepped from report to report. Tune reuses its process for the next cell, so
torch and TextAttack are imported once a slot and not once a cell. There are no Tune checkpoints:
the store keeps every result as it comes, and a restarted trial finds it there.
"""

from collections.abc import Iterator
from typing import Any

from ray import tune

from search_spaces.cell import Cell
from trainables.assets import Assets
from trainables.cell import Worker
from trainables.store import Store


class CellTrial(tune.Trainable):
    """Runs the cell in `config["cell"]` (JSON) with the store and assets the config names."""

    def setup(self, config: dict[str, Any]) -> None:
        self.worker = Worker(Store(config["store"]), Assets(config["assets"]))
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        progress = next(self.progress)
        return {**progress, "done": progress["phase"] in ("done", "failed")}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save: the store has it."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load: the store has it."""

    def _begin(self, config: dict[str, Any]) -> None:
        cell = Cell.model_validate_json(config["cell"])
        self.progress: Iterator[dict[str, Any]] = self.worker.run(cell)

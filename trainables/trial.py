"""A cell as a Ray Tune trial: the one file of this package that knows Ray.

A trial steps a `Worker` from report to report; the first names the node. Tune reuses its process
for the next cell, so torch and TextAttack are imported once per slot, not once per cell. There are
no Tune checkpoints: every result is stored as it comes, and a restarted trial continues from the
store.
"""

import os
from collections.abc import Iterator
from itertools import chain
from typing import Any, cast

import ray
from ray import tune
from typing_extensions import TypedDict

from search_spaces.cell import Cell
from trainables.assets import Assets
from trainables.cell import Part, Worker
from trainables.device import prepare
from trainables.records import TrialReport
from trainables.store import Store


class TrialConfig(TypedDict):
    """A trial's input.

    cell: as JSON. part: which part of its attack, of how many; None: all. avoid: ids of nodes that
    it must not run on.
    """

    key: str
    cell: str
    store: str
    assets: str
    phase: str
    part: tuple[int, int] | None
    avoid: list[str]


class CellTrial(tune.Trainable):
    """Runs the cell, or the part of its attack, that the config names."""

    gpu_lost = False

    def setup(self, config: dict[str, Any]) -> None:
        self.worker = Worker(Store(config["store"]), Assets(config["assets"]))
        self._begin(cast(TrialConfig, config))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(cast(TrialConfig, new_config))
        return True

    def step(self) -> dict[str, Any]:
        if self.gpu_lost:
            os._exit(1)  # The driver knows why, and hands the cell out again.
        progress = next(self.progress)
        self.gpu_lost = progress["phase"] in ("gpu_lost", "no_gpu")
        return {**progress, "done": progress["phase"] in ("done", "failed", "part_done")}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save: the store has it."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load: the store has it."""

    def _begin(self, config: TrialConfig) -> None:
        cell = Cell.model_validate_json(config["cell"])
        prepare(getattr(cell.resources, config["phase"]).gpus)
        begun: TrialReport = {"phase": "begun", "node": ray.get_runtime_context().get_node_id()}
        part = config["part"] and Part(*config["part"])
        self.progress: Iterator[TrialReport] = chain(
            [begun], self.worker.run(cell, part, config["phase"])
        )

"""Hear every trial's reports in the driver."""

from collections.abc import Callable
from typing import Any

from ray import tune


class Listen(tune.Callback):
    """Calls `hear(cell key, report)`, and `lost(cell key)` for a trial that died for good."""

    def __init__(
        self, hear: Callable[[str, dict[str, Any]], None], lost: Callable[[str], None]
    ) -> None:
        self.hear, self.lost = hear, lost

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        self.hear(trial.config["key"], result)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        self.lost(trial.config["key"])

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks for Tuner.restore, which a sweep never uses.
        return {}

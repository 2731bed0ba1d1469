"""Hear every trial's reports, and of deaths of processes and of Ray itself, in the driver."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune


class Listen(tune.Callback):
    """Calls `hear(config, report)` and, when a trial's process has died, `died(config, error)`.

    config: the trial's. error: what Ray says about it, for people. check_alive: called again and
    again, also while no trial reports; what it raises ends the run.
    """

    def __init__(
        self,
        hear: Callable[[dict[str, Any], dict[str, Any]], None],
        died: Callable[[dict[str, Any], str], None],
        check_alive: Callable[[], None],
    ) -> None:
        self.hear, self.died, self.check_alive = hear, died, check_alive

    def on_step_begin(self, iteration: int, trials: Any, **_: Any) -> None:
        self.check_alive()

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        self.hear(trial.config, result)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        file = Path(trial.local_path or "", trial.run_metadata.error_filename or "")
        self.died(trial.config, file.read_text() if file.is_file() else "")

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks for Tuner.restore, which a sweep never uses.
        return {}

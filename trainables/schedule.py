"""The learning rate of each step of a fit, as a share of `fit.learning_rate`.

A function of the step alone: a fit that goes on from a snapshot needs no state of it.
"""

import math

from search_spaces.errors import BadInput
from search_spaces.space import FitSettings

COOLDOWN = 0.3  # share of the steps


def share_of_rate(settings: FitSettings, step: float, steps: int) -> float:
    """Of step number `step`, from 0, of `steps` in all epochs; a step may count as less than one.

    First the rate rises from 0 in the steps of the warm-up. Then, of the steps that are left,
    constant: 1. linear: from 1 down to 0, which would be reached at the step after the last.
    cosine: the same along half a cosine. These are the schedules of transformers
    (get_*_schedule_with_warmup). cooldown: 1, and linear to 0 over the last COOLDOWN of all steps,
    for fits of few steps: they make most of their way at the full rate.
    """
    warmup = warmup_steps(settings, steps)
    if step < warmup:
        return step / warmup
    match settings.schedule:
        case "constant":
            return 1.0
        case "linear":
            return (steps - step) / (steps - warmup)
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
        case "cooldown":
            return min(1.0, (1 - step / steps) / COOLDOWN)


def steps_of(settings: FitSettings, rows: int) -> int:
    """In all epochs, on so many training rows."""
    return settings.max_epochs * math.ceil(rows / settings.batch_size)


def warmup_steps(settings: FitSettings, steps: int) -> int:
    """Rounded up, as the Trainer of transformers does."""
    return math.ceil(steps * settings.warmup)


def check_schedule(settings: FitSettings, rows: int) -> None:
    """Raises BadInput if the warm-up leaves no step, on so many training rows."""
    steps = steps_of(settings, rows)
    if (warmup := warmup_steps(settings, steps)) >= steps:
        raise BadInput(
            f"fit.warmup {settings.warmup:g} is {warmup} of the {steps} steps that {rows} training "
            f"rows make in batches of {settings.batch_size}, in {settings.max_epochs} epochs at "
            "most: none is left at the full rate; give a smaller warmup, smaller batches or more "
            "epochs"
        )

"""The learning rate of each step of a fit, as a share of `fit.learning_rate`.

A function of the step alone: a fit that goes on from a snapshot needs no state of it.
"""

from search_spaces.space import Schedule

COOLDOWN = 0.3  # share of the steps


def share_of_rate(schedule: Schedule, step: int, steps: int) -> float:
    """Of step number `step`, from 0, of `steps` in all epochs.

    constant: 1. linear: from 1 down to 0, which would be reached at the step after the last (as the
    Trainer of transformers does without warm-up). cooldown: 1, and linear to 0 over the last
    COOLDOWN of the steps, for fits of few steps: they make most of their way at the full rate.
    """
    match schedule:
        case "constant":
            return 1.0
        case "linear":
            return 1 - step / steps
        case "cooldown":
            return min(1.0, (1 - step / steps) / COOLDOWN)

"""What a comparison could have told: the least gain, and how many examples a given one needs.

Of a variance that was measured, or expected before anything is run (sweep/power.py).
"""

from orchestrator.report.statistics import Estimate

GAIN = 0.04  # for which the number of examples is said


def power(gain: Estimate) -> str:
    """A sentence, for a gain with its variance."""
    if gain.detectable is None:
        return "All pairs are alike, so what these runs could have told cannot be estimated."
    could = f"These runs could have told {100 * gain.detectable:.1f} points from 0 with 80 % power"
    return f"{could}; {examples_needed(gain)}."


def examples_needed(gain: Estimate) -> str:
    """How many examples a data set would tell GAIN."""
    needed, points = gain.examples_for(GAIN), f"{100 * GAIN:+.0f}"
    if needed is None:
        return (
            f"no number of examples would tell {points} with {gain.seeds} seeds, between which "
            "these fits vary too much"
        )
    with_seeds = f" with {gain.seeds} seeds" if gain.seeds > 1 else ", and that of these fits only"
    return f"{points} would need about {needed:,} examples a data set{with_seeds}"

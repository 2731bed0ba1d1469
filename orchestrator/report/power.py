"""What a comparison could have told: the least gain, and how many examples a given one needs.

Of a variance that was measured, or expected before anything is run (sweep/power.py).
"""

from collections.abc import Mapping

from orchestrator.report.statistics import Estimate

GAIN = 0.04  # for which the number of examples is said


def power(gain: Estimate) -> str:
    """A sentence, for a gain with its variance."""
    if gain.detectable is None:
        return "All pairs are alike, so what these runs could have told cannot be estimated."
    return f"These runs could have told {least(gain)} from 0 with 80 % power; {needed(gain)}."


def least(gain: Estimate) -> str:
    """The least gain that is told, in words."""
    if gain.detectable is None or gain.detectable > 1:
        return "no gain"
    return f"{100 * gain.detectable:.1f} points"


def needed(gain: Estimate, rows: Mapping[str, int] | None = None) -> str:
    """How many examples a data set would tell GAIN. rows: of test sets, where they are known."""
    count, points = gain.examples_for(GAIN), f"{100 * GAIN:+.0f}"
    seeds = f"{gain.seeds} seeds" if gain.seeds > 1 else "these seeds"
    if count is None:
        return (
            f"no number of examples would tell {points} with {seeds}, between which these fits "
            "vary too much"
        )
    with_seeds = f" with {seeds}" if gain.seeds > 1 else ", and that of these fits only"
    smaller = [f"{name} ({own:,})" for name, own in (rows or {}).items() if own < count]
    there = f"; there are fewer in {', '.join(smaller)}" if smaller else ""
    if rows is None:
        there = ", if test sets have as many"
    return f"{points} would need about {count:,} examples a data set{with_seeds}{there}"

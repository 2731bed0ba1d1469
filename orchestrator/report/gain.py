"""Gains: one method over another where both were run, and over the best of several.

Where one of the two has seen some of the attacks (its training made rows with one of their kind)
there are two gains, and that under the others, the unseen ones, is the main one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.report.comparison import differences, sites
from orchestrator.report.results import CLEAN, UNDER_ATTACK, WORST, Method, Place, Results
from orchestrator.report.statistics import (
    Decision,
    Discordant,
    Estimate,
    decide,
    discordant,
    holm,
)

OF = {
    UNDER_ATTACK: "accuracy under attack",
    WORST: "worst case of all attacks",
    CLEAN: "clean accuracy",
}
OF_SEEN = {False: "accuracy under unseen attacks", True: "accuracy under seen attacks"}


@dataclass(frozen=True)
class Gain:
    """A comparison of two methods; reported: the paper's figure, a share, where it has one.

    seen: whether it is under the attacks that one of the two has seen, or under the others; None
    where neither has seen any. both: places that it is over; apart: that both were run at, without
    an example in common. adjusted: the p-value, if it is one of several.
    """

    first: Method
    second: Method
    outcome: str
    reported: float | None
    both: list[Place]
    apart: list[Place]
    one_only: list[Place]
    decision: Decision
    pairs: Discordant
    final: bool
    seen: bool | None = None
    adjusted: float | None = None

    @property
    def of(self) -> str:
        return OF[self.outcome] if self.seen is None else OF_SEEN[self.seen]

    @property
    def gain(self) -> Estimate | None:
        return self.decision.gain

    @property
    def p_value(self) -> float | None:
        return self.decision.p_value


@dataclass(frozen=True)
class OverTheBest:
    """The gain over the best of several defences: that over which the gain is least.

    of: how many there are. p_value: of the claim that the first is better than each. is_better:
    significantly so. Better than each is a claim that fails with any of its parts, so it needs no
    adjustment for their number (Berger, 1982).
    """

    gain: Gain
    of: int
    p_value: float
    is_better: bool
    final: bool


def split(results: Results, first: Method, second: Method) -> list[Gain]:
    """The gain under attack, by whether one of the two has seen the attack: unseen first."""
    seen = results.seen(first) | results.seen(second)
    if not seen:
        return [gain_of(results, first, second, UNDER_ATTACK)]
    halves = [gain_of(results, first, second, UNDER_ATTACK, seen=half) for half in (False, True)]
    return [each for each in halves if each.both or each.apart or each.one_only]


def adjusted(compared: Sequence[Gain]) -> list[Gain]:
    """Gains with p-values adjusted for their number; those under seen attacks by themselves."""
    found = {
        number: each.p_value for number, each in enumerate(compared) if each.p_value is not None
    }
    both: dict[int, float] = {}
    for seen in (True, False):
        both |= holm({n: p for n, p in found.items() if (compared[n].seen is True) == seen})
    return [replace(each, adjusted=both.get(number)) for number, each in enumerate(compared)]


def over_the_best(results: Results, compared: Sequence[Gain]) -> OverTheBest | None:
    """Of the gains over each of several defences: None if there are fewer than two.

    By each defence's gain under unseen attacks; under seen ones, if it has seen them all.
    """
    mains: dict[Method, Gain] = {}
    for each in compared:
        if results.is_defence(each.second) and each.gain is not None:
            mains.setdefault(each.second, each)
    if len(mains) < 2:
        return None
    least = min(mains.values(), key=lambda each: each.gain.mean if each.gain else 0)
    chances = [
        each.p_value if each.p_value is not None and each.gain and each.gain.mean > 0 else 1.0
        for each in mains.values()
    ]
    others_to_come = any(
        head == least.second[0] and (head, training) not in results.methods
        for head, training in results.to_come
    )
    return OverTheBest(
        least,
        len(mains),
        max(chances),
        all(each.decision.is_better for each in mains.values()),
        not others_to_come and all(each.final for each in mains.values()),
    )


def gain_of(
    results: Results,
    first: Method,
    second: Method,
    outcome: str,
    reported: float | None = None,
    seen: bool | None = None,
) -> Gain:
    known = results.seen(first) | results.seen(second)
    ours, theirs = (
        [place for place in results.places(method) if seen is None or (place[2] in known) == seen]
        for method in (first, second)
    )
    run = [place for place in ours if place in theirs]
    one_only = [place for place in dict.fromkeys([*ours, *theirs]) if place not in run]
    pairs = differences(results, first, second, run, outcome)
    both: list[Place] = []
    apart: list[Place] = []
    for site, values in zip(sites(run, outcome), pairs, strict=True):
        (apart if values.is_empty else both).extend(site)
    return Gain(
        first,
        second,
        outcome,
        reported,
        both,
        apart,
        one_only,
        decide(pairs),
        discordant(pairs),
        results.is_complete(first) and results.is_complete(second),
        seen,
    )


def significant(decision: Decision, adjusted: float | None = None) -> str:
    """A decision in a table, with what it is about; adjusted: as `is_significant` takes it."""
    if decision.gain is None:
        return "–"
    return f"{'yes' if decision.is_significant(adjusted) else 'no'}, {decision.about}"


def over_what(each: Gain) -> str:
    """Which grid the mean is over, and how much of it only one of the two has."""
    axes = 3 if each.outcome == UNDER_ATTACK else 2
    sizes = [len({place[axis] for place in each.both}) for axis in range(axes)]
    names = ("data set", "model", "attack")[:axes]
    parts = [f"{size} {name}{'s' * (size != 1)}" for size, name in zip(sizes, names, strict=True)]
    text = " × ".join(parts)
    product, there = math.prod(sizes), len({place[:axes] for place in each.both})
    if product != there:
        text += f", {there} of {product} combinations"
    if each.apart:
        text += f"; {len(each.apart)} more have no example in common"
    if each.one_only:
        text += f"; {len(each.one_only)} more have only one of the two and are left out"
    return text

"""Gains: one method over another where both were run, and over the best of several.

Where one of the two has seen some of the attacks (its training made rows with one of their kind)
there are two gains, and that under the others, the unseen ones, is the main one. The best of
several is chosen, and compared, on what all of them have, by the attacks that none has seen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

from orchestrator.report import devices, rounds
from orchestrator.report.comparison import differences, sites, values
from orchestrator.report.results import CLEAN, UNDER_ATTACK, WORST, Method, Place, Results
from orchestrator.report.statistics import (
    Decision,
    Discordant,
    Estimate,
    Values,
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
    """The gains over several defences on common ground, and over the best: the least of them.

    over_each: one a defence, all over the same places, seeds and examples. unseen: whether they are
    under the attacks alone that none of the defences has seen; None where there are no others.
    seen: whether some of them have seen some of the attacks. p_value: of the claim that the first
    is better than each. Better than each is a claim that fails with any of its parts, so it needs
    no adjustment for their number (Berger, 1982).
    """

    over_each: list[Gain]
    unseen: bool | None
    seen: bool
    final: bool

    @property
    def gain(self) -> Gain:
        return min(self.over_each, key=lambda each: each.gain.mean if each.gain else 0)

    @property
    def of(self) -> str:
        if self.unseen is None and not self.seen:
            return OF[UNDER_ATTACK]
        return "accuracy under attacks unseen by all" if self.unseen else "accuracy, all attacks"

    @property
    def p_value(self) -> float:
        return max(
            each.p_value if each.p_value is not None and each.gain and each.gain.mean > 0 else 1.0
            for each in self.over_each
        )

    @property
    def is_better(self) -> bool:
        """Significantly better than each."""
        return all(each.decision.is_better for each in self.over_each)


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


def over_the_best(results: Results, first: Method, defences: Sequence[Method]) -> list[OverTheBest]:
    """Under the attacks that none of these defences of one head has seen, and under all attacks;
    one alone where these are the same. Of a single defence that has seen some attacks and not
    others, under all of them. Empty where there is nothing to choose from."""
    if not defences:
        return []
    methods = [first, *defences]
    known = frozenset().union(*map(results.seen, methods))
    everywhere = [p for p in results.places(first) if all(results.at(m, p) for m in methods)]
    unseen = [place for place in everywhere if place[2] not in known]
    split_up = bool(known) and 0 < len(unseen) < len(everywhere)
    if len(defences) == 1:
        return [_on_common_ground(results, methods, everywhere, False)] if split_up else []
    if not split_up:
        return [_on_common_ground(results, methods, everywhere, None)]
    return [
        _on_common_ground(results, methods, unseen, True),
        _on_common_ground(results, methods, everywhere, False),
    ]


def _on_common_ground(
    results: Results, methods: Sequence[Method], places: Sequence[Place], unseen: bool | None
) -> OverTheBest:
    """The first over each of the others, at these places, which all have, over the seeds and the
    examples that all have."""
    outcomes: dict[Method, list[Values]] = {method: [] for method in methods}
    both: list[Place] = []
    apart: list[Place] = []
    for place in places:
        own = [values(results.at(method, place)) for method in methods]
        shared = reduce(Values.minus, own)
        (apart if shared.is_empty else both).append(place)
        for method, each in zip(methods, own, strict=True):
            outcomes[method].append(each.over(shared))
    first, *others = methods
    over_each = []
    for other in others:
        pairs = [a.minus(b) for a, b in zip(outcomes[first], outcomes[other], strict=True)]
        complete = results.is_complete(first) and results.is_complete(other)
        decision, counted = decide(pairs), discordant(pairs)
        over_each.append(
            Gain(first, other, UNDER_ATTACK, None, both, apart, [], decision, counted, complete)
        )
    to_come = any(head == others[0][0] for head, _ in results.defences_to_come)
    return OverTheBest(
        over_each,
        unseen,
        any(results.has_seen(method, places) for method in methods),
        not to_come and all(each.final for each in over_each),
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
    for site, pair in zip(sites(run, outcome), pairs, strict=True):
        (apart if pair.is_empty else both).extend(site)
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


def warnings(results: Results, compared: Sequence[Gain]) -> list[str]:
    """What to know of a table of gains: where its cells were made, and rounds without effect."""
    cells = [
        result
        for each in compared
        for place in each.both
        for method in (each.first, each.second)
        for result in results.at(method, place)
    ]
    return [*devices.warnings(cells), *rounds.warnings(cells)]

"""The paper's claim, recomputed: how much more robust MVP is, over everything that was run.

"Model-tuning Via Prompts Makes NLP Models Adversarially Robust" (EMNLP 2023): +8 points of accuracy
under attack over an MLP head, +3.5 over adversarial training, clean accuracy kept. Here each gain
is a mean over the places where both sides were run, with its interval and tests, and the report
says what was not run.
"""

import math
from dataclasses import dataclass

from orchestrator.plan.compared import MLP, MVP
from orchestrator.report import devices
from orchestrator.report.comparison import ONE_SEED, RULE, change, differences, sites
from orchestrator.report.power import power
from orchestrator.report.reported import paper
from orchestrator.report.results import CLEAN, UNDER_ATTACK, WORST, Method, Place, Results, name_of
from orchestrator.report.statistics import Decision, Discordant, Estimate, decide, discordant
from orchestrator.report.tables import Entry, Figure, Table, count, p_value

NOTES = [
    "Gain: first minus second, in points; mean over data sets × models × attacks that both have, "
    "which may be more than the summary's. Clean accuracy and the worst case (right under every "
    "one of the attacks) are once a fit, not once an attack.",
    "[ ]: 95 % interval, of a bootstrap of examples, widened for few examples, with the variance "
    "between seeds where there are several.",
    f"Significant: {RULE}. {ONE_SEED} Rows are not adjusted for their number.",
    "p: exact paired test in which each example counts once, of these fits. McNemar: examples only "
    "the first / only the second got right, over all pairs; its p-value assumes independent pairs.",
]
OF = {
    UNDER_ATTACK: "accuracy under attack",
    WORST: "worst case of all attacks",
    CLEAN: "clean accuracy",
}


@dataclass(frozen=True)
class Gain:
    """A comparison of two methods; reported: the paper's figure, a share, where it has one.

    both: places that it is over; apart: that both were run at, without an example in common.
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

    @property
    def gain(self) -> Estimate | None:
        return self.decision.gain

    @property
    def p_value(self) -> float | None:
        return self.decision.p_value


def reported_gain(over: str) -> float:
    """What the paper reports, a share: over_mlp_ft or over_adversarial_training."""
    return float(paper()["gains"][over]) / 100


def gains(results: Results) -> list[Gain]:
    """The claim's comparisons, and mvp with each other training; those that were run and the main
    ones."""
    over_mlp, over_adversarial = map(reported_gain, ("over_mlp_ft", "over_adversarial_training"))
    others = [m for m in results.methods if m[0] == "mlp_ft" and _is_defence(results, m)]
    own = [m for m in results.methods if m[0] == "mvp" and _is_defence(results, m)]
    compared: list[tuple[Method, Method, str, float | None]] = [
        (MVP, MLP, UNDER_ATTACK, over_mlp),
        *([(MVP, MLP, WORST, None)] if len(results.attacks) > 1 else []),
        (MVP, MLP, CLEAN, None),
        *((MVP, other, UNDER_ATTACK, over_adversarial) for other in others),
        *((method, MVP, UNDER_ATTACK, None) for method in own),
    ]
    if not others:
        compared.append((MVP, ("mlp_ft", "adversarial"), UNDER_ATTACK, over_adversarial))
    return [_gain(results, *each) for each in compared]


def _is_defence(results: Results, method: Method) -> bool:
    """Whether a training is of another kind, not just the standard one on fewer rows."""
    return any(
        result.method == method and result.cell.fit.training_entry.kind != "standard"
        for result in results.cells
    )


def _gain(
    results: Results, first: Method, second: Method, outcome: str, reported: float | None
) -> Gain:
    ours, theirs = results.places(first), results.places(second)
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
    )


def claim(results: Results) -> Table:
    """The claim as a table: reported next to measured, and the basis of the measured figure."""
    header = ["comparison", "of", "over", "reported", "measured", "significant", "p",
              "McNemar, only first", "McNemar, only second", "McNemar p"]  # fmt: skip
    rows: list[list[Entry]] = []
    compared = gains(results)
    for each in compared:
        of = OF[each.outcome]
        names = f"{name_of(each.first)} over {name_of(each.second)}"
        reported = Figure(each.reported, signed=True)
        if each.gain is None:
            absent: list[Entry] = [change(None, True), "–", p_value(None), count(None), count(None)]
            over = "no example in common" if each.apart else "not run"
            rows.append([names, of, over, reported, *absent, p_value(None)])
            continue
        rows.append(
            [
                names,
                of,
                _over(each),
                reported,
                change(each.gain, each.final),
                significant(each.decision),
                p_value(each.p_value),
                count(each.pairs.only_first),
                count(each.pairs.only_second),
                p_value(each.pairs.p_value),
            ]
        )
    cells = [
        result
        for each in compared
        for place in each.both
        for method in (each.first, each.second)
        for result in results.at(method, place)
    ]
    title, mixed = "The claim, recomputed", devices.warnings(cells)
    return Table("claim", title, header, rows, texts=3, notes=NOTES, warnings=mixed)


def significant(decision: Decision, adjusted: float | None = None) -> str:
    """A decision in a table, with what it is about; adjusted: as `is_significant` takes it."""
    if decision.gain is None:
        return "–"
    return f"{'yes' if decision.is_significant(adjusted) else 'no'}, {decision.about}"


def _over(each: Gain) -> str:
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


def verdict(results: Results) -> str:
    """The main comparison in a few sentences: what was measured, and what that can tell."""
    compared = gains(results)
    main = compared[0]
    if main.gain is None:
        why = "have no example in common" if main.apart else "were not both run anywhere"
        return f"The claim cannot be recomputed: mvp and mlp_ft {why}."
    unfinished = "" if main.final else " (not final)"
    reported = reported_gain("over_mlp_ft")
    within = "" if main.gain.excludes(reported) else ", which lies in the interval too"
    sentences = [
        f"mvp over mlp_ft: {_points(main.gain.mean)} points of accuracy under attack{unfinished}, "
        f"{_interval(main.gain)}; {_conclusion(main.decision)}.",
        f"The paper reports {100 * reported:+.0f}{within}.",
        *_worst(compared[1]),
        power(main.gain),
    ]
    return " ".join(sentences)


def _worst(worst: Gain) -> list[str]:
    if worst.outcome != WORST or worst.gain is None:
        return []
    found = "significant" if worst.decision.is_significant() else "not significant"
    return [
        f"Under the worst of the attacks for each example: {_points(worst.gain.mean)}, "
        f"{_interval(worst.gain)}, {found}."
    ]


def _conclusion(decision: Decision) -> str:
    gain = decision.gain
    assert gain is not None
    about = "of the method" if gain.seeds > 1 else "of these fits"
    if decision.is_significant():
        more = "more" if gain.mean > 0 else "less"
        seeds = f"over {gain.seeds} seeds" if gain.seeds > 1 else "with one seed, not of the method"
        return f"mvp is {more} robust here, {about}, {seeds}"
    chance = p_value(decision.p_value).text()
    why = "the interval includes 0"
    if gain.excludes(0):
        why = f"the interval leaves 0 out, but p is {chance} in the exact test"
    between = "the methods" if gain.seeds > 1 else "these fits"
    return f"no significant difference between {between}: {why}"


def _interval(gain: Estimate) -> str:
    return f"95 % interval {_points(gain.low)} to {_points(gain.high)}"


def _points(value: float) -> str:
    return Figure(value, signed=True).text()

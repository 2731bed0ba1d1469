"""The paper's claim, recomputed: how much more robust MVP is, over everything that was run.

"Model-tuning Via Prompts Makes NLP Models Adversarially Robust" (EMNLP 2023): +8 points of accuracy
under attack over an MLP head, +3.5 over adversarial training, clean accuracy kept. Here each gain
is a mean over the places where both sides were run, with its interval and tests, and the report
says what was not run.
"""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.plan.compared import MLP, MVP
from orchestrator.report import devices
from orchestrator.report.comparison import ONE_SEED, RULE, change
from orchestrator.report.gain import (
    Gain,
    OverTheBest,
    adjusted,
    gain_of,
    over_the_best,
    over_what,
    significant,
    split,
)
from orchestrator.report.power import power
from orchestrator.report.reported import paper
from orchestrator.report.results import CLEAN, UNDER_ATTACK, WORST, Results, name_of
from orchestrator.report.statistics import Decision, Estimate
from orchestrator.report.tables import Entry, Figure, Table, count, p_value

NOTES = [
    "Gain: first minus second, in points; mean over data sets × models × attacks that both have, "
    "which may be more than the summary's. Clean accuracy and the worst case (right under every "
    "one of the attacks) are once a fit, not once an attack.",
    "[ ]: 95 % interval, of a bootstrap of examples, widened for few examples, with the variance "
    "between seeds where there are several.",
    f"Significant: {RULE}. {ONE_SEED}",
    "p: exact paired test in which each example counts once, of these fits. McNemar: examples only "
    "the first / only the second got right, over all pairs; its p-value assumes independent pairs.",
]
NOT_ADJUSTED = "Rows are not adjusted for their number."
OVER_EACH = (
    "Defences are trainings of another kind than the standard one. Rows over each of them are "
    "adjusted for their number (p, adjusted: Holm, 1979), which decides; the first rows are not."
)
OVER_THE_BEST = (
    "Over the best: over the defence that mvp gains least over. Its p is the largest of those over "
    "each, and 1 where mvp does not gain over each; significant: so over each (an "
    "intersection-union test, which needs no adjustment). The best is chosen by the data that it "
    "is compared on, which favours it: this gain, and the upper end of its interval, err to the "
    "low side. The abstract does not say whether its figure is over each defence or over the best "
    "of them; it stands beside the best."
)
SPLIT = (
    "Seen attacks are of the kind that the training made rows with, unseen ones are all others. "
    "Gains under unseen attacks are the main ones, and those that the best is chosen by; those "
    "under seen attacks are adjusted among themselves."
)


def reported_gain(over: str) -> float:
    """What the paper reports, a share: over_mlp_ft or over_adversarial_training."""
    return float(paper()["gains"][over]) / 100


def gains(results: Results) -> list[Gain]:
    """The claim's comparisons: those over the standard training, and over each defence of mlp_ft,
    with p-values adjusted for their number; those that were run and the main ones."""
    over_mlp, over_adversarial = map(reported_gain, ("over_mlp_ft", "over_adversarial_training"))
    others = [method for method in results.defences if method[0] == MLP[0]]
    own: list[tuple[str, float | None]] = [
        (UNDER_ATTACK, over_mlp),
        *([(WORST, None)] if len(results.attacks) > 1 else []),
        (CLEAN, None),
    ]
    compared = [gain_of(results, MVP, MLP, *each) for each in own]
    if not others:
        adversarial = MLP[0], "adversarial"
        return [*compared, gain_of(results, MVP, adversarial, UNDER_ATTACK, over_adversarial)]
    reported = over_adversarial if len(others) == 1 else None
    over_each = [each for other in others for each in split(results, MVP, other)]
    over_each[0] = replace(over_each[0], reported=reported)
    return [*compared, *adjusted(over_each)]


def claim(results: Results) -> Table:
    """The claim as a table: reported next to measured, and the basis of the measured figure."""
    compared = gains(results)
    best = over_the_best(results, compared)
    over_defences = bool(results.defences) and any(each.adjusted is not None for each in compared)
    header = ["comparison", "of", "over", "reported", "measured", "significant", "p",
              *(["p, adjusted"] if over_defences else []),
              "McNemar, only first", "McNemar, only second", "McNemar p"]  # fmt: skip
    rows = [_row(each, over_defences) for each in compared]
    if best is not None:
        first = next(n for n, each in enumerate(compared) if results.is_defence(each.second))
        rows.insert(first, _best_row(best))
    cells = [
        result
        for each in compared
        for place in each.both
        for method in (each.first, each.second)
        for result in results.at(method, place)
    ]
    title, mixed = "The claim, recomputed", devices.warnings(cells)
    return Table("claim", title, header, rows, texts=3, notes=_notes(compared), warnings=mixed)


def _notes(compared: Sequence[Gain]) -> list[str]:
    over_each = [each for each in compared if each.adjusted is not None]
    if not over_each:
        *others, decided, tests = NOTES
        return [*others, f"{decided} {NOT_ADJUSTED}", tests]
    several = len({each.second for each in over_each}) > 1
    return [
        *NOTES,
        OVER_EACH,
        *([OVER_THE_BEST] if several else []),
        *([SPLIT] if any(each.seen is not None for each in over_each) else []),
    ]


def _row(each: Gain, with_adjusted: bool) -> list[Entry]:
    names = f"{name_of(each.first)} over {name_of(each.second)}"
    reported = Figure(each.reported, signed=True)
    own = [p_value(each.adjusted)] if with_adjusted else []
    if each.gain is None:
        over = "no example in common" if each.apart else "not run"
        return [
            names, each.of, over, reported, change(None, True), "–", p_value(None), *own,
            count(None), count(None), p_value(None),
        ]  # fmt: skip
    return [
        names,
        each.of,
        over_what(each),
        reported,
        change(each.gain, each.final),
        significant(each.decision, each.adjusted),
        p_value(each.p_value),
        *own,
        count(each.pairs.only_first),
        count(each.pairs.only_second),
        p_value(each.pairs.p_value),
    ]


def _best_row(best: OverTheBest) -> list[Entry]:
    each = best.gain
    return [
        f"{name_of(each.first)} over the best of {best.of} defences ({name_of(each.second)})",
        each.of,
        over_what(each),
        Figure(reported_gain("over_adversarial_training"), signed=True),
        change(each.gain, best.final),
        f"{'yes' if best.is_better else 'no'}, {each.decision.about}",
        p_value(best.p_value),
        p_value(None),
        count(None),
        count(None),
        p_value(None),
    ]


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
        *_over_defences(results, compared),
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


def _over_defences(results: Results, compared: Sequence[Gain]) -> list[str]:
    """What is said of the defences of mlp_ft, if any was run beside mvp."""
    best = over_the_best(results, compared)
    if best is not None:
        each, final = best.gain, best.final
        found = "better than each" if best.is_better else "not better than each"
        over = f"the best of {best.of} defences of mlp_ft ({each.second[1]})"
        found += f" of them (largest p {p_value(best.p_value).text()})"
    else:
        mains = [each for each in compared if results.is_defence(each.second) and each.gain]
        if not mains:
            return []
        each, final = mains[0], mains[0].final
        over = name_of(each.second)
        yes = each.decision.is_significant(each.adjusted)
        found = "significant" if yes else "not significant"
    assert each.gain is not None
    unfinished = "" if final else " (not final)"
    of = "" if each.seen is None else f" of {each.of}"
    return [
        f"Over {over}: {_points(each.gain.mean)}{of}{unfinished}, {_interval(each.gain)}; {found}."
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

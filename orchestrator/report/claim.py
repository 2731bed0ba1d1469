"""The paper's claim, recomputed: how much more robust MVP is, over everything that was run.

"Model-tuning Via Prompts Makes NLP Models Adversarially Robust" (EMNLP 2023): +8 points of accuracy
under attack over an MLP head, +3.5 over adversarial training, clean accuracy kept. Here each gain
is a mean over the places where both sides were run, with its interval and tests, and the report
says what was not run.
"""

from dataclasses import dataclass, replace

from orchestrator.plan.compared import MLP, MVP
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
    warnings,
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
    "Over the best: over the defence that mvp gains least over, of what mvp and all of them have: "
    "the same data sets, models, attacks, seeds and examples. Its p is the largest of those over "
    "each there, not adjusted, and 1 where mvp does not gain over each; significant: so over each "
    "(an intersection-union test, which needs no adjustment). The best is chosen by the data that "
    "it is compared on, which favours it: this gain, and the upper end of its interval, err to the "
    "low side. The abstract does not say whether its figure is over each defence or over the best "
    "of them; it stands beside the best."
)
SPLIT = (
    "Seen attacks are of the kind that the training made rows with, unseen ones are all others. "
    "Gains under unseen attacks are the main ones; those under seen attacks are adjusted among "
    "themselves."
)
SPLIT_BEST = (
    "Under attacks unseen by all: that none of these defences has seen; what mvp is worth is to be "
    "read there. Under all attacks, some defences have seen some of them; the paper's figure, of "
    "defences of which some train on the attack that they are tested under, is to be compared with "
    "that one."
)
CONTROL = (
    "Control: a training that seems robust by the scale of its scores alone; no defence, so it is "
    "not among the best, and not in the number that rows are adjusted for."
)


def reported_gain(over: str) -> float:
    """What the paper reports, a share: over_mlp_ft or over_adversarial_training."""
    return float(paper()["gains"][over]) / 100


@dataclass(frozen=True)
class Compared:
    """The claim's comparisons.

    over_standard: mvp over mlp_ft; the first is the main one. over_the_best: none, one, or that
    under unseen attacks and that under all. over_each: of each defence of mlp_ft, with p-values
    adjusted for their number. not_run: what the paper has and was not run.
    """

    results: Results
    over_standard: list[Gain]
    over_the_best: list[OverTheBest]
    over_each: list[Gain]
    over_controls: list[Gain]
    not_run: list[Gain]

    @property
    def main(self) -> Gain:
        return self.over_standard[0]

    @property
    def several(self) -> bool:
        """Whether there are defences to choose the best from."""
        return any(len(best.over_each) > 1 for best in self.over_the_best)

    @property
    def all(self) -> list[Gain]:
        return [*self.over_standard, *self.not_run, *self.over_each, *self.over_controls]


def compare(results: Results) -> Compared:
    over_mlp, over_adversarial = map(reported_gain, ("over_mlp_ft", "over_adversarial_training"))
    own: list[tuple[str, float | None]] = [
        (UNDER_ATTACK, over_mlp),
        *([(WORST, None)] if len(results.attacks) > 1 else []),
        (CLEAN, None),
    ]
    defences, controls = (
        [method for method in methods if method[0] == MLP[0]]
        for methods in (results.defences, results.controls)
    )
    published = any(map(results.is_known_defence, defences))
    adversarial = MLP[0], "adversarial"
    best = over_the_best(results, MVP, defences)
    over_each = adjusted([each for other in defences for each in split(results, MVP, other)])
    if published and not best:
        over_each[0] = replace(over_each[0], reported=over_adversarial)
    return Compared(
        results,
        [gain_of(results, MVP, MLP, *each) for each in own],
        best,
        over_each,
        [each for other in controls for each in split(results, MVP, other)],
        []
        if published or adversarial in results.methods
        else [gain_of(results, MVP, adversarial, UNDER_ATTACK, over_adversarial)],
    )


def claim(compared: Compared) -> Table:
    """The claim as a table: reported next to measured, and the basis of the measured figure."""
    results = compared.results
    with_adjusted = any(each.adjusted is not None for each in compared.over_each)
    header = ["comparison", "of", "over", "reported", "measured", "significant", "p",
              *(["p, adjusted"] if with_adjusted else []),
              "McNemar, only first", "McNemar, only second", "McNemar p"]  # fmt: skip
    gains = [*compared.not_run, *compared.over_each, *compared.over_controls]
    rows = [
        *(_row(results, each, with_adjusted) for each in compared.over_standard),
        *(_best_row(results, each, with_adjusted) for each in compared.over_the_best),
        *(_row(results, each, with_adjusted) for each in gains),
    ]
    title, above = "The claim, recomputed", warnings(results, compared.all)
    return Table("claim", title, header, rows, texts=3, notes=_notes(compared), warnings=above)


def _notes(compared: Compared) -> list[str]:
    control = [CONTROL] if compared.over_controls else []
    if not any(each.adjusted is not None for each in compared.over_each):
        *others, decided, tests = NOTES
        return [*others, f"{decided} {NOT_ADJUSTED}", tests, *control]
    seen = any(each.seen is not None for each in compared.over_each)
    return [
        *NOTES,
        OVER_EACH,
        *([OVER_THE_BEST] if compared.several else []),
        *([SPLIT] if seen else []),
        *([SPLIT_BEST] if any(best.unseen is not None for best in compared.over_the_best) else []),
        *control,
    ]


def _row(results: Results, each: Gain, with_adjusted: bool) -> list[Entry]:
    names = f"{name_of(each.first)} over {results.label_of(each.second)}"
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


def _best_row(results: Results, best: OverTheBest, with_adjusted: bool) -> list[Entry]:
    each = best.gain
    is_published = any(results.is_known_defence(one.second) for one in best.over_each)
    reported = reported_gain("over_adversarial_training")
    number = len(best.over_each)
    of = name_of(each.second)
    nothing = each.gain is None
    return [
        f"{name_of(each.first)} over "
        + (of if number == 1 else f"the best of {number} defences" + f" ({of})" * (not nothing)),
        best.of,
        "nothing that all of them have" if nothing else over_what(each),
        Figure(reported if is_published and not best.unseen else None, signed=True),
        replace(change(each.gain, best.final), seen=best.seen and not nothing),
        "–" if nothing else f"{'yes' if best.is_better else 'no'}, {each.decision.about}",
        p_value(None if nothing else best.p_value),
        *([p_value(None)] if with_adjusted else []),
        count(None),
        count(None),
        p_value(None),
    ]


def verdict(compared: Compared) -> str:
    """The main comparison in a few sentences: what was measured, and what that can tell."""
    main = compared.main
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
        *_worst(compared.over_standard[1]),
        *_over_defences(compared),
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


def _over_defences(compared: Compared) -> list[str]:
    """What is said of the defences of mlp_ft, if any was run beside mvp."""
    if compared.several:
        return [_over_the_best(best) for best in compared.over_the_best if best.gain.gain]
    mains = [each for each in compared.over_each if each.gain]
    if not mains:
        return []
    each = mains[0]
    assert each.gain is not None
    found = "significant" if each.decision.is_significant(each.adjusted) else "not significant"
    unfinished = "" if each.final else " (not final)"
    of = "" if each.seen is None else f" of {each.of}"
    return [
        f"Over {name_of(each.second)}: {_points(each.gain.mean)}{of}{unfinished}, "
        f"{_interval(each.gain)}; {found}."
    ]


def _over_the_best(best: OverTheBest) -> str:
    each = best.gain
    assert each.gain is not None
    number, training = len(best.over_each), each.second[1]
    of = ""
    if best.unseen is not None or best.seen:
        of = f" of {best.of}"
    if best.seen:
        of += f", {'all' if best.unseen is None else 'some'} of them seen in training"
    unfinished = "" if best.final else " (not final)"
    found = "better" if best.is_better else "not better"
    return (
        f"Over the best of {number} defences of mlp_ft ({training}): "
        f"{_points(each.gain.mean)}{of}{unfinished}, {_interval(each.gain)}; {found} than each of "
        f"them (largest p {p_value(best.p_value).text()}, not adjusted)."
    )


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

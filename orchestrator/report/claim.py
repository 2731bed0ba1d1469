"""The paper's claim, recomputed: how much more robust MVP is, over everything that was run.

"Model-tuning Via Prompts Makes NLP Models Adversarially Robust" (EMNLP 2023): +8 points of accuracy
under attack over an MLP head, +3.5 over adversarial training, clean accuracy kept. Here each gain
is a mean over the places where both sides were run, with its interval and tests, and the report
says what was not run.
"""

from dataclasses import dataclass

from orchestrator.plan.compared import MLP, MVP
from orchestrator.report import devices
from orchestrator.report.comparison import change, differences
from orchestrator.report.reported import paper
from orchestrator.report.results import CLEAN, UNDER_ATTACK, Method, Place, Results, name_of
from orchestrator.report.statistics import (
    Discordant,
    Estimate,
    discordant,
    estimate,
    sign_flip_p_value,
)
from orchestrator.report.tables import Entry, Figure, Table

NOTES = [
    "Gain: first minus second, in points; mean over data sets × models × attacks that both have.",
    "[ ]: 95 % interval, paired bootstrap over examples and seeds.",
    "p: exact paired test in which each example counts once. McNemar: examples only the first / "
    "only the second got right, over all pairs; its p-value assumes independent pairs.",
]


@dataclass(frozen=True)
class Gain:
    """A comparison of two methods; reported: the paper's figure, a share, where it has one."""

    first: Method
    second: Method
    outcome: str
    reported: float | None
    both: list[Place]
    one_only: list[Place]
    gain: Estimate | None
    p_value: float
    pairs: Discordant
    final: bool


def gains(results: Results) -> list[Gain]:
    """The claim's comparisons, and mvp with each other training; those that were run and the main
    ones."""
    reported = paper()["gains"]
    over_mlp, over_adversarial = (
        reported[name] / 100 for name in ("over_mlp_ft", "over_adversarial_training")
    )
    others = [m for m in results.methods if m[0] == "mlp_ft" and _is_defence(results, m)]
    own = [m for m in results.methods if m[0] == "mvp" and _is_defence(results, m)]
    compared: list[tuple[Method, Method, str, float | None]] = [
        (MVP, MLP, UNDER_ATTACK, over_mlp),
        (MVP, MLP, CLEAN, None),
        *((MVP, other, UNDER_ATTACK, over_adversarial) for other in others),
        *((method, MVP, UNDER_ATTACK, None) for method in own),
    ]
    if not others:
        compared.insert(2, (MVP, ("mlp_ft", "adversarial"), UNDER_ATTACK, over_adversarial))
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
    both = [place for place in ours if place in theirs]
    one_only = [place for place in dict.fromkeys([*ours, *theirs]) if place not in both]
    pairs = differences(results, first, second, both, outcome)
    return Gain(
        first,
        second,
        outcome,
        reported,
        both,
        one_only,
        estimate(pairs),
        sign_flip_p_value(pairs),
        discordant(pairs),
        results.is_complete(first) and results.is_complete(second),
    )


def claim(results: Results) -> Table:
    """The claim as a table: reported next to measured, and the basis of the measured figure."""
    header = ["comparison", "of", "over", "reported", "measured", "p", "McNemar", "McNemar p"]
    rows: list[list[Entry]] = []
    compared = gains(results)
    for each in compared:
        of = "accuracy under attack" if each.outcome == UNDER_ATTACK else "clean accuracy"
        names = f"{name_of(each.first)} over {name_of(each.second)}"
        reported = Figure(each.reported, signed=True)
        if each.gain is None:
            rows.append([names, of, "not run", reported, *(Figure(None) for _ in range(4))])
            continue
        rows.append(
            [
                names,
                of,
                _over(each),
                reported,
                change(each.gain, each.final),
                Figure(each.p_value, percent=False, digits=3),
                f"{each.pairs.only_first} / {each.pairs.only_second}",
                Figure(each.pairs.p_value, percent=False, digits=3),
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


def _over(each: Gain) -> str:
    """Which grid the mean is over, and how much of it only one of the two has."""
    sizes = [len({place[axis] for place in each.both}) for axis in range(3)]
    names = ("data set", "model", "attack")
    parts = [f"{size} {name}{'s' * (size != 1)}" for size, name in zip(sizes, names, strict=True)]
    text = " × ".join(parts)
    product = sizes[0] * sizes[1] * sizes[2]
    if product != len(each.both):
        text += f", {len(each.both)} of {product} combinations"
    if each.one_only:
        text += f"; {len(each.one_only)} more have only one of the two and are left out"
    return text


def verdict(results: Results) -> str:
    """The main comparison in one sentence."""
    main = gains(results)[0]
    if main.gain is None:
        return "The claim cannot be recomputed: mvp and mlp_ft were not both run anywhere."
    if not main.gain.excludes(0):
        conclusion = "the interval includes 0: no significant difference in these runs"
    elif main.gain.mean > 0:
        conclusion = "mvp is more robust here"
    else:
        conclusion = "mvp is less robust here"
    points, low, high = (
        Figure(value, signed=True).text()
        for value in (main.gain.mean, main.gain.low, main.gain.high)
    )
    reported = paper()["gains"]["over_mlp_ft"]
    unfinished = "" if main.final else " (not final)"
    return (
        f"mvp over mlp_ft: {points} points of accuracy under attack{unfinished}, 95 % "
        f"interval {low} to {high}; {conclusion}. The paper reports +{reported:.0f}."
    )

"""Where a gain comes from: mvp over mlp_ft by attack, data set and model, and at equal clean
accuracy; and how stable the ranking of all heads is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.plan.compared import MLP, MVP
from orchestrator.report.comparison import (
    RULE,
    UNSEEN,
    both_right,
    change,
    common_places,
    differences,
    level,
    levels,
)
from orchestrator.report.gain import significant
from orchestrator.report.results import Place, Results
from orchestrator.report.statistics import Decision, Values, decide, estimate, holm, ranks
from orchestrator.report.tables import Entry, Figure, Table, count, p_value

BY = ("data set", "model", "attack")  # the parts of a Place


@dataclass(frozen=True)
class Part:
    """The gain over some of the places. by: what they have in common; empty for all places.

    p_value: adjusted within `by`; None: there is nothing to compare. both_right: of the texts that
    both had right before.
    """

    by: str
    name: str
    on_all: Decision
    p_value: float | None
    both_right: Decision
    p_both_right: float | None
    pairs: int
    pairs_both_right: int
    final: bool


def parts(results: Results) -> list[Part]:
    """Everything, then each attack, data set and model where both were run; those with one value
    are left out. Empty where the two were not both run anywhere."""
    places = [p for p in results.places(MVP) if results.at(MLP, p)]
    if not places:
        return []
    found = _parts(results, "", [("all", places)])
    for axis in (2, 0, 1):
        names = dict.fromkeys(place[axis] for place in places)
        if len(names) > 1:
            chosen = [(name, [p for p in places if p[axis] == name]) for name in names]
            found += _parts(results, BY[axis], chosen)
    return found


def _parts(results: Results, by: str, chosen: Sequence[tuple[str, list[Place]]]) -> list[Part]:
    on_all = {name: differences(results, MVP, MLP, places) for name, places in chosen}
    alike = {name: both_right(results, MVP, MLP, places) for name, places in chosen}
    decided = {name: decide(pairs) for name, pairs in on_all.items()}
    decided_alike = {name: decide(pairs) for name, pairs in alike.items()}
    adjusted, adjusted_alike = _adjusted(decided), _adjusted(decided_alike)
    return [
        Part(
            by,
            name,
            decided[name],
            adjusted.get(name),
            decided_alike[name],
            adjusted_alike.get(name),
            _count(on_all[name]),
            _count(alike[name]),
            all(results.is_final(method, places) for method in (MVP, MLP)),
        )
        for name, places in chosen
    ]


def _adjusted(decided: Mapping[str, Decision]) -> dict[str, float]:
    """Of the decisions that are of something."""
    return holm({name: p for name, each in decided.items() if (p := each.p_value) is not None})


def _count(pairs: Sequence[Values]) -> int:
    return sum(int(each.there.sum()) for each in pairs)


def forest(results: Results) -> Table | None:
    """The parts as a table, if there is more than one."""
    rows: list[list[Entry]] = [
        [
            each.by or "all",
            each.name if each.by else "",
            change(each.on_all.gain, each.final),
            p_value(each.p_value),
            significant(each.on_all, each.p_value),
            count(each.pairs),
            change(each.both_right.gain, each.final),
            p_value(each.p_both_right),
            significant(each.both_right, each.p_both_right),
            count(each.pairs_both_right),
        ]
        for each in parts(results)
    ]
    if len(rows) < 2:
        return None
    header = [
        "by", "part", "gain", "p", "significant", "pairs",
        "gain, both right", "p, both right", "significant, both right", "pairs, both right",
    ]  # fmt: skip
    notes = [
        "mvp over mlp_ft, points of accuracy under attack with 95 % intervals; both right: on the "
        "texts that both classify correctly before the attack, so at equal clean accuracy. "
        "p: exact paired test, adjusted within attacks, data sets and models (Holm, 1979). "
        f"Significant: {RULE}, adjusted so."
    ]
    return Table("forest", "Where the gain comes from", header, rows, texts=2, notes=notes)


def ranking(results: Results) -> Table | None:
    """How often each head is first over all attacks, in draws of the bootstrap; None where no place
    has all heads, or there is one head."""
    places = common_places(results, results.methods)
    if not places or len(results.methods) < 2:
        return None
    outcomes = {method: levels(results, method, places) for method in results.methods}
    if any(each.is_empty for of_method in outcomes.values() for each in of_method):
        return None
    found = ranks(outcomes)
    means = {method: estimate(of_method) for method, of_method in outcomes.items()}
    unseen = results.unseen(places) if results.seen_by_any else []
    of_unseen = {method: levels(results, method, unseen) for method in results.methods}
    ranks_unseen = ranks(of_unseen) if unseen else {}
    rows: list[list[Entry]] = []
    for method in results.methods:
        rank, over = found[method], means[method]
        final, seen = results.is_final(method, places), results.has_seen(method, places)
        rows.append(
            [
                results.label_of(method),
                Figure(None if over is None else over.mean, final=final, seen=seen),
                *([level(estimate(of_unseen[method]), final)] if unseen else []),
                Figure(rank.first, final=final, seen=seen),
                *([Figure(ranks_unseen[method].first, final=final)] if unseen else []),
                count(rank.highest),
                count(rank.lowest),
            ]
        )
    header = [
        "head", "under attack", *([UNSEEN] if unseen else []),
        "first", *([f"first, {UNSEEN}"] if unseen else []), "highest rank", "lowest rank",
    ]  # fmt: skip
    homes = len({place[:2] for place in places})
    several = len({result.seed for result in results.cells}) > 1
    notes = [
        f"In %, mean of {homes} data sets × models and all attacks. First: in that share of draws "
        f"of examples{' and seeds' if several else ''} the head is the most robust; equal heads "
        "share it. Ranks: between these in 95 % of draws.",
        *(
            [f"{UNSEEN.capitalize()}: under the attacks that no row's training has seen; the ranks "
             "are over all of them."]
            if unseen
            else []
        ),
    ]  # fmt: skip
    return Table("ranking", "How stable the ranking is", header, rows, notes=notes)

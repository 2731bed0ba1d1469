"""What two heads withstand at equal clean accuracy: on the texts that both have right.

A head that has more texts right has more to lose and more to keep, so two accuracies under attack
do not compare at different clean ones. No line is fitted through the marks of a few heads: they are
no draws from anything, and it would be read beyond them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.plan.compared import MLP
from orchestrator.report.comparison import both_right
from orchestrator.report.results import Method, Place, Results
from orchestrator.report.statistics import Estimate, estimate


@dataclass(frozen=True)
class EqualClean:
    """difference: of accuracies under attack, a mean over places. texts: how many pairs of attacked
    texts it is over; a text counts once per attack and seed."""

    difference: Estimate | None
    texts: int


def base_of(methods: Sequence[Method]) -> Method:
    """What the others are compared with: mlp_ft where it is there, else the first."""
    return MLP if MLP in methods else methods[0]


def where_both_are_right(
    results: Results, method: Method, base: Method, places: Sequence[Place]
) -> EqualClean:
    """A method's accuracy under attack minus a base's, on texts that both classify correctly before
    the attack, at these places, which both have."""
    differences = both_right(results, method, base, places)
    texts = sum(int(each.there.sum()) for each in differences)
    return EqualClean(estimate(differences), texts)

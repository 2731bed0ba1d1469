"""What a planned comparison will be able to tell: for --dry-run, before compute is spent.

Of the two methods that a sweep compares first (plan/compared.py). Variances are the store's where
it has both methods, else assumed, on the side of too large.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.plan.compared import Method, Pair, method, name_of, pairs
from orchestrator.plan.plan import Plan
from orchestrator.report.comparison import differences
from orchestrator.report.from_store import read_store
from orchestrator.report.power import GAIN, least, needed
from orchestrator.report.results import Results
from orchestrator.report.statistics import Estimate, estimate
from trainables.store import Store

DIFFER = 0.35  # of pairs at one place; 28 % on the embedded grid
ALIKE_ATTACKS = 0.5  # correlation of an example's differences under two attacks; 0.25 there
ALIKE_MODELS = 0.3  # and of two models; 0.15 there
BETWEEN_FITS = 0.03  # standard deviation of fits' accuracies under attack from seed to seed


@dataclass(frozen=True)
class Power:
    """first over second; expected: the gain's variance, with a mean of 0. homes: data sets × models
    and attacks, that both will have. rows: of test sets, where they are known; small: those that
    have fewer than are asked for. early: whether attacks may end before, by attack.precision.
    measured: data sets whose variance is the store's, of `datasets`.
    seeds_measured: whether that between seeds is."""

    first: Method
    second: Method
    expected: Estimate
    datasets: int
    homes: int
    attacks: int
    rows: dict[str, int]
    small: list[str]
    early: bool = False
    measured: list[str] = field(default_factory=list)
    seeds_measured: bool = False

    def to_json(self) -> dict[str, Any]:
        """detectable: a share, with 80 % power; None: no gain is. examples_for_gain: a data set;
        None: none will."""
        detectable = self.expected.detectable
        return {
            "compared": [name_of(self.first), name_of(self.second)],
            "examples": self.expected.examples,
            "seeds": self.expected.seeds,
            "detectable": detectable if detectable is not None and detectable <= 1 else None,
            "gain": GAIN,
            "examples_for_gain": self.expected.examples_for(GAIN),
            "measured": self.measured,
            "assumed": list(self.assumed()),
        }

    def assumed(self) -> Iterator[str]:
        if len(self.measured) < self.datasets:
            yield (
                f"{DIFFER:.0%} of pairs differ, with correlations of {ALIKE_ATTACKS} between "
                f"attacks and {ALIKE_MODELS} between models"
            )
        if self.expected.seeds > 1 and not self.seeds_measured:
            yield f"fits differ by {100 * BETWEEN_FITS:.0f} points (s.d.) from seed to seed"

    def in_words(self) -> Iterator[str]:
        expected = self.expected
        most = "at most " * self.early
        seeds = f"{expected.seeds} seed{'s' * (expected.seeds != 1)}"
        yield (
            f"power: {name_of(self.first)} over {name_of(self.second)} on {self.homes} data sets × "
            f"models, {self.attacks} attack{'s' * (self.attacks != 1)}, "
            f"{most}{expected.examples:,.0f} example{'s' * (expected.examples != 1)}, {seeds}: "
            f"{least(expected)} could be told from 0 with 80 % power; {needed(expected, self.rows)}"
        )
        if few := [f"{name} {self.rows[name]:,}" for name in self.small]:
            yield f"  test sets with fewer examples than are asked for: {', '.join(few)}"
        if self.measured:
            yield f"  variances of this store: {', '.join(self.measured)}"
        if assumed := list(self.assumed()):
            yield f"  assumed: {'; '.join(assumed)}"


def power_of(plan: Plan, store: Store) -> Power | None:
    """None if no two methods are to be compared anywhere."""
    compared = pairs(plan.applicable)
    if not compared:
        return None
    second, first = (method(cell) for cell in compared[0])
    found = _measured(plan, store, compared)
    by_dataset: dict[str, list[Pair]] = defaultdict(list)
    for pair in compared:
        by_dataset[pair[0].fit.dataset].append(pair)
    places = {name: _places(own) for name, own in by_dataset.items()}
    homes = {place[:2] for own in places.values() for place in own}
    total = sum(map(len, places.values()))
    seeds = min(
        len({cell.fit.seed for cell, _ in own if _place(cell) == place})
        for name, own in by_dataset.items()
        for place in places[name]
    )
    asked = {name: min(cell.examples for cell, _ in own) for name, own in by_dataset.items()}
    data = {name: own[0][0].fit.data for name, own in by_dataset.items()}
    rows = {
        name: count
        for name in by_dataset
        if (count := plan.costs.sizes.test_rows(name, data[name])) is not None
    }
    examples = {name: min(count, rows.get(name, count)) for name, count in asked.items()}
    known = _known(found, first, second)
    of_group = {
        name: (len(places[name]) / total) ** 2
        * known.get(name, _assumed(places[name])) / examples[name]
        for name in by_dataset
    }  # fmt: skip
    of_examples, mean_examples = sum(of_group.values()), sum(examples.values()) / len(examples)
    spent = sum(own**2 / max(examples[name] - 1, 1) for name, own in of_group.items())
    between = _between_fits(found, first, second)
    of_seeds = noise = 0.0
    if seeds > 1:
        of_home, of_noise = (2 * BETWEEN_FITS**2, 0.0) if between is None else between
        noise = of_noise / (seeds * len(homes) * mean_examples)
        of_seeds = of_home / (seeds * len(homes)) + noise
        spent += of_seeds**2 / (seeds - 1)
    expected = Estimate(
        0.0, 0.0, 0.0, total, of_examples, of_seeds, noise, (of_examples + of_seeds) ** 2 / spent,
        len(by_dataset), mean_examples, seeds,
    )  # fmt: skip
    attacks = len({place[2] for own in places.values() for place in own})
    return Power(
        first, second, expected, len(by_dataset), len(homes), attacks, rows,
        [name for name, count in asked.items() if rows.get(name, count) < count],
        any(cell.precision is not None for cell, _ in compared),
        [name for name in by_dataset if name in known], between is not None,
    )  # fmt: skip


def _place(cell: Any) -> tuple[str, str, str]:
    return cell.fit.dataset, cell.fit.model, cell.attack


def _places(own: list[Pair]) -> set[tuple[str, str, str]]:
    return {_place(cell) for cell, _ in own}


def _assumed(places: set[tuple[str, str, str]]) -> float:
    """The variance of an example's mean difference over a data set's places."""
    models, attacks = (len({place[axis] for place in places}) for axis in (1, 2))
    alike = (1 + (attacks - 1) * ALIKE_ATTACKS) / attacks
    return DIFFER * alike * (1 + (models - 1) * ALIKE_MODELS) / models


def _measured(plan: Plan, store: Store, compared: list[Pair]) -> Results:
    """What the store has of the two methods: pairs of which both are done."""
    done = {cell.key for cell in plan.with_status("done")}
    wanted = {c.key for pair in compared if all(c.key in done for c in pair) for c in pair}
    return read_store(replace(plan, cells=[p for p in plan.cells if p.cell.key in wanted]), store)


def _known(found: Results, first: Method, second: Method) -> dict[str, float]:
    """Measured variance of an example's mean difference, by data set. Of fewer places than planned
    it is larger, not smaller."""
    known = {}
    for name in dict.fromkeys(place[0] for place in found.places(first)):
        over = estimate(_differences(found, first, second, name))
        if over is not None and over.of_examples > 0:
            known[name] = over.of_examples * over.examples
    return known


def _between_fits(found: Results, first: Method, second: Method) -> tuple[float, float] | None:
    """Measured variances of a home's difference between two fits: beyond that of examples, and of
    one example; None with one seed. (What examples vary from seed to seed is in the report's part
    of seeds too; assumed variances are of examples that do not, which is the most it can be.)"""
    over = estimate(_differences(found, first, second))
    if over is None or over.seeds < 2:
        return None
    homes = len({place[:2] for place in found.places(first)})
    of_home = (over.of_seeds - over.noise) * over.seeds * homes
    return of_home, over.noise * over.seeds * homes * over.examples


def _differences(found: Results, first: Method, second: Method, dataset: str | None = None) -> Any:
    places = [p for p in found.places(first) if dataset in (None, p[0])]
    return differences(found, first, second, places)

"""The statistics of a comparison: intervals by a paired bootstrap, and exact paired tests.

Two methods at the same place were attacked on the same examples, so what is compared is their
difference example by example. Knows numbers only: no cells, no tables.

Values are matrices [seeds, examples], nan where a value is missing. Places of one data set share
its examples, so one draw of examples serves them all.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import comb, gcd
from typing import TypeVar

import numpy as np

Name = TypeVar("Name", bound=Hashable)

DRAWS = 4000
SEED = 0
LEVEL = 0.95


@dataclass(frozen=True)
class Values:
    """What was seen at one place: a matrix [seeds, examples] and the names of both.

    group: places of the same group (a data set) have their examples in common.
    """

    group: Hashable
    seeds: tuple[int, ...]
    ids: tuple[int, ...]
    matrix: np.ndarray

    def minus(self, other: "Values") -> "Values":
        """The differences where both have a value."""
        seeds = tuple(seed for seed in self.seeds if seed in other.seeds)
        ids = tuple(sorted(set(self.ids) & set(other.ids)))
        return Values(self.group, seeds, ids, self._at(seeds, ids) - other._at(seeds, ids))

    def _at(self, seeds: Sequence[int], ids: Sequence[int]) -> np.ndarray:
        rows = [self.seeds.index(seed) for seed in seeds]
        column = {id: number for number, id in enumerate(self.ids)}
        return self.matrix[np.ix_(rows, [column[id] for id in ids])]


@dataclass(frozen=True)
class Estimate:
    """A mean over places, each place counting the same, with its 95 % interval."""

    mean: float
    low: float
    high: float
    places: int

    def excludes(self, value: float) -> bool:
        return value < self.low or value > self.high


def estimate(places: Sequence[Values], draws: int = DRAWS) -> Estimate | None:
    """The mean over places and its percentile bootstrap interval; None without any value.

    Examples (of a data set, for all its places together) and seeds are drawn independently of each
    other: the bootstrap of crossed factors, Owen, "The pigeonhole bootstrap" (Annals of Applied
    Statistics, 2007), which errs on the side of too wide. Data sets, models and attacks are those
    of the grid and are not drawn: the interval is about this grid. With one seed it has no part for
    what another seed would give.
    """
    places = [place for place in places if not np.isnan(place.matrix).all()]
    if not places:
        return None
    generator = np.random.default_rng(SEED)
    seeds = _Weights(generator, [seed for place in places for seed in place.seeds], draws)
    ids = {
        group: _Weights(generator, [id for p in places if p.group == group for id in p.ids], draws)
        for group in dict.fromkeys(place.group for place in places)
    }
    drawn = np.stack([_drawn_means(p, seeds.of(p.seeds), ids[p.group].of(p.ids)) for p in places])
    with np.errstate(invalid="ignore"):
        means = np.nanmean(drawn, axis=0)
    low, high = np.nanquantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    mean = float(np.mean([np.nanmean(place.matrix) for place in places]))
    return Estimate(mean, float(low), float(high), len(places))


class _Weights:
    """How often each thing is drawn, [draws, things]."""

    def __init__(self, generator: np.random.Generator, things: list[int], draws: int) -> None:
        self.column = {thing: number for number, thing in enumerate(sorted(set(things)))}
        count = len(self.column)
        self.drawn = generator.multinomial(count, np.full(count, 1 / count), draws).astype(
            np.float32
        )

    def of(self, things: Sequence[int]) -> np.ndarray:
        return self.drawn[:, [self.column[thing] for thing in things]]


def _drawn_means(place: Values, seeds: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The place's weighted mean in each draw; nan where a draw has none of its values."""
    there = ~np.isnan(place.matrix)
    values = np.where(there, place.matrix, 0).astype(np.float32)
    total = ((seeds @ values) * ids).sum(axis=1)
    weight = ((seeds @ there.astype(np.float32)) * ids).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight > 0, total / weight, np.nan)


@dataclass(frozen=True)
class Discordant:
    """McNemar's test over pairs: how many only the one got right, how many only the other."""

    only_first: int
    only_second: int

    @property
    def p_value(self) -> float:
        """Exact and two-sided: McNemar's test with the binomial distribution (McNemar, 1947)."""
        return _binomial_two_sided(self.only_first, self.only_second)


def discordant(differences: Sequence[Values]) -> Discordant:
    """Count pairs that differ. They are independent only as far as examples and fits are."""
    signs = [np.sign(each.matrix[~np.isnan(each.matrix)]) for each in differences]
    flat = np.concatenate(signs) if signs else np.zeros(0)
    return Discordant(int((flat > 0).sum()), int((flat < 0).sum()))


def sign_flip_p_value(differences: Sequence[Values]) -> float:
    """The exact two-sided p-value of the hypothesis that signs of examples' differences are chance.

    An example counts once, by the sum of its differences over seeds and places: several fits that
    fail on the same example are one piece of evidence. With one seed and place it is McNemar's
    exact test. (Fisher's sign-flip test; the distribution by convolution, so no draws.)
    """
    sums: dict[tuple[Hashable, int], float] = {}
    for each in differences:
        for id, total in zip(each.ids, np.nansum(each.matrix, axis=0), strict=True):
            sums[each.group, id] = sums.get((each.group, id), 0.0) + float(total)
    steps = [abs(round(total)) for total in sums.values() if round(total)]
    if not steps:
        return 1.0
    if set(steps) == {steps[0]}:
        positive = sum(round(total) > 0 for total in sums.values())
        return _binomial_two_sided(positive, len(steps) - positive)
    observed = abs(sum(round(total) for total in sums.values()))
    return _sign_flips_as_far(steps, observed)


def _sign_flips_as_far(steps: list[int], observed: int) -> float:
    """The chance that sums of `steps` with random signs lie as far from 0 as `observed`."""
    unit = gcd(*steps)
    reach = sum(steps) // unit
    chances = np.zeros(2 * reach + 1)
    chances[reach] = 1.0
    for step in (step // unit for step in steps):
        moved = np.zeros_like(chances)
        moved[step:] += chances[:-step] / 2
        moved[:-step] += chances[step:] / 2
        chances = moved
    sums = np.abs(np.arange(-reach, reach + 1))
    return float(min(1.0, chances[sums * unit >= observed].sum()))


def _binomial_two_sided(first: int, second: int) -> float:
    count, least = first + second, min(first, second)
    if count == 0:
        return 1.0
    tail = sum(comb(count, k) for k in range(least + 1))
    return min(1.0, 2 * tail / 2**count)


def holm(p_values: Mapping[Name, float]) -> dict[Name, float]:
    """P-values adjusted for their number (Holm, 1979)."""
    adjusted: dict[Name, float] = {}
    largest = 0.0
    ordered = sorted(p_values, key=lambda name: p_values[name])
    for rank, name in enumerate(ordered):
        largest = max(largest, min(1.0, p_values[name] * (len(ordered) - rank)))
        adjusted[name] = largest
    return adjusted

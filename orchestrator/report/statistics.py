"""The statistics of a comparison: intervals by a paired bootstrap, and exact paired tests.

Two methods at the same place were attacked on the same examples, so they are compared by their
difference on each example. Knows numbers only: no cells, no tables.

Values are matrices [seeds, examples], nan where a value is missing. Places of one data set share
its examples, so one draw of examples serves them all.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb, gcd
from typing import TypeVar

import numpy as np

Name = TypeVar("Name", bound=Hashable)

SIGNIFICANT = 0.05  # p-values below it, after Holm's adjustment
DRAWS = 4000
SEED = 0
LEVEL = 0.95


@dataclass(frozen=True)
class Values:
    """Outcomes at one place: a matrix [seeds, examples] and the names of both.

    group: places of the same group (a data set) have their examples in common.
    """

    group: Hashable
    seeds: tuple[int, ...]
    ids: tuple[int, ...]
    matrix: np.ndarray

    def minus(self, other: "Values") -> "Values":
        """The differences if both have a value."""
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
    of the grid and are not drawn: the interval is about this grid. With one seed it does not
    include the variation between seeds.
    """
    places = [place for place in places if not np.isnan(place.matrix).all()]
    if not places:
        return None
    seeds = _drawn(0, [seed for place in places for seed in place.seeds], draws)
    groups = dict.fromkeys(place.group for place in places)
    ids = {
        group: _drawn(stream, [id for p in places if p.group == group for id in p.ids], draws)
        for stream, group in enumerate(groups, start=1)
    }
    drawn = np.stack([_drawn_means(p, seeds.of(p.seeds), ids[p.group].of(p.ids)) for p in places])
    means = drawn[:, ~np.isnan(drawn).all(axis=0)]  # a draw may have none of the values
    means = np.nanmean(means, axis=0)
    low, high = np.nanquantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    mean = float(np.mean([np.nanmean(place.matrix) for place in places]))
    return Estimate(mean, float(low), float(high), len(places))


@dataclass(frozen=True)
class _Weights:
    """How often each thing is drawn, [draws, things], and which column is whose."""

    column: dict[int, int]
    drawn: np.ndarray

    def of(self, things: Sequence[int]) -> np.ndarray:
        if list(things) == list(self.column):
            return self.drawn
        return self.drawn[:, [self.column[thing] for thing in things]]


def _drawn(stream: int, things: Iterable[int], draws: int) -> _Weights:
    return _draw(stream, tuple(sorted(set(things))), draws)


@lru_cache(maxsize=8)
def _draw(stream: int, things: tuple[int, ...], draws: int) -> _Weights:
    """The same draws for the same things: a report asks for them hundreds of times."""
    count = len(things)
    generator = np.random.default_rng([SEED, stream])
    drawn = generator.multinomial(count, np.full(count, 1 / count), draws).astype(np.float32)
    return _Weights({thing: number for number, thing in enumerate(things)}, drawn)


def _drawn_means(place: Values, seeds: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The place's weighted mean in each draw; nan where a draw has none of its values."""
    there = ~np.isnan(place.matrix)
    values = np.where(there, place.matrix, 0).astype(np.float32)
    total = ((ids @ values.T) * seeds).sum(axis=1)
    weight = ((ids @ there.T.astype(np.float32)) * seeds).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight > 0, total / weight, np.nan)


@dataclass(frozen=True)
class Discordant:
    """McNemar's test over pairs: how many only the first got right, how many only the second."""

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
    """The exact two-sided p-value of the hypothesis that signs of examples' differences are random.

    An example counts once, by the sum of its differences over seeds and places: several fits that
    fail on the same example are one piece of evidence. With one seed and place it is McNemar's
    exact test. (Fisher's sign-flip test; its distribution is computed, not drawn, to 1e-12.)
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
    sizes, counts = np.unique(np.array(steps) // unit, return_counts=True)
    reach = int((sizes * counts).sum())
    length = 2 * reach + 1
    angles = 2 * np.pi * np.arange(length) / length
    # The sum's characteristic function is a product of cosines; its transform are the chances.
    transform = np.ones(length)
    for size, count in zip(sizes, counts, strict=True):
        transform *= np.cos(size * angles) ** count
    chances = np.fft.ifft(transform).real
    sums = np.abs(np.fft.fftfreq(length, 1 / length).round())
    return float(np.clip(chances[sums * unit >= observed].sum(), 0.0, 1.0))


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

"""The statistics of a comparison: one estimate with its interval, one exact test, one decision.

Two methods at the same place were attacked on the same examples, so they are compared by their
difference on each example. Knows numbers only: no cells, no tables.

Values are matrices [seeds, examples], nan where a value is missing. A mean is over the examples of
a seed, then over seeds, then over places, each of them counting the same; estimate and test weigh a
value as this mean does. Places of one data set share its examples, so one draw of examples serves
them all. Seeds are those of the whole grid.
"""

import zlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, gcd, hypot, lcm, sqrt
from typing import TypeVar

import numpy as np

Name = TypeVar("Name", bound=Hashable)

SIGNIFICANT = 0.05  # p-values below it
LEVEL = 0.95
POWER = 0.8
DRAWS = 4000
SEED = 0
_STEP = 1.2
_COUNTS = [2 * _STEP**power for power in range(90)]  # examples, to some 20 million
ROUNDING = 9  # decimals: what differs by less is equal
LONGEST = 50_000  # the farthest sum, in steps, whose exact distribution is computed


@dataclass(frozen=True)
class Values:
    """Outcomes at one place: a matrix [seeds, examples] and the names of both.

    group: places of the same group (a data set) have their examples in common.
    bounds: the least and the greatest value that there can be.
    """

    group: Hashable
    seeds: tuple[int, ...]
    ids: tuple[int, ...]
    matrix: np.ndarray
    bounds: tuple[float, float] = (0.0, 1.0)

    def minus(self, other: "Values") -> "Values":
        """The differences if both have a value."""
        seeds = tuple(seed for seed in self.seeds if seed in other.seeds)
        ids = tuple(sorted(set(self.ids) & set(other.ids)))
        bounds = self.bounds[0] - other.bounds[1], self.bounds[1] - other.bounds[0]
        return Values(self.group, seeds, ids, self.at(seeds, ids) - other.at(seeds, ids), bounds)

    def over(self, others: "Values") -> "Values":
        """The values where others, of some of these seeds and examples, have one too."""
        matrix = np.where(others.there, self.at(others.seeds, others.ids), np.nan)
        return Values(self.group, others.seeds, others.ids, matrix, self.bounds)

    def at(self, seeds: Sequence[int], ids: Sequence[int]) -> np.ndarray:
        rows = [self.seeds.index(seed) for seed in seeds]
        column = {id: number for number, id in enumerate(self.ids)}
        return self.matrix[np.ix_(rows, [column[id] for id in ids])]

    @property
    def there(self) -> np.ndarray:
        return ~np.isnan(self.matrix)

    @property
    def is_empty(self) -> bool:
        return not self.there.any()

    def weights(self) -> np.ndarray:
        """Of each value in the place's mean, [seeds, examples]; they add up to 1."""
        counts = self.there.sum(axis=1, keepdims=True)
        return self.there / np.maximum(counts, 1) / max(int((counts > 0).sum()), 1)

    def mean(self) -> float:
        return float((self.weights() * np.nan_to_num(self.matrix)).sum())


@dataclass(frozen=True)
class Estimate:
    """A mean over places with its 95 % interval, and what the interval is made of.

    of_examples, of_seeds: the parts of the mean's variance; noise: how much of of_seeds is that of
    single examples, which more examples make smaller. freedom: degrees of freedom of their sum.
    groups: data sets, with as many examples as `examples` in the mean. seeds: of each place, at
    least; with one there is no part of seeds.
    """

    mean: float
    low: float
    high: float
    places: int
    of_examples: float
    of_seeds: float
    noise: float
    freedom: float
    groups: int
    examples: float
    seeds: int

    def excludes(self, value: float) -> bool:
        return value < self.low or value > self.high

    @property
    def error(self) -> float:
        """The standard error."""
        return sqrt(self.of_examples + self.of_seeds)

    @property
    def detectable(self) -> float | None:
        """The least difference that such data tell from 0 with 80 % power; None if unknown."""
        return self.error * _both_quantiles(self.freedom) if self.error else None

    def examples_for(self, gain: float) -> int | None:
        """Examples a data set with which `gain` is told from 0 with 80 % power; None: no number is
        enough, since the variance between seeds alone is too large, or the variance is unknown."""
        if not self.of_examples:
            return None
        enough = next((n for n in _COUNTS if self._detectable_with(n) <= gain), None)
        if enough is None:
            return None
        least = enough / _STEP
        while enough - least > 0.5:
            middle = (least + enough) / 2
            if self._detectable_with(middle) <= gain:
                enough = middle
            else:
                least = middle
        return max(ceil(enough), 2)

    def _detectable_with(self, examples: float) -> float:
        """`detectable` with so many examples a data set; of one home and 3 seeds it may grow with
        them, since what seeds vary then has the larger part and few degrees of freedom."""
        fewer = self.examples / examples
        of_examples, noise = self.of_examples * fewer, self.noise * fewer
        of_seeds = self.of_seeds - self.noise + noise
        spent_on_seeds = self.of_seeds**2 / (self.seeds - 1) if self.seeds > 1 else 0.0
        spent = max(self.error**4 / self.freedom - spent_on_seeds, 0.0) * fewer**3
        if self.seeds > 1:
            spent += of_seeds**2 / (self.seeds - 1)
        total = of_examples + of_seeds
        return sqrt(total) * _both_quantiles(total**2 / spent if spent > 0 else np.inf)


def estimate(places: Sequence[Values], draws: int = DRAWS) -> Estimate | None:
    """The mean over places and its 95 % interval; None without any value.

    The interval is that of a bootstrap of examples (of a data set, for all its places together),
    whose ends are moved out from the mean by sqrt(V / V*) t / z: V* is the variance of the
    bootstrap, V the estimate without its bias for few examples, plus the variance between seeds,
    and t has the degrees of freedom of V (Satterthwaite, 1946). Examples and seeds are crossed
    factors; what single examples vary from seed to seed is in both parts, which errs on the side of
    too wide. With one seed the interval is about these fits. Data sets, models and attacks are
    those of the grid and are not drawn: it is about this grid.

    Where all values of a group are equal, the ends are what is left possible: a value that was in
    none of n examples is in fewer than 1 - 0.025^(1/n) of all (Clopper and Pearson, 1934). Its part
    is joined to that of the others as that of independent ones (MOVER, Zou and Donner, 2008); where
    all groups are so, n is the number of groups times the examples of the smallest, which bounds
    the mean of their shares whatever the others' numbers.
    """
    places = [place for place in places if not place.is_empty]
    if not places:
        return None
    mean = float(np.mean([place.mean() for place in places]))
    parts = _parts(places)
    floor, ceiling = (float(np.mean([p.bounds[end] for p in places])) for end in (0, 1))
    if parts.total > 0:
        low, high = _drawn_ends(places, mean, draws)
        moved = _quantile((1 + LEVEL) / 2, parts.freedom) / _quantile((1 + LEVEL) / 2, np.inf)
        if parts.of_examples > 0:
            moved *= sqrt(parts.total / parts.biased)
        else:
            low = high = mean
        symmetric = 0.0 if low < mean < high else _quantile(0.975, parts.freedom)
        below, above = (max(moved * abs(end - mean), symmetric * sqrt(parts.total))
                        for end in (low, high))  # fmt: skip
        for group, count in parts.alike.items():
            own = [place for place in places if place.group == group]
            to_floor, to_ceiling = (sum(abs(p.mean() - p.bounds[end]) for p in own) / len(places)
                                    for end in (0, 1))  # fmt: skip
            below = hypot(below, _unseen(count) * to_floor)
            above = hypot(above, _unseen(count) * to_ceiling)
    else:
        unseen = _unseen(parts.groups * min(parts.alike.values()))
        below, above = unseen * (mean - floor), unseen * (ceiling - mean)
    return Estimate(
        _rounded(mean),
        _rounded(max(mean - below, floor)),
        _rounded(min(mean + above, ceiling)),
        len(places),
        parts.of_examples,
        parts.of_seeds,
        parts.noise,
        parts.freedom,
        parts.groups,
        parts.examples / parts.groups,
        min(int(place.there.any(axis=1).sum()) for place in places),
    )


def _unseen(examples: int) -> float:
    """The largest share of a value that none of so many examples has."""
    return float(1 - ((1 - LEVEL) / 2) ** (1 / examples))


@dataclass(frozen=True)
class _Parts:
    """Variances of a mean. biased: of_examples as the bootstrap has it. noise: the part of of_seeds
    that single examples make. examples: of all groups. alike: groups whose examples do not differ,
    with their numbers."""

    of_examples: float
    biased: float
    of_seeds: float
    noise: float
    freedom: float
    groups: int
    examples: int
    alike: Mapping[Hashable, int]

    @property
    def total(self) -> float:
        return self.of_examples + self.of_seeds


def _parts(places: Sequence[Values]) -> _Parts:
    """Estimated from deviations: of examples from their place's mean of a seed, of seeds' means
    from their place's."""
    seeds = sorted({seed for p in places for seed in p.seeds})
    row = {seed: number for number, seed in enumerate(seeds)}
    ids = _ids(places)
    by_example = {group: np.zeros((len(seeds), len(there))) for group, there in ids.items()}
    by_seed = np.zeros(len(seeds))
    for place in places:
        rows = [row[seed] for seed in place.seeds]
        column = {id: number for number, id in enumerate(ids[place.group])}
        kept = [number for number, id in enumerate(place.ids) if id in column]
        columns = [column[place.ids[number]] for number in kept]
        weights = place.weights() * len(seeds) / len(places)
        values = np.nan_to_num(place.matrix)
        of_seed = weights.sum(axis=1)
        means = (weights * values).sum(axis=1) / np.where(of_seed > 0, of_seed, 1)
        deviations = weights * (values - means[:, None])
        by_example[place.group][np.ix_(rows, columns)] += deviations[:, kept]
        by_seed[rows] += of_seed * (means - place.mean())
    counts = {group: len(there) for group, there in ids.items()}
    # Of one example no variance is known; its deviation from its mean is 0.
    unbiased = {group: n / (n - 1) if n > 1 else 0.0 for group, n in counts.items()}
    squares = {group: float((e.mean(axis=0) ** 2).sum()) for group, e in by_example.items()}
    squares = {group: square if square > 1e-18 else 0.0 for group, square in squares.items()}
    of_group = {group: unbiased[group] * square for group, square in squares.items()}
    of_examples = sum(of_group.values())
    spent = sum(own**2 / max(counts[group] - 1, 1) for group, own in of_group.items())
    of_seeds, noise, count = 0.0, 0.0, len(seeds)
    if count > 1:
        of_seeds = float((by_seed**2).sum()) / (count * (count - 1))
        of_seeds = of_seeds if of_seeds > 1e-18 else 0.0
        rest = sum(
            unbiased[group] * float(((e - e.mean(axis=0)) ** 2).sum())
            for group, e in by_example.items()
        )
        noise = min(rest / (count * (count - 1)), of_seeds)
        spent += of_seeds**2 / (count - 1)
    total = of_examples + of_seeds
    return _Parts(
        of_examples,
        sum(squares.values()),
        of_seeds,
        noise,
        total**2 / spent if spent > 0 else 1.0,
        len(counts),
        sum(counts.values()),
        {group: counts[group] for group, square in squares.items() if not square},
    )


def _ids(places: Iterable[Values]) -> dict[Hashable, tuple[int, ...]]:
    """The examples of each group that have a value."""
    found: dict[Hashable, set[int]] = {}
    for place in places:
        there = place.there.any(axis=0)
        found.setdefault(place.group, set()).update(np.array(place.ids)[there].tolist())
    return {group: tuple(sorted(ids)) for group, ids in found.items() if ids}


def _drawn_ends(places: Sequence[Values], mean: float, draws: int) -> tuple[float, float]:
    means = drawn_means(places, _ids(places), (), draws)
    means = means[~np.isnan(means)]  # a draw may have none of the values
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return min(float(low), mean), max(float(high), mean)


def drawn_means(
    places: Sequence[Values],
    ids: Mapping[Hashable, tuple[int, ...]],
    seeds: tuple[int, ...],
    draws: int = DRAWS,
) -> np.ndarray:
    """The mean over places in each draw of the bootstrap, [draws].

    ids: the examples of each group to draw from; seeds: the same, not drawn where there are none.
    The same for all methods that are drawn together.
    """
    whole: dict[Hashable, np.ndarray] = {}
    found = []
    for place in places:
        complete = not seeds and place.ids == ids[place.group] and bool(place.there.all())
        if complete:
            own = place.matrix.mean(axis=0) / len(place.ids)
            whole[place.group] = whole.get(place.group, 0) + own
        else:
            found.append(_drawn_at(place, ids, seeds, draws))
    of_whole = len(places) - len(found)
    total, count = np.zeros(draws), np.full(draws, float(of_whole))
    for group, own in whole.items():
        total += _draw(_stream(group), ids[group], draws) @ own
    for means in found:
        total += np.nan_to_num(means)
        count += ~np.isnan(means)
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / count


def _drawn_at(
    place: Values,
    ids: Mapping[Hashable, tuple[int, ...]],
    seeds: tuple[int, ...],
    draws: int,
) -> np.ndarray:
    """One place's mean in each draw; nan where a draw has none of its values."""
    weights, there = _draw(_stream(place.group), ids[place.group], draws), place.there
    values = np.nan_to_num(place.matrix)
    if place.ids != ids[place.group]:
        column = {id: number for number, id in enumerate(ids[place.group])}
        kept = [number for number, id in enumerate(place.ids) if id in column]
        weights = weights[:, [column[place.ids[number]] for number in kept]]
        there, values = there[:, kept], values[:, kept]
    total = weights @ values.T
    count = weights @ there.astype(float).T
    times = (count > 0).astype(float)
    if seeds:
        chosen = _draw(0, seeds, draws)
        times *= chosen[:, [seeds.index(seed) for seed in place.seeds]]
    with np.errstate(invalid="ignore", divide="ignore"):
        of_seeds = np.where(count > 0, total / count, 0)
        return (of_seeds * times).sum(axis=1) / times.sum(axis=1)


def _stream(group: Hashable) -> int:
    """Of random numbers: a group's own, so that data sets are drawn independently."""
    return zlib.crc32(repr(group).encode())


@lru_cache(maxsize=8)
def _draw(stream: int, things: tuple[int, ...], draws: int) -> np.ndarray:
    """How often each thing is drawn, [draws, things]: the same for the same things, since a report
    asks for them hundreds of times."""
    count = len(things)
    generator = np.random.default_rng([SEED, stream])
    return generator.multinomial(count, np.full(count, 1 / count), draws).astype(float)


def _rounded(value: float) -> float:
    return round(value, ROUNDING) + 0.0


def _quantile(chance: float, freedom: float) -> float:
    """Of Student's t."""
    from scipy.special import ndtri, stdtrit  # Takes a third of a second to import.

    return float(ndtri(chance) if np.isinf(freedom) else stdtrit(freedom, chance))


def _both_quantiles(freedom: float) -> float:
    """How many standard errors a difference must be for a two-sided test to find it with POWER."""
    return _quantile((1 + LEVEL) / 2, freedom) + _quantile(POWER, freedom)


@dataclass(frozen=True)
class Decision:
    """Whether one method is better than another, by the one rule of verdict, bold and tables.

    gain: first minus second, with its interval. p_value: exact, of these fits. Both are None where
    there is nothing to compare. The difference is significant if the interval leaves 0 out and
    p < 0.05: the interval has a part for seeds but is approximate, the test is exact but has none.
    """

    gain: Estimate | None
    p_value: float | None

    def is_significant(self, adjusted: float | None = None) -> bool:
        """adjusted: the p-value to go by, if it is one of several."""
        p_value = self.p_value if adjusted is None else adjusted
        if self.gain is None or p_value is None:
            return False
        return self.gain.excludes(0) and p_value < SIGNIFICANT

    @property
    def is_better(self) -> bool:
        """Whether the first is significantly better."""
        return self.is_significant() and self.gain is not None and self.gain.mean > 0

    @property
    def about(self) -> str:
        """What a decision is about: with one seed these fits, with several the methods."""
        return "the method" if self.gain is not None and self.gain.seeds > 1 else "these fits"


def decide(differences: Sequence[Values], draws: int = DRAWS) -> Decision:
    """Of the differences of two methods, place by place (`Values.minus`)."""
    gain = estimate(differences, draws)
    return Decision(gain, None if gain is None else sign_flip_p_value(differences))


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
    signs = [np.sign(each.matrix[each.there]) for each in differences]
    flat = np.concatenate(signs) if signs else np.zeros(0)
    return Discordant(int((flat > 0).sum()), int((flat < 0).sum()))


def sign_flip_p_value(differences: Sequence[Values]) -> float:
    """The exact two-sided p-value of the hypothesis that signs of examples' differences are random.

    An example counts once, by its part of the mean of the differences (`estimate`): several fits
    that fail on the same example are one piece of evidence, and the p-value is about the mean that
    is shown, in its direction. With one seed and place it is McNemar's exact test. (Fisher's
    sign-flip test; its distribution is computed, not drawn, to 1e-12. Where places have so
    different numbers of examples that their weights have no small common denominator, weights are
    rounded: by at most 1/50,000 of the farthest sum.)
    """
    sums = _sums_of_examples([each for each in differences if not each.is_empty])
    steps = [total for total in sums if total]
    if not steps:
        return 1.0
    if len({abs(step) for step in steps}) == 1:
        positive = sum(step > 0 for step in steps)
        return _binomial_two_sided(positive, len(steps) - positive)
    return _sign_flips_as_far([abs(step) for step in steps], abs(sum(steps)))


def _sums_of_examples(places: Sequence[Values]) -> list[int]:
    """Each example's part of the mean over places, as a multiple of their common unit."""
    there = [place.there for place in places]
    counts = [each.sum(axis=1) for each in there]
    of_seeds = [int((count > 0).sum()) for count in counts]
    rows = [int(n) * s for count, s in zip(counts, of_seeds, strict=True) for n in count if n]
    common = lcm(*rows) if rows else 1
    sums: dict[tuple[Hashable, int], int] = {}
    for place, count, seeds in zip(places, counts, of_seeds, strict=True):
        values = np.nan_to_num(place.matrix).round().astype(int)
        for row, number in zip(values, count.tolist(), strict=True):
            for id in np.flatnonzero(row):
                key = place.group, place.ids[id]
                sums[key] = sums.get(key, 0) + int(row[id]) * (common // (number * seeds))
    unit = gcd(*sums.values()) or 1
    exact = [total // unit for total in sums.values()]
    reach = sum(map(abs, exact))
    if reach <= LONGEST:
        return exact
    return [round(total * LONGEST / reach) for total in exact]


def _sign_flips_as_far(steps: list[int], observed: int) -> float:
    """The chance that sums of `steps` with random signs lie as far from 0 as `observed`."""
    unit = gcd(*steps)
    sizes, counts = np.unique(np.array(steps) // unit, return_counts=True)
    reach = int((sizes * counts).sum())
    length = 2 * reach + 1
    # The sum's characteristic function is a product of cosines; its transform are the chances.
    angles = 2 * np.pi * np.arange(reach + 1) / length
    transform = np.ones(reach + 1)
    for size, count in zip(sizes, counts, strict=True):
        transform *= np.cos(size * angles) ** count
    chances = np.fft.irfft(transform, length)
    sums = np.abs(np.fft.fftfreq(length, 1 / length).round())
    return float(np.clip(chances[sums * unit >= observed].sum(), 0.0, 1.0))


def _binomial_two_sided(first: int, second: int) -> float:
    count, least = first + second, min(first, second)
    if count == 0:
        return 1.0
    from scipy.special import bdtr  # Takes a third of a second to import.

    return min(1.0, float(f"{2 * bdtr(least, count, 0.5):.12g}"))


def holm(p_values: Mapping[Name, float]) -> dict[Name, float]:
    """P-values adjusted for their number (Holm, 1979)."""
    adjusted: dict[Name, float] = {}
    largest = 0.0
    ordered = sorted(p_values, key=lambda name: p_values[name])
    for rank, name in enumerate(ordered):
        largest = max(largest, min(1.0, p_values[name] * (len(ordered) - rank)))
        adjusted[name] = largest
    return adjusted


@dataclass(frozen=True)
class Rank:
    """How stable a method's rank is: the share of draws in which it is first, alone or shared by
    equals, and the ranks between which 95 % of draws are."""

    first: float
    highest: int
    lowest: int


def ranks(methods: Mapping[Name, Sequence[Values]], draws: int = DRAWS) -> dict[Name, Rank]:
    """Ranks by the mean over places, in draws of examples and of seeds, the same for all methods.

    What varies between seeds counts where there are several.
    """
    if not methods:
        return {}
    every = [place for places in methods.values() for place in places if not place.is_empty]
    ids = _ids(every)
    seeds = tuple(sorted({seed for place in every for seed in place.seeds}))
    drawn = np.stack(
        [drawn_means(p, ids, seeds if len(seeds) > 1 else (), draws) for p in methods.values()]
    ).round(ROUNDING)
    drawn = drawn[:, ~np.isnan(drawn).any(axis=0)]
    first = drawn == drawn.max(axis=0)
    shares = (first / first.sum(axis=0)).mean(axis=1)
    found = {}
    for name, own, share in zip(methods, drawn, shares, strict=True):
        above = (drawn > own).sum(axis=0) + 1
        ends = np.quantile(above, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
        found[name] = Rank(float(share), int(ends[0]), int(ends[1]))
    return found

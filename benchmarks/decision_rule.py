"""How often the report's interval holds the truth, and how often its decision is a false alarm.

    python -m benchmarks.decision_rule [--runs 200] [--draws 1000] [--gain 0]

Draws outcomes of equally robust heads, or of a first one that is more robust by a gain, at numbers
of examples and seeds and with standard deviations between fits as given, and asks two rules whether
one is better. (A probit model: effects of examples, which all attacks and models of a data set
share, of fits, and noise.)

before  the percentile interval of the pigeonhole bootstrap for the verdict, the sign-flip test for
        bold, McNemar's test over all pairs
now     orchestrator/report/statistics.py: the widened interval, and that and the test together

Prints tables of shares of runs in %. A false alarm should be in at most 5 %, an interval should
hold the truth in 95 %. With one seed neither can be promised of the method, where fits differ: the
last column says what is claimed. With --gain the verdicts are power.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.stats import norm

from orchestrator.report.statistics import (
    SIGNIFICANT,
    Values,
    decide,
    discordant,
    estimate,
    holm,
)

PAIRS = [
    "data sets × models × attacks", "examples", "seeds", "sd of fits", "holds the gain, before",
    "holds the gain, now", "holds the level, before", "holds the level, now", "verdict, before",
    "verdict, now", "p < 0.05", "McNemar", "claimed of",
]  # fmt: skip
BOLDS = ["heads", "examples", "seeds", "sd of fits", "bold, before", "bold, now"]
EXAMPLES = (5, 20, 100)
SEEDS = (1, 3)
SPREADS = (0.0, 0.02, 0.04)  # standard deviations of a fit's accuracy
ROBUST = 0.4  # accuracy under attack
EXAMPLE, ATTACK = 1.0, 0.7  # standard deviations on the probit's scale; that of the noise is 1


@dataclass(frozen=True)
class Grid:
    datasets: int
    models: int
    attacks: int

    def __str__(self) -> str:
        return f"{self.datasets} × {self.models} × {self.attacks}"


GRIDS = (Grid(1, 1, 1), Grid(1, 1, 4), Grid(5, 3, 4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--gain", type=float, default=0.0, help="0.04: verdicts are then power")
    parser.add_argument("--heads", type=int, default=3, help="in a column, for bold")
    asked = parser.parse_args()
    show(PAIRS, pairs(asked.runs, asked.draws, asked.gain))
    if asked.gain:
        return
    print()
    show(BOLDS, bolds(asked.runs, asked.draws, asked.heads))


def pairs(runs: int, draws: int, gain: float) -> Iterator[list[str]]:
    """Two heads: what each rule says of their difference, and of the second one's level."""
    for grid, examples, seeds, spread in product(GRIDS, EXAMPLES, SEEDS, SPREADS):
        found = []
        generator = np.random.default_rng([examples, seeds, round(1000 * spread)])
        for _ in range(runs):
            first, second = drawn(generator, grid, examples, seeds, spread, 2, gain)
            differences = [a.minus(b) for a, b in zip(first, second, strict=True)]
            low, high = pigeonhole(differences, draws)
            decision = decide(differences, draws)
            assert decision.gain is not None
            level, level_before = estimate(second, draws), pigeonhole(second, draws)
            assert level is not None
            found.append(
                [
                    low <= gain <= high,
                    not decision.gain.excludes(gain),
                    level_before[0] <= ROBUST <= level_before[1],
                    not level.excludes(ROBUST),
                    not low <= 0 <= high,
                    decision.is_significant(),
                    decision.p_value < SIGNIFICANT,
                    discordant(differences).p_value < SIGNIFICANT,
                ]
            )
        shares = 100 * np.mean(found, axis=0)
        place = [str(grid), str(examples), str(seeds), f"{100 * spread:.0f}"]
        yield [*place, *(f"{share:.1f}" for share in shares), decision.about]


def bolds(runs: int, draws: int, heads: int) -> Iterator[list[str]]:
    """A column of equal heads at one place: is one of them set in bold?"""
    for count, examples, seeds, spread in product((2, heads), EXAMPLES[1:], SEEDS, SPREADS):
        before, now = 0, 0
        generator = np.random.default_rng([examples, seeds, round(1000 * spread), count])
        for _ in range(runs):
            columns = drawn(generator, GRIDS[0], examples, seeds, spread, count)
            leader = max(range(count), key=lambda head: columns[head][0].mean())
            others = [head for head in range(count) if head != leader]
            decisions = {
                o: decide([columns[leader][0].minus(columns[o][0])], draws) for o in others
            }
            p_values = {other: decision.p_value for other, decision in decisions.items()}
            before += max(holm(p_values).values()) < SIGNIFICANT
            now += all(decision.is_better for decision in decisions.values())
        place = [str(count), str(examples), str(seeds), f"{100 * spread:.0f}"]
        yield [*place, f"{100 * before / runs:.1f}", f"{100 * now / runs:.1f}"]


def drawn(
    generator: np.random.Generator,
    grid: Grid,
    examples: int,
    seeds: int,
    spread: float,
    heads: int,
    gain: float = 0.0,
) -> list[list[Values]]:
    """Outcomes of each head at each place; a fit's effect is common to its attacks.

    gain: of the first head.
    """
    whole = np.sqrt(1 + EXAMPLE**2 + ATTACK**2)
    # A fit's effect on the probit's scale that makes `spread` in accuracy.
    of_fits = spread * whole / norm.pdf(norm.ppf(ROBUST))
    robust = ROBUST + gain * (np.arange(heads) == 0)
    threshold = np.hypot(whole, of_fits) * norm.ppf(robust).reshape(heads, 1, 1, 1, 1, 1)
    fits = generator.normal(0, of_fits, (heads, grid.datasets, grid.models, seeds)) if spread else 0
    shape = (heads, grid.datasets, grid.models, grid.attacks, seeds, examples)
    latent = generator.normal(0, 1, shape)
    latent += generator.normal(0, EXAMPLE, (grid.datasets, 1, 1, 1, examples))
    latent += generator.normal(0, ATTACK, (grid.datasets, 1, grid.attacks, 1, examples))
    if spread:
        latent += fits[..., None, :, None]
    right = latent + threshold > 0
    places = list(product(range(grid.datasets), range(grid.models), range(grid.attacks)))
    names = tuple(range(seeds)), tuple(range(examples))
    return [[Values(place[0], *names, head[place].astype(float)) for place in places]
            for head in right]  # fmt: skip


def pigeonhole(places: list[Values], draws: int) -> tuple[float, float]:
    """The rule before: the percentile interval of examples and seeds that are drawn independently
    (Owen, 2007)."""
    generator = np.random.default_rng(0)
    seeds, examples = places[0].matrix.shape
    groups = dict.fromkeys(place.group for place in places)
    of_seeds = generator.multinomial(seeds, np.full(seeds, 1 / seeds), draws)
    of_examples = {
        group: generator.multinomial(examples, np.full(examples, 1 / examples), draws)
        for group in groups
    }
    means = np.zeros(draws)
    for group in groups:
        mean = np.mean([place.matrix for place in places if place.group == group], axis=0)
        means += ((of_examples[group] @ mean.T) * of_seeds).sum(axis=1) / (seeds * examples)
    low, high = np.quantile(means / len(groups), [0.025, 0.975])
    return float(low) - 1e-9, float(high) + 1e-9


def show(header: list[str], rows: Iterator[list[str]]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|" + " --: |" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()

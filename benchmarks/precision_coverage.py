"""How often intervals miss when checked after every example, and what stopping early saves.

    python -m benchmarks.precision_coverage [--runs 1000]

Draws the outcomes of a cell in random order and checks the interval after every example. Two
intervals for the figure over all N examples are compared: `ours` is trainables/precision.py's,
`fixed` is Clopper and Pearson's for draws without replacement (2.5 % in each tail of the
hypergeometric distribution), which is valid for one look at a number of examples fixed in advance.

The first table has the runs in which an interval ever missed the figure. The second has how many
of the N examples are attacked until the interval's half-width is at most the precision, and in
brackets the runs in which the interval misses at that point.
"""

import argparse
from collections.abc import Callable

import numpy as np
from scipy.special import gammaln

from trainables.precision import ALPHA, interval

TOTALS = (200, 1000)
ACCURACIES = (0.05, 0.2, 0.5, 0.8)
PRECISIONS = (0.02, 0.05, 0.1)
ROUNDING = 1e-9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    runs = parser.parse_args().runs
    ever, at_stop = [], []
    for total in TOTALS:
        tables = [table(total, limits) for limits in (ours, fixed)]
        for accuracy in ACCURACIES:
            rights = orders(total, accuracy, runs)
            found = [simulate(rights, ends) for ends in tables]
            place = [f"{total:,}", f"{100 * accuracy:.0f} %"]
            ever.append([*place, *(f"{100 * missed:.1f} %" for missed, _ in found)])
            stops = zip(*(stops for _, stops in found), strict=True)
            at_stop.append([*place, *(cell for precision in stops for cell in precision)])
    show(["N", "accuracy", "ours", "fixed"], ever)
    print()
    rules = [f"±{precision:g}, {rule}" for precision in PRECISIONS for rule in ("ours", "fixed")]
    show(["N", "accuracy", *rules], at_stop)


def table(total: int, limits: Callable[[int, int], np.ndarray]) -> np.ndarray:
    """Low and high for every number attacked and right, [total + 1, total + 1, 2]."""
    found = np.full((total + 1, total + 1, 2), np.nan)
    for attacked in range(1, total + 1):
        found[attacked, : attacked + 1] = limits(attacked, total)
    return found


def ours(attacked: int, total: int) -> np.ndarray:
    """Low and high for every number right, [attacked + 1, 2]."""
    return np.array([interval(right, attacked, total) for right in range(attacked + 1)])


def fixed(attacked: int, total: int) -> np.ndarray:
    """The same of Clopper and Pearson's interval: what neither tail rules out."""
    number, right = np.arange(total + 1), np.arange(attacked + 1)[:, None]
    chance = np.exp(
        log_choose(number, right)
        + log_choose(total - number, attacked - right)
        - log_choose(np.array(total), np.array(attacked))
    )
    as_many = chance[::-1].cumsum(axis=0)[::-1] > ALPHA / 2
    as_few = chance.cumsum(axis=0) > ALPHA / 2
    kept = as_many & as_few
    return np.stack([kept.argmax(axis=1), total - kept[:, ::-1].argmax(axis=1)], axis=1) / total


def log_choose(of: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    log = gammaln(np.arange(of.max() + 2) + 1.0)
    possible = (chosen >= 0) & (chosen <= of)
    within = np.where(possible, chosen, 0)
    return np.where(possible, log[of] - log[within] - log[of - within], -np.inf)


def orders(total: int, accuracy: float, runs: int) -> np.ndarray:
    """How many are right of the first 1, 2, ... attacked, [runs, total]."""
    generator = np.random.default_rng(0)
    right = np.arange(total) < round(accuracy * total)
    return np.stack([np.cumsum(generator.permutation(right)) for _ in range(runs)])


def simulate(rights: np.ndarray, ends: np.ndarray) -> tuple[float, list[str]]:
    """The share of runs that ever missed, and for each precision where they stop and miss there."""
    runs, total = rights.shape
    figure = rights[0, -1] / total
    low, high = np.moveaxis(ends[np.arange(1, total + 1), rights], -1, 0)
    missed = (figure < low - ROUNDING) | (figure > high + ROUNDING)
    stops = []
    for precision in PRECISIONS:
        stop = ((high - low) / 2 <= precision + ROUNDING).argmax(axis=1)
        there = missed[np.arange(runs), stop]
        stops.append(f"{np.mean(stop + 1):.0f} ({100 * there.mean():.1f} %)")
    return float(missed.any(axis=1).mean()), stops


def show(header: list[str], rows: list[list[str]]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|" + " --: |" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()

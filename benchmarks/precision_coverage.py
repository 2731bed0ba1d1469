"""How often intervals miss, when one looks after every example; and what stopping early saves.

    python benchmarks/precision_coverage.py [--runs 1000]

Draws the outcomes of a cell in a random order, looks after every example, and counts the runs in
which the interval ever missed the figure over all N examples: `ours` is trainables/precision.py's,
`fixed` is the Clopper-Pearson interval, which holds for one look only. `stop` is how many of the N
examples are attacked until the interval's half width is at most the precision.
"""

import argparse

import numpy as np
from scipy.stats import beta

from trainables.precision import interval

PRECISIONS = (0.02, 0.05, 0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    runs = parser.parse_args().runs
    stops = " | ".join(f"stop at ±{precision:g}" for precision in PRECISIONS)
    print(f"| N | accuracy | ours misses | fixed misses | {stops} |")
    print("| --: |" + " --: |" * (3 + len(PRECISIONS)))
    for total in (200, 1000):
        tables = ours(total), fixed(total)
        for accuracy in (0.05, 0.2, 0.5, 0.8):
            print(row(total, accuracy, runs, *tables))


def ours(total: int) -> np.ndarray:
    """Low and high for every number attacked and right, [total + 1, total + 1, 2]."""
    found = np.full((total + 1, total + 1, 2), np.nan)
    for attacked in range(1, total + 1):
        for right in range(attacked + 1):
            found[attacked, right] = interval(right, attacked, total)
    return found


def fixed(total: int) -> np.ndarray:
    """The same for the Clopper-Pearson interval."""
    attacked, right = np.meshgrid(np.arange(total + 1), np.arange(total + 1), indexing="ij")
    wrong = attacked - right
    low = np.where(right > 0, beta.ppf(0.025, right, wrong + 1), 0)
    high = np.where(wrong > 0, beta.ppf(0.975, right + 1, wrong), 1)
    return np.stack([low, high], axis=-1)


def row(total: int, accuracy: float, runs: int, ours: np.ndarray, fixed: np.ndarray) -> str:
    generator = np.random.default_rng(0)
    right_ones = round(accuracy * total)
    figure = right_ones / total
    attacked = np.arange(1, total + 1)
    missed = np.zeros(2)
    stops = np.zeros((runs, len(PRECISIONS)))
    for run in range(runs):
        right = np.cumsum(generator.permutation(np.arange(total) < right_ones))
        for number, table in enumerate((ours, fixed)):
            low, high = table[attacked, right].T
            missed[number] += np.any((figure < low - 1e-9) | (figure > high + 1e-9))
        half = np.diff(ours[attacked, right]).ravel() / 2
        stops[run] = [attacked[half <= precision][0] for precision in PRECISIONS]
    shares = " | ".join(f"{100 * share:.1f} %" for share in missed / runs)
    means = " | ".join(f"{mean:.0f}" for mean in stops.mean(axis=0))
    return f"| {total} | {100 * accuracy:.0f} % | {shares} | {means} |"


if __name__ == "__main__":
    main()

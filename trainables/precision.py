"""When a cell may stop attacking: its accuracy under attack is known well enough.

What is estimated is the figure that attacking all N examples of the sample would give. They are
attacked in a random order, so what is seen so far is a draw without replacement, and the interval
is that of Waudby-Smith and Ramdas, "Confidence Sequences for Sampling Without Replacement"
(NeurIPS 2020): the numbers k of right examples, of N, that the prior-posterior ratio does not rule
out, under a uniform prior. It holds at all times at once: with a chance of 95 % it never misses the
figure, however often one looks, so one may stop whenever one likes what one sees.
benchmarks/precision_coverage.py shows it, and what looking often does to an ordinary interval.

Knows numbers only: no models, no attacks.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from trainables.data import SPLIT_SEED, Example

ALPHA = 0.05


def interval(right: int, attacked: int, total: int) -> tuple[float, float]:
    """The 95 % interval of the share that is right of all `total`, given `attacked` of them.

    A function of the counts alone: it is not intersected with earlier ones, so it is never empty.
    """
    if total == 0:
        return 0.0, 1.0
    left = total - attacked
    more = np.arange(left + 1)  # how many of those not attacked yet may be right
    log = _log_factorials(total + 1)
    wrong = attacked - right
    posterior = (  # beta-binomial: left trials after `right` successes and `wrong` failures
        log[left] - log[more] - log[left - more]
        + log[right + more] + log[wrong + left - more] - log[total + 1]
        - log[right] - log[wrong] + log[attacked + 1]
    )  # fmt: skip
    prior = -np.log(total + 1)
    kept = more[posterior > np.log(ALPHA) + prior]
    return (right + int(kept[0])) / total, (right + int(kept[-1])) / total


def in_random_order(sample: Sequence[Example]) -> list[Example]:
    """The sample in the same random order for every model, head, attack and seed."""
    order = list(sample)
    random.Random(SPLIT_SEED).shuffle(order)
    return order


def until_narrow(
    order: Sequence[Example], finished: Mapping[int, Mapping[str, Any]], precision: float | None
) -> Iterator[Example]:
    """Examples one by one, up to where the interval's half width is at most `precision`.

    finished: records by id, which are to be there when the example after is asked for. Whatever
    else lies in it changes nothing. Errors are in no figure: they make the total smaller.
    """
    right = attacked = errors = 0
    for example in order:
        yield example
        status = finished.get(example.id, {}).get("status")
        errors += status == "error"
        attacked += status in ("failed", "successful", "skipped")
        right += status == "failed"
        if precision is not None:
            low, high = interval(right, attacked, len(order) - errors)
            if (high - low) / 2 <= precision:
                return


@cache
def _log_factorials(largest: int) -> np.ndarray:
    """log(n!) for n from 0 to `largest`."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, largest + 1)))])

"""When a cell may stop attacking: its accuracy under attack is known well enough.

The estimated quantity is the accuracy under attack over all N examples of the sample. They are
attacked in random order, so those seen so far are a draw without replacement. The interval is
the prior-posterior-ratio confidence sequence of Waudby-Smith and Ramdas, "Confidence Sequences for
Sampling Without Replacement" (NeurIPS 2020), under a uniform prior: all numbers k of correct
examples among the N that the ratio does not rule out. It is valid at all times at once: with a
probability of at least 95 % it never misses the true value, however often it is checked, so the
attack may stop at any time. benchmarks/precision_coverage.py shows this, and what repeated checks
do to an ordinary interval.

An example that ended in an error counts in no metric and is not among the N. Errors still to come
count as examples until they come, which makes the interval slightly too wide.

Knows numbers only: no models, no attacks.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache

import numpy as np

from trainables.data import SPLIT_SEED, Example
from trainables.records import ExampleRecord

ALPHA = 0.05
# Far above rounding errors, far below what matters: ties are decided the same way on any machine.
TINY = 1e-7


def interval(right: int, attacked: int, total: int) -> tuple[float, float]:
    """The 95 % interval of the share of all `total` that is right, given `attacked` of them.

    A function of the counts alone: it is not intersected with earlier ones, so it is never empty.
    """
    if total == 0:
        return 0.0, 1.0
    least, most = _right_of_all(right, attacked, total)
    return least / total, most / total


def is_narrow(right: int, attacked: int, total: int, precision: float) -> bool:
    """Whether the interval's half width is at most `precision`, a share."""
    if total == 0:
        return False
    least, most = _right_of_all(right, attacked, total)
    return most - least <= 2 * precision * total + TINY


def in_random_order(sample: Sequence[Example]) -> list[Example]:
    """The sample in the same random order for every model, head, attack and seed."""
    order = list(sample)
    random.Random(SPLIT_SEED).shuffle(order)
    return order


def until_narrow(
    order: Sequence[Example], finished: Mapping[int, ExampleRecord], precision: float | None
) -> Iterator[Example]:
    """Examples one by one, up to where the interval's half width is at most `precision`.

    finished: records by id, which must have an example's before the next one is requested; others
    have no effect. Without a precision all examples.
    """
    right = attacked = errors = 0
    for example in order:
        yield example
        if precision is None:
            continue
        status = finished[example.id]["status"] if example.id in finished else None
        errors += status == "error"
        attacked += status in ("failed", "successful", "skipped")
        right += status == "failed"
        if is_narrow(right, attacked, len(order) - errors, precision):
            return


def released(
    order: Sequence[Example], finished: Mapping[int, ExampleRecord], precision: float | None
) -> Iterator[Example | None]:
    """Examples that `until_narrow` needs whatever the outcomes of those before them; None where
    the next one may not be needed, as far as `finished` tells by now.

    So several can be attacked at once, and hardly one is attacked in vain: where others end in
    errors, or where a mixed outcome is the narrowest by a rounding.
    """
    if precision is None:
        yield from order
        return
    given = known = right = attacked = errors = 0
    while True:
        while known < given and order[known].id in finished:
            status = finished[order[known].id]["status"]
            known += 1
            errors += status == "error"
            attacked += status in ("failed", "successful", "skipped")
            right += status == "failed"
            if is_narrow(right, attacked, len(order) - errors, precision):
                return
        if given == len(order):
            return
        if _may_be_narrow(right, attacked, given - known, len(order) - errors, precision):
            yield None
        else:
            yield order[given]
            given += 1


@lru_cache(2**10)
def _may_be_narrow(right: int, attacked: int, more: int, total: int, precision: float) -> bool:
    """Whether the interval may be narrow after one of so many more examples: it is narrowest where
    all of them are right, or all wrong."""
    return any(
        is_narrow(right + each, attacked + count, total, precision)
        for count in range(1, more + 1)
        for each in (0, count)
    )


def _right_of_all(right: int, attacked: int, total: int) -> tuple[int, int]:
    """The least and the most that may be right of all `total`.

    The prior-posterior ratio is 1 / ((attacked + 1) × the hypergeometric probability of what was
    seen), and a number is ruled out where that exceeds 1 / ALPHA. The probability is unimodal, so
    the remaining numbers have no gaps, and the most likely one is never ruled out.
    """
    number = np.arange(right, total - (attacked - right) + 1)
    log_chance = (
        _log_choose(number, right)
        + _log_choose(total - number, attacked - right)
        - _log_choose(np.array([total]), attacked)
    )
    kept = number[log_chance >= math.log(ALPHA / (attacked + 1)) - TINY]
    return int(kept[0]), int(kept[-1])


def _log_choose(of: np.ndarray, chosen: int) -> np.ndarray:
    log = _log_factorials(1 << int(of.max()).bit_length())
    return log[of] - log[chosen] - log[of - chosen]


@cache
def _log_factorials(largest: int) -> np.ndarray:
    """log(n!) for n from 0 to `largest`."""
    return np.array([math.lgamma(n + 1) for n in range(largest + 1)])

"""The statistics of the report against brute force and simulation."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from orchestrator.report.statistics import (
    Values,
    discordant,
    estimate,
    holm,
    sign_flip_p_value,
)


def place(matrix: list[list[float]] | np.ndarray, group: str = "sst2") -> Values:
    rows = np.array(matrix, dtype=float)
    return Values(group, tuple(range(len(rows))), tuple(range(rows.shape[1])), rows)


def brute_force(sums: list[int]) -> float:
    observed = abs(sum(sums))
    flips = [sum(s * d for s, d in zip(signs, sums, strict=True))
             for signs in product((-1, 1), repeat=len(sums))]  # fmt: skip
    return sum(abs(total) >= observed for total in flips) / len(flips)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=10))
def test_the_sign_flip_test_is_exact(sums: list[int]) -> None:
    """Three seeds whose differences add up to each of `sums`."""
    matrix = [[np.sign(s) * (abs(s) > seed) for s in sums] for seed in range(3)]
    assert sign_flip_p_value([place(matrix)]) == pytest.approx(brute_force(sums))


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_with_one_seed_and_place_it_is_mcnemars_exact_test(
    first: int, second: int, same: int
) -> None:
    differences = [place([[1.0] * first + [-1.0] * second + [0.0] * (same + 1)])]
    expected = binomtest(first, first + second).pvalue if first + second else 1.0
    assert sign_flip_p_value(differences) == pytest.approx(expected)
    assert discordant(differences).p_value == pytest.approx(expected)


def test_fits_that_fail_on_the_same_example_are_one_piece_of_evidence() -> None:
    one = sign_flip_p_value([place([[1.0, 1.0, 1.0, 0.0]])])
    three_attacks = sign_flip_p_value([place([[1.0, 1.0, 1.0, 0.0]]) for _ in range(3)])
    assert three_attacks == one == 0.25


def test_differences_are_taken_where_both_have_a_value() -> None:
    first = Values("sst2", (0, 1), (1, 2, 3), np.array([[1, 1, np.nan], [0, 1, 1]]))
    second = Values("sst2", (1, 2), (2, 3, 4), np.array([[0, 1, 1], [1, 1, 1]]))
    difference = first.minus(second)
    assert (difference.seeds, difference.ids) == ((1,), (2, 3))
    assert difference.matrix.tolist() == [[1, 0]]


def test_a_mean_over_places_weighs_each_the_same() -> None:
    found = estimate([place([[1.0] * 10]), place([[0.0, 0.0]], "boolq")])
    assert found is not None and found.mean == 0.5 and found.places == 2
    assert found.low == found.high == 0.5


def test_there_is_no_estimate_of_nothing() -> None:
    assert estimate([]) is None
    assert estimate([place([[np.nan, np.nan]])]) is None


def test_the_interval_is_the_same_each_time() -> None:
    values = [place(np.random.default_rng(1).integers(0, 2, (3, 50)))]
    assert estimate(values) == estimate(values)


def test_examples_that_places_share_are_drawn_together() -> None:
    """Two attacks with the same outcomes are no more evidence than one."""
    outcomes = np.random.default_rng(2).integers(0, 2, (1, 100))
    one, two = estimate([place(outcomes)]), estimate([place(outcomes), place(outcomes)])
    assert one is not None and two is not None
    assert two.high - two.low == pytest.approx(one.high - one.low, rel=0.05)
    apart = estimate([place(outcomes), place(outcomes, "boolq")])
    assert apart is not None and apart.high - apart.low < 0.85 * (one.high - one.low)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Paired differences over 200 examples and 4 seeds, with effects of both: 95 % or more."""
    generator = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        examples = generator.normal(0, 0.5, (1, 200))
        seeds = generator.normal(0, 0.02, (4, 1))
        chances = np.clip(0.5 + examples + seeds, 0, 1)
        found = estimate([place(generator.random((4, 200)) < chances)], draws=500)
        assert found is not None
        held += not found.excludes(0.5)
    assert held >= 184  # 0.92 of 200: four standard errors below 95 % would be 0.888


@settings(max_examples=50)
@given(st.dictionaries(st.integers(), st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_makes_a_p_value_smaller_and_keeps_their_order(p: dict[int, float]) -> None:
    adjusted = holm(p)
    assert all(adjusted[name] >= p[name] for name in p)
    assert adjusted[min(p, key=lambda n: p[n])] == min(1.0, min(p.values()) * len(p))
    ordered = sorted(p, key=lambda name: p[name])
    assert [adjusted[name] for name in ordered] == sorted(adjusted.values())

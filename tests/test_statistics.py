"""The statistics of the report against brute force and simulation."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from orchestrator.report.statistics import (
    Values,
    decide,
    discordant,
    estimate,
    holm,
    ranks,
    sign_flip_p_value,
)

DIFFERENCE = (-1.0, 1.0)


def place(
    matrix: list[list[float]] | np.ndarray,
    group: str = "sst2",
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Values:
    rows = np.array(matrix, dtype=float)
    return Values(group, tuple(range(len(rows))), tuple(range(rows.shape[1])), rows, bounds)


def differ(*rows: list[float], group: str = "sst2") -> Values:
    return place(list(rows), group, DIFFERENCE)


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


def test_each_seed_counts_the_same_however_many_examples_it_has() -> None:
    """20 % of 300 and 60 % of 60 are 40 %, in estimate and test alike."""
    first = [1.0] * 60 + [0.0] * 240
    second = [1.0] * 36 + [0.0] * 24 + [np.nan] * 240
    found = estimate([place([first, second])])
    assert found is not None and found.mean == pytest.approx(0.4)


def test_gain_and_p_value_weigh_alike_and_have_one_direction() -> None:
    """Many examples slightly for the second, few of another data set clearly for the first: the
    sum over examples is -34, the gain +2.9 points, and the evidence is for neither."""
    many = differ([-1.0] * 70 + [1.0] * 20 + [0.0] * 458)
    few = differ([1.0] * 27 + [0.0] * 153, group="mrpc")
    decision = decide([many, few])
    assert decision.gain is not None and decision.gain.mean == pytest.approx(0.0294, abs=1e-3)
    assert not decision.is_significant() and decision.p_value > 0.01
    alone = [differ([1.0] * 40 + [-1.0] * 10 + [0.0] * 30), differ([0.0] * 80, group="mrpc")]
    assert decide(alone).is_better


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(2, 6), st.data())
def test_the_test_is_exact_with_unequal_numbers_of_examples(
    first: int, second: int, data: st.DataObject
) -> None:
    values = st.integers(-1, 1)
    rows = [data.draw(st.lists(values, min_size=n, max_size=n)) for n in (first, second)]
    places = [differ([float(v) for v in row], group=str(n)) for n, row in enumerate(rows)]
    sums = [v * second for v in rows[0]] + [v * first for v in rows[1]]
    assert sign_flip_p_value(places) == pytest.approx(brute_force(sums))


def test_weights_without_a_small_common_denominator_are_still_a_valid_test() -> None:
    generator = np.random.default_rng(5)
    alarms = 0
    for _ in range(60):
        places = [
            differ(generator.integers(-1, 2, count).astype(float).tolist(), group=str(count))
            for count in (23, 29, 31, 37)
        ]
        alarms += sign_flip_p_value(places) < 0.05
    assert alarms <= 8


# Decisions


def test_few_examples_widen_the_interval() -> None:
    """3 of 5 pairs for the first alone: a percentile interval would leave 0 out."""
    found = estimate([differ([1.0, 1.0, 1.0, 0.0, 0.0])])
    assert found is not None and found.low < 0 < found.high == 1.0
    assert not decide([differ([1.0, 1.0, 1.0, 0.0, 0.0])]).is_significant()


def test_what_all_examples_have_in_common_is_not_certain() -> None:
    """5 of 5 right: Clopper and Pearson's lower end is 0.025 ** (1 / 5)."""
    found = estimate([place([[1.0] * 5])])
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(0.025**0.2, abs=1e-8), 1.0)
    none = estimate([differ([0.0] * 5)])
    assert none is not None and none.low == -none.high < 0


def test_a_small_data_set_is_as_uncertain_as_it_is_beside_a_large_one() -> None:
    """200 of 200 and 5 of 5: if the small one's share were 0.025 ** (1 / 5), one run in forty would
    be so. Beside a data set that varies, 8 of 8 leave as much possible."""
    alike = estimate([place([[1.0] * 200]), place([[1.0] * 5], "boolq")])
    assert alike is not None and alike.low <= (1 + 0.025**0.2) / 2
    beside = estimate([place([[1.0] * 196 + [0.0] * 4]), place([[1.0] * 8], "boolq")])
    assert beside is not None and beside.low <= (0.98 + 0.025 ** (1 / 8)) / 2
    assert beside.high == pytest.approx(0.998, abs=3e-3)


@pytest.mark.parametrize("small", [0.6, 0.98])
def test_intervals_hold_the_truth_with_unequal_numbers_of_examples(small: float) -> None:
    """200 examples of 98 % and 8 of another share: 200 runs, 95 % less two and a half standard
    errors."""
    generator, held = np.random.default_rng(6), 0
    for _ in range(200):
        found = estimate(
            [
                place((generator.random((1, 200)) < 0.98).astype(float)),
                place((generator.random((1, 8)) < small).astype(float), "boolq"),
            ],
            draws=500,
        )
        assert found is not None
        held += not found.excludes((0.98 + small) / 2)
    assert held >= 182


def test_rounding_noise_is_no_difference() -> None:
    """+0.1, +0.2 and -0.3 add up to 5e-17; an interval from there up would leave 0 out."""
    rows = [[1.0] * 1 + [0.0] * 9, [1.0] * 2 + [0.0] * 8, [-1.0] * 3 + [0.0] * 7]
    assert sum(np.mean(row) for row in rows) != 0.0
    found = estimate([differ(row, group=str(n)) for n, row in enumerate(rows)])
    assert found is not None and found.mean == 0.0
    for end in (found.low, found.high):
        assert end == round(end, 9)
    always = [differ([1.0, -1.0], [-1.0, 1.0])]
    same = estimate(always)
    assert same is not None and not same.excludes(0) and same.mean == 0.0


def test_seeds_that_disagree_decide_nothing_about_the_method() -> None:
    """Three fits at +20, +1 and −3 points: as these fits significant, of the method not."""
    rows = [[1.0] * n + [0.0] * (200 - n) for n in (40, 2, 0)]
    rows[2] = [-1.0] * 6 + [0.0] * 194
    decision = decide([differ(*rows)])
    assert decision.p_value < 0.001 and decision.gain is not None
    assert decision.about == "the method" and not decision.is_significant()
    assert decide([differ(rows[0])]).about == "these fits"
    assert decide([differ(rows[0])]).is_better


def test_equal_heads_are_found_unequal_in_5_percent_at_most() -> None:
    """At 5 examples of one data set under 4 attacks, where the percentile interval alone errs in
    16 %; and with 3 seeds whose fits vary by 4 points, where the test alone errs in 28 %."""
    generator = np.random.default_rng(7)
    for examples, seeds, spread in ((5, 1, 0.0), (60, 3, 0.04)):
        alarms = 0
        for _ in range(200):
            hard = generator.normal(0, 0.25, (4, 1, examples)) + generator.normal(0, 0.2, examples)
            chances = [np.clip(0.4 + hard + generator.normal(0, spread, (seeds, 1)), 0, 1)
                       for _ in range(2)]  # fmt: skip
            a, b = ((generator.random(chance.shape) < chance).astype(float) for chance in chances)
            alarms += decide([differ(*row) for row in (a - b).tolist()]).is_significant()
        assert alarms <= 18, (examples, seeds)  # 5 % of 200 and two and a half standard errors


def test_what_could_be_told_is_what_the_interval_says() -> None:
    """Of 400 pairs 30 % differ: a standard error of sqrt(0.3 / 400); four times the examples for
    half the gain."""
    found = estimate([differ([1.0] * 60 + [-1.0] * 60 + [0.0] * 280)])
    assert found is not None and found.detectable is not None
    assert found.detectable == pytest.approx(2.8 * np.sqrt(0.3 / 400), rel=0.02)
    needed = found.examples_for(0.04)
    assert needed == pytest.approx(0.3 * (2.8016 / 0.04) ** 2, rel=0.02)
    assert found.examples_for(0.02) == pytest.approx(4 * needed, rel=0.002)


def test_the_examples_needed_are_those_with_which_the_gain_is_told() -> None:
    """Also with 3 seeds, whose part has two degrees of freedom."""
    generator = np.random.default_rng(12)
    rows = (generator.random((3, 300)) < 0.2) * generator.choice([-1.0, 1.0], (3, 300))
    found = estimate([place(rows, bounds=DIFFERENCE)])
    assert found is not None and found.detectable is not None
    assert found.examples_for(found.detectable) == pytest.approx(300, abs=1)


def test_no_number_of_examples_makes_up_for_fits_that_differ() -> None:
    rows = [[1.0] * n + [0.0] * (100 - n) for n in (40, 10, 0)]
    found = estimate([differ(*rows)])
    assert found is not None and found.examples_for(0.04) is None
    assert found.seeds == 3


def test_ranks_in_the_bootstrap() -> None:
    """One head is right where another is and on half the rest; two equal ones share a rank."""
    generator = np.random.default_rng(8)
    worse = (generator.random((1, 40)) < 0.3).astype(float)
    better = np.maximum(worse, generator.random((1, 40)) < 0.5)
    found = ranks({"worse": [place(worse)], "better": [place(better)], "same": [place(better)]})
    assert found["better"] == found["same"] and found["better"].first == pytest.approx(0.5)
    assert (found["worse"].first, found["worse"].lowest) == (0.0, 3)
    assert (found["better"].highest, found["better"].lowest) == (1, 1)


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

"""Closed forms, and that 95 of 100 intervals contain what they should."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from elsewhere import elsewhere
from hypothesis import given
from hypothesis import strategies as st

from course_utils import intervals
from course_utils.intervals import Interval


def test_over_seeds_of_one_worked_example():
    # mean 3, deviation sqrt(2.5), t of 4 degrees of freedom 2.7764
    half = 2.7764451 * math.sqrt(2.5 / 5)
    found = intervals.over_seeds([1, 2, 3, 4, 5])
    assert (found.value, found.low, found.high) == pytest.approx((3, 3 - half, 3 + half))
    another = intervals.next_seed([1, 2, 3, 4, 5])
    assert another.high - 3 == pytest.approx(half * math.sqrt(6))


def test_seeds_that_agree_leave_no_doubt():
    assert intervals.over_seeds([7, 7, 7]) == Interval(7, 7, 7)
    assert intervals.over_seeds_and_images([[2, 2], [2, 2]]) == Interval(2, 2, 2)


@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        (lambda g: intervals.over_seeds(g.normal(5, 2, 10)), 5),
        (lambda g: intervals.next_seed(g.normal(5, 2, 10)), None),
        (lambda g: intervals.ratio(*g.normal([[6], [3]], 0.5, (2, 40))), 2),
        (
            lambda g: intervals.over_seeds_and_images(
                4 + g.normal(0, 1, (10, 1)) + g.normal(0, 3, 200) + g.normal(0, 2, (10, 200))
            ),
            4,
        ),
        (
            lambda g: intervals.over_seeds_and_images(
                4 + g.normal(0, 0.1, (5, 1)) + g.normal(0, 3, 200)
            ),
            4,
        ),
        (lambda g: intervals.proportion(int(g.binomial(256, 0.03)), 256), 3),
    ],
    ids=["seeds", "next seed", "ratio", "seeds and images", "images mostly", "proportion"],
)
def test_ninety_five_of_a_hundred_contain_the_truth(draw, truth):
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        found = draw(generator)
        hits += found.low <= (generator.normal(5, 2) if truth is None else truth) <= found.high
    assert 1865 <= hits <= 1955, hits


def test_seeds_and_images_count_both():
    """Ten seeds that differ and many images: images alone would give a far narrower interval."""
    generator = np.random.default_rng(1)
    matrix = generator.normal(0, 1, (10, 1)) + generator.normal(0, 1, (10, 1000))
    both = intervals.over_seeds_and_images(matrix)
    seeds = intervals.over_seeds(matrix.mean(1))
    assert both.high - both.low == pytest.approx(seeds.high - seeds.low, rel=0.05)
    assert both.value == pytest.approx(seeds.value)


def wilson_by_quadratic(errors: int, n: int) -> tuple[float, float]:
    """The p with (rate - p)^2 = z^2 p (1 - p) / n."""
    z, rate = scipy.stats.norm.ppf(0.975), errors / n
    a, b, c = 1 + z * z / n, -(2 * rate + z * z / n), rate * rate
    root = math.sqrt(max(0.0, b * b - 4 * a * c))
    return 100 * (-b - root) / (2 * a), 100 * (-b + root) / (2 * a)


@given(st.integers(1, 70_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_ends_solve_the_quadratic(pair):
    found = intervals.proportion(*pair)
    assert (found.low, found.high) == pytest.approx(wilson_by_quadratic(*pair), abs=1e-5)
    assert found.value == pytest.approx(100 * pair[0] / pair[1])


def test_wilson_of_one_worked_example():
    # 10 of 100: (.1 + 1.9208 / 100 -+ 1.96 sqrt(.09 / 100 + .9604 / 100^2)) / (1 + 3.8416 / 100)
    found = intervals.proportion(10, 100)
    assert (found.low, found.high) == pytest.approx((5.5229, 17.4368), abs=1e-3)
    assert intervals.proportion(0, 300).low == 0 and intervals.proportion(300, 300).high == 100


def test_agree_is_about_the_difference():
    ours = Interval(10, 8, 13)
    assert intervals.agree(ours, Interval(5, 4, 10)) and intervals.agree(ours, ours)  # 5 < |2, 5|
    assert not intervals.agree(ours, Interval(5, 4, 9))  # 5 > sqrt(2^2 + 4^2)
    assert not intervals.agree(ours, Interval(15, 13, 20))
    assert intervals.agree(ours, Interval(15, 10.9, 20))


def test_rank_correlation_tries_every_order_of_a_few():
    found = intervals.rank_correlation([1, 2, 3, 4], [10, 20, 30, 40])
    assert found["correlation"] == pytest.approx(1) and found["p"] == pytest.approx(2 / 24)
    assert intervals.rank_correlation([1, 2, 3, 4], [4, 3, 2, 1])["correlation"] == pytest.approx(
        -1
    )
    a, b = [3.0, 1, 4, 1.5, 9], [2.0, 7, 1, 8, 2.5]
    found = intervals.rank_correlation(a, b)
    sizes = [abs(scipy.stats.spearmanr(a, order).statistic) for order in itertools.permutations(b)]
    assert found["correlation"] == pytest.approx(scipy.stats.spearmanr(a, b).statistic)
    assert found["p"] == pytest.approx(np.mean(np.array(sizes) >= abs(found["correlation"]) - 1e-9))
    assert found["chance"] == pytest.approx(np.quantile(sizes, 0.95))


def test_shuffles_of_a_long_table_agree_with_the_formula():
    generator = np.random.default_rng(2)
    a = generator.normal(size=30)
    b = 0.4 * a + generator.normal(size=30)
    found = intervals.rank_correlation(a, b)
    assert found["p"] == pytest.approx(scipy.stats.spearmanr(a, b).pvalue, abs=0.01)
    assert found == intervals.rank_correlation(a, b)
    assert intervals.rank_correlation(a, a)["p"] == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (intervals.over_seeds, ([1.0],), "values: expected at least 2"),
        (intervals.over_seeds, ([1.0, math.nan],), "values: expected at least 2 finite"),
        (intervals.next_seed, ([[1.0, 2]],), "values"),
        (intervals.over_seeds_and_images, ([[1.0, 2]],), "matrix: expected"),
        (intervals.ratio, ([1, 2], [1, 2, 3]), "denominator: expected 2 numbers"),
        (intervals.ratio, ([1, 2], [-1, 1]), "denominator"),
        *(
            (intervals.proportion, pair, "errors: got")
            for pair in [(-1, 3), (4, 3), (0, 0), (0.5, 2), (1, 2.0)]
        ),
        (intervals.rank_correlation, ([1, 2, 3], [1, 2]), "paper"),
        (intervals.rank_correlation, ([1, 2, 3], [1, 1, 1]), "paper: expected 3 numbers, not all"),
        (
            intervals.rank_correlation,
            (pd.Series([1, 2, 3]), pd.Series([1, 2, 3], [1, 2, 3])),
            "another index",
        ),
        (Interval, (1, 2, 3), "expected finite low <= value <= high"),
        (Interval, (1, 0, math.inf), "expected finite low"),
    ],
)
def test_what_is_refused(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (intervals.over_seeds, [(5,)]),
        (intervals.next_seed, [(5,)]),
        (intervals.over_seeds_and_images, [(3, 4)]),
        (intervals.ratio, [(5,), (5,)]),
        (intervals.rank_correlation, [(5,), (5,)]),
    ],
)
def test_numbers_may_be_on_any_device(function, shapes):
    numbers = [elsewhere(*shape) for shape in shapes]
    expected = function(*(tensor.cpu() for tensor in numbers))
    assert function(*numbers) == function(*map(list, numbers)) == expected

"""How far to trust a number: 95 % intervals over training seeds and images, and ranks by chance.

Nothing here is drawn at random but the shuffles of long tables, whose seed is fixed.
"""

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95
SHUFFLES = 9_999


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its 95 % interval, in the unit of what was measured."""

    value: float
    low: float
    high: float

    def __post_init__(self):
        for name in ("value", "low", "high"):
            number = float(getattr(self, name))
            if not math.isfinite(number):
                raise ValueError(f"{name}: expected a finite number, got {number}")
            object.__setattr__(self, name, number)
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"low, high: expected low <= value <= high, got {self.low}, {self.value}, "
                f"{self.high}"
            )

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


def over_seeds(values) -> Interval:
    """The mean of one number a training seed, and Student's 95 % interval for it.

    values: at least two. Where two conditions share their seeds, give the differences, seed by
    seed: what the seeds have in common cancels.
    """
    values = _numbers(values, "values", least=2)
    half = _t(len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return _around(values.mean(), half)


def next_seed(values) -> Interval:
    """The mean of one number a training seed, and where one more seed falls with 95 %.

    That is wider than `over_seeds`: the mean is what ten seeds find together, a paper's number
    is what one training gave. values: at least two, taken for a normal sample.
    """
    values = _numbers(values, "values", least=2)
    half = _t(len(values) - 1) * values.std(ddof=1) * math.sqrt(1 + 1 / len(values))
    return _around(values.mean(), half)


def over_seeds_and_images(matrix) -> Interval:
    """The mean over seeds (rows) and images (columns) that all seeds share, with its interval.

    Both are samples, so the variance is that of the rows' mean plus that of the columns' mean
    (what belongs to neither is counted twice, which errs on the safe side), with Satterthwaite's
    degrees of freedom. Source: Owen 2007, "The pigeonhole bootstrap" (arXiv:0712.1111).
    matrix: (seeds, images), at least two of each; differences where conditions are paired.
    """
    matrix = np.asarray(matrix, dtype=float)
    if matrix.ndim != 2 or min(matrix.shape) < 2 or not np.isfinite(matrix).all():
        raise ValueError(
            f"matrix: expected finite numbers, at least 2 x 2, got shape {matrix.shape}"
        )
    parts = [(matrix.mean(axis).var(ddof=1) / n, n - 1) for axis, n in ((1, matrix.shape[0]),
                                                                     (0, matrix.shape[1]))]
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return _around(matrix.mean(), 0)
    freedom = variance**2 / sum(part**2 / n for part, n in parts)
    return _around(matrix.mean(), _t(freedom) * math.sqrt(variance))


def ratio(numerator, denominator) -> Interval:
    """The ratio of two means of paired numbers, and its 95 % interval by the delta method.

    numerator, denominator: one number for each seed or image, in the same order; the mean of
    the second must be above zero.
    """
    above, below = _numbers(numerator, "numerator", 2), _numbers(denominator, "denominator", 2)
    if len(above) != len(below) or below.mean() <= 0:
        raise ValueError(
            f"denominator: expected {len(above)} numbers with a mean above 0, got {len(below)} "
            f"with {below.mean():.3g}"
        )
    value = above.mean() / below.mean()
    spread = (above - value * below).std(ddof=1) / below.mean()
    return _around(value, _t(len(above) - 1) * spread / math.sqrt(len(above)))


def proportion(errors: int, n: int) -> Interval:
    """The percentage of `errors` among `n` images, and Wilson's 95 % interval for it.

    Its ends are the true rates p from which the rate seen is 1.96 standard deviations,
    sqrt(p (1 - p) / n), away. Unlike the usual "plus or minus" it stays inside 0 to 100 %, and
    has a width where no error was seen. It speaks of images alone, not of training seeds.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    whole = all(isinstance(value, int | np.integer) for value in (errors, n))
    if not whole or not 0 <= errors <= n or n < 1:
        raise ValueError(
            f"errors: got {errors!r} of n = {n!r}, expected whole numbers, 0 <= errors <= n"
        )
    ends = stats.binomtest(int(errors), int(n)).proportion_ci(CONFIDENCE, method="wilson")
    rate = errors / n
    return Interval(100 * rate, 100 * min(ends.low, rate), 100 * max(ends.high, rate))


def agree(ours: Interval, paper: Interval) -> bool:
    """Whether zero lies in the 95 % interval of the difference of two independent numbers.

    Source: Newcombe 1998, "Interval estimation for the difference between independent
    proportions", method 10, which combines the two intervals' halves.
    """
    difference = ours.value - paper.value
    below = math.hypot(ours.value - ours.low, paper.high - paper.value)
    above = math.hypot(ours.high - ours.value, paper.value - paper.low)
    return -above <= difference <= below


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's `value`; the two-sided permutation `p`; `chance`, what 95 % of shuffles stay
    below in size."""

    value: float
    p: float
    chance: float


def rank_correlation(ours, paper) -> RankCorrelation:
    """Spearman's rank correlation of two lists, and how often shuffling one does as well.

    Up to eight pairs every order is tried, beyond that 9,999 shuffles of a fixed seed. Series
    must have the same index; at least three finite numbers each, not all equal.
    """
    both_series = isinstance(ours, pd.Series) and isinstance(paper, pd.Series)
    if both_series and not ours.index.equals(paper.index):
        raise ValueError("paper: got another index than that of ours, expected the same")
    first, second = _numbers(ours, "ours", 3), _numbers(paper, "paper", 3)
    if len(first) != len(second) or np.ptp(first) == 0 or np.ptp(second) == 0:
        raise ValueError(
            f"paper: expected {len(first)} numbers, not all equal, got {len(second)}"
        )
    first, second = (stats.rankdata(values) for values in (first, second))
    first, second = ((r - r.mean()) / np.linalg.norm(r - r.mean()) for r in (first, second))
    value = float(np.clip(first @ second, -1, 1))
    if len(first) <= 8:
        shuffled = second[np.array(list(permutations(range(len(first)))))] @ first
    else:
        orders = np.random.default_rng(0).permuted(np.tile(second, (SHUFFLES, 1)), axis=1)
        shuffled = np.append(orders @ first, value)  # the order found is one of the possible ones
    as_high = np.abs(shuffled) >= abs(value) - 1e-12
    return RankCorrelation(value, float(as_high.mean()),
                           float(np.quantile(np.abs(shuffled), CONFIDENCE)))


def _t(freedom: float) -> float:
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))


def _around(value: float, half: float) -> Interval:
    return Interval(value, value - half, value + half)


def _numbers(values, name: str, least: int) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < least or not np.isfinite(values).all():
        raise ValueError(
            f"{name}: expected at least {least} finite numbers in one dimension, got "
            f"shape {values.shape}"
        )
    return values

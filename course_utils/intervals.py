"""How far to trust a number: 95 % intervals over seeds and images, and ranks against chance."""

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pandas as pd
from scipy import stats

from course_utils.device import on_cpu

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its 95 % interval, in the unit of what was measured."""

    value: float
    low: float
    high: float

    def __post_init__(self):
        for name, number in vars(self).items():
            object.__setattr__(self, name, float(number))
        if not -math.inf < self.low <= self.value <= self.high < math.inf:
            raise ValueError(f"low, high: expected finite low <= value <= high, got {vars(self)}")

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


def over_seeds(values) -> Interval:
    """The mean of one number a training seed (or an image), with Student's interval for it.

    values: at least two. Where two conditions share their seeds, give the differences, seed by
    seed: what the seeds have in common cancels.
    """
    values = _numbers(values, "values", 2)
    return _around(values.mean(), values.std(ddof=1) / math.sqrt(len(values)), len(values) - 1)


def next_seed(values) -> Interval:
    """The mean of one number a training seed, and where one more seed falls with 95 %.

    That is wider than `over_seeds`: a paper's number is what a single training gave.
    """
    values = _numbers(values, "values", 2)
    spread = values.std(ddof=1) * math.sqrt(1 + 1 / len(values))
    return _around(values.mean(), spread, len(values) - 1)


def over_seeds_and_images(matrix) -> Interval:
    """The mean over seeds (rows) and the images (columns) that all of them share.

    Both are samples: the variance is that of the rows' means plus that of the columns' (what
    belongs to neither counts twice, which errs on the safe side), with Satterthwaite's degrees of
    freedom. matrix: at least 2 x 2; differences where conditions are paired.
    Source: Owen 2007, "The pigeonhole bootstrap" (arXiv:0712.1111).
    """
    matrix = _numbers(matrix, "matrix", 2, axes=2)
    freedom = np.array(matrix.shape) - 1
    parts = np.array([matrix.mean(axis).var(ddof=1) for axis in (1, 0)]) / matrix.shape
    shared = parts.sum() ** 2 / max((parts**2 / freedom).sum(), 1e-300)
    return _around(matrix.mean(), math.sqrt(parts.sum()), max(shared, 1))


def ratio(numerator, denominator) -> Interval:
    """The ratio of the means of numbers paired by seed or image, by the delta method."""
    above, below = _numbers(numerator, "numerator", 2), _numbers(denominator, "denominator", 2)
    if len(above) != len(below) or below.mean() <= 0:
        got = f"{len(below)} of mean {below.mean():.3g}"
        raise ValueError(f"denominator: expected {len(above)} numbers, mean above 0, got {got}")
    value = above.mean() / below.mean()
    spread = (above - value * below).std(ddof=1) / below.mean()
    return _around(value, spread / math.sqrt(len(above)), len(above) - 1)


def proportion(errors: int, n: int) -> Interval:
    """The percentage of `errors` among `n` images, and Wilson's interval for it.

    Its ends are the true rates p from which the rate seen is 1.96 standard deviations,
    sqrt(p (1 - p) / n), away. Unlike the usual "plus or minus" it stays inside 0 to 100 %, and
    has a width where no error was seen. It speaks of images alone, not of training seeds.
    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    whole = all(isinstance(value, int | np.integer) for value in (errors, n))
    if not whole or not 0 <= errors <= n or n < 1:
        raise ValueError(f"errors: got {errors!r} of n = {n!r}, expected whole numbers, 0 to n")
    ends = stats.binomtest(int(errors), int(n)).proportion_ci(CONFIDENCE, method="wilson")
    rate = errors / n
    return Interval(100 * rate, 100 * min(ends.low, rate), 100 * max(ends.high, rate))


def agree(ours: Interval, paper: Interval) -> bool:
    """Whether zero lies in the 95 % interval of the difference of two independent numbers.

    Source: Newcombe 1998, "Interval estimation for the difference between independent
    proportions", method 10, which combines the two intervals' halves.
    """
    below = math.hypot(ours.value - ours.low, paper.high - paper.value)
    above = math.hypot(ours.high - ours.value, paper.value - paper.low)
    return -above <= ours.value - paper.value <= below


def rank_correlation(ours, paper) -> dict[str, float]:
    """Rank correlation of two lists, at least three numbers each, and how it does by chance.

    "correlation" is Spearman's, "p" its two-sided permutation p, and "chance" the size that 95 % of
    shuffles stay below. Up to eight pairs every order is tried, else 9,999 shuffles of one seed.
    """
    if isinstance(ours, pd.Series) and not ours.index.equals(getattr(paper, "index", ours.index)):
        raise ValueError("paper: got another index than that of ours, expected the same")
    lists = [_numbers(ours, "ours", 3), _numbers(paper, "paper", 3)]
    if len(lists[0]) != len(lists[1]) or 0 in map(np.ptp, lists):
        raise ValueError(f"paper: expected {len(lists[0])} numbers, not all equal")
    centred = [stats.rankdata(values) - (len(values) + 1) / 2 for values in lists]
    first, second = (ranks / np.linalg.norm(ranks) for ranks in centred)
    value = float(np.clip(first @ second, -1, 1))
    if len(first) <= 8:
        shuffled = second[np.array(list(permutations(range(len(first)))))] @ first
    else:
        orders = np.random.default_rng(0).permuted(np.tile(second, (9_999, 1)), axis=1)
        shuffled = np.append(orders @ first, value)  # the order found is one of the possible ones
    as_far = np.abs(shuffled) >= abs(value) - 1e-12
    chance = np.quantile(np.abs(shuffled), CONFIDENCE)
    return {"correlation": value, "p": as_far.mean(), "chance": chance}


def _around(value: float, deviation: float, freedom: float) -> Interval:
    half = stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * deviation
    return Interval(value, value - half, value + half)


def _numbers(values, name: str, least: int, axes: int = 1) -> np.ndarray:
    """Return finite numbers, a tensor's from any device, at least so many along each axis."""
    values = np.asarray(on_cpu(values), dtype=float)
    if values.ndim != axes or min(values.shape) < least or not np.isfinite(values).all():
        wanted = f"at least {' x '.join(axes * [str(least)])} finite numbers"
        raise ValueError(f"{name}: expected {wanted}, got shape {values.shape}")
    return values

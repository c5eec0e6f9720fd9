"""How sure we are: bootstrap intervals paired across networks, correlations, ranks and what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats

RESAMPLES = 9999


@dataclass(frozen=True)
class Correlation:
    """A correlation with its bootstrap interval. value, low, high in [−1, 1], NaN where undefined. n: pairs."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class RankTest:
    """Friedman's test with Nemenyi's critical difference over a table of images × networks.

    mean_rank: (n_networks,), 1 is the largest value. statistic, p: Friedman's, corrected for ties; NaN below three
    networks or two images. critical_difference: two networks whose mean ranks are further apart than this differ at
    level alpha (Demšar 2006). n_images: rows.
    """

    mean_rank: np.ndarray
    statistic: float
    p: float
    critical_difference: float
    n_images: int
    alpha: float


@dataclass(frozen=True)
class Concordance:
    """Kendall's W of networks that rank images: 0 no agreement, 1 all rank alike. NaN where undefined."""

    w: float
    statistic: float
    p: float
    n_networks: int
    n_images: int


def bootstrap_mean(
    values: np.ndarray, level: float = 0.95, n_resamples: int = RESAMPLES, seed: int = 0, method: str = "BCa"
) -> tuple[np.ndarray, np.ndarray]:
    """Confidence interval of the mean over images, for every network at once.

    values: (n_images, …), one column a network, finite. Every column sees the same resamples of images, so intervals of
    columns and of their differences belong together, and a column's interval does not depend on its neighbours. method:
    BCa (bias-corrected and accelerated; Efron 1987) or percentile. Returns low, high: (…). One image says nothing about
    the spread (NaN); a constant column has an interval of length 0. Raises ValueError for values that are not finite.
    It is scipy.stats.bootstrap's answer to the last digits, twenty times as fast: a mean needs no copies of the data.
    """
    values = np.asarray(values, np.float64)
    if len(values) == 0 or not np.isfinite(values).all():
        raise ValueError("a bootstrap needs finite values")
    mean = values.mean(0)
    if len(values) == 1:
        return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    columns = values.reshape(len(values), -1)
    means = resampled_means(columns, n_resamples, seed)
    tail = (1 - level) / 2
    quantiles = np.full((2, columns.shape[1]), [[tail], [1 - tail]])
    if method == "BCa":
        quantiles = _bca(columns, means, quantiles)
    elif method != "percentile":
        raise ValueError(f"a bootstrap is BCa or percentile, not {method}")
    low, high = (
        np.array([np.quantile(m, q) if np.isfinite(q) else np.nan for m, q in zip(means.T, row, strict=True)])
        for row in quantiles
    )
    constant = np.ptp(values, axis=0) == 0
    return np.where(constant, mean, low.reshape(mean.shape)), np.where(constant, mean, high.reshape(mean.shape))


def resampled_means(columns: np.ndarray, n_resamples: int, seed: int) -> np.ndarray:
    """Means of resampled rows: (n, k) → (n_resamples, k), the same rows for every column."""
    random, n = np.random.default_rng(seed), len(columns)
    found = np.empty((n_resamples, columns.shape[1]))
    batch = max(1, 4_000_000 // n)  # about 32 MB at a time
    for begin in range(0, n_resamples, batch):
        size = min(batch, n_resamples - begin)
        drawn = random.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        found[begin : begin + size] = counts @ columns / n
    return found


def _bca(columns: np.ndarray, means: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Which quantiles of the resampled means bound the interval (Efron & Tibshirani 1993, equations 14.10–14.15)."""
    mean = columns.mean(0)
    off = columns - mean
    # sums in another order differ in the last digits, which must not decide whether a resample is below the mean
    tie = np.abs(means - mean) <= 1e-12 * np.abs(columns).max(0)
    below = ((means < mean) & ~tie).mean(0) + tie.mean(0) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        acceleration = (off**3).sum(0) / (6 * (off**2).sum(0) ** 1.5)
        shift = special.ndtri(below)
        moved = shift + special.ndtri(quantiles)
        return special.ndtr(shift + moved / (1 - acceleration * moved))


def sign_flip(differences: np.ndarray, n_resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """p of a paired permutation test, two-sided: is the mean difference as far from 0 as this by chance?

    differences: (n_images, k), finite. Under the null either network of a pair may have had either value, so the signs
    of whole images are flipped: all 2^n ways where those are no more than n_resamples, else so many random ones, and
    the observed one counts too. Returns (k,).
    """
    differences = _table(differences)
    flips, exact = _flips(len(differences), n_resamples, seed)
    observed = np.abs(differences.mean(0))
    slack = 1e-12 * np.abs(differences).max(0)  # sums in another order differ in the last digits
    reached = (np.abs(flips @ differences / len(differences)) >= observed - slack).sum(0)
    return reached / len(flips) if exact else (reached + 1) / (len(flips) + 1)


def sign_flip_family(differences: np.ndarray, n_resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """p of `sign_flip`, adjusted for the k tests of one family: step-down max-T (Westfall & Young 1993).

    An image's signs are flipped for all k at once, and what is compared is the largest of |Σd| / √Σd² among the tests
    that are not larger than this one. So the error over the family is kept exactly, as with Holm's rule, but whatever
    the tests have in common is used: the smallest possible p is that of a single test, 2 of 2^n. Returns (k,).
    """
    differences = _table(differences)
    flips, exact = _flips(len(differences), n_resamples, seed)
    size = np.sqrt((differences**2).sum(0))
    scaled = differences / np.where(size > 0, size, np.inf)
    observed = np.abs(scaled.sum(0))
    order = np.argsort(observed, kind="stable")
    largest = np.maximum.accumulate(np.abs(flips @ scaled)[:, order], axis=1)
    reached = (largest >= observed[order] - 1e-12).sum(0)
    p = reached / len(flips) if exact else (reached + 1) / (len(flips) + 1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[::-1])[::-1]
    return adjusted


def _flips(n: int, n_resamples: int, seed: int) -> tuple[np.ndarray, bool]:
    """Signs of n images, (m, n), and whether they are all that there are."""
    if n < 63 and 2**n <= n_resamples:
        return 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1), True
    return np.random.default_rng(seed).choice([-1.0, 1.0], (n_resamples, n)), False


def holm(p: np.ndarray) -> np.ndarray:
    """p-values of one family of tests, adjusted for their number (Holm 1979). p: (k,)."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(steps, 1)
    return adjusted


def rank_test(values: np.ndarray, alpha: float = 0.05) -> RankTest:
    """Do networks differ in rank over images? values: (n_images, n_networks), finite; the largest of a row has rank 1.

    Critical difference: q(alpha, k) · √(k (k + 1) / (6 n)), q the studentized range over √2 (Demšar, JMLR 2006).
    """
    values = _table(values)
    n, k = values.shape
    mean_rank = stats.rankdata(-values, axis=1).mean(0)
    statistic, p = stats.friedmanchisquare(*values.T) if k > 2 and n > 1 else (np.nan, np.nan)
    q = stats.studentized_range.ppf(1 - alpha, k, np.inf) / np.sqrt(2) if k > 1 else np.nan
    distance = float(q * np.sqrt(k * (k + 1) / (6 * n)))
    return RankTest(mean_rank, float(statistic), float(p), distance, n, alpha)


def alike(mean_rank: np.ndarray, critical_difference: float) -> list[tuple[int, int]]:
    """Longest runs of networks, in the order of mean_rank (sorted), that do not differ: (first, last) positions."""
    runs: list[tuple[int, int]] = []
    for first in range(len(mean_rank)):
        last = int(np.searchsorted(mean_rank, mean_rank[first] + critical_difference, "right")) - 1
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs


def kendall_w(values: np.ndarray) -> Concordance:
    """Do networks agree on which images are wide? values: (n_images, n_networks), finite. Ties are corrected for.

    W = χ² / (m (n − 1)), with Friedman's χ² of n images that m networks rank (Kendall & Babington Smith 1939).
    """
    values = _table(values)
    n, m = values.shape
    undefined = n < 3 or m < 2 or bool((np.ptp(values, axis=0) == 0).all())
    statistic, p = (np.nan, np.nan) if undefined else stats.friedmanchisquare(*values)
    return Concordance(float(statistic) / (m * (n - 1)) if n > 1 else np.nan, float(statistic), float(p), m, n)


def within(
    x: np.ndarray,
    y: np.ndarray,
    ranks: bool = False,
    level: float = 0.95,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
) -> Correlation:
    """Mean over images of the correlation across networks inside an image. x, y: (n_images, n_networks), finite.

    ranks: Spearman's instead of Pearson's. The interval is a bootstrap over images. Images on which x or y is constant
    have no correlation and are left out; n counts the others.
    """
    x, y = _table(x), _table(y)
    each = (_spearman if ranks else _pearson)(x, y, axis=1) if x.shape[1] > 1 else np.full(len(x), np.nan)
    each = each[np.isfinite(each)]
    if each.size == 0:
        return Correlation(np.nan, np.nan, np.nan, 0)
    low, high = bootstrap_mean(each, level, n_resamples, seed, "percentile")
    return Correlation(float(each.mean()), float(low), float(high), len(each))


def _table(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError("a comparison needs a table (n_images, n_networks) of finite values")
    return values


def pearson(
    x: np.ndarray, y: np.ndarray, level: float = 0.95, n_resamples: int = RESAMPLES, seed: int = 0
) -> Correlation:
    """Linear correlation of x, y: (n,), with a percentile bootstrap interval over pairs. Finite values only."""
    return _correlate(_pearson, x, y, level, n_resamples, seed)


def spearman(
    x: np.ndarray, y: np.ndarray, level: float = 0.95, n_resamples: int = RESAMPLES, seed: int = 0
) -> Correlation:
    """Rank correlation (average ranks for ties) of x, y: (n,), with a percentile bootstrap interval over pairs."""
    return _correlate(_spearman, x, y, level, n_resamples, seed)


def _correlate(statistic: Any, x: Any, y: Any, level: float, n_resamples: int, seed: int) -> Correlation:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 1 or x.shape != y.shape or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("a correlation needs two equally long rows of finite values")
    value = float(statistic(x, y)) if len(x) > 1 else np.nan
    if len(x) < 3 or np.isnan(value):
        return Correlation(value, np.nan, np.nan, len(x))
    rows = np.random.default_rng(seed).integers(0, len(x), (n_resamples, len(x)))
    found = statistic(x[rows], y[rows], axis=1)
    # few pairs: a resample that repeats a single one has no correlation, and is left out
    low, high = np.nanquantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Correlation(value, float(low), float(high), len(x))


def _pearson(x: np.ndarray, y: np.ndarray, axis: int = 0) -> np.ndarray:
    x, y = x - x.mean(axis, keepdims=True), y - y.mean(axis, keepdims=True)
    length = np.sqrt((x * x).sum(axis) * (y * y).sum(axis))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.clip((x * y).sum(axis) / np.where(length > 0, length, np.nan), -1, 1)


def _spearman(x: np.ndarray, y: np.ndarray, axis: int = 0) -> np.ndarray:
    return _pearson(stats.rankdata(x, axis=axis), stats.rankdata(y, axis=axis), axis)

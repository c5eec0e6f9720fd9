"""How sure we are: bootstrap intervals, paired across networks, from NumPy and SciPy alone."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

RESAMPLES = 9999


@dataclass(frozen=True)
class Correlation:
    """A correlation with its bootstrap interval. value, low, high in [−1, 1], NaN where undefined. n: pairs."""

    value: float
    low: float
    high: float
    n: int


def bootstrap_mean(
    values: np.ndarray, level: float = 0.95, n_resamples: int = RESAMPLES, seed: int = 0, method: str = "BCa"
) -> tuple[np.ndarray, np.ndarray]:
    """Confidence interval of the mean over images, for every network at once.

    values: (n_images, …), one column a network, finite. Every column sees the same resamples of images, so intervals of
    columns and of their differences belong together, and a column's interval does not depend on its neighbours. method:
    BCa (bias-corrected and accelerated; Efron 1987) or percentile. Returns low, high: (…). One image says nothing about
    the spread (NaN); a constant column has an interval of length 0. Raises ValueError for values that are not finite.
    """
    values = np.asarray(values, np.float64)
    if len(values) == 0 or not np.isfinite(values).all():
        raise ValueError("a bootstrap needs finite values")
    mean = values.mean(0)
    if len(values) == 1:
        return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    interval = _bootstrap((values,), np.mean, level, n_resamples, seed, method).confidence_interval
    constant = np.ptp(values, axis=0) == 0
    return np.where(constant, mean, interval.low), np.where(constant, mean, interval.high)


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
    found = _bootstrap((x, y), statistic, level, n_resamples, seed, "percentile").bootstrap_distribution
    # few pairs: a resample that repeats a single one has no correlation, and is left out
    low, high = np.nanquantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Correlation(value, float(low), float(high), len(x))


def _bootstrap(data: tuple, statistic: Any, level: float, n_resamples: int, seed: int, method: str) -> Any:
    size = max(1, 4_000_000 // max(1, data[0].size))  # resamples at a time: about 32 MB
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # constant data is answered by the callers
        return stats.bootstrap(
            data,
            statistic,
            n_resamples=n_resamples,
            batch=size,
            vectorized=True,
            paired=True,
            axis=0,
            confidence_level=level,
            method=method,
            rng=np.random.default_rng(seed),
        )


def _pearson(x: np.ndarray, y: np.ndarray, axis: int = 0) -> np.ndarray:
    x, y = x - x.mean(axis, keepdims=True), y - y.mean(axis, keepdims=True)
    length = np.sqrt((x * x).sum(axis) * (y * y).sum(axis))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.clip((x * y).sum(axis) / np.where(length > 0, length, np.nan), -1, 1)


def _spearman(x: np.ndarray, y: np.ndarray, axis: int = 0) -> np.ndarray:
    return _pearson(stats.rankdata(x, axis=axis), stats.rankdata(y, axis=axis), axis)

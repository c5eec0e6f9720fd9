"""Networks and images are both samples: correlations with bootstrap intervals over either and over both, and how much
of a spread over runs is architecture and how much is seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from .statistics import RESAMPLES

KINDS = ("pearson", "spearman", "kendall")
LEAST = 3  # networks from which on a correlation is given
SURE = 5  # networks from which on a bootstrap over them says something


@dataclass(frozen=True)
class Nested:
    """A correlation over networks of means over images. n: networks. networks, images, both: (low, high) of the
    percentile bootstrap that resamples these, the images the same for all networks; NaN where undefined."""

    value: float
    networks: tuple[float, float]
    images: tuple[float, float]
    both: tuple[float, float]
    n: int


def correlate(
    x: np.ndarray,
    y: np.ndarray,
    kind: str,
    logarithm: bool = False,
    level: float = 0.95,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
) -> Nested:
    """x, y: (n_images, n_networks), finite, averaged over images before anything else.

    kind: pearson, spearman or kendall (τ-b). logarithm: of the means of x, which then must be positive. Resamples in
    which all networks are one have no correlation and are left out. Below three networks all is NaN, below five what
    resamples networks. Raises ValueError for tables of other shapes and values that are not finite.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or x.shape != y.shape or x.size == 0 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("a nested bootstrap needs two equal tables (n_images, n_networks) of finite values")
    if kind not in KINDS:
        raise ValueError(f"a correlation is one of {', '.join(KINDS)}, not {kind}")
    n_images, n = x.shape
    nothing = (np.nan, np.nan)
    if n < LEAST:
        return Nested(np.nan, nothing, nothing, nothing, n)
    random = np.random.default_rng(seed)
    drawn_images = random.integers(0, n_images, (n_resamples, n_images))
    drawn = random.integers(0, n, (n_resamples, n))
    counts = np.zeros((n_resamples, n_images))
    np.add.at(counts, (np.arange(n_resamples)[:, None], drawn_images), 1)

    def scale(means: np.ndarray) -> np.ndarray:
        return np.log(means) if logarithm else means

    whole = scale(x.mean(0)), y.mean(0)
    resampled = scale(counts @ x / n_images), counts @ y / n_images
    rows = np.arange(n_resamples)[:, None]
    tail = (1 - level) / 2

    def interval(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
        found = correlation(a, b, kind)
        if np.isnan(found).all():
            return nothing
        low, high = np.nanquantile(found, [tail, 1 - tail])
        return float(low), float(high)

    return Nested(
        float(correlation(whole[0][None], whole[1][None], kind)[0]),
        interval(whole[0][drawn], whole[1][drawn]) if n >= SURE else nothing,
        interval(*resampled) if n_images > 1 else nothing,
        interval(resampled[0][rows, drawn], resampled[1][rows, drawn]) if n_images > 1 and n >= SURE else nothing,
        n,
    )


def correlation(x: np.ndarray, y: np.ndarray, kind: str) -> np.ndarray:
    """Of each row: (m, n), (m, n) → (m,); NaN where a row is constant. kendall is τ-b, which counts ties."""
    if kind == "kendall":
        first, second = np.triu_indices(x.shape[1], 1)
        x, y = np.sign(x[:, first] - x[:, second]), np.sign(y[:, first] - y[:, second])
    elif kind == "spearman":
        x, y = stats.rankdata(x, axis=1), stats.rankdata(y, axis=1)
    if kind != "kendall":
        x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    length = np.sqrt((x * x).sum(1) * (y * y).sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.clip((x * y).sum(1) / np.where(length > 0, length, np.nan), -1, 1)


@dataclass(frozen=True)
class Components:
    """One-way random effects of runs in architectures. over_seeds, over_architectures: standard deviations (the second
    0 where seeds explain all). icc: the share of variance that is architecture, with low, high; NaN where no
    architecture has two runs. n_repeated: architectures with more than one run."""

    over_seeds: float
    over_architectures: float
    icc: float
    low: float
    high: float
    n_architectures: int
    n_repeated: int
    n_runs: int


def components(values: np.ndarray, architecture: np.ndarray, level: float = 0.95) -> Components:
    """Analysis of variance with unequal numbers of runs (Searle, Casella & McCulloch, Variance Components, 1992, 3.6).

    values: (n_runs,), one number a run. architecture: (n_runs,), any labels. ICC = σ²a / (σ²a + σ²s); its interval is
    that of F = MSa / MSs, exact for equal numbers of runs under normality, an approximation otherwise.
    """
    values = np.asarray(values, np.float64)
    _, group = np.unique(np.asarray(architecture), return_inverse=True)
    sizes = np.bincount(group)
    n, a = len(values), len(sizes)
    repeated = int((sizes > 1).sum())
    if a < 2 or n == a:
        return Components(np.nan, np.nan, np.nan, np.nan, np.nan, a, repeated, n)
    means = np.bincount(group, values) / sizes
    between = (sizes * (means - values.mean()) ** 2).sum() / (a - 1)
    within = ((values - means[group]) ** 2).sum() / (n - a)
    n0 = (n - (sizes**2).sum() / n) / (a - 1)
    architectures = max((between - within) / n0, 0.0)
    if within == 0:
        icc = low = high = 1.0 if between > 0 else np.nan
    else:
        f, tail = between / within, (1 - level) / 2
        bounds = f / stats.f.ppf([1 - tail, tail], a - 1, n - a)
        icc = architectures / (architectures + within)
        low, high = (max(float((b - 1) / (b + n0 - 1)), 0.0) for b in bounds)
    return Components(float(np.sqrt(within)), float(np.sqrt(architectures)), icc, low, high, a, repeated, n)

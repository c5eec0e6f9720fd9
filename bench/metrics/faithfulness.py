"""How far a map agrees with what happened when the image was changed: pure functions of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .arrays import as_float64


def strength(attribution: Any) -> NDArray[np.float64]:
    """|sum over channels| of a map (3, h, w): (h, w)."""
    return np.abs(as_float64(attribution).sum(0))


def order(values: NDArray[np.float64], seed: int) -> NDArray[np.intp]:
    """Flat positions, the strongest first. Equal ones, as the zeros beyond a receptive field, in random order."""
    shuffled = np.random.default_rng(seed).permutation(values.size)
    return shuffled[np.argsort(-values.ravel()[shuffled], kind="stable")]


def cosine_distance(a: Any, b: Any) -> float:
    """1 − cosine of the strengths of two maps, in [0, 1]; NaN where one is zero."""
    x, y = strength(a).ravel(), strength(b).ravel()
    length = np.linalg.norm(x) * np.linalg.norm(y)
    return float(max(1 - x @ y / length, 0)) if length else float("nan")


def rank_correlation(a: Any, b: Any) -> float:
    """Spearman's correlation of the strengths where either map is not zero; NaN where that is undefined."""
    x, y = strength(a).ravel(), strength(b).ravel()
    either = (x > 0) | (y > 0)
    if either.sum() < 3 or np.ptp(x[either]) == 0 or np.ptp(y[either]) == 0:
        return float("nan")
    return float(stats.spearmanr(x[either], y[either]).statistic)


def sensitivity(claimed: NDArray[np.float64], changes: NDArray[np.float64]) -> float:
    """Sensitivity-n (Ancona et al. 2018): Pearson correlation, over subsets of pixels, of the map's sum over a subset
    with the fall of the score when the subset is replaced. Both (n,); NaN where one is constant."""
    if np.ptp(claimed) == 0 or np.ptp(changes) == 0:
        return float("nan")
    return float(np.corrcoef(claimed, changes)[0, 1])


def infidelity(claimed: NDArray[np.float64], changes: NDArray[np.float64]) -> float:
    """min over β of Σ(β·claimed − changes)² / Σ changes² (after Yeh et al. 2019, their optimal scaling), in [0, 1].

    0: the map says what a replacement does, up to one factor; 1: it says nothing.
    """
    power = (claimed @ claimed) * (changes @ changes)
    return float(1 - (claimed @ changes) ** 2 / power) if power else float("nan")


def average_precision(values: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Area under precision against recall when pixels are taken strongest first, in (0, 1]; equal values at once."""
    strongest = np.argsort(-values.ravel(), kind="stable")
    hit, height = truth.ravel()[strongest].astype(float), values.ravel()[strongest]
    last = np.append(np.flatnonzero(np.diff(height)), height.size - 1)  # the end of each run of equal values
    found = np.cumsum(hit)[last]
    return float((np.diff(found, prepend=0) * found / (last + 1)).sum() / hit.sum())


def distribution_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Total variation distance ½ Σ|a/Σa − b/Σb| of two non-negative rows, in [0, 1]; NaN where one is zero."""
    if not a.sum() or not b.sum():
        return float("nan")
    return float(0.5 * np.abs(a / a.sum() - b / b.sum()).sum())

"""Do networks look at the same pixels? Maps of one image and window, compared pixel by pixel.

Both measures look at |sum over channels| and know nothing of its scale. A map that is undefined (see
`concentration.magnitude`) agrees with nothing: its row and column are NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from .concentration import magnitude


def rank_correlation(maps: Sequence[Any]) -> NDArray[np.float64]:
    """Spearman's correlation over pixels of every two maps: (n, n), average ranks for ties, 1 on the diagonal.

    maps: n of shape (3, h, w) or (h, w). NaN also for a map without any contrast, which has no order.
    """
    strengths = _flat(maps)
    ranks = rankdata(strengths, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    length = np.linalg.norm(ranks, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ranks = ranks / np.where(length > 0, length, np.nan)[:, None]
    return np.clip(ranks @ ranks.T, -1, 1)


def top_overlap(maps: Sequence[Any], share: float = 0.05) -> NDArray[np.float64]:
    """Intersection over union of the strongest pixels of every two maps: (n, n) in [0, 1], 1 on the diagonal.

    share: of all pixels, rounded up. Pixels that equal the last one taken are in too; zeros never are.
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share of pixels is in (0, 1], not {share}")
    strengths = _flat(maps)
    undefined = np.isnan(strengths).any(axis=1)
    n = strengths.shape[1]
    last = n - int(np.ceil(share * n - 1e-9))
    least = np.partition(strengths, last, axis=1)[:, last, None]
    taken = ((strengths >= least) & (strengths > 0)).astype(np.float64)
    both = taken @ taken.T
    count = taken.sum(axis=1)
    with np.errstate(invalid="ignore"):
        overlap = both / (count[:, None] + count - both)
    overlap[undefined] = overlap[:, undefined] = np.nan
    return overlap


def mean_pair(matrix: NDArray[np.float64]) -> float:
    """Mean over all pairs of different maps; NaN below two, and where one is undefined."""
    n = len(matrix)
    return float(matrix[np.triu_indices(n, 1)].mean()) if n > 1 else float("nan")


def _flat(maps: Sequence[Any]) -> NDArray[np.float64]:
    return np.stack([magnitude(each).ravel() for each in maps])

"""How far from the window does a network look? A companion of the diffusion index that does not depend on the size of
the image: LR pixels, not percent of the frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .concentration import magnitude


def window_distance(shape: tuple[int, int], y: int, x: int, size: int, scale: int) -> NDArray[np.float64]:
    """Euclidean distance, in LR pixels, of each LR pixel's centre from the window: (h, w), 0 inside.

    shape: (h, w) of the LR image. y, x, size: the window in SR pixels. scale: SR pixels per LR pixel.
    """
    away = []
    for length, start in zip(shape, (y, x), strict=True):
        centre = np.arange(length) + 0.5
        low, high = start / scale, (start + size) / scale
        away.append(np.maximum(np.maximum(low - centre, centre - high), 0))
    return np.hypot(away[0][:, None], away[1][None, :])


def mass_within(attribution: Any, distance: NDArray[np.float64], radii: ArrayLike) -> NDArray[np.float64]:
    """Share of the attribution, |sum over channels|, at most so far from the window: one number in [0, 1] per radius.

    attribution: (3, h, w) or (h, w). distance: (h, w), from `window_distance`. radii: LR pixels. NaN for an undefined
    map.

    >>> float(mass_within([[2.0, 1.0, 1.0]], np.array([[0.0, 1.0, 2.0]]), [1])[0])
    0.75
    """
    mass, radii = magnitude(attribution), np.atleast_1d(np.asarray(radii, np.float64))
    order = np.argsort(distance, axis=None, kind="stable")
    reached = np.searchsorted(distance.ravel()[order], radii, "right")
    total = np.concatenate([[0.0], np.cumsum(mass.ravel()[order])])
    return total[reached] / total[-1]


def radius_of_mass(attribution: Any, distance: NDArray[np.float64], share: float = 0.5) -> float:
    """The smallest distance from the window, LR pixels, that holds this share of the attribution; NaN if undefined."""
    mass = magnitude(attribution)
    if np.isnan(mass).any():
        return float("nan")
    order = np.argsort(distance, axis=None, kind="stable")
    total = np.cumsum(mass.ravel()[order])
    return float(distance.ravel()[order][np.searchsorted(total, share * total[-1] * (1 - 1e-12))])

"""Area of interest: where almost all networks look, and where only the wide ones do (Gu & Dong, Figs. 8 and S1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .concentration import area_of_contribution, magnitude


def pooled(maps: Sequence[Any]) -> NDArray[np.float64]:
    """Mean of |sum over channels| / maximum over several maps: (h, w) in [0, 1]; NaN where one is undefined."""
    if not maps:
        raise ValueError("there is no map to pool")
    return np.mean([magnitude(each) for each in maps], axis=0)


def area_of_interest(wide: Sequence[Any], narrow: Sequence[Any]) -> NDArray[np.float64]:
    """Z_B − ½ (Z_A − Z_B) / max(Z_A − Z_B): (h, w) in about [−½, 1]. Positive: both look; negative: only the wide do.

    Z are the areas of contribution of A, the pooled maps of networks that look far, and of B, of those that look near.
    The formula is the reference implementation's, for two maps; how it pools networks is not published, so the mean of
    normalised maps is our choice. Where A is nowhere above B there is no difference to show, and Z_B is returned. NaN
    for an undefined map.
    """
    z_wide, z_narrow = area_of_contribution(pooled(wide)), area_of_contribution(pooled(narrow))
    difference = z_wide - z_narrow
    peak = difference.max()  # NaN if there is one
    return z_narrow if peak <= 0 else z_narrow - 0.5 * difference / peak

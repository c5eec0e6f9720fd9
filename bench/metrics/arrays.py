"""Numpy arrays from whatever a metric is given, so that metrics need no torch to be imported."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_float64(values: Any) -> NDArray[np.float64]:
    """A float64 array of the values of an array, a nested list, or a tensor on any device. The input is untouched."""
    if hasattr(values, "detach"):  # a tensor; bfloat16 has no numpy type, so the widening comes first
        values = values.detach().double().cpu().numpy()
    return np.asarray(values, dtype=np.float64)

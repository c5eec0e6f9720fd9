"""Whether two runs of one cell agree."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from .cellfile import lasting
from .store import read_columns, read_provenance, read_tensors


def differences(a: str | Path, b: str | Path, rtol: float = 0.0) -> list[str]:
    """What distinguishes two finished cells, times and host excepted: one line each, none for runs that agree.

    rtol: tolerated relative L2 difference of real tensors. With rtol=0 all must be equal to the bit. With rtol > 0 SR
    levels may differ by 1 (a value at .5 rounds either way), and of the columns, which follow from the tensors, only
    text is compared.
    """
    found = [] if lasting(read_provenance(a)) == lasting(read_provenance(b)) else ["provenance differs"]
    left, right = read_columns(a), read_columns(b)
    for name in sorted((left.keys() | right.keys()) - {"seconds"}):
        if name not in left or name not in right:
            found.append(f"only one has the column {name}")
        elif (rtol == 0 or left[name].dtype == object) and not _same(left[name], right[name], 0.0):
            found.append(f"column {name} differs")
    for index in sorted({int(i) for i in left["index"]} & {int(i) for i in right["index"]}):
        one, other = read_tensors(a, index), read_tensors(b, index)
        found += [
            f"{name} of image {index} differs"
            for name in sorted(one.keys() | other.keys())
            if name not in one or name not in other or not _same(one[name], other[name], rtol)
        ]
    return found


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """0 for arrays equal to the bit; else the relative L2 distance, of 8-bit images the largest one in levels.

    Infinite for arrays of other shapes or kinds; NaN where one has a NaN.
    """
    if a.shape != b.shape or a.dtype != b.dtype:
        return math.inf
    if a.tobytes() == b.tobytes():
        return 0.0
    gap = a.astype(np.float64) - b.astype(np.float64)
    if a.dtype == np.uint8:
        return float(np.abs(gap).max())
    largest = float(np.linalg.norm(b.astype(np.float64)))
    return float(np.linalg.norm(gap)) / largest if largest else math.inf


def _same(a: np.ndarray, b: np.ndarray, rtol: float) -> bool:
    if a.dtype == object:
        return a.shape == b.shape and a.tolist() == b.tolist()
    return distance(a, b) <= (1 if rtol and a.dtype == np.uint8 else rtol)

"""Records and tensors as strangers' files hold them → what the rest of the house may rely on, or ValueError."""

from __future__ import annotations

from typing import Any

import numpy as np

from .cellfile import COLUMNS
from .printable import printable

KINDS = {str: "O", int: "biuf", float: "biuf"}  # a missing whole number is NaN
PLACES = ("index", "lr_h", "lr_w", "scale", "window_y", "window_x", "window_size")  # sizes and positions
MOST = 1 << 31
SHAPES = {"hr": ("|u1", 3), "lr": ("|u1", 3), "sr": ("|u1", 3), "map": ("<f4", 4)}


def checked_columns(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Columns of one length, each of its kind, with text that can be shown. Raises ValueError for the first bad one."""
    lengths = {len(column) for column in columns.values() if column.ndim == 1}
    for name, column in columns.items():
        kind = KINDS[COLUMNS[name][0]] if name in COLUMNS else "biufO"
        if column.ndim != 1 or len(lengths) > 1 or column.dtype.kind not in kind:
            raise ValueError(f"the column {name} is not one of its kind and length")
        if name in PLACES and not np.all(np.isnan(column) | ((column >= 0) & (column < MOST))):
            raise ValueError(f"the column {name} holds what is no place or size")
        if column.dtype.kind == "O":
            columns[name] = np.array([printable(text) for text in column], object)
    return columns


def checked_tensors(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Images (h, w, 3) of bytes, maps (windows, 3, h, w) of float32. Raises ValueError for others."""
    for name, value in tensors.items():
        dtype, ndim = SHAPES.get(name, (value.dtype.str, value.ndim))
        channels = value.shape[1 if name == "map" else -1] if name in SHAPES and value.ndim == ndim else 3
        if value.dtype.str != dtype or value.ndim != ndim or channels != 3 or 0 in value.shape:
            raise ValueError(f"{name} is {value.dtype} of shape {value.shape}")
    return tensors


def checked_provenance(stored: Any) -> dict[str, Any]:
    """A JSON object whose parts config, identity and environment are objects too. Raises ValueError for others."""
    inner = ("config", "identity", "environment")
    if not isinstance(stored, dict) or not all(isinstance(stored.get(key, {}), dict) for key in inner):
        raise ValueError("its provenance is not one of a cell")
    return stored

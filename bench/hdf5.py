"""Members of HDF5 files that nobody vouched for: only what lies in the file, unpacked by HDF5 itself.

A link may lead to another file, a data set may be stored in any file of the machine or be put together from others, a
filter may be a plug-in that HDF5 loads, a shape may claim more than the bytes behind it. `member` refuses all of these
with ValueError before anything is read or allocated.
"""

from __future__ import annotations

import math
from typing import Any

import h5py
import numpy as np

from .printable import printable

FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}
RATIO = 1040  # deflate packs at most 1032 bytes into one
SLACK = 1 << 16
MAX_BYTES = 1 << 30  # of what is read at once: one column, one image
# what h5py raises when bytes are wrong, and these functions when what they mean is
DAMAGE = (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, MemoryError, ArithmeticError)


def member(group: h5py.Group, name: str) -> Any:
    """A group or a data set of numbers or fixed-length text. Raises ValueError saying what is wrong with it."""
    found = _linked(group, name)
    if isinstance(found, h5py.Dataset):
        _require_contained(found, name)
        if found.dtype.kind not in "biufS":
            raise ValueError(f"{name} holds neither numbers nor text of fixed length")
    elif not isinstance(found, h5py.Group):
        raise ValueError(f"{name} is neither a group nor a data set")
    return found


def values(group: h5py.Group, name: str, row: int | None = None) -> np.ndarray:
    """A data set, or one row of it. Raises ValueError as `member` does, for scalars, and above MAX_BYTES."""
    found = member(group, name)
    if not isinstance(found, h5py.Dataset) or not found.shape:
        raise ValueError(f"{name} is no array")
    shape = found.shape if row is None else found.shape[1:]
    if math.prod(shape) * found.dtype.itemsize > MAX_BYTES:
        raise ValueError(f"{name} is larger than {MAX_BYTES >> 30} GiB")
    return np.asarray(found[...] if row is None else found[row])


def names(group: h5py.Group, name: str) -> list[str]:
    """A data set of text, of fixed or any length, one piece at a time: h5py would multiply a shared long one."""
    found = _linked(group, name)
    if not isinstance(found, h5py.Dataset) or h5py.check_string_dtype(found.dtype) is None or len(found.shape) != 1:
        raise ValueError(f"{name} is no list of text")
    _require_contained(found, name)
    texts = found.asstr()
    pieces = []
    for i in range(found.shape[0]):
        piece = printable(texts[i])
        if len(piece) > 1024:
            raise ValueError(f"{name} holds a text of {len(piece)} characters")
        pieces.append(piece)
    return pieces


def _linked(group: h5py.Group, name: str) -> Any:
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is missing or a link")
    return group[name]


def _require_contained(dataset: h5py.Dataset, name: str) -> None:
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{name} is stored elsewhere")
    if dataset.shape is None:
        raise ValueError(f"{name} is empty")
    how = dataset.id.get_create_plist()
    filters = [how.get_filter(i)[0] for i in range(how.get_nfilters())]
    if unknown := [f for f in filters if f not in FILTERS]:
        raise ValueError(f"{name} is packed by filter {unknown[0]}, which is not {', '.join(FILTERS.values())}")
    if len(set(filters)) < len(filters):
        raise ValueError(f"{name} is packed twice by one filter")
    there = min(dataset.id.get_storage_size(), dataset.file.id.get_filesize())
    most = there * RATIO + SLACK if filters else there
    claimed = [math.prod(shape) * dataset.dtype.itemsize for shape in (dataset.shape, dataset.chunks or ())]
    if claimed[0] > most or (dataset.chunks and claimed[1] > max(most, SLACK)):
        raise ValueError(f"{name} claims {max(claimed)} bytes, which its {there} bytes cannot hold")

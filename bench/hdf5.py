"""Members of HDF5 files that nobody vouched for: only what lies in the file, unpacked by HDF5 itself.

A link may lead to another file, a data set may be stored in any file of the machine or be put together from others, a
filter may be a plug-in that HDF5 loads, a shape may claim more than the bytes behind it. `member` refuses all of these
with ValueError before anything is read or allocated; `values` also unpacks each piece once by itself, since HDF5 reads
past the end of one that is shorter than its shape says (found by tests/fuzz.py). What HDF5 does before it comes to
that, it does in a process that may end: see `watched`.
"""

from __future__ import annotations

import math
import zlib
from itertools import product
from typing import Any

import h5py
import numpy as np

from .printable import printable

DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3
FILTERS = {DEFLATE: "deflate (gzip)", SHUFFLE: "shuffle", FLETCHER32: "fletcher32"}
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
    _require_whole_pieces(found, name, row)
    return np.asarray(found[...] if row is None else found[row])


def names(group: h5py.Group, name: str) -> list[str]:
    """A data set of text, of fixed or any length, one piece at a time: h5py would multiply a shared long one."""
    found = _linked(group, name)
    if not isinstance(found, h5py.Dataset) or h5py.check_string_dtype(found.dtype) is None or len(found.shape) != 1:
        raise ValueError(f"{name} is no list of text")
    _require_contained(found, name)
    _require_whole_pieces(found, name)
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
    filters = _filters(dataset)
    if unknown := [f for f in filters if f not in FILTERS]:
        raise ValueError(f"{name} is packed by filter {unknown[0]}, which is not {', '.join(FILTERS.values())}")
    if len(set(filters)) < len(filters):
        raise ValueError(f"{name} is packed twice by one filter")
    there = min(dataset.id.get_storage_size(), dataset.file.id.get_filesize())
    most = there * RATIO + SLACK if filters else there
    claimed = [math.prod(shape) * dataset.dtype.itemsize for shape in (dataset.shape, dataset.chunks or ())]
    if claimed[0] > most or (dataset.chunks and claimed[1] > max(most, SLACK)):
        raise ValueError(f"{name} claims {max(claimed)} bytes, which its {there} bytes cannot hold")
    if dataset.chunks:
        _require_regular(dataset, name)


def _require_regular(dataset: h5py.Dataset, name: str) -> None:
    """That its chunks are as many, and no larger, than its shape says: HDF5 follows its index without looking."""
    sides, shape = dataset.chunks, dataset.shape
    grows = [most is None for most in dataset.maxshape]
    if any(not free and most != whole for free, most, whole in zip(grows, dataset.maxshape, shape, strict=True)):
        raise ValueError(f"{name} may grow to a size of its own")
    if len(sides) != len(shape) or any(not f and s > max(w, 1) for f, s, w in zip(grows, sides, shape, strict=True)):
        raise ValueError(f"{name} has pieces larger than itself")
    counts = [-(-whole // side) for whole, side in zip(shape, sides, strict=True)]
    if (wanted := math.prod(counts)) != dataset.id.get_num_chunks():
        raise ValueError(f"{name} has not the {wanted} pieces that it claims")
    last = tuple((n - 1) * side for n, side in zip(counts, sides, strict=True))
    if wanted and dataset.id.get_chunk_info(wanted - 1).chunk_offset != last:
        raise ValueError(f"{name} has pieces where it has none")


def _filters(dataset: h5py.Dataset) -> list[int]:
    how = dataset.id.get_create_plist()
    return [how.get_filter(i)[0] for i in range(how.get_nfilters())]


def _require_whole_pieces(dataset: h5py.Dataset, name: str, row: int | None = None) -> None:
    """That the chunks of a row, or all, unpack to exactly what their shape says."""
    filters, sides = _filters(dataset), dataset.chunks
    if not filters or not sides:
        return
    ranges = [range(0, whole, side) for whole, side in zip(dataset.shape, sides, strict=True)]
    if row is not None:
        ranges[0] = range(row - row % sides[0], row + 1, sides[0])
    if math.prod(map(len, ranges)) > dataset.file.id.get_filesize():
        raise ValueError(f"{name} has more pieces than bytes")
    size = math.prod(sides) * dataset.dtype.itemsize
    for place in product(*ranges):
        mask, piece = dataset.id.read_direct_chunk(place)
        for i, packing in reversed(list(enumerate(filters))):
            if packing == FLETCHER32 and not mask >> i & 1:
                piece = piece[: max(0, len(piece) - 4)]
            elif packing == DEFLATE and not mask >> i & 1:
                piece = _inflated(piece, size + 4)
        if len(piece) != size:
            raise ValueError(f"{name} has a piece that is not of its size")


def _inflated(packed: bytes, most: int) -> bytes:
    """At most `most` bytes and one. Raises ValueError for what is not packed by deflate."""
    try:
        return zlib.decompressobj().decompress(packed, most + 1)
    except zlib.error as error:
        raise ValueError("a piece cannot be unpacked") from error

"""HDF5's global heap, where text of any length lies, walked before HDF5 does: on a damaged one it runs in circles.

HDF5 File Format Specification 3.0, III.E (global heap): a collection is "GCOL", a version, three zero bytes and its
size; then objects of 16 bytes (index 2, references 2, zero 4, size 8) and their content, padded to 8 bytes. Index 0 is
the free space, its size counted with its head. An element of a data set is a length (4), an address (8), an index (4).
"""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

import h5py

HEAD = 16
ELEMENT = 16
LEAST = 4096  # bytes of a collection
MOST = 1 << 20  # pieces of text


def require_sound(dataset: Any, name: str) -> None:
    """dataset: h5py's, of text of any length. Raises ValueError where that text is not plainly in the file."""
    layout = dataset.file.id.get_create_plist()
    if layout.get_sizes() != (8, 8) or layout.get_userblock():
        raise ValueError(f"{name} is text in a file of an unusual layout; save it as text of fixed length")
    if dataset.size == 0 or dataset.id.get_space_status() == h5py.h5d.SPACE_STATUS_NOT_ALLOCATED:
        return
    where = dataset.id.get_offset()
    if where is None:
        raise ValueError(f"{name} is packed text of any length; save it unpacked, or as text of fixed length")
    if dataset.size > MOST:
        raise ValueError(f"{name} has more than {MOST} pieces of text")
    with open(dataset.file.filename, "rb") as file:
        file.seek(where)
        elements = file.read(dataset.size * ELEMENT)
        if len(elements) < dataset.size * ELEMENT:
            raise ValueError(f"{name} ends with the file")
        wanted: dict[int, dict[int, int]] = {}
        for length, address, index in struct.iter_unpack("<IQI", elements):
            if length:
                lengths = wanted.setdefault(address, {})
                lengths[index] = max(length, lengths.get(index, 0))
        for address, lengths in wanted.items():
            if address >= 1 << 63:
                raise ValueError(f"{name} is text that lies nowhere")
            file.seek(address)
            _require_collection(file, lengths, name)


def _require_collection(file: BinaryIO, lengths: dict[int, int], name: str) -> None:
    """lengths: index → bytes that this object must hold at least."""
    head = file.read(HEAD)
    size = int.from_bytes(head[8:], "little")
    if len(head) < HEAD or head[:8] != b"GCOL\x01\0\0\0" or not LEAST <= size <= 1 << 30:
        raise ValueError(f"{name} is text that lies nowhere")
    body = file.read(size - HEAD)
    sizes: dict[int, int] = {}
    at = 0
    while at + HEAD <= len(body):
        index, _, _, n = struct.unpack_from("<HHIQ", body, at)
        step = n if index == 0 else HEAD + -(-n // 8) * 8
        if step < HEAD or at + step > len(body) or index in sizes:
            raise ValueError(f"{name} is text in a damaged heap")
        sizes[index] = n
        at += step
    if len(body) < size - HEAD or any(sizes.get(index, 0) < length for index, length in lengths.items()):
        raise ValueError(f"{name} is longer than what its heap holds")

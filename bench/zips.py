"""Zip files that nobody vouched for (checkpoints, .npz): measured by their directory before a member is read."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from typing import Any

import numpy as np

# what NumPy, zipfile and json raise when the bytes of an .npz are wrong; h5py's, of hdf5.DAMAGE, are among these
DAMAGE = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, ArithmeticError, MemoryError, EOFError)
DAMAGE += (OSError, SyntaxError, zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError)
MAX_MEMBERS = 100_000  # the largest network of the zoo has 5,000 tensors


def require_stored(archive: zipfile.ZipFile) -> None:
    """That the members lie in the file as they are, as torch.save and numpy.savez write them.

    Raises ValueError where they are compressed, share their bytes or their names, or are absurdly many: so what is read
    of the file is never larger than the file, and every reader finds the same members.
    """
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise ValueError(f"it has {len(members)} members")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("its members are compressed")
    if len({member.filename for member in members}) < len(members):
        raise ValueError("two of its members have one name")
    claimed = sum(max(member.file_size, member.compress_size) for member in members)
    if claimed > (size := archive.start_dir):
        raise ValueError(f"its members claim {claimed} bytes and have {size}")


def array_of(archive: Any, name: str) -> np.ndarray:
    """An array of an opened .npz. Raises ValueError for a member that is none: NumPy gives its bytes as they are."""
    if not isinstance(value := archive[name], np.ndarray):
        raise ValueError(f"{name} is no array")
    return value

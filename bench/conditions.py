"""The conditions of a test set's images, for networks that read one: a NumPy file of one array per image name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .types import UserError
from .zips import DAMAGE, array_of

MAX_BYTES = 1 << 28  # of one condition: 32 million numbers


@dataclass(frozen=True)
class Conditions:
    """An .npz file, read one array at a time: image name → (k,), the same everywhere, or (k, m·h, m·w), a map.

    Nothing in the file is executed. Every mistake is a UserError that names the file and the image.
    """

    file: Path

    def read(self, name: str) -> NDArray[np.float64]:
        """The condition of one image."""
        with self._opened() as arrays:
            if name not in arrays:
                raise UserError(f"{self.file} has no condition for the image '{name}'.")
            member = name if name in arrays.zip.namelist() else f"{name}.npy"
            if arrays.zip.getinfo(member).file_size > MAX_BYTES:  # zipfile reads no more than it claims
                raise UserError(f"The condition of '{name}' in {self.file} is larger than {MAX_BYTES >> 20} MiB.")
            value = array_of(arrays, name)
        if value.dtype.kind not in "biuf" or not np.isfinite(value).all():
            raise UserError(f"The condition of '{name}' in {self.file} is not all finite numbers.")
        return value.astype(np.float64)

    def check(self, name: str, lr_size: tuple[int, int], k: int, stride: int) -> None:
        """That an image of lr_size (height, width) has k numbers, or a map of `stride` of them per LR pixel."""
        shape = self.read(name).shape
        wanted = (k, *(stride * side for side in lr_size))
        if shape not in ((k,), wanted):
            raise UserError(
                f"The condition of '{name}' in {self.file} has the shape {shape}; the network takes {(k,)} or {wanted}."
            )

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            arrays = np.load(self.file, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError
            with arrays:
                yield arrays
        except FileNotFoundError:
            raise UserError(f"There is no file '{self.file}' of conditions.") from None
        except DAMAGE as error:
            raise UserError(
                f"'{self.file}' is no NumPy file of conditions: numpy.savez(file, **{{image name: array}}) makes one."
            ) from error

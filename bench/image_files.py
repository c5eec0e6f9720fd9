"""Images in HDF5 files, of test sets and for training, as the watched process reads them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from . import hdf5
from .printable import first_line, printable
from .types import UserError
from .watched import watched

MAX_IMAGES = 1_000_000
PATCHES = 1  # version of the files of training images


@watched
def listing(path: str | Path) -> dict[str, Any]:
    """names; rows: whether hr is one array; ordered: whether the names are in an order that the file keeps."""
    with _opened(path) as file:
        if "hr" not in file or not len(images := hdf5.member(file, "hr")):
            raise UserError(f"{path} has no images under 'hr'; see lamscope.pairs.HDF5Dataset for the layout.")
        if isinstance(images, h5py.Group):
            names = list(images)
            if odd := [name for name in names if printable(name) != name]:
                raise UserError(f"{path} has an image whose name cannot be shown, '{printable(odd[0])}'.")
            ordered = bool(images.id.get_create_plist().get_link_creation_order())
            return {"names": names, "rows": False, "ordered": ordered}
        if (n := len(images)) > MAX_IMAGES:
            raise UserError(f"{path} claims {n} images, more than {MAX_IMAGES}.")
        names = hdf5.names(file, "names") if "names" in file else [f"{i:04d}" for i in range(n)]
        if len(names) != n or len(set(names)) != n:
            raise UserError(f"{path} has {n} images, but {len(set(names))} different names.")
        return {"names": names, "rows": True, "ordered": True}


@watched
def image(path: str | Path, group: str, name: str, row: int | None) -> NDArray[np.uint8] | None:
    """One image of `listing`, uint8 (h, w, 3), or None where the file has none of that group and name."""
    with _opened(path) as file:
        if group not in file or (row is None and name not in hdf5.member(file, group)):
            return None
        found = hdf5.values(hdf5.member(file, group), name) if row is None else hdf5.values(file, group, row)
    if found.dtype != np.uint8 or found.ndim != 3 or found.shape[2] != 3 or 0 in found.shape:
        raise UserError(f"'{name}' in {path} is {found.dtype} of shape {found.shape}; images are uint8 (h, w, 3) RGB.")
    return found


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    """An HDF5 file to read; what is wrong with it becomes a UserError."""
    if not Path(path).is_file():
        raise UserError(f"There is no file '{path}'.")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except hdf5.DAMAGE as error:
        raise UserError(f"'{path}' is not a readable HDF5 file: {first_line(error)}.") from error


@watched
def training_images(path: str | Path) -> dict[str, Any]:
    """What a file of training images says of itself, and where in it each lies: they are plain bytes.

    dataset, sha256, sources, fingerprint (text), scale, names; sizes (n, 2): LR heights and widths; places (n, 2):
    bytes from the file's begin to the LR and to the HR image, uint8 (h, w, 3). Raises UserError for a file that is
    none.
    """
    if not Path(path).is_file():
        raise UserError(f"There is no patches file '{path}'.")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("schema") != PATCHES:
                raise UserError(f"'{path}' is no patches file of this version; delete it to have it built again.")
            hr, lr, scale = hdf5.member(file, "hr"), hdf5.member(file, "lr"), int(file.attrs["scale"])
            pairs = [[hdf5.member(group, f"{i:06d}") for group in (lr, hr)] for i in range(len(lr))]
            names = [printable(PurePosixPath(str(low.attrs["name"])).name) for low, _ in pairs]
            places = []
            for low, high in pairs:
                h, w, _ = low.shape
                if low.dtype != np.uint8 or high.dtype != np.uint8 or high.shape != (scale * h, scale * w, 3):
                    raise ValueError
                places.append([_place(one, file.id.get_filesize()) for one in (low, high)])
            text = {key: printable(str(file.attrs.get(key))) for key in ("dataset", "sha256", "sources", "fingerprint")}
            sizes = [list(low.shape[:2]) for low, _ in pairs]
            return {**text, "scale": scale, "names": names, "sizes": sizes, "places": places}
    except hdf5.DAMAGE as error:
        raise UserError(f"'{path}' is damaged or no patches file; delete it to have it built again.") from error


def _place(dataset: h5py.Dataset, end: int) -> int:
    place = None if dataset.chunks else dataset.id.get_offset()
    if place is None or place + dataset.nbytes > end or dataset.file.userblock_size:
        raise ValueError("an image does not lie in the file as it is")
    return place

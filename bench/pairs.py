"""Test sets that bring their LR images along: two folders, or one HDF5 file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from . import hdf5
from .data import Dataset, FolderDataset, Source, images_of, unique_names
from .downsampling import DOWNSAMPLING
from .images import natural_key
from .printable import printable
from .types import UserError

MATCHING = ("name", "order")
MAX_IMAGES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class PairDataset(FolderDataset):
    """HR images in the folder `path`, the LR image of each in `lr_path`.

    match: 'name' (baby.png and baby.png, babyx4.png or baby_LR.png; an HR image may end in _HR) or 'order' (the first
    with the first, and so on). Sizes are checked when an image's turn comes.
    """

    downsampling: str = "given"
    lr_path: str | Path | None = None
    match: str = "name"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.lr_path:
            raise UserError("Pairs need the folder of the LR images too: add dataset.lr_path=my/lr.")
        if self.match not in MATCHING:
            raise UserError(f"LR images are matched by {' or '.join(MATCHING)}, not '{self.match}'.")

    def _protocols(self) -> Sequence[str]:
        return ("given",)

    def _all_sources(self) -> list[Source]:
        files = self._files()
        small = images_of(Path(str(self.lr_path)).expanduser())
        if self.match == "order":
            if len(small) != len(files):
                raise UserError(f"{len(files)} HR images and {len(small)} LR images cannot be matched by order.")
        else:
            small = [_partner(file, small) for file in files]
        return [Source(n, f, lr=s) for n, f, s in zip(unique_names(files), files, small, strict=True)]


def _partner(hr: Path, candidates: Sequence[Path]) -> Path:
    """The one LR file that is named as the HR file, but for an ending that says LR. Raises UserError otherwise."""
    name = re.sub(r"_hr$", "", hr.stem.casefold())
    pattern = re.compile(re.escape(name) + r"(_?x\d|_lr|_lr_?x\d|lr)?")
    found = [file for file in candidates if pattern.fullmatch(file.stem.casefold())]
    if len(found) != 1:
        several = f"There are {len(found)} LR images" if found else "There is no LR image"
        raise UserError(
            f"{several} for '{hr.name}' in {candidates[0].parent}: dataset.match=order takes them in natural order."
        )
    return found[0]


@dataclass(frozen=True)
class StoredSource(Source):
    """One image of an HDF5 file. row: its place in the arrays hr and lr, or None where each image has a dataset."""

    row: int | None = None

    def _image(self, group: str) -> NDArray[np.uint8] | None:
        with _opened(self.file) as file:
            if group not in file or (self.row is None and self.name not in hdf5.member(file, group)):
                return None
            if self.row is None:
                image = hdf5.values(hdf5.member(file, group), self.name)
            else:
                image = hdf5.values(file, group, self.row)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise UserError(
                f"'{self.name}' in {self.file} is {image.dtype} of shape {image.shape}; images are uint8 (h, w, 3) RGB."
            )
        return image

    def size(self) -> tuple[int, int]:
        height, width = self.read().shape[:2]
        return height, width

    def read(self) -> NDArray[np.uint8]:
        image = self._image("hr")
        if image is None:
            raise UserError(f"{self.file} has no HR image '{self.name}'.")
        return image

    def read_lr(self) -> NDArray[np.uint8] | None:
        return self._image("lr")


@dataclass(frozen=True, kw_only=True)
class HDF5Dataset(Dataset):
    """An HDF5 file. Either `hr` and perhaps `lr` are groups with one uint8 (h, w, 3) dataset an image, or they are
    arrays (n, h, w, 3), and `names` perhaps n strings. The order is that of creation where the file keeps it, else
    natural order.

    downsampling: 'given' takes the LR images of the file.
    """

    path: str | Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.path:
            raise UserError("An HDF5 data set needs its file: add dataset.path=my/images.h5.")
        if self.name is None:
            object.__setattr__(self, "name", self.file.stem)

    def _protocols(self) -> Sequence[str]:
        return (*DOWNSAMPLING, "given")

    @property
    def file(self) -> Path:
        return Path(str(self.path)).expanduser()

    def _all_sources(self) -> list[Source]:
        with _opened(self.file) as file:
            if "hr" not in file or not len(images := hdf5.member(file, "hr")):
                raise UserError(f"{self.file} has no images under 'hr'; see lamscope.pairs.HDF5Dataset for the layout.")
            if not isinstance(images, h5py.Group):
                if (n := len(images)) > MAX_IMAGES:
                    raise UserError(f"{self.file} claims {n} images, more than {MAX_IMAGES}.")
                names = hdf5.names(file, "names") if "names" in file else [f"{i:04d}" for i in range(n)]
                if len(names) != n or len(set(names)) != n:
                    raise UserError(f"{self.file} has {n} images, but {len(set(names))} different names.")
                return [StoredSource(name, self.file, row=i) for i, name in enumerate(names)]
            names = list(images)
            if odd := [name for name in names if printable(name) != name]:
                raise UserError(f"{self.file} has an image whose name cannot be shown, '{printable(odd[0])}'.")
            if not images.id.get_create_plist().get_link_creation_order():
                names.sort(key=lambda name: natural_key(Path(name)))
            return [StoredSource(name, self.file) for name in names]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An HDF5 file to read; what is wrong with it becomes a UserError."""
    if not path.is_file():
        raise UserError(f"There is no file '{path}'.")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except hdf5.DAMAGE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].strip("'\". ")
        raise UserError(f"'{path}' is not a readable HDF5 file: {reason}.") from error

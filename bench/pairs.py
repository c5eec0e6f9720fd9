"""Test sets that bring their LR images along: two folders, or one HDF5 file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import image_files
from .data import Dataset, FolderDataset, Source, images_of, unique_names
from .downsampling import DOWNSAMPLING
from .images import natural_key
from .types import UserError

MATCHING = ("name", "order")


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

    def size(self) -> tuple[int, int]:
        height, width = self.read().shape[:2]
        return height, width

    def read(self) -> NDArray[np.uint8]:
        image = image_files.image(self.file, "hr", self.name, self.row)
        if image is None:
            raise UserError(f"{self.file} has no HR image '{self.name}'.")
        return image

    def read_lr(self) -> NDArray[np.uint8] | None:
        return image_files.image(self.file, "lr", self.name, self.row)


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
        found = image_files.listing(self.file)
        names: list[str] = found["names"]
        if found["rows"]:
            return [StoredSource(name, self.file, row=i) for i, name in enumerate(names)]
        if not found["ordered"]:
            names.sort(key=lambda name: natural_key(Path(name)))
        return [StoredSource(name, self.file) for name in names]

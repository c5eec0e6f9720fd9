"""Test sets: a folder of HR images, or crops of images, as samples (HR, LR, windows) one at a time.

A data set lists its images without reading them, checks all sizes from the file headers before the first one is
computed, and reads an image only when its turn comes, so its size does not matter.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .conditions import Conditions
from .downsampling import DOWNSAMPLING, crop_to_multiple
from .images import SUFFIXES, image_size, list_images, read_rgb
from .printable import printable
from .types import Sample, UserError
from .windows import WindowChoice


@dataclass(frozen=True)
class Source:
    """Where one HR image comes from. crop: (y, x, side) in its pixels, or None for all of it. lr: its LR image's file,
    or None where that is computed."""

    name: str
    file: Path
    crop: tuple[int, int, int] | None = None
    lr: Path | None = None

    def size(self) -> tuple[int, int]:
        """(height, width) from the file's header; checks that the crop lies inside."""
        height, width = image_size(self.file)
        if self.crop is None:
            return height, width
        y, x, side = self.crop
        if y < 0 or x < 0 or y + side > height or x + side > width:
            raise UserError(f"The crop at y={y}, x={x} of {side} pixels is not inside '{self.file}', {width}×{height}.")
        return side, side

    def read(self) -> NDArray[np.uint8]:
        """uint8 (h, w, 3) RGB."""
        image = read_rgb(self.file)
        if self.crop is None:
            return image
        y, x, side = self.crop
        return image[y : y + side, x : x + side].copy()

    def read_lr(self) -> NDArray[np.uint8] | None:
        """The LR image that comes with it, uint8 (h, w, 3) RGB, or None."""
        return None if self.lr is None else read_rgb(self.lr)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What all test sets share; a subclass says which `sources` there are.

    downsampling: 'matlab' or 'pil', or 'given' where LR images come with the HR ones. limit: only the first so many
    images, None for all. conditions: an .npz file with a condition for every image, for networks that read one; None
    leaves each network its default.
    """

    name: str | None = None
    downsampling: str = "matlab"
    window: WindowChoice = field(default_factory=WindowChoice)
    limit: int | None = None
    conditions: str | Path | None = None

    def __post_init__(self) -> None:
        if self.downsampling not in self._protocols():
            choices = ", ".join(sorted(self._protocols()))
            raise UserError(f"Unknown downsampling '{self.downsampling}'. Choose one of {choices}.")
        if self.limit is not None and (not isinstance(self.limit, int) or self.limit < 1):
            raise UserError(f"The limit is a number of images, 1 or more, not {self.limit}.")

    def _protocols(self) -> Sequence[str]:
        return tuple(DOWNSAMPLING)

    def _all_sources(self) -> list[Source]:
        raise NotImplementedError

    @cached_property
    def sources(self) -> list[Source]:
        """The images in order, limit applied. Their position is the index of a sample."""
        return self._all_sources()[: self.limit]

    def __len__(self) -> int:
        return len(self.sources)

    def check(self, scale: int, min_size: int = 1) -> None:
        """Raises UserError for the first image that is broken or too small, from headers alone.

        min_size: shortest side in LR pixels that the network accepts.
        """
        for source in self.sources:
            height, width = (side // scale * scale for side in source.size())
            if min(height, width) < min_size * scale:
                raise UserError(
                    f"Image '{source.name}' is {width // scale}×{height // scale} in LR pixels, "
                    f"the network needs at least {min_size}×{min_size}."
                )
            self.window.check(source.name, height, width)

    def check_conditions(self, model: str, scale: int, condition: tuple[int, int] | None) -> None:
        """Raises UserError for the first image whose condition is missing or of another shape than the network takes.

        condition: how many numbers it reads at a pixel, and at how many places per LR pixel; None: it reads none.
        """
        if self._conditions is None:
            return
        if condition is None:
            raise UserError(f"'{model}' reads no condition beside the image: leave out dataset.conditions for it.")
        for source in self.sources:
            height, width = source.size()
            self._conditions.check(source.name, (height // scale, width // scale), *condition)

    @property
    def _conditions(self) -> Conditions | None:
        return None if self.conditions is None else Conditions(Path(self.conditions).expanduser())

    def _condition(self, name: str) -> NDArray[np.float64] | None:
        return None if self._conditions is None else self._conditions.read(name)

    def samples(self, scale: int, skip: Sequence[int] = ()) -> Iterator[Sample]:
        """The samples in order, without the indices in skip. All sizes are checked before the first."""
        self.check(scale)
        left_out = set(skip)
        return (self._sample(i, source, scale) for i, source in enumerate(self.sources) if i not in left_out)

    def _sample(self, index: int, source: Source, scale: int) -> Sample:
        hr = np.ascontiguousarray(crop_to_multiple(source.read(), scale))
        lr = DOWNSAMPLING[self.downsampling](hr, scale) if self.downsampling != "given" else _given(source, hr, scale)
        windows = self.window.choose(hr, lr, scale)
        return Sample(index, source.name, hr, lr, scale, windows, self._condition(source.name))

    def manifest(self) -> dict[str, Any]:
        """All that decides the samples but the scale, as plain JSON values. Reads, and thereby checks, every image.

        {name, sha256, downsampling, window: {mode, size, positions, count}, images: [{index, name, file, height, width,
        sha256}]}, with lr_sha256 where LR images are given and condition_sha256 where there are conditions. The hashes
        are of pixels (RGB, before any cropping to a multiple of the scale) and of values, the whole's of these and the
        names: they depend neither on how a file is encoded nor on where it lies.
        """
        images = [_described(i, source, self._condition(source.name)) for i, source in enumerate(self.sources)]
        parts = [[row["name"], row["sha256"], row.get("lr_sha256"), row.get("condition_sha256")] for row in images]
        whole = hashlib.sha256("".join("\0".join(filter(None, part)) + "\n" for part in parts).encode())
        return {
            "name": self.name,
            "sha256": whole.hexdigest(),
            "downsampling": self.downsampling,
            "window": self.window.describe(),
            "images": images,
        }


def _described(index: int, source: Source, condition: NDArray[np.float64] | None) -> dict[str, Any]:
    hr = source.read()
    height, width = hr.shape[:2]
    row = {
        "index": index,
        "name": source.name,
        "file": source.file.name,
        "height": height,
        "width": width,
        "sha256": pixel_hash(hr),
    }
    if condition is not None:
        shape = "×".join(map(str, condition.shape))
        row["condition_sha256"] = hashlib.sha256(f"{shape}\n".encode() + condition.tobytes()).hexdigest()
    lr = source.read_lr()
    return row if lr is None else row | {"lr_sha256": pixel_hash(lr)}


def pixel_hash(image: NDArray[np.uint8]) -> str:
    """SHA-256 of size and pixels of a uint8 (h, w, 3) image: the same however a file encodes it."""
    digest = hashlib.sha256(f"{image.shape[0]}×{image.shape[1]}\n".encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def _given(source: Source, hr: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """The LR image that comes with an HR one. Raises UserError when there is none, or of another size."""
    lr = source.read_lr()
    if lr is None:
        raise UserError(f"No LR image comes with '{source.name}': choose a downsampling, matlab or pil.")
    (h, w), (height, width) = lr.shape[:2], hr.shape[:2]
    if (h * scale, w * scale) != (height, width):
        raise UserError(
            f"The LR image of '{source.name}' is {w}×{h}; at ×{scale} its HR image, {width}×{height}, needs "
            f"{width // scale}×{height // scale}."
        )
    return lr


@dataclass(frozen=True, kw_only=True)
class FolderDataset(Dataset):
    """All images of a folder in natural order; subfolders, hidden and other files are ignored. name: the folder's."""

    path: str | Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.path:
            raise UserError("A folder of images needs its path: add dataset.path=my/images.")
        if self.name is None:
            object.__setattr__(self, "name", self.folder.resolve().name or "root")

    @property
    def folder(self) -> Path:
        return Path(str(self.path)).expanduser()

    def _all_sources(self) -> list[Source]:
        files = self._files()
        return [Source(name, file) for name, file in zip(unique_names(files), files, strict=True)]

    def _files(self) -> list[Path]:
        return images_of(self.folder)


@dataclass(frozen=True, kw_only=True)
class CropDataset(Dataset):
    """Square crops of images. crops: rows [file, y, x] in pixels, in order. size: their side.

    root: the folder of the files, or 'skimage' for the images inside the installed scikit-image package.
    """

    crops: Sequence[Sequence[Any]]
    root: str | Path
    size: int = 256

    def _all_sources(self) -> list[Source]:
        folder = skimage_folder() if self.root == "skimage" else Path(self.root).expanduser()
        sources = []
        for row in self.crops:
            if len(row) != 3:
                raise UserError(f"A crop of data set '{self.name}' is [file, y, x], not {list(row)}.")
            file, y, x = row
            if not (folder / file).is_file():
                raise UserError(f"'{folder / file}' does not exist, and data set '{self.name}' is cut from it.")
            sources.append(Source(f"{Path(file).stem}_{y}_{x}", folder / file, (y, x, self.size)))
        return sources


def images_of(folder: Path) -> list[Path]:
    """The images of a folder in natural order, one or more. Raises UserError with the reason when there are none."""
    if not folder.exists():
        raise UserError(f"The folder '{folder}' does not exist.")
    if not folder.is_dir():
        raise UserError(f"'{folder}' is a file; dataset.path is a folder of images.")
    try:
        files = list_images(folder)
    except OSError as error:
        raise UserError(f"The folder '{folder}' cannot be read: {error.strerror}.") from error
    if not files:
        raise UserError(f"The folder '{folder}' has no images ({', '.join(SUFFIXES)}).")
    return files


def skimage_folder() -> Path:
    """Where scikit-image keeps the images that ship with it. Neither imports it nor downloads anything."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("The shipped test set lies inside scikit-image, which is not installed.")
    return Path(spec.submodule_search_locations[0]) / "data"


def unique_names(files: Sequence[Path]) -> list[str]:
    """File stems, or whole file names where stems are equal but for case, numbered where these are equal too."""
    times = Counter(file.stem.casefold() for file in files)
    taken: set[str] = set()
    names: list[str] = []
    for file in files:
        name = first = printable(file.stem if times[file.stem.casefold()] == 1 else file.name)
        n = 2
        while name.casefold() in taken:
            name, n = f"{first}-{n}", n + 1
        taken.add(name.casefold())
        names.append(name)
    return names

"""All training images in one HDF5 file, HR and LR; patch k is a pure function of (seed, iteration, index in batch).

Layout: /hr/<n> uint8 (scale·h, scale·w, 3) RGB and /lr/<n> uint8 (h, w, 3), contiguous so that a patch is read without
decompressing its neighbours. The file's attributes say where the images come from.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from ..downsampling import crop_to_multiple, matlab
from ..durable import locked, replacing
from ..image_files import PATCHES, training_images
from ..types import UserError
from .photos import photos


def build(source: Path, file: Path, scale: int, manifest: Path | None = None) -> Path:
    """Write every image of a folder or tar, and its LR counterpart, into one HDF5 file. Returns `file`.

    manifest: a CSV with columns crop (or image), source, terms: the credits stored beside the images. The file appears
    under its name only when it is complete. Raises UserError for a source that cannot be used.
    """
    credits, made_of = _credits(manifest) if manifest else [], fingerprint(source, manifest)
    file.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    lock = file.with_name(file.name + ".lock")
    with locked(file, lock), replacing(file) as partial, h5py.File(partial, "w") as f:
        hr_group, lr_group = f.create_group("hr"), f.create_group("lr")
        n = 0
        for photo in photos(source):
            hr = np.ascontiguousarray(crop_to_multiple(photo.pixels, scale))
            if hr.size == 0:
                raise UserError(f"'{photo.name}' of '{source}' is smaller than {scale}x{scale} pixels.")
            digest.update(f"{photo.name}\0{hr.shape}\0".encode() + hr.tobytes())
            for group, pixels in ((hr_group, hr), (lr_group, matlab(hr, scale))):
                dataset = group.create_dataset(f"{n:06d}", data=pixels)
                dataset.attrs.update(name=photo.name, layout="y, x, RGB", unit="0..255")
            n += 1
        f.attrs.update(
            schema=PATCHES, scale=scale, downsampling="matlab", n_images=n, dataset=_stem(source),
            sha256=digest.hexdigest(), sources=json.dumps(credits), fingerprint=made_of,
        )  # fmt: skip
    return file


def ensure(source: Path | None, file: Path, scale: int, manifest: Path | None = None) -> Path:
    """`file`, built from `source` if it is missing or made of other files. Raises UserError for a wrong scale."""
    if source is not None and _fingerprint_in(file) != fingerprint(source, manifest):
        build(source, file, scale, manifest)
    found = describe(file).scale
    if found != scale:
        raise UserError(f"'{file}' holds LR images for x{found}, the network is x{scale}.")
    return file


def fingerprint(source: Path, manifest: Path | None = None) -> str:
    """sha256 over names and sizes of the files: cheap, and enough to notice another data set."""
    if not source.exists():
        raise UserError(f"There are no training images at '{source}'.")
    files = sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]
    entries = [f"{p.relative_to(source.parent).as_posix()} {p.stat().st_size}" for p in files]
    if manifest is not None and manifest.is_file():
        entries.append(hashlib.sha256(manifest.read_bytes()).hexdigest())
    return hashlib.sha256("\n".join(entries).encode()).hexdigest()


def _fingerprint_in(file: Path) -> str | None:
    try:
        return describe(file).fingerprint
    except UserError:
        return None


def _stem(source: Path) -> str:
    return source.name.split(".")[0] or source.resolve().name


def _credits(manifest: Path) -> list[dict[str, Any]]:
    """The manifest's sources with their terms and number of images, one entry a source."""
    if not manifest.is_file():
        raise UserError(f"There is no manifest of sources at '{manifest}'.")
    with manifest.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    if not rows or not {"source", "terms"} <= set(rows[0]):
        raise UserError(f"'{manifest}' lacks the columns source and terms.")
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        counts[row["source"], row["terms"]] += 1
    return [{"source": s, "terms": t, "images": n} for (s, t), n in sorted(counts.items())]


@dataclass(frozen=True)
class Description:
    """What a patches file says of itself, and where its images lie: see `image_files.training_images`."""

    dataset: str
    sha256: str
    scale: int
    sources: str
    fingerprint: str
    names: list[str]
    sizes: np.ndarray
    places: np.ndarray


def describe(file: Path) -> Description:
    """Read the attributes of a patches file. Raises UserError for a file that is none."""
    found = training_images(file)
    for key in ("sizes", "places"):
        found[key] = np.array(found[key], np.int64).reshape(-1, 2)
    return Description(**found)


class Patches:
    """Random access to a patches file; opened once in each process that reads it."""

    def __init__(self, file: Path, n_validation: int, size: int) -> None:
        """The last `n_validation` images by name are never trained on. size: side of an LR patch."""
        self.file = file
        self.description = describe(file)
        self.scale = self.description.scale
        self.size = size
        order = sorted(range(len(self.description.names)), key=lambda i: self.description.names[i])
        cut = len(order) - n_validation
        self.validation_images = order[cut:]
        self.train_images = [i for i in order[:cut] if self.description.sizes[i].min() >= size]
        if not self.train_images:
            raise UserError(
                f"'{file}' has no training image of {size * self.scale}x{size * self.scale} pixels or more "
                f"beside {n_validation} for validation."
            )
        self._bytes: np.ndarray | None = None

    def _pixels(self, image: int, high: bool) -> np.ndarray:
        """The HR (high) or LR image, uint8 (h, w, 3), not read before it is used."""
        if self._bytes is None:
            self._bytes = np.memmap(self.file, np.uint8, "r")
        height, width = self.description.sizes[image] * (self.scale if high else 1)
        place = self.description.places[image, int(high)]
        return self._bytes[place : place + 3 * height * width].reshape(height, width, 3)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_bytes": None}

    def patch(self, seed: int, iteration: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The patch that any run with this seed sees there: uint8 LR (size, size, 3) and HR (scale·size, …)."""
        random = np.random.default_rng((seed, iteration, index))
        image = self.train_images[random.integers(len(self.train_images))]
        height, width = self.description.sizes[image]
        y, x = random.integers(height - self.size + 1), random.integers(width - self.size + 1)
        quarter_turns, mirrored = int(random.integers(4)), bool(random.integers(2))
        pair = []
        for high, factor in ((False, 1), (True, self.scale)):
            top, left, side = y * factor, x * factor, self.size * factor
            pixels = np.rot90(self._pixels(image, high)[top : top + side, left : left + side], quarter_turns)
            pair.append(np.ascontiguousarray(pixels[:, ::-1] if mirrored else pixels))
        return pair[0], pair[1]

    def whole(self, image: int) -> tuple[np.ndarray, np.ndarray]:
        """An entire image: uint8 LR (h, w, 3) and HR (scale·h, scale·w, 3)."""
        return self._pixels(image, False).copy(), self._pixels(image, True).copy()


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """uint8 (h, w, 3) → float32 (3, h, w) in [0, 1]."""
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255

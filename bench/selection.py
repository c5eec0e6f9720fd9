"""The rule by which hard test crops are cut from large images: deterministic, so that two people get the same ones.

1. Of every image, all crops whose corner lies on a grid, hardest first; hardness is low PSNR (RGB) of SR.
2. Of these, greedily, each that overlaps none before it.
3. The sources (folders) take turns, and so do the images of each; or, with `per_image`, a source gives its hardest crop
   left, but at most so many of one image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .downsampling import crop_to_multiple, matlab, squared_error

Errors = Callable[[NDArray[np.uint8], NDArray[np.uint8]], Sequence[NDArray[np.int64]]]


class Crop(NamedTuple):
    """A square crop: source image, top-left corner in its pixels, (mean) PSNR (RGB, dB) of ×scale SR on it."""

    image: str
    y: int
    x: int
    psnr: float


def candidates(
    name: str,
    hr: NDArray[np.uint8],
    size: int,
    grid: int,
    scale: int,
    offset: tuple[int, int] = (0, 0),
    errors: Errors | None = None,
) -> list[Crop]:
    """Every crop whose corner lies on the grid, hardest first; of equals the upper, then the left.

    offset: (y, x) of the grid's first corner. errors: (HR, LR) → squared errors summed over colours, (h, w) in whole
    numbers, of one or more SR images, whose PSNRs are averaged; None: bicubic's. The whole image is downsampled
    (MATLAB's bicubic) and upsampled once, so a crop's PSNR differs a little from that of the crop on its own.
    """
    hr = crop_to_multiple(hr, scale)
    if min(hr.shape[:2]) < size:
        return []
    lr = matlab(hr, scale)
    maps = [squared_error(hr, lr, scale)] if errors is None else errors(hr, lr)
    totals = [np.pad(m.cumsum(0).cumsum(1), ((1, 0), (1, 0))) for m in maps]  # summed-area tables, whole numbers
    found = []
    for y in range(offset[0], hr.shape[0] - size + 1, grid):
        for x in range(offset[1], hr.shape[1] - size + 1, grid):
            sums = [t[y + size, x + size] - t[y, x + size] - t[y + size, x] + t[y, x] for t in totals]
            psnrs = [10 * np.log10(255**2 * 3 * size**2 / s) if s else np.inf for s in sums]
            found.append(Crop(name, y, x, float(np.mean(psnrs))))
    return sorted(found, key=lambda crop: crop.psnr)  # stable


def without_overlap(found: Iterable[Crop], size: int, most: int) -> list[Crop]:
    """Greedily the first `most` crops of one image that share no pixel with an earlier one."""
    chosen: list[Crop] = []
    for crop in found:
        if len(chosen) == most:
            break
        if all(abs(crop.y - c.y) >= size or abs(crop.x - c.x) >= size for c in chosen):
            chosen.append(crop)
    return chosen


def by_turns(sources: Sequence[Sequence[Sequence[Crop]]], count: int, per_image: int | None = None) -> list[Crop]:
    """`count` crops, hardest first, for which the sources take turns; fewer, if there are not so many.

    sources: of each source, of each of its images, the crops that may be taken, hardest first. per_image: at most so
    many of one image, and a source gives its hardest first; None: within a source the images take turns too, the one
    with the hardest crop first.
    """
    ranked = []
    for images in sources:
        left = [(k if per_image is None else 0, crop) for image in images for k, crop in enumerate(image[:per_image])]
        ranked.append([crop for _, crop in sorted(left, key=lambda turn: (turn[0], _hardness(turn[1])))])
    turns = [crop for turn in zip_longest(*ranked) for crop in turn if crop is not None]
    return sorted(turns[:count], key=_hardness)


def _hardness(crop: Crop) -> tuple[float, str]:
    return crop.psnr, crop.image


def hard_crops(
    images: Iterable[tuple[str, NDArray[np.uint8]]],
    *,
    count: int,
    per_image: int,
    size: int = 256,
    grid: int = 16,
    scale: int = 4,
) -> list[Crop]:
    """The `count` hardest crops of one source, hardest first: lowest bicubic PSNR, no overlaps, at most `per_image` of
    one image. Fewer, if there are not so many. images: (name, uint8 (h, w, 3)) one at a time."""
    found = [without_overlap(candidates(name, hr, size, grid, scale), size, per_image) for name, hr in images]
    return by_turns([found], count, per_image)


def grid_offset(seed: int, file: str, grid: int) -> tuple[int, int]:
    """Where an image's grid begins, (y, x) in [0, grid): (0, 0) for seed 0, else from SHA-256 of seed and file name."""
    if seed == 0:
        return 0, 0
    digest = hashlib.sha256(f"{seed}\n{file}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % grid, int.from_bytes(digest[8:16], "big") % grid

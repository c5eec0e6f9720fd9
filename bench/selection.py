"""The rule by which hard test crops are cut from large images: deterministic, so that two people get the same ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .downsampling import crop_to_multiple, matlab, squared_error


class Crop(NamedTuple):
    """A square crop: source image, top-left corner in its pixels, PSNR (RGB, dB) of ×scale bicubic SR on it."""

    image: str
    y: int
    x: int
    psnr: float


def candidates(name: str, hr: NDArray[np.uint8], size: int, grid: int, scale: int) -> list[Crop]:
    """Every crop whose corner lies on the grid, hardest first; of equals the upper, then the left.

    The whole image is downsampled (MATLAB's bicubic) and upsampled once, so a crop's PSNR differs a little from that of
    the crop on its own.
    """
    hr = crop_to_multiple(hr, scale)
    error = squared_error(hr, matlab(hr, scale), scale)
    total = np.pad(error.cumsum(0).cumsum(1), ((1, 0), (1, 0)))  # summed-area table, whole numbers
    found = []
    for y in range(0, hr.shape[0] - size + 1, grid):
        for x in range(0, hr.shape[1] - size + 1, grid):
            error = total[y + size, x + size] - total[y, x + size] - total[y + size, x] + total[y, x]
            psnr = 10 * np.log10(255**2 * 3 * size**2 / error) if error else np.inf
            found.append(Crop(name, y, x, float(psnr)))
    return sorted(found, key=lambda crop: crop.psnr)  # stable


def hard_crops(
    images: Iterable[tuple[str, NDArray[np.uint8]]],
    *,
    count: int,
    per_image: int,
    size: int = 256,
    grid: int = 16,
    scale: int = 4,
) -> list[Crop]:
    """The `count` hardest crops, hardest first: lowest bicubic PSNR, no overlaps, at most `per_image` of one image.

    Fewer, if there are not so many. images: (name, uint8 (h, w, 3)) one at a time.
    """
    chosen: list[Crop] = []
    for name, hr in images:
        mine: list[Crop] = []
        for crop in candidates(name, hr, size, grid, scale):
            if len(mine) == per_image:
                break
            if all(abs(crop.y - c.y) >= size or abs(crop.x - c.x) >= size for c in mine):
                mine.append(crop)
        chosen += mine
    return sorted(chosen, key=lambda crop: (crop.psnr, crop.image))[:count]

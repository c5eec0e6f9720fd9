"""Other images as LR crops: what methods put in place of a patch, or take as baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .data import skimage_folder
from .downsampling import crop_to_multiple, matlab
from .images import read_rgb
from .types import UserError


@dataclass(frozen=True)
class Photos:
    """Random crops of photographs that were made smaller by `scale` (MATLAB's bicubic), as LR images are.

    files: names in `root`, a folder, or 'skimage' for the images inside the installed scikit-image package.
    """

    root: str
    files: Sequence[str]
    scale: int

    def crops(self, height: int, width: int, n: int, seed: int) -> NDArray[np.uint8]:
        """(n, height, width, 3). A crop that is larger than the photograph continues it by reflection."""
        folder = skimage_folder() if self.root == "skimage" else Path(self.root).expanduser()
        random = np.random.default_rng(seed)
        found = []
        for k in range(n):
            photo = _small(folder / self.files[k % len(self.files)], self.scale)
            missing = [max(side - have, 0) for side, have in zip((height, width), photo.shape, strict=False)]
            photo = np.pad(photo, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")
            y, x = (random.integers(have - side + 1) for side, have in zip((height, width), photo.shape, strict=False))
            found.append(photo[y : y + height, x : x + width])
        return np.stack(found)


@lru_cache(maxsize=32)
def _small(file: Path, scale: int) -> NDArray[np.uint8]:
    if not file.is_file():
        raise UserError(f"'{file}' does not exist, and other images are cut from it.")
    return matlab(crop_to_multiple(read_rgb(file), scale), scale)

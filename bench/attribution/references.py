"""Other images, for methods that compare with what might have been there instead."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class References(Protocol):
    def crops(self, height: int, width: int, n: int, seed: int) -> np.ndarray:
        """n random LR crops of other images: (n, height, width, 3) uint8."""
        ...


def frames(references: References, lr: Tensor, n: int, seed: int) -> Tensor:
    """n of them, of the size, type and device of lr (3, h, w): (n, 3, h, w) in [0, 1]."""
    crops = references.crops(lr.shape[-2], lr.shape[-1], n, seed)
    return torch.from_numpy(crops).permute(0, 3, 1, 2).to(lr) / 255

"""Paths from a baseline to the image: position in [0, 1] → image. 0 is the baseline, 1 the input."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..types import UserError
from .cone import Region

EPSILON = 1e-5  # the reference adds it to σ, so that σ = 0 is the identity to float64 precision


class Path(Protocol):
    """image: (3, h, w), positions: (n,) in [0, 1]. region: the part of the image that is wanted; None: all of it."""

    def points(self, image: Tensor, positions: np.ndarray, region: Region | None = None) -> Tensor:
        """γ at each position: (n, 3, h, w), or of the region's size."""
        ...

    def increments(self, image: Tensor, positions: np.ndarray, region: Region | None = None) -> Tensor:
        """γ(positions[i + 1]) − γ(positions[i]): (n − 1, 3, h, w), or of the region's size."""
        ...

    def start(self, image: Tensor) -> Tensor:
        """The baseline, γ(0): (3, h, w)."""
        ...


@dataclass(frozen=True)
class GaussianBlur:
    """Progressive blurring, γ(α) = ω(σ(α)) ⊗ I, the path of LAM (Gu & Dong 2021, section 3.3).

    sigma: blur of the baseline in LR pixels. kernel_size: odd, 9 in the reference. Border: reflect-101.
    speed: 'sigma' moves σ linearly from sigma to 0, as the paper; 'arc_length' makes equal steps of α move the kernel
    equally far (‖k(α + dα) − k(α)‖ constant), since in plain σ most steps are spent near 0, where nothing changes.
    arithmetic: 'double', or 'image' for the rounding of the image's own type, as the reference implementation.
    """

    sigma: float
    kernel_size: int
    speed: str
    arithmetic: str

    def __post_init__(self) -> None:
        if self.speed not in ("sigma", "arc_length"):
            raise UserError(f"speed is 'sigma' or 'arc_length', not '{self.speed}'.")
        if self.arithmetic not in ("double", "image"):
            raise UserError(f"arithmetic is 'double' or 'image', not '{self.arithmetic}'.")
        if self.sigma <= 0 or self.kernel_size < 3 or self.kernel_size % 2 == 0:
            raise UserError("A blur needs a positive sigma and an odd kernel_size of 3 or more.")

    def sigmas(self, positions: np.ndarray) -> np.ndarray:
        """Blur at each position, (n,), falling from sigma at 0 to 0 at 1."""
        if self.speed == "sigma":
            return self.sigma * (1 - np.asarray(positions, dtype=np.float64))
        sigma, length = _arc_length(self.sigma, self.kernel_size)
        return np.interp(np.asarray(positions, dtype=np.float64) * length[-1], length, sigma)

    def points(self, image: Tensor, positions: np.ndarray, region: Region | None = None) -> Tensor:
        return self._filter(image, kernels(self.sigmas(positions), self.kernel_size), region)

    def increments(self, image: Tensor, positions: np.ndarray, region: Region | None = None) -> Tensor:
        return self._filter(image, np.diff(kernels(self.sigmas(positions), self.kernel_size), axis=0), region)

    def start(self, image: Tensor) -> Tensor:
        """The baseline: (3, h, w)."""
        return self.points(image, np.zeros(1))[0]

    def _filter(self, image: Tensor, weights: np.ndarray, region: Region | None) -> Tensor:
        """Correlation with each kernel: (n, 3, …). Raises UserError where the border cannot be reflected."""
        half = self.kernel_size // 2
        if min(image.shape[-2:]) <= half:
            raise UserError(f"A {self.kernel_size}×{self.kernel_size} blur needs images of more than {half} pixels.")
        planes = F.pad(image[:, None], (half, half, half, half), mode="reflect")
        if region is not None:  # in the padded image it begins where its own margin does
            planes = planes[..., region.top : region.bottom + 2 * half, region.left : region.right + 2 * half]
        planes = planes.double() if self.arithmetic == "double" else planes
        return F.conv2d(planes, torch.from_numpy(weights).to(planes)[:, None]).transpose(0, 1)


@dataclass(frozen=True)
class Straight:
    """γ(α) = I' + α (I − I'), the path of integrated gradients (Sundararajan et al. 2017).

    origin: the path whose start is the baseline I', as GaussianBlur for a blurred image; None: black.
    """

    origin: GaussianBlur | None

    def points(self, image: Tensor, positions: np.ndarray, region: Region | None = None) -> Tensor:
        start, end = self._ends(image, region)
        return start + self._column(positions, start) * (end - start)

    def increments(self, image: Tensor, positions: np.ndarray, region: Region | None = None) -> Tensor:
        start, end = self._ends(image, region)
        return self._column(np.diff(positions), start) * (end - start)

    def start(self, image: Tensor) -> Tensor:
        """The baseline: (3, h, w)."""
        return torch.zeros_like(image) if self.origin is None else self.origin.start(image)

    def _ends(self, image: Tensor, region: Region | None) -> tuple[Tensor, Tensor]:
        whole = Region(0, image.shape[-2], 0, image.shape[-1])
        start, end = self.start(image), image
        return (start, end) if region is None else region.cut((start, end), whole)

    @staticmethod
    def _column(positions: np.ndarray, like: Tensor) -> Tensor:
        return torch.from_numpy(np.asarray(positions, dtype=np.float64)).to(like.device)[:, None, None, None]


def kernels(sigmas: np.ndarray, size: int) -> np.ndarray:
    """Normalised Gaussians on a size × size grid, one per σ: (n, size, size) float64."""
    offsets = np.arange(size) - size // 2
    square = offsets[:, None] ** 2 + offsets**2
    grids = np.exp(-square / (2 * (np.asarray(sigmas)[:, None, None] + EPSILON) ** 2))
    return grids / grids.sum((1, 2), keepdims=True)


@lru_cache(maxsize=16)
def _arc_length(sigma: float, size: int, n: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """σ on a fine grid and the length of the kernel's way up to there, both (n + 1,)."""
    sigmas = np.linspace(sigma, 0, n + 1)
    steps = np.linalg.norm(np.diff(kernels(sigmas, size), axis=0), axis=(1, 2))
    return sigmas, np.concatenate([[0.0], np.cumsum(steps)])

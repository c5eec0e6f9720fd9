"""Detectors: (sr, window) → one score per sample, and how many pixels the detector found flat."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from lamscope.models.colour import LUMA

from ..types import UserError, Window


class Detector(Protocol):
    """sr: (n, 3, H, W) in [0, 1], not clamped. Returns scores (n,) and flat pixels (n,). margin: pixels needed below
    and to the right of the window. whole: needs the whole SR image, not a crop."""

    @property
    def margin(self) -> int: ...
    @property
    def whole(self) -> bool: ...
    def __call__(self, sr: Tensor, window: Window) -> tuple[Tensor, Tensor]: ...


PLANES = {"r": 0, "g": 1, "b": 2}
CHANNELS = ("rgb", "y", *PLANES)


def planes(image: Tensor, channels: str) -> Tensor:
    """What a detector looks at, (n, 3, …) → (n, c, …): 'rgb', 'y' for the luminance, or one of 'r', 'g', 'b'."""
    if channels == "y":
        return (image * image.new_tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)
    return image if channels == "rgb" else image[:, PLANES[channels]].unsqueeze(1)


def _patch(sr: Tensor, window: Window, more: int = 0) -> Tensor:
    size = window.size + more
    return sr[..., window.y : window.y + size, window.x : window.x + size]


def _safe_root(square: Tensor) -> tuple[Tensor, Tensor]:
    """√ with the gradient 0 at 0, and where that was."""
    flat = square == 0
    return torch.where(flat, 0.0, torch.sqrt(torch.where(flat, 1.0, square))), flat


def _check_channels(channels: str) -> None:
    if channels not in CHANNELS:
        raise UserError(f"A detector's channels are one of {', '.join(CHANNELS)}, not '{channels}'.")


@dataclass(frozen=True)
class GradientMagnitude:
    """D = Σ over window and channels of √(dx² + dy²), forward differences (Gu & Dong 2021, section 3.2).

    channels: 'rgb', 'y' for the luminance, which is fair to networks that reconstruct Y only, or one of 'r', 'g', 'b'.
    root: 'safe' crops before the root, gives it the gradient 0 at 0, and counts such flat pixels; 'reference' takes the
    root of the whole image first, as the reference implementation: one flat pixel anywhere makes the gradient NaN.
    """

    channels: str
    root: str

    margin = 1

    def __post_init__(self) -> None:
        _check_channels(self.channels)
        if self.root not in ("safe", "reference"):
            raise UserError(f"A gradient detector's root is 'safe' or 'reference', not '{self.root}'.")

    @property
    def whole(self) -> bool:
        return self.root == "reference"

    def __call__(self, sr: Tensor, window: Window) -> tuple[Tensor, Tensor]:
        if not self.whole:
            sr = _patch(sr, window, 1)
        sr = planes(sr, self.channels)
        dy = sr[..., :-1, :-1] - sr[..., 1:, :-1]
        dx = sr[..., :-1, :-1] - sr[..., :-1, 1:]
        square = dx**2 + dy**2
        if self.whole:
            magnitude, flat = _patch(torch.sqrt(square), window), square == 0
        else:
            magnitude, flat = _safe_root(square)
        return magnitude.sum((1, 2, 3)), flat.sum((1, 2, 3))


@dataclass(frozen=True)
class Intensity:
    """D = Σ over window and channels of the SR image: how bright the window is. channels: as of GradientMagnitude."""

    channels: str

    margin = 0
    whole = False

    def __post_init__(self) -> None:
        _check_channels(self.channels)

    def __call__(self, sr: Tensor, window: Window) -> tuple[Tensor, Tensor]:
        scores = planes(_patch(sr, window), self.channels).sum((1, 2, 3))
        return scores, torch.zeros_like(scores, dtype=torch.int64)


@dataclass(frozen=True)
class Gabor:
    """D = Σ of a bank of Gabor filters' energies √(even² + odd²) over orientations, channels and the window (the
    complex cell of Adelson & Bergen 1985): how much texture of one wavelength the window has.

    wavelength, sigma: in SR pixels, sigma of the filters' Gaussian envelope. size: of the filters, odd. n_orientations:
    evenly spaced over 180°. Even filters have no response to a constant. Only where a filter lies within the window it
    counts, so nothing outside is looked at. The root is that of GradientMagnitude, 'safe'.
    """

    channels: str
    wavelength: float
    sigma: float
    size: int
    n_orientations: int

    margin = 0
    whole = False

    def __post_init__(self) -> None:
        _check_channels(self.channels)
        if self.size % 2 == 0 or min(self.size, self.n_orientations, self.wavelength, self.sigma) <= 0:
            raise UserError("A Gabor detector needs an odd size, and wavelength, sigma and n_orientations above 0.")

    def __call__(self, sr: Tensor, window: Window) -> tuple[Tensor, Tensor]:
        if window.size < self.size:
            raise UserError(f"Gabor filters of {self.size} pixels do not fit into a window of {window.size}.")
        seen = planes(_patch(sr, window), self.channels)
        filtered = F.conv2d(seen.flatten(0, 1)[:, None], self.filters().to(seen)[:, None])
        even, odd = filtered.unflatten(0, seen.shape[:2]).chunk(2, dim=2)
        energy, flat = _safe_root(even**2 + odd**2)
        return energy.sum((1, 2, 3, 4)), flat.sum((1, 2, 3, 4))

    def filters(self) -> Tensor:
        """(2·n_orientations, size, size) float64: the even ones, then the odd ones, each with Σ|weights| = 1."""
        offset = torch.arange(self.size, dtype=torch.float64) - self.size // 2
        angles = torch.arange(self.n_orientations, dtype=torch.float64)[:, None, None] * math.pi / self.n_orientations
        along = offset * angles.cos() + offset[:, None] * angles.sin()
        envelope = torch.exp(-(offset**2 + offset[:, None] ** 2) / (2 * self.sigma**2))
        phase = 2 * math.pi * along / self.wavelength
        even, odd = envelope * phase.cos(), envelope * phase.sin()
        even = even - envelope * even.sum((1, 2), keepdim=True) / envelope.sum()
        both = torch.cat([even, odd])
        return both / both.abs().sum((1, 2), keepdim=True)


@dataclass(frozen=True)
class SquaredError:
    """D = Σ over window and channels of (SR − HR)²: which LR pixels the network's error depends on.

    hr: (1 or n, 3, H, W) in [0, 1], the size of the SR image; None until `given` has it, and then calling it raises
    UserError. Runs hand it over themselves. whole: a crop would not know which part of HR is its own.
    """

    channels: str
    hr: Tensor | None = field(default=None, repr=False, compare=False)

    margin = 0
    whole = True

    def __post_init__(self) -> None:
        _check_channels(self.channels)

    @property
    def needs_hr(self) -> bool:
        return self.hr is None

    def given(self, hr: Tensor) -> SquaredError:
        """The same detector for one image. hr: (3, H, W) in [0, 1]."""
        return replace(self, hr=hr[None])

    def __call__(self, sr: Tensor, window: Window) -> tuple[Tensor, Tensor]:
        if self.hr is None:
            raise UserError("The error detector needs the HR image: from Python, give the method detector.given(hr).")
        if self.hr.shape[-2:] != sr.shape[-2:]:
            raise UserError(f"HR is {tuple(self.hr.shape[-2:])}, but the SR image is {tuple(sr.shape[-2:])}.")
        gap = planes(_patch(sr, window) - _patch(self.hr.to(sr), window), self.channels)
        scores = gap.square().sum((1, 2, 3))
        return scores, torch.zeros_like(scores, dtype=torch.int64)

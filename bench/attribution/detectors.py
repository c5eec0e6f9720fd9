"""Detectors: (sr, window) → one score per sample, and how many pixels the detector found flat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
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


@dataclass(frozen=True)
class GradientMagnitude:
    """D = Σ over window and channels of √(dx² + dy²), forward differences (Gu & Dong 2021, section 3.2).

    channels: 'rgb', or 'y' for the luminance, which is fair to networks that reconstruct Y only.
    root: 'safe' crops before the root, gives it the gradient 0 at 0, and counts such flat pixels; 'reference' takes the
    root of the whole image first, as the reference implementation: one flat pixel anywhere makes the gradient NaN.
    """

    channels: str
    root: str

    margin = 1

    def __post_init__(self) -> None:
        if self.channels not in ("rgb", "y") or self.root not in ("safe", "reference"):
            raise UserError("A gradient detector has channels 'rgb' or 'y' and root 'safe' or 'reference'.")

    @property
    def whole(self) -> bool:
        return self.root == "reference"

    def __call__(self, sr: Tensor, window: Window) -> tuple[Tensor, Tensor]:
        if not self.whole:
            sr = sr[..., window.y : window.y + window.size + 1, window.x : window.x + window.size + 1]
        if self.channels == "y":
            sr = (sr * sr.new_tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)
        dy = sr[..., :-1, :-1] - sr[..., 1:, :-1]
        dx = sr[..., :-1, :-1] - sr[..., :-1, 1:]
        square = dx**2 + dy**2
        flat = square == 0
        if self.whole:
            magnitude = torch.sqrt(square)
            magnitude = magnitude[..., window.y : window.y + window.size, window.x : window.x + window.size]
        else:
            magnitude = torch.where(flat, 0.0, torch.sqrt(torch.where(flat, 1.0, square)))
        return magnitude.sum((1, 2, 3)), flat.sum((1, 2, 3))

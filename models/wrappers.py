"""From a network's own convention to RGB in [0, 1] in and out. Wrappers nest; `net.core` is the official network."""

from __future__ import annotations

from functools import partial
from math import ceil, lcm
from typing import Any

import torch
from torch import Tensor, nn

from .colour import OFFSET, RGB_TO_YCBCR
from .layers import Stage, require_size
from .resize import bicubic

BICUBIC_RADIUS = 2  # LR pixels that a bicubically upsampled pixel sees on either side


class Wrapper(nn.Module):
    """Passes features and reconstruct on to `inner`; subclasses convert on the way in and out.

    An image with a side below `min_size` is refused with a sentence; whoever builds a network says what its least is.
    """

    min_size: int = 1

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner: Any = inner

    @property
    def core(self) -> nn.Module:
        """The network as its authors wrote it."""
        return self.inner.core if isinstance(self.inner, Wrapper) else self.inner

    @property
    def feature_strides(self) -> tuple[int, ...]:
        return getattr(self.inner, "feature_strides", (1,))

    @property
    def reconstruct_radius(self) -> int | None:
        """None when the network has no `reconstruct` or it must run whole."""
        return getattr(self.inner, "reconstruct_radius", None)

    def encode(self, lr: Tensor) -> Tensor:
        return lr

    def decode(self, sr: Tensor, lr: Tensor) -> Tensor:
        return sr

    def stages(self, **condition: Tensor) -> list[Stage]:
        """The inner network's, behind `encode`, which looks at single pixels; one, where it has none."""
        inner = getattr(self.inner, "stages", None)
        if inner is None:
            return [Stage(partial(self.features, **condition), None, self.feature_strides)]
        return [Stage(self.encode, 0), *inner(**condition)]

    def features(self, lr: Tensor, **condition: Tensor) -> Any:
        """condition=…: one per sample, in place of the default of a `ConditionalResolver`; other networks refuse it."""
        return self.inner.features(self.encode(lr), **condition)

    def reconstruct(self, features: Any, lr: Tensor) -> Tensor:
        return self.decode(self.inner.reconstruct(features, self.encode(lr)), lr)

    def forward(self, lr: Tensor, **condition: Tensor) -> Tensor:
        require_size(lr, self.min_size, "This network")
        return self.decode(self.inner(self.encode(lr), **condition), lr)


class Range(Wrapper):
    """For a network trained on values 0..peak."""

    def __init__(self, inner: nn.Module, peak: float = 1.0) -> None:
        super().__init__(inner)
        self.peak = peak

    def encode(self, lr: Tensor) -> Tensor:
        return lr if self.peak == 1 else lr * self.peak

    def decode(self, sr: Tensor, lr: Tensor) -> Tensor:
        return sr if self.peak == 1 else sr / self.peak


def _ycbcr_matrix(like: Tensor) -> tuple[Tensor, Tensor]:
    matrix = torch.tensor(RGB_TO_YCBCR, dtype=torch.float64)
    offset = torch.tensor(OFFSET, dtype=torch.float64) / 255
    return matrix, offset.to(like).view(3, 1, 1)


def rgb_to_ycbcr(rgb: Tensor) -> Tensor:
    """(..., 3, h, w) RGB in [0, 1] → Y, Cb, Cr in [16, 240]/255 (ITU-R BT.601, MATLAB's rgb2ycbcr)."""
    matrix, offset = _ycbcr_matrix(rgb)
    return torch.einsum("ij,...jhw->...ihw", matrix.to(rgb), rgb) + offset


def ycbcr_to_rgb(ycbcr: Tensor) -> Tensor:
    """The exact inverse of `rgb_to_ycbcr`, not clipped."""
    matrix, offset = _ycbcr_matrix(ycbcr)
    return torch.einsum("ij,...jhw->...ihw", matrix.inverse().to(ycbcr), ycbcr - offset)


class Luminance(Wrapper):
    """For a network that reconstructs Y only: Cb and Cr are upsampled bicubically."""

    def __init__(self, inner: nn.Module, scale: int) -> None:
        super().__init__(inner)
        self.scale = scale

    @property
    def reconstruct_radius(self) -> int | None:
        inner = super().reconstruct_radius
        return None if inner is None else max(inner, BICUBIC_RADIUS)

    def encode(self, lr: Tensor) -> Tensor:
        return rgb_to_ycbcr(lr)[:, :1]

    def decode(self, sr: Tensor, lr: Tensor) -> Tensor:
        colour = bicubic(rgb_to_ycbcr(lr)[:, 1:], self.scale)
        return ycbcr_to_rgb(torch.cat([sr, colour], 1))


class PreUpsample(Wrapper):
    """For a network that refines the bicubically upsampled image: what it calls a pixel is one at SR size."""

    def __init__(self, inner: nn.Module, scale: int) -> None:
        super().__init__(inner)
        self.scale = scale

    @property
    def feature_strides(self) -> tuple[int, ...]:
        return tuple(self.scale * stride for stride in super().feature_strides)

    @property
    def reconstruct_radius(self) -> int | None:
        inner = super().reconstruct_radius
        return None if inner is None else max(ceil(inner / self.scale), BICUBIC_RADIUS)

    def stages(self, **condition: Tensor) -> list[Stage]:
        if not hasattr(self.inner, "stages"):
            return super().stages(**condition)
        enlarge = Stage(self.encode, BICUBIC_RADIUS, self.scale)
        return [enlarge, *(self._at_lr(stage) for stage in self.inner.stages(**condition))]

    def _at_lr(self, stage: Stage) -> Stage:
        """The same step, told in LR pixels."""
        radius = None if stage.radius is None else ceil(stage.radius / self.scale)
        inner = stage.strides
        strides = self.scale * inner if isinstance(inner, int) else tuple(self.scale * stride for stride in inner)
        return Stage(stage.run, radius, strides, lcm(stage.multiple, self.scale) // self.scale)

    def encode(self, lr: Tensor) -> Tensor:
        return bicubic(lr, self.scale)


class Conditioned(Wrapper):
    """A conditional network with one condition for good, (1, k) or maps: whoever knows only net(lr) can use it then."""

    def __init__(self, inner: nn.Module, condition: Tensor) -> None:
        super().__init__(inner)
        self.condition = condition
        for name in ("scale", "min_size"):
            if hasattr(inner, name):
                setattr(self, name, getattr(inner, name))

    def stages(self) -> list[Stage]:
        return self.inner.stages(condition=self.condition)

    def features(self, lr: Tensor) -> Any:
        return self.inner.features(lr, condition=self.condition)

    def forward(self, lr: Tensor) -> Tensor:
        return self.inner(lr, condition=self.condition)

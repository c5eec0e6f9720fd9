"""ESPCN: Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network.

Shi, Caballero, Huszár, Totz, Aitken, Bishop, Rueckert, Wang. CVPR 2016. https://arxiv.org/abs/1609.05158
New: pixel shuffle; the last convolution computes all sub-pixels of an LR pixel as channels.
"""

from __future__ import annotations

from torch import Tensor, nn

from .layers import Stage, SuperResolver, conv, shuffle_once


class ESPCN(SuperResolver):
    """Values in [0, 1]; channels: 3 for RGB, 1 for Y. width: of the first layer, the second has half. Any scale."""

    reconstruct_radius = 1  # one 3×3 convolution at LR, then pixel shuffle

    def __init__(self, *, scale: int, channels: int, width: int) -> None:
        super().__init__()
        self.first_part = nn.Sequential(conv(channels, width, 5), nn.Tanh(), conv(width, width // 2, 3), nn.Tanh())
        self.last_part = shuffle_once(scale, width // 2, channels)

    def stages(self) -> list[Stage]:
        return [Stage(self.first_part[:2], 2), Stage(self.first_part[2:], 1)]

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.last_part(features)

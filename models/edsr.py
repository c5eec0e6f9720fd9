"""EDSR: Enhanced Deep Residual Networks for Single Image Super-Resolution.

Lim, Son, Kim, Nah, Lee. CVPR Workshops 2017. https://arxiv.org/abs/1707.02921
New: SRResNet without batch normalisation, wider, with scaled residuals. The baseline is 16 blocks of 64 channels.
"""

from __future__ import annotations

from torch import Tensor, nn

from .layers import MeanShift, Stage, SuperResolver, conv, long_skip, on_last, shuffle_upsampler


class ResidualBlock(nn.Module):
    def __init__(self, width: int, res_scale: float) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(width, width, 3), nn.ReLU(inplace=True), conv(width, width, 3))
        self.res_scale = res_scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.res_scale * self.body(x)


class EDSR(SuperResolver):
    """RGB in 0..peak (official: 255). scale: 2, 3, 4 or 8."""

    reconstruct_radius = 2  # convolutions at strides 1, 2 and 4: 1 + 1/2 + 1/4, rounded up

    def __init__(self, *, scale: int, n_blocks: int, width: int, res_scale: float, peak: float) -> None:
        super().__init__()
        self.sub_mean = MeanShift(-1, peak)
        self.add_mean = MeanShift(+1, peak)
        self.head = nn.Sequential(conv(3, width, 3))
        self.body = nn.Sequential(*(ResidualBlock(width, res_scale) for _ in range(n_blocks)), conv(width, width, 3))
        self.tail = nn.Sequential(shuffle_upsampler(scale, width), conv(width, 3, 3))

    def stages(self) -> list[Stage]:
        *blocks, last = self.body
        body = [Stage(on_last(block), 2) for block in blocks]
        return long_skip(nn.Sequential(self.sub_mean, self.head), body, last)

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.add_mean(self.tail(features))

"""RCAN: Image Super-Resolution Using Very Deep Residual Channel Attention Networks.

Zhang, Li, Li, Wang, Zhong, Fu. ECCV 2018. https://arxiv.org/abs/1807.02758
New: residual groups in a residual body, 400 layers deep, and channel attention from the global mean of every feature.
"""

from __future__ import annotations

from torch import Tensor, nn

from .layers import MeanShift, Stage, SuperResolver, channel_weights, conv, long_skip, on_last, shuffle_upsampler


class ChannelAttention(nn.Module):
    """Weighs each channel by a function of all channels' means over the whole image."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.conv_du = channel_weights(width, width // reduction)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv_du(x.mean((2, 3), keepdim=True))


class AttentionBlock(nn.Module):
    """The paper's RCAB."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(width, width, 3), nn.ReLU(inplace=True), conv(width, width, 3), ChannelAttention(width, reduction)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class ResidualGroup(nn.Module):
    def __init__(self, n_blocks: int, width: int, reduction: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*(AttentionBlock(width, reduction) for _ in range(n_blocks)), conv(width, width, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class RCAN(SuperResolver):
    """RGB in 0..peak (official: 255). scale: 2, 3, 4 or 8."""

    reconstruct_radius = 2  # convolutions at strides 1, 2 and 4: 1 + 1/2 + 1/4, rounded up

    def __init__(self, *, scale: int, n_groups: int, n_blocks: int, width: int, reduction: int, peak: float) -> None:
        super().__init__()
        self.sub_mean = MeanShift(-1, peak)
        self.add_mean = MeanShift(+1, peak)
        self.head = nn.Sequential(conv(3, width, 3))
        groups = (ResidualGroup(n_blocks, width, reduction) for _ in range(n_groups))
        self.body = nn.Sequential(*groups, conv(width, width, 3))
        self.tail = nn.Sequential(shuffle_upsampler(scale, width), conv(width, 3, 3))

    def stages(self) -> list[Stage]:
        *groups, last = self.body
        body = [Stage(on_last(group), None) for group in groups]
        return long_skip(nn.Sequential(self.sub_mean, self.head), body, last)

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.add_mean(self.tail(features))

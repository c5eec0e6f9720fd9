"""SAN: Second-order Attention Network for Single Image Super-Resolution.

Dai, Cai, Zhang, Xia, Zhang. CVPR 2019.
https://openaccess.thecvf.com/content_CVPR_2019/html/Dai_Second-Order_Attention_Network_for_Single_Image_Super-Resolution_CVPR_2019_paper.html
New: channel attention from the covariance of the features (second-order statistics) instead of their mean, between
region-level non-local blocks, with one shared source added before every group.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .attention import attend, flatten_positions
from .layers import MeanShift, SuperResolver, channel_weights, conv, shuffle_upsampler

N_ITERATIONS = 5  # of the square root: few enough that their number is part of the network
COVARIANCE_SIDE = 1000  # of larger images the centre alone is pooled


def covariance(x: Tensor) -> Tensor:
    """(n, c, h, w) → (n, c, c): of the channels over all positions."""
    top, left = (max(0, side - COVARIANCE_SIDE) // 2 for side in x.shape[-2:])
    positions = x[..., top : top + COVARIANCE_SIDE, left : left + COVARIANCE_SIDE].flatten(2)
    centred = positions - positions.mean(2, keepdim=True)
    return centred @ centred.mT / positions.shape[2]


def square_root(matrix: Tensor) -> Tensor:
    """(n, c, c) → its square root, by `N_ITERATIONS` of Newton and Schulz. Of zero, NaN, as in the official code."""
    trace = matrix.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
    three = 3 * torch.eye(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)
    y = matrix / trace
    z = 0.5 * (three - y)
    y = y @ z
    for _ in range(N_ITERATIONS - 2):
        step = 0.5 * (three - z @ y)
        y, z = y @ step, step @ z
    return 0.5 * y @ (three - z @ y) * trace.sqrt()


class SecondOrderAttention(nn.Module):
    """The paper's SOCA: weighs each channel by a function of the rows' means of the features' root covariance."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.conv_du = channel_weights(width, width // reduction)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv_du(square_root(covariance(x)).mean(1)[..., None, None])


class ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_first = nn.Sequential(conv(width, width, 3), nn.ReLU(inplace=True), conv(width, width, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_first(x)


class ResidualGroup(nn.Module):
    """The paper's LSRAG: residual blocks, then second-order attention. Its own `gamma` is never used."""

    def __init__(self, n_blocks: int, width: int, reduction: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))
        self.rcab = nn.ModuleList(ResidualBlock(width) for _ in range(n_blocks))
        self.soca = SecondOrderAttention(width, reduction)
        self.conv_last = conv(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        body = x
        for block in self.rcab:
            body = block(body)
        return x + self.conv_last(self.soca(body))


class NonLocal(nn.Module):
    """Embedded Gaussian; keys and values are max-pooled by 2."""

    def __init__(self, width: int, reduction: int, attention_slice: int | None) -> None:
        super().__init__()
        hidden = width // reduction
        self.g = nn.Sequential(conv(width, hidden, 1), nn.MaxPool2d(2))
        self.W = conv(hidden, width, 1)
        self.theta = conv(width, hidden, 1)
        self.phi = nn.Sequential(conv(width, hidden, 1), nn.MaxPool2d(2))
        self.attention_slice = attention_slice

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (flatten_positions(f(x)) for f in (self.theta, self.phi, self.g))
        attended = attend(query, key, value, self.attention_slice)
        return x + self.W(attended.mT.unflatten(2, x.shape[-2:]))


class RegionNonLocal(nn.Module):
    """The paper's RL-NL: the image in four quarters, the same non-local block in each. Its own `soca` is never used."""

    def __init__(self, width: int, reduction: int, attention_slice: int | None) -> None:
        super().__init__()
        self.soca = SecondOrderAttention(width, reduction)
        self.non_local = NonLocal(width, reduction, attention_slice)

    def forward(self, x: Tensor) -> Tensor:
        middle, centre = x.shape[2] // 2, x.shape[3] // 2
        rows = x[:, :, :middle], x[:, :, middle:]
        parts = [[self.non_local(row[..., :centre]), self.non_local(row[..., centre:])] for row in rows]
        return torch.cat([torch.cat(row, 3) for row in parts], 2)


class SAN(SuperResolver):
    """RGB in 0..peak (official: 255). scale: 2, 3, 4 or 8. Needs at least 4×4 pixels. Its own `conv_last` is unused.

    region_reduction: of the channels in the non-local blocks. attention_slice: positions that they attend at a time;
    without effect on the numbers.
    """

    reconstruct_radius = 2  # convolutions at strides 1, 2 and 4: 1 + 1/2 + 1/4, rounded up

    def __init__(
        self,
        *,
        scale: int,
        n_groups: int,
        n_blocks: int,
        width: int,
        reduction: int,
        region_reduction: int,
        peak: float,
        attention_slice: int | None,
    ) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))
        self.sub_mean = MeanShift(-1, peak)
        self.RG = nn.ModuleList(ResidualGroup(n_blocks, width, reduction) for _ in range(n_groups))
        self.conv_last = conv(width, width, 3)
        self.add_mean = MeanShift(+1, peak)
        self.non_local = RegionNonLocal(width, region_reduction, attention_slice)
        self.head = nn.Sequential(conv(3, width, 3))
        self.tail = nn.Sequential(shuffle_upsampler(scale, width), conv(width, 3, 3))

    def features(self, lr: Tensor) -> Tensor:
        """Never local: the last step looks at a whole quarter of what has come out of attention over all channels."""
        shallow = self.head(self.sub_mean(lr))
        x = source = self.non_local(shallow)
        for group in self.RG:
            x = group(x) + self.gamma * source
        return shallow + self.non_local(x)

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.add_mean(self.tail(features))

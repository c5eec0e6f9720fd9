"""CARN: Fast, Accurate, and Lightweight Super-Resolution with Cascading Residual Network.

Ahn, Kang, Sohn. ECCV 2018. https://arxiv.org/abs/1803.08664
New: every block sees all earlier outputs, within a block and between blocks. CARN-M groups its convolutions and shares
one residual block three times per cascade.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from .layers import MeanShift, Stage, SuperResolver, conv, require_scale, shuffle_upsampler

DEPTH = 3  # of a cascade, and of the cascade of cascades


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(width, width, 3), nn.ReLU(inplace=True), conv(width, width, 3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + x)


class EfficientResidual(nn.Module):
    """CARN-M's: two grouped convolutions and a pointwise one."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        grouped = [m for _ in range(2) for m in (conv(width, width, 3, groups=groups), nn.ReLU(inplace=True))]
        self.body = nn.Sequential(*grouped, conv(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + x)


class Fusion(nn.Module):
    def __init__(self, n_in: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(n_in, width, 1), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def advance(state: tuple[Tensor, Tensor], block: nn.Module, fusion: nn.Module) -> tuple[Tensor, Tensor]:
    """One block of a cascade: it reads the fusion of the input and all earlier blocks' outputs."""
    seen, fused = state
    seen = torch.cat([seen, block(fused)], 1)
    return seen, fusion(seen)


class Cascade(nn.Module):
    def __init__(self, width: int, groups: int, efficient: bool) -> None:
        super().__init__()
        self.b1 = EfficientResidual(width, groups) if efficient else Residual(width)
        if not efficient:
            self.b2 = Residual(width)
            self.b3 = Residual(width)
        self.c1, self.c2, self.c3 = (Fusion(i * width, width) for i in range(2, DEPTH + 2))
        self.shared = efficient

    def forward(self, x: Tensor) -> Tensor:
        blocks = [self.b1] * DEPTH if self.shared else [self.b1, self.b2, self.b3]
        state = x, x
        for block, fusion in zip(blocks, (self.c1, self.c2, self.c3), strict=True):
            state = advance(state, block, fusion)
        return state[1]


class Upsampler(nn.Module):
    """Unlike EDSR's: a ReLU before each pixel shuffle."""

    def __init__(self, scale: int, width: int, groups: int) -> None:
        super().__init__()
        self.body = shuffle_upsampler(scale, width, relu=True, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class CARN(SuperResolver):
    """RGB in [0, 1]. scale: 2, 3 or 4.

    scales: the upsamplers that exist. The published files hold [2, 3, 4], of which only the one for `scale` is used;
    None means that one alone. efficient: CARN-M, whose groups the upsampler has too.
    """

    reconstruct_radius = 2  # convolutions at strides 1, 2 and 4: 1 + 1/2 + 1/4, rounded up

    def __init__(self, *, scale: int, scales: Sequence[int] | None, width: int, groups: int, efficient: bool) -> None:
        super().__init__()
        require_scale(scale, (2, 3, 4), "CARN")
        if scales is not None and scale not in scales:
            raise ValueError(f"Scale {scale} is not among the upsamplers {list(scales)} of this CARN.")
        if groups != 1 and not efficient:
            raise ValueError("Only the efficient CARN (CARN-M) has grouped convolutions; set efficient or groups 1.")
        self.sub_mean = MeanShift(-1)
        self.add_mean = MeanShift(+1)
        self.entry = conv(3, width, 3)
        self.b1, self.b2, self.b3 = (Cascade(width, groups, efficient) for _ in range(DEPTH))
        self.c1, self.c2, self.c3 = (Fusion(i * width, width) for i in range(2, DEPTH + 2))
        names = {"up": scale} if scales is None else {f"up{s}": s for s in scales}
        self.upsample = nn.ModuleDict({name: Upsampler(s, width, groups) for name, s in names.items()})
        self.exit = conv(width, 3, 3)
        self.upsampler_name = "up" if scales is None else f"up{scale}"

    def stages(self) -> list[Stage]:
        cascades = zip((self.b1, self.b2, self.b3), (self.c1, self.c2, self.c3), strict=True)
        return [
            Stage(self._enter, 1),
            *(Stage(partial(advance, block=b, fusion=c), 2 * DEPTH) for b, c in cascades),
            Stage(lambda state: state[1], 0),
        ]

    def _enter(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        x = self.entry(self.sub_mean(lr))
        return x, x

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.add_mean(self.exit(self.upsample[self.upsampler_name](features)))

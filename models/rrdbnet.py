"""RRDBNet: ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks.

Wang, Yu, Wu, Gu, Liu, Dong, Qiao, Loy. ECCV Workshops 2018. https://arxiv.org/abs/1809.00219
New: dense blocks within residual blocks within a residual body, all scaled, no normalisation. ESRGAN's generator.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu

from .layers import (
    Stage,
    SuperResolver,
    conv,
    from_last,
    long_skip,
    on_last,
    rejoin,
    rename,
    shuffle_factors,
    stages_of,
)

SLOPE = 0.2
RES_SCALE = 0.2
N_LAYERS = 5  # of a dense block


class DenseBlock(nn.Module):
    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        for i in range(N_LAYERS):
            self.add_module(f"conv{i + 1}", conv(width + i * growth, growth if i < N_LAYERS - 1 else width, 3))

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for i in range(1, N_LAYERS):
            seen = torch.cat([seen, leaky_relu(self.get_submodule(f"conv{i}")(seen), SLOPE)], 1)
        return x + RES_SCALE * self.get_submodule(f"conv{N_LAYERS}")(seen)


class ResidualInResidual(nn.Module):
    """The paper's RRDB."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.RDB1 = DenseBlock(width, growth)
        self.RDB2 = DenseBlock(width, growth)
        self.RDB3 = DenseBlock(width, growth)

    def stages(self) -> list[Stage]:
        """On the last tensor of the state."""
        first, *others = (self.RDB1, self.RDB2, self.RDB3)
        through = (Stage(on_last(block), N_LAYERS) for block in others)
        return [Stage(from_last(first), N_LAYERS), *through, Stage(rejoin(lambda y: RES_SCALE * y), 0)]


class RRDBNet(SuperResolver):
    """RGB in [0, 1]. scale: 2, 3, 4 or 8."""

    # ×4: conv_last, HRconv and upconv2 read SR pixel 4q − 3, which nearest upsampling puts at 2q − 2; upconv1 reads
    # 2q − 3, which is LR pixel q − 2, and q + 2 on the other side. The other scales reach no further.
    reconstruct_radius = 2

    def __init__(self, *, scale: int, n_blocks: int, width: int, growth: int) -> None:
        super().__init__()
        self.factors = shuffle_factors(scale)
        self.conv_first = conv(3, width, 3)
        self.RRDB_trunk = nn.Sequential(*(ResidualInResidual(width, growth) for _ in range(n_blocks)))
        self.trunk_conv = conv(width, width, 3)
        for i, _ in enumerate(self.factors, 1):
            self.add_module(f"upconv{i}", conv(width, width, 3))
        self.HRconv = conv(width, width, 3)
        self.conv_last = conv(width, 3, 3)

    @staticmethod
    def from_official(state: dict[str, Any]) -> dict[str, Any]:
        """The names that BasicSR gave to the same network."""
        return rename(
            state,
            [
                (r"body\.(\d+)\.rdb(\d)", r"RRDB_trunk.\1.RDB\2"),
                (r"conv_body\.", "trunk_conv."),
                (r"conv_up(\d)\.", r"upconv\1."),
                (r"conv_hr\.", "HRconv."),
            ],
        )

    def stages(self) -> list[Stage]:
        return long_skip(self.conv_first, stages_of(self.RRDB_trunk), self.trunk_conv)

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        x = features
        for i, factor in enumerate(self.factors, 1):
            x = interpolate(x, scale_factor=factor, mode="nearest")
            x = leaky_relu(self.get_submodule(f"upconv{i}")(x), SLOPE)
        return self.conv_last(leaky_relu(self.HRconv(x), SLOPE))

"""RDN: Residual Dense Network for Image Super-Resolution.

Zhang, Tian, Kong, Zhong, Fu. CVPR 2018. https://arxiv.org/abs/1802.08797
New: residual dense blocks, each fused to one width (local fusion), and the outputs of all blocks fused (global fusion).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import Stage, SuperResolver, conv, from_last, on_last, require_scale, shuffle_factors, stages_of


class DenseLayer(nn.Module):
    """x and `growth` new features."""

    def __init__(self, n_in: int, growth: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(conv(n_in, growth, 3), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(x)], 1)


class ResidualDenseBlock(nn.Module):
    """The paper's RDB."""

    def __init__(self, n_layers: int, width: int, growth: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(*(DenseLayer(width + i * growth, growth) for i in range(n_layers)))
        self.LFF = conv(width + n_layers * growth, width, 1)

    def stages(self) -> list[Stage]:
        """From the outputs of all blocks before to these and one more."""
        first, *others = self.convs
        through = (Stage(on_last(layer), 1) for layer in others)
        return [Stage(from_last(first), 1), *through, Stage(self._fuse, 0)]

    def _fuse(self, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        *outputs, found = state
        return *outputs, outputs[-1] + self.LFF(found)


class RDN(SuperResolver):
    """RGB in 0..255, no mean shift. scale: 2, 3 or 4. n_blocks, n_layers, growth, width: the paper's D, C, G, G0."""

    reconstruct_radius = 2  # convolutions at strides 1, 2 and 4: 1 + 1/2 + 1/4, rounded up

    def __init__(self, *, scale: int, n_blocks: int, n_layers: int, growth: int, width: int) -> None:
        super().__init__()
        require_scale(scale, [2, 3, 4], "RDN")
        self.SFENet1 = conv(3, width, 3)
        self.SFENet2 = conv(width, width, 3)
        self.RDBs = nn.ModuleList(ResidualDenseBlock(n_layers, width, growth) for _ in range(n_blocks))
        self.GFF = nn.Sequential(conv(n_blocks * width, width, 1), conv(width, width, 3))
        steps = []
        for factor in shuffle_factors(scale):
            steps += [conv(growth if steps else width, factor * factor * growth, 3), nn.PixelShuffle(factor)]
        self.UPNet = nn.Sequential(*steps, conv(growth, 3, 3))

    def stages(self) -> list[Stage]:
        """The state is the outputs of the first two convolutions and of all blocks so far."""
        enter = [Stage(lambda lr: (self.SFENet1(lr),), 1), Stage(from_last(self.SFENet2), 1)]
        return [*enter, *stages_of(self.RDBs), Stage(self._fuse, 1)]

    def _fuse(self, state: tuple[Tensor, ...]) -> Tensor:
        shallow, _, *outputs = state
        return shallow + self.GFF(torch.cat(outputs, 1))

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.UPNet(features)

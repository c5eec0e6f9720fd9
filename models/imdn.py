"""IMDN: Lightweight Image Super-Resolution with Information Multi-distillation Network.

Hui, Gao, Yang, Wang. ACM Multimedia 2019. https://arxiv.org/abs/1909.11856
New: each block sets aside a quarter of its features at every step and refines the rest; channel attention by contrast.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from .layers import Stage, SuperResolver, channel_weights, conv, shuffle_once

SLOPE = 0.05


class ContrastAttention(nn.Module):
    """Weighs each channel by a function of all channels' mean plus standard deviation over the whole image.

    The standard deviation has no ε, as in the official code: a constant channel has a NaN gradient.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_du = channel_weights(width, width // 16)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        deviation = (x - mean).square().mean((2, 3), keepdim=True).sqrt()
        return x * self.conv_du(mean + deviation)


class DistillationBlock(nn.Module):
    """The paper's IMDB."""

    def __init__(self, width: int) -> None:
        super().__init__()
        distilled = width // 4
        rest = width - distilled
        self.split = [distilled, rest]
        self.c1 = conv(width, width, 3)
        self.c2 = conv(rest, width, 3)
        self.c3 = conv(rest, width, 3)
        self.c4 = conv(rest, distilled, 3)
        self.c5 = conv(4 * distilled, width, 1)
        self.cca = ContrastAttention(4 * distilled)

    def forward(self, x: Tensor) -> Tensor:
        d1, rest = leaky_relu(self.c1(x), SLOPE).split(self.split, 1)
        d2, rest = leaky_relu(self.c2(rest), SLOPE).split(self.split, 1)
        d3, rest = leaky_relu(self.c3(rest), SLOPE).split(self.split, 1)
        d4 = self.c4(rest)
        return x + self.c5(self.cca(torch.cat([d1, d2, d3, d4], 1)))


class DistillationNetwork(SuperResolver):
    """What IMDN and RFDN share: blocks in a row, all of whose outputs are fused. blocks: official name → block."""

    reconstruct_radius = 1  # one 3×3 convolution at LR, then pixel shuffle

    def __init__(self, scale: int, width: int, blocks: dict[str, nn.Module]) -> None:
        super().__init__()
        self.fea_conv = conv(3, width, 3)
        self.block_names = list(blocks)
        for name, block in blocks.items():
            self.add_module(name, block)
        self.c = nn.Sequential(conv(len(blocks) * width, width, 1), nn.LeakyReLU(SLOPE, inplace=True))
        self.LR_conv = conv(width, width, 3)
        self.upsampler = shuffle_once(scale, width, 3)

    def stages(self) -> list[Stage]:
        return [Stage(self._distil, None), Stage(self._fuse, 1)]

    def _distil(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        x = shallow = self.fea_conv(lr)
        outputs = []
        for name in self.block_names:
            x = self.get_submodule(name)(x)
            outputs.append(x)
        return shallow, torch.cat(outputs, 1)

    def _fuse(self, state: tuple[Tensor, Tensor]) -> Tensor:
        shallow, outputs = state
        return shallow + self.LR_conv(self.c(outputs))

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.upsampler(features)


class IMDN(DistillationNetwork):
    """RGB in [0, 1]. Any scale. width: a multiple of 16."""

    def __init__(self, *, scale: int, n_blocks: int, width: int) -> None:
        if width % 16:
            raise ValueError(f"IMDN needs a width that 16 divides, and {width} is none.")
        super().__init__(scale, width, {f"IMDB{i + 1}": DistillationBlock(width) for i in range(n_blocks)})

"""SFTMD: Blind Super-Resolution With Iterative Kernel Correction.

Gu, Lu, Zuo, Dong. CVPR 2019. https://arxiv.org/abs/1904.03377
New: features are scaled and shifted, pixel by pixel, by a function of themselves and of a code of the blur kernel; the
paper's predictor and corrector of that code are not part of the network.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from .layers import ConditionalResolver, Stage, conv, require_scale, shuffle_factors

SLOPE = 0.2
HIDDEN = 32


class SpatialTransform(nn.Module):
    """The paper's SFT layer: features (n, width, h, w) and code maps (n, n_code, h, w) → features."""

    def __init__(self, width: int, n_code: int) -> None:
        super().__init__()
        self.mul_conv1 = conv(n_code + width, HIDDEN, 3)
        self.mul_conv2 = conv(HIDDEN, width, 3)
        self.add_conv1 = conv(n_code + width, HIDDEN, 3)
        self.add_conv2 = conv(HIDDEN, width, 3)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        both = torch.cat([x, code], 1)
        factor = self.mul_conv2(leaky_relu(self.mul_conv1(both), SLOPE)).sigmoid()
        return x * factor + self.add_conv2(leaky_relu(self.add_conv1(both), SLOPE))


class ResidualBlock(nn.Module):
    def __init__(self, width: int, n_code: int) -> None:
        super().__init__()
        self.sft1 = SpatialTransform(width, n_code)
        self.sft2 = SpatialTransform(width, n_code)
        self.conv1 = conv(width, width, 3)
        self.conv2 = conv(width, width, 3)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        y = self.conv1(self.sft1(x, code).relu())
        return x + self.conv2(self.sft2(y, code).relu())


class SFTMD(ConditionalResolver):
    """RGB in [0, 1], not clamped (the official forward clamps). scale: 2, 3 or 4. The condition is the kernel's code.

    default_condition: the code where none is given. demo: the form of the authors' demonstration: the code joins the
    image too, and the tail has no biases. sft_branch: carry the branch that the other form builds and never calls, so
    that its authors' file fits.
    """

    reconstruct_radius = 3  # convolutions of 3 at strides 1 and 2, of 9 at stride 4: 1 + 1/2 + 4/4, rounded up

    def __init__(
        self,
        *,
        scale: int,
        n_blocks: int,
        width: int,
        default_condition: Sequence[float],
        demo: bool,
        sft_branch: bool,
    ) -> None:
        super().__init__(default_condition)
        require_scale(scale, (2, 3, 4), "SFTMD")
        n_code = len(default_condition)
        self.demo = demo
        self.conv1 = conv(3 + n_code if demo else 3, width, 3)
        self.conv2 = conv(width, width, 3)
        self.conv3 = conv(width, width, 3)
        if sft_branch:
            self.sft_branch = nn.Sequential(*(ResidualBlock(width, n_code) for _ in range(n_blocks)))
        self.block_names = [f"SFT-residual{i + 1}" for i in range(n_blocks)]
        for name in self.block_names:
            self.add_module(name, ResidualBlock(width, n_code))
        self.last_name = "sft_mid" if demo else "sft"
        self.add_module(self.last_name, SpatialTransform(width, n_code))
        self.conv_mid = conv(width, width, 3, bias=not demo)
        steps = (
            (conv(width, f * f * width, 3, bias=not demo), nn.PixelShuffle(f), nn.LeakyReLU(SLOPE, inplace=True))
            for f in shuffle_factors(scale)
        )
        self.upscale = nn.Sequential(*(layer for step in steps for layer in step))
        self.conv_output = conv(width, 3, 9, bias=not demo)

    def stages(self, condition: Tensor | None = None) -> list[Stage]:
        transform = self.get_submodule(self.last_name)

        def enter(state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            lr, code = state
            x = torch.cat([lr, code], 1) if self.demo else lr
            x = self.conv3(leaky_relu(self.conv2(leaky_relu(self.conv1(x), SLOPE)), SLOPE))
            return x, x, code

        def through(name: str) -> Stage:
            block = self.get_submodule(name)
            return Stage(lambda state: (state[0], block(state[1], state[2]), state[2]), 6)

        def leave(state: tuple[Tensor, ...]) -> Tensor:
            shallow, x, code = state
            if self.demo:
                return shallow + self.conv_mid(transform(x, code).relu())
            return self.conv_mid(transform(x + shallow, code))

        return [self.join(condition), Stage(enter, 3), *map(through, self.block_names), Stage(leave, 3)]

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.conv_output(self.upscale(features))

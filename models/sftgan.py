"""SFT-GAN: Recovering Realistic Texture in Image Super-resolution by Deep Spatial Feature Transform.

Wang, Yu, Dong, Loy. CVPR 2018. https://arxiv.org/abs/1804.02815
New: features are scaled and shifted, pixel by pixel, by a function of the probabilities of semantic classes.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from .layers import ConditionalResolver, Stage, conv, require_scale


class SpatialTransform(nn.Module):
    """The paper's SFT layer: features (n, width, h, w) and conditions (n, condition_width, h, w) → features."""

    def __init__(self, width: int, condition_width: int, torch7: bool) -> None:
        super().__init__()
        self.SFT_scale_conv0 = conv(condition_width, condition_width, 1)
        self.SFT_scale_conv1 = conv(condition_width, width, 1)
        self.SFT_shift_conv0 = conv(condition_width, condition_width, 1)
        self.SFT_shift_conv1 = conv(condition_width, width, 1)
        self.slope = 0.01 if torch7 else 0.1
        self.offset = 0 if torch7 else 1

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale = self.SFT_scale_conv1(leaky_relu(self.SFT_scale_conv0(condition), self.slope))
        shift = self.SFT_shift_conv1(leaky_relu(self.SFT_shift_conv0(condition), self.slope))
        return x * (scale + self.offset) + shift


class ResidualBlock(nn.Module):
    """Rectified after each transform (torch7) or after the first convolution."""

    def __init__(self, width: int, condition_width: int, torch7: bool) -> None:
        super().__init__()
        self.sft0 = SpatialTransform(width, condition_width, torch7)
        self.conv0 = conv(width, width, 3)
        self.sft1 = SpatialTransform(width, condition_width, torch7)
        self.conv1 = conv(width, width, 3)
        self.torch7 = torch7

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        if self.torch7:
            y = self.conv0(self.sft0(x, condition).relu())
            return x + self.conv1(self.sft1(y, condition).relu())
        y = self.conv0(self.sft0(x, condition)).relu()
        return x + self.conv1(self.sft1(y, condition))


class SFTGAN(ConditionalResolver):
    """RGB in [0, 1]. scale: 4. The condition is the probability of each class, as maps at SR size or for a whole image.

    default_condition: the probabilities where none are given. torch7: the paper's own network, written in Lua; else the
    one that its authors trained in PyTorch.
    """

    condition_stride = 4
    reconstruct_radius = 2  # two or three convolutions at stride 4, then strides 2 and 1: less than 2 in all

    def __init__(
        self,
        *,
        scale: int,
        n_blocks: int,
        width: int,
        condition_width: int,
        default_condition: Sequence[float],
        torch7: bool,
    ) -> None:
        super().__init__(default_condition)
        require_scale(scale, (4,), "SFT-GAN")
        self.conv0 = conv(3, width, 3)
        blocks = (ResidualBlock(width, condition_width, torch7) for _ in range(n_blocks))
        last = SpatialTransform(width, condition_width, torch7), conv(width, width, 3)
        self.sft_branch = nn.ModuleList([*blocks, *last])
        self.HR_branch = nn.Sequential(
            *(doubling(width, torch7) + doubling(width, torch7)),
            *(conv(width, width, 3), nn.ReLU(inplace=True)),
            conv(width, 3, 3),
        )
        hidden = 4 * condition_width
        mapping = [m for _ in range(3) for m in (nn.LeakyReLU(0.1, inplace=True), conv(hidden, hidden, 1))]
        self.CondNet = nn.Sequential(
            nn.Conv2d(len(default_condition), hidden, self.condition_stride, stride=self.condition_stride),
            *mapping,
            *(nn.LeakyReLU(0.1, inplace=True), conv(hidden, condition_width, 1)),
        )

    def stages(self, condition: Tensor | None = None) -> list[Stage]:
        *blocks, transform, last = self.sft_branch

        def enter(state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            lr, maps = state
            x = self.conv0(lr)
            return x, x, self.CondNet(maps)

        def through(block: nn.Module) -> Stage:
            return Stage(lambda state: (state[0], block(state[1], state[2]), state[2]), 2)

        def leave(state: tuple[Tensor, ...]) -> Tensor:
            return state[0] + last(transform(state[1], state[2]))

        return [self.join(condition), Stage(enter, 1), *map(through, blocks), Stage(leave, 1)]

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.HR_branch(features)


def doubling(width: int, torch7: bool) -> list[nn.Module]:
    """×2: nearest neighbour and a convolution (torch7), or a convolution and pixel shuffle."""
    if torch7:
        return [nn.Upsample(scale_factor=2, mode="nearest"), conv(width, width, 3), nn.ReLU(inplace=True)]
    return [conv(width, 4 * width, 3), nn.PixelShuffle(2), nn.ReLU(inplace=True)]

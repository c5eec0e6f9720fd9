"""RFDN: Residual Feature Distillation Network for Lightweight Image Super-Resolution.

Liu, Tang, Wu. ECCV Workshops 2020 (winner of AIM 2020, efficient super-resolution). https://arxiv.org/abs/2009.11551
New: IMDN's distillation by 1×1 convolutions beside shallow residual blocks, and an enhanced spatial attention with a
very wide view. This is the published AIM variant: no skip around a block.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, max_pool2d

from .imdn import SLOPE, DistillationNetwork
from .layers import conv


class SpatialAttention(nn.Module):
    """The paper's ESA: a mask from features strided by 2, max-pooled 7×7 by 3. Needs at least 15×15 pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = width // 4
        self.conv1 = conv(width, hidden, 1)
        self.conv_f = conv(hidden, hidden, 1)
        self.conv_max = conv(hidden, hidden, 3)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, stride=2)
        self.conv3 = conv(hidden, hidden, 3)
        self.conv3_ = conv(hidden, hidden, 3)
        self.conv4 = conv(hidden, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.conv1(x)
        coarse = max_pool2d(self.conv2(narrow), 7, 3)
        coarse = self.conv3(self.conv_max(coarse).relu()).relu()
        wide = interpolate(self.conv3_(coarse), x.shape[-2:], mode="bilinear", align_corners=False)
        return x * self.conv4(wide + self.conv_f(narrow)).sigmoid()


class DistillationBlock(nn.Module):
    """The paper's RFDB."""

    def __init__(self, width: int) -> None:
        super().__init__()
        distilled = width // 2
        self.c1_d = conv(width, distilled, 1)
        self.c1_r = conv(width, width, 3)
        self.c2_d = conv(width, distilled, 1)
        self.c2_r = conv(width, width, 3)
        self.c3_d = conv(width, distilled, 1)
        self.c3_r = conv(width, width, 3)
        self.c4 = conv(width, distilled, 3)
        self.c5 = conv(4 * distilled, width, 1)
        self.esa = SpatialAttention(width)

    def forward(self, x: Tensor) -> Tensor:
        distilled = []
        for distill, refine in ((self.c1_d, self.c1_r), (self.c2_d, self.c2_r), (self.c3_d, self.c3_r)):
            distilled.append(leaky_relu(distill(x), SLOPE))
            x = leaky_relu(refine(x) + x, SLOPE)
        distilled.append(leaky_relu(self.c4(x), SLOPE))
        return self.esa(self.c5(torch.cat(distilled, 1)))


class RFDN(DistillationNetwork):
    """RGB in 0..255, no mean shift. Any scale. Needs at least 15×15 pixels."""

    def __init__(self, *, scale: int, n_blocks: int, width: int) -> None:
        super().__init__(scale, width, {f"B{i + 1}": DistillationBlock(width) for i in range(n_blocks)})

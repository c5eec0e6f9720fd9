"""MSRN: Multi-scale Residual Network for Image Super-Resolution.

Li, Fang, Mei, Zhang. ECCV 2018. https://openaccess.thecvf.com/content_ECCV_2018/html/Juncheng_Li_Multi-scale_Residual_Network_ECCV_2018_paper.html
New: kernels of 3 and 5 side by side, exchanging what they find; the outputs of all blocks are fused before upsampling.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import MeanShift, SuperResolver, conv, shuffle_upsampler


class MultiScaleBlock(nn.Module):
    """The paper's MSRB."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_3_1 = conv(width, width, 3)
        self.conv_3_2 = conv(2 * width, 2 * width, 3)
        self.conv_5_1 = conv(width, width, 5)
        self.conv_5_2 = conv(2 * width, 2 * width, 5)
        self.confusion = conv(4 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.conv_3_1(x).relu(), self.conv_5_1(x).relu()], 1)
        both = torch.cat([self.conv_3_2(both).relu(), self.conv_5_2(both).relu()], 1)
        return x + self.confusion(both)


class MSRN(SuperResolver):
    """RGB in 0..peak (official: 255). scale: 2, 3, 4 or 8."""

    reconstruct_radius = 2  # convolutions at strides 1, 2 and 4: 1 + 1/2 + 1/4, rounded up

    def __init__(self, *, scale: int, n_blocks: int, width: int, peak: float) -> None:
        super().__init__()
        self.sub_mean = MeanShift(-1, peak)
        self.add_mean = MeanShift(+1, peak)
        self.head = nn.Sequential(conv(3, width, 3))
        self.body = nn.Sequential(*(MultiScaleBlock(width) for _ in range(n_blocks)))
        fusion = (conv((n_blocks + 1) * width, width, 1), conv(width, width, 3))
        self.tail = nn.Sequential(*fusion, shuffle_upsampler(scale, width), conv(width, 3, 3))

    def features(self, lr: Tensor) -> Tensor:
        x = shallow = self.head(self.sub_mean(lr))
        outputs = []
        for block in self.body:
            x = block(x)
            outputs.append(x)
        return self.tail[:2](torch.cat([*outputs, shallow], 1))

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.add_mean(self.tail[2:](features))

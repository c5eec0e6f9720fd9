"""MSRN: Multi-scale Residual Network for Image Super-Resolution.

Li, Fang, Mei, Zhang. ECCV 2018. https://openaccess.thecvf.com/content_ECCV_2018/html/Juncheng_Li_Multi-scale_Residual_Network_ECCV_2018_paper.html
New: kernels of 3 and 5 side by side, exchanging what they find; the outputs of all blocks are fused before upsampling.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import MeanShift, Stage, SuperResolver, conv, from_last, shuffle_upsampler, stages_of


class MultiScaleBlock(nn.Module):
    """The paper's MSRB."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_3_1 = conv(width, width, 3)
        self.conv_3_2 = conv(2 * width, 2 * width, 3)
        self.conv_5_1 = conv(width, width, 5)
        self.conv_5_2 = conv(2 * width, 2 * width, 5)
        self.confusion = conv(4 * width, width, 1)

    def stages(self) -> list[Stage]:
        """From the outputs of all blocks before to these and one more."""
        return [Stage(from_last(self._look), 2), Stage(self._look_again, 2)]

    def _look(self, x: Tensor) -> Tensor:
        return torch.cat([self.conv_3_1(x).relu(), self.conv_5_1(x).relu()], 1)

    def _look_again(self, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        *outputs, both = state
        both = torch.cat([self.conv_3_2(both).relu(), self.conv_5_2(both).relu()], 1)
        return *outputs, outputs[-1] + self.confusion(both)


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

    def stages(self) -> list[Stage]:
        """The state is the outputs of the head and of all blocks so far."""
        enter = Stage(lambda lr: (self.head(self.sub_mean(lr)),), 1)
        return [enter, *stages_of(self.body), Stage(self._fuse, 1)]

    def _fuse(self, state: tuple[Tensor, ...]) -> Tensor:
        shallow, *outputs = state
        return self.tail[:2](torch.cat([*outputs, shallow], 1))

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.add_mean(self.tail[2:](features))

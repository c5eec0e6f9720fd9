"""D-DBPN: Deep Back-Projection Networks for Super-Resolution.

Haris, Shakhnarovich, Ukita. CVPR 2018. https://arxiv.org/abs/1803.02735
New: goes up to SR size and down again, stage after stage; each projects its error back, and sees all earlier stages.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn

from .layers import Stage, SuperResolver, conv, require_scale


def activated(**convolution: nn.Module) -> nn.Sequential:
    """A convolution under its own name, and the activation that follows every one but the last."""
    return nn.Sequential(OrderedDict(convolution, act=nn.PReLU()))


def shrink(width: int, scale: int) -> nn.Sequential:
    """SR size → LR size."""
    return activated(conv=nn.Conv2d(width, width, scale + 4, scale, padding=2))


def enlarge(width: int, scale: int) -> nn.Sequential:
    """LR size → SR size."""
    return activated(deconv=nn.ConvTranspose2d(width, width, scale + 4, scale, padding=2))


class UpProjection(nn.Module):
    """LR → SR, corrected by what is lost on the way back. n_seen: earlier stages that it reads, squeezed into one."""

    def __init__(self, width: int, scale: int, n_seen: int) -> None:
        super().__init__()
        self.conv = activated(conv=conv(n_seen * width, width, 1)) if n_seen > 1 else None
        self.up_conv1 = enlarge(width, scale)
        self.up_conv2 = shrink(width, scale)
        self.up_conv3 = enlarge(width, scale)

    def forward(self, low: Tensor) -> Tensor:
        low = low if self.conv is None else self.conv(low)
        high = self.up_conv1(low)
        return high + self.up_conv3(self.up_conv2(high) - low)


class DownProjection(nn.Module):
    """SR → LR, the other way round."""

    def __init__(self, width: int, scale: int, n_seen: int) -> None:
        super().__init__()
        self.conv = activated(conv=conv(n_seen * width, width, 1)) if n_seen > 1 else None
        self.down_conv1 = shrink(width, scale)
        self.down_conv2 = enlarge(width, scale)
        self.down_conv3 = shrink(width, scale)

    def forward(self, high: Tensor) -> Tensor:
        high = high if self.conv is None else self.conv(high)
        low = self.down_conv1(high)
        return low + self.down_conv3(self.down_conv2(low) - high)


def ascend(projection: nn.Module, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    lows, highs = state
    return lows, torch.cat([projection(lows), highs], 1)


def descend(projection: nn.Module, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    lows, highs = state
    return torch.cat([projection(highs), lows], 1), highs


class DDBPN(SuperResolver):
    """RGB in [0, 1]. scale: 2, 4 or 8. wide: features of the first layer, before they are squeezed to `width`."""

    reconstruct_radius = 1  # one 3×3 convolution at SR size

    def __init__(self, *, scale: int, n_stages: int, width: int, wide: int) -> None:
        super().__init__()
        require_scale(scale, [2, 4, 8], "D-DBPN")
        self.scale, self.n_stages = scale, n_stages
        self.feature_strides = (scale,)
        self.feat0 = activated(conv=conv(3, wide, 3))
        self.feat1 = activated(conv=conv(wide, width, 1))
        for i in range(1, n_stages + 1):
            self.add_module(f"up{i}", UpProjection(width, scale, n_seen=max(i - 1, 1)))
            if i < n_stages:
                self.add_module(f"down{i}", DownProjection(width, scale, n_seen=i))
        self.output_conv = nn.Sequential(OrderedDict(conv=conv(n_stages * width, 3, 3)))

    def stages(self) -> list[Stage]:
        """The state is what all projections so far found at LR and at SR, the latest first."""
        strides = (1, *self.feature_strides)
        radius = 3 if self.scale == 2 else 2  # three times up or down, each by 2 SR pixels beyond an LR pixel
        stages = [Stage(self._enter, 1 + radius, strides)]
        for i in range(1, self.n_stages):
            stages.append(Stage(partial(descend, self.get_submodule(f"down{i}")), radius, strides))
            stages.append(Stage(partial(ascend, self.get_submodule(f"up{i + 1}")), radius, strides))
        return [*stages, Stage(lambda state: state[1], 0, self.feature_strides)]

    def _enter(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        low = self.feat1(self.feat0(lr))
        return low[:, :0], self.get_submodule("up1")(low)  # later projections do not see these first features

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.output_conv(features)

"""DRLN: Densely Residual Laplacian Super-Resolution.

Anwar, Barnes. IEEE TPAMI 2020. https://arxiv.org/abs/1906.12021
New: densely connected residual units in a block, cascaded fusion of the blocks in a group, and channel attention by a
pyramid of dilated convolutions (the "Laplacian attention").
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .layers import MeanShift, Stage, SuperResolver, conv, shuffle_upsampler

DILATIONS = (3, 5, 7)


class Rectified(nn.Module):
    """A convolution and its activation."""

    def __init__(self, convolution: nn.Conv2d, activation: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(convolution, activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class ResidualUnit(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(width, width, 3), nn.ReLU(inplace=True), conv(width, width, 3))

    def forward(self, x: Tensor) -> Tensor:
        return (self.body(x) + x).relu()


class LaplacianAttention(nn.Module):
    """Weighs each channel by a function of all channels' means over the whole image.

    The dilated convolutions see that one pixel of means: as in the official code, only their kernels' centres matter.
    """

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        hidden = width // reduction
        self.c1, self.c2, self.c3 = (
            Rectified(nn.Conv2d(width, hidden, 3, padding=d, dilation=d), nn.ReLU(inplace=True)) for d in DILATIONS
        )
        self.c4 = Rectified(conv(len(DILATIONS) * hidden, width, 3), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        return x * self.c4(torch.cat([self.c1(mean), self.c2(mean), self.c3(mean)], 1))


class DenseResidualBlock(nn.Module):
    """The paper's DRLM: three residual units, each on all that came before it."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        self.r1, self.r2, self.r3 = (ResidualUnit(n * width) for n in (1, 2, 4))
        self.g = Rectified(conv(8 * width, width, 1), nn.ReLU(inplace=True))
        self.ca = LaplacianAttention(width, reduction)

    def forward(self, x: Tensor) -> Tensor:
        for unit in (self.r1, self.r2, self.r3):
            x = torch.cat([x, unit(x)], 1)
        return self.ca(self.g(x))


class DRLN(SuperResolver):
    """RGB in 0..255. scale: 2, 3, 4 or 8. groups: the number of blocks in each cascading group.

    The means that are subtracted and added are those of an image in [0, 1], as in the official code.
    """

    reconstruct_radius = 2  # convolutions at strides 1, 2 and 4: 1 + 1/2 + 1/4, rounded up

    def __init__(self, *, scale: int, groups: Sequence[int], width: int, reduction: int) -> None:
        super().__init__()
        self.groups = list(groups)
        self.sub_mean = MeanShift(-1)
        self.add_mean = MeanShift(+1)
        self.head = conv(3, width, 3)
        for i in range(sum(groups)):
            self.add_module(f"b{i + 1}", DenseResidualBlock(width, reduction))
        n_seen = [depth + 2 for n_blocks in groups for depth in range(n_blocks)]
        for i, n in enumerate(n_seen):
            self.add_module(f"c{i + 1}", Rectified(conv(n * width, width, 3), nn.ReLU(inplace=True)))
        upsampler = shuffle_upsampler(scale, width, relu=True)
        self.upsample = nn.Sequential(OrderedDict(up=nn.Sequential(OrderedDict(body=upsampler))))
        self.tail = conv(width, 3, 3)

    def stages(self) -> list[Stage]:
        last = self.get_submodule(f"c{sum(self.groups)}")
        return [Stage(self._cascade, None), Stage(lambda state: state[0] + last(state[1]), 1)]

    def _cascade(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        """What the last fusion is added to, and what it fuses."""
        shallow = skip = fused = seen = self.head(self.sub_mean(lr))
        names = iter(range(1, sum(self.groups) + 1))
        unused = self.groups[0] + 1  # the official code leaves one fusion out: block 5 reads what block 4 reads
        for group, n_blocks in enumerate(self.groups):
            skip = skip + fused if group else shallow
            seen, x = fused, skip  # the fusions go on from the last fusion, the blocks from the skip
            for _ in range(n_blocks):
                i = next(names)
                seen = torch.cat([seen, self.get_submodule(f"b{i}")(x)], 1)
                if i not in (unused, sum(self.groups)):
                    x = fused = self.get_submodule(f"c{i}")(seen)
        return skip + shallow, seen

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.add_mean(self.tail(self.upsample(features)))

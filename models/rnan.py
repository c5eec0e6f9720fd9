"""RNAN: Residual Non-local Attention Networks for Image Restoration.

Zhang, Li, Li, Zhong, Fu. ICLR 2019. https://openreview.net/forum?id=HkeGhoA5FX
New: each block multiplies a plain trunk by a mask from a wider, strided branch; in the first and the last block that
branch also sees the whole image, through non-local attention.
"""

from __future__ import annotations

from torch import Tensor, nn

from .attention import attend, flatten_positions
from .layers import MeanShift, Stage, SuperResolver, conv, on_last, pad_to_multiple, shuffle_upsampler, without_padding


class ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(width, width, 3), nn.ReLU(inplace=True), conv(width, width, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class NonLocal(nn.Module):
    """Embedded Gaussian. As in the official code the softmax runs over the queries, which makes `theta.bias` inert."""

    def __init__(self, width: int, attention_slice: int | None) -> None:
        super().__init__()
        hidden = width // 2
        self.g = conv(width, hidden, 1)
        self.W = conv(hidden, width, 1)
        self.theta = conv(width, hidden, 1)
        self.phi = conv(width, hidden, 1)
        self.attention_slice = attention_slice

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (flatten_positions(f(x)) for f in (self.theta, self.phi, self.g))
        attended = attend(query, key, value, self.attention_slice, over="queries")
        return x + self.W(attended.mT.unflatten(2, x.shape[-2:]))


class TrunkBranch(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(ResidualBlock(width), ResidualBlock(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class MaskBranch(nn.Module):
    """A mask in (0, 1) from features at half the resolution. first: what it begins with."""

    def __init__(self, width: int, first: list[nn.Module]) -> None:
        super().__init__()
        self.MB_RB1 = nn.Sequential(*first, ResidualBlock(width))
        self.MB_Down = nn.Sequential(nn.Conv2d(width, width, 3, stride=2, padding=1))
        self.MB_RB2 = nn.Sequential(ResidualBlock(width), ResidualBlock(width))
        self.MB_Up = nn.Sequential(nn.ConvTranspose2d(width, width, 6, stride=2, padding=2))
        self.MB_RB3 = nn.Sequential(ResidualBlock(width))
        self.MB_1x1conv = nn.Sequential(conv(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.MB_RB1(x)
        x = x + self.MB_Up(self.MB_RB2(self.MB_Down(x)))
        return self.MB_1x1conv(self.MB_RB3(x)).sigmoid()


class AttentionBlock(nn.Module):
    """The paper's residual (non-)local attention block, without a skip around it, as in the official code."""

    def __init__(self, width: int, first: list[nn.Module]) -> None:
        super().__init__()
        self.RA_RB1 = nn.Sequential(ResidualBlock(width))
        self.RA_TB = nn.Sequential(TrunkBranch(width))
        self.RA_MB = nn.Sequential(MaskBranch(width, first))
        self.RA_tail = nn.Sequential(ResidualBlock(width), ResidualBlock(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.RA_tail(self.mask(x))

    def mask(self, x: Tensor) -> Tensor:
        x = self.RA_RB1(x)
        return x + self.RA_TB(x) * self.RA_MB(x)


class Group(nn.Module):
    def __init__(self, width: int, first: list[nn.Module]) -> None:
        super().__init__()
        self.body = nn.Sequential(AttentionBlock(width, first), conv(width, width, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class RNAN(SuperResolver):
    """RGB in 0..peak (official: 255). scale: 2, 3, 4 or 8. n_groups: with the two non-local ones.

    The official network takes even sides only; others are continued by reflection and need at least 2×2 pixels.
    attention_slice: positions that a non-local block attends at a time; without effect on the numbers.
    """

    reconstruct_radius = 2  # convolutions at strides 1, 2 and 4: 1 + 1/2 + 1/4, rounded up

    def __init__(self, *, scale: int, n_groups: int, width: int, peak: float, attention_slice: int | None) -> None:
        super().__init__()
        self.scale = scale
        self.sub_mean = MeanShift(-1, peak)
        self.add_mean = MeanShift(+1, peak)
        self.head = nn.Sequential(conv(3, width, 3))
        self.body_nl_low = nn.Sequential(Group(width, [NonLocal(width, attention_slice)]))
        self.body = nn.Sequential(*(Group(width, []) for _ in range(n_groups - 2)), conv(width, width, 3))
        self.body_nl_high = nn.Sequential(Group(width, [NonLocal(width, attention_slice)]))
        self.tail = nn.Sequential(shuffle_upsampler(scale, width), conv(width, 3, 3))

    def stages(self) -> list[Stage]:
        attention, last = self.body_nl_high.get_submodule("0.body").children()
        assert isinstance(attention, AttentionBlock)

        def until_last_mask(lr: Tensor) -> tuple[Tensor, Tensor]:
            x = self.head(self.sub_mean(pad_to_multiple(lr, 2)))
            return x, attention.mask(self.body(self.body_nl_low(x)))

        tail = (Stage(on_last(block), 2) for block in attention.RA_tail)
        return [Stage(until_last_mask, None), *tail, Stage(lambda state: state[0] + last(state[1]), 1)]

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.add_mean(without_padding(self.tail(features), lr, self.scale))

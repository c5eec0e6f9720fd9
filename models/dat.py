"""DAT: Dual Aggregation Transformer for Image Super-Resolution.

Chen, Zhang, Gu, Kong, Yang, Yu. ICCV 2023. https://arxiv.org/abs/2308.03364
New: attention among pixels and attention among channels take turns from block to block; within a block each of them
exchanges gates with a depth-wise convolution, and the feed-forward network is gated by another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from .layers import (
    MeanShift,
    Stage,
    SuperResolver,
    conv,
    drop_on_load,
    on_last,
    rejoin,
    require_scale,
    shuffle_once,
    shuffle_upsampler,
)
from .swin import attend, attention_bias, from_windows, position_index, shift_mask, start_linear, to_windows

TABLES = ("rpe_biases", "relative_position_index", "attn_mask_0", "attn_mask_1")  # they follow from the sizes
SLOPE = 0.2


def channels_first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


class PositionBias(nn.Module):
    """How much a difference of position adds to the attention: a small network instead of a table.

    In DAT-light the hidden layers have one feature, whose LayerNorm is a constant: the bias is the same everywhere, the
    softmax takes it away, and these parameters do nothing.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        hidden = width // 16
        self.pos_proj = nn.Linear(2, hidden)
        self.pos1, self.pos2, self.pos3 = (
            nn.Sequential(nn.LayerNorm(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, n_out))
            for n_out in (hidden, hidden, n_heads)
        )

    def forward(self, window: Sequence[int]) -> Tensor:
        """→ (differences in a window, n_heads), in the order of `position_index`."""
        steps = (torch.arange(1 - side, side, device=self.pos_proj.weight.device) for side in window)
        differences = torch.cartesian_prod(*steps).to(self.pos_proj.weight)
        return self.pos3(self.pos2(self.pos1(self.pos_proj(differences))))


class WindowAttention(nn.Module):
    """Among the pixels of a rectangular window, which may be shifted by half of it."""

    def __init__(self, width: int, n_heads: int, window: Sequence[int], shifted: bool) -> None:
        super().__init__()
        self.pos = PositionBias(width, n_heads)
        self.n_heads, self.window = n_heads, window
        self.shift = [side // 2 if shifted else 0 for side in window]

    def forward(self, qkv: Tensor) -> Tensor:
        """(n, h, w, 3·c), sides multiples of the window's → (n, h, w, c)."""
        size, (down, right) = qkv.shape[1:3], self.shift
        windows = to_windows(qkv.roll((-down, -right), (1, 2)), self.window)
        index = position_index(self.window, qkv.device)
        mask = shift_mask(size, self.window, self.shift, qkv) if down or right else None
        bias = attention_bias(self.pos(self.window), index, mask, len(windows))
        q, k, v = windows.chunk(3, -1)
        return from_windows(attend(q, k, v, self.n_heads, bias), self.window, size).roll((down, right), (1, 2))


class Interaction(nn.Module):
    """The paper's AIM: a convolution beside the attention, each weighed by what the other one saw."""

    def __init__(self, width: int, attns: Iterable[nn.Module] = ()) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attns = nn.ModuleList(attns)
        self.dwconv = nn.Sequential(conv(width, width, 3, groups=width), nn.BatchNorm2d(width), nn.GELU())
        self.channel_interaction = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            conv(width, width // 8, 1),
            nn.BatchNorm2d(width // 8),
            nn.GELU(),
            conv(width // 8, width, 1),
        )
        self.spatial_interaction = nn.Sequential(
            conv(width, width // 16, 1), nn.BatchNorm2d(width // 16), nn.GELU(), conv(width // 16, 1, 1)
        )

    def channel_gate(self, x: Tensor) -> Tensor:
        return self.channel_interaction(x).sigmoid()

    def spatial_gate(self, x: Tensor) -> Tensor:
        return self.spatial_interaction(x).sigmoid()


class SpatialAttention(Interaction):
    """Half of the channels in windows of window[0] × window[1] pixels, the other half in windows that lie across."""

    def __init__(self, width: int, n_heads: int, window: Sequence[int], shifted: bool) -> None:
        across = (window[1], window[0])
        super().__init__(width, (WindowAttention(width // 2, n_heads // 2, w, shifted) for w in (window, across)))
        self.multiple = max(window)

    def forward(self, x: Tensor) -> Tensor:
        """(n, h, w, c) → the same. q, k and v are continued by zeros, which take part in the attention."""
        qkv = self.qkv(x)
        height, width = x.shape[1:3]
        padded = pad(qkv, (0, 0, 0, -width % self.multiple, 0, -height % self.multiple))
        halves = padded.unflatten(-1, (3, 2, -1)).unbind(-2)
        attended = torch.cat([attn(half.flatten(-2)) for attn, half in zip(self.attns, halves, strict=True)], -1)
        attended = channels_first(attended[:, :height, :width])
        local = self.dwconv(channels_first(qkv.chunk(3, -1)[2]))
        mixed = attended * self.channel_gate(local) + local * self.spatial_gate(attended)
        return self.proj(channels_last(mixed))


class ChannelAttention(Interaction):
    """Among the channels of a head, over the whole image."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__(width)
        self.temperature = nn.Parameter(torch.ones(n_heads, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, h, w, c) → the same."""
        qkv = channels_first(self.qkv(x))
        q, k, v = (y.unflatten(1, (len(self.temperature), -1)).flatten(3) for y in qkv.chunk(3, 1))
        likeness = normalize(q, dim=-1) @ normalize(k, dim=-1).mT * self.temperature
        attended = (likeness.softmax(-1) @ v).flatten(1, 2).unflatten(-1, x.shape[1:3])
        local = self.dwconv(qkv.chunk(3, 1)[2])
        mixed = attended * self.spatial_gate(local) + local * self.channel_gate(attended)
        return self.proj(channels_last(mixed))


class SpatialGate(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = conv(width, width, 3, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = x.chunk(2, -1)
        return x * channels_last(self.conv(channels_first(self.norm(gate))))


class FeedForward(nn.Module):
    """The paper's SGFN."""

    def __init__(self, width: int, expansion: float) -> None:
        super().__init__()
        hidden = int(expansion * width)
        self.fc1 = nn.Linear(width, hidden)
        self.act = nn.GELU()
        self.sg = SpatialGate(hidden // 2)
        self.fc2 = nn.Linear(hidden // 2, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.sg(self.act(self.fc1(x))))


class Block(nn.Module):
    """The paper's DSTB and DCTB. (n, h, w, c) → the same."""

    def __init__(self, attention: Interaction, width: int, expansion: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = attention
        self.ffn = FeedForward(width, expansion)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.feed(self.attend(x))

    def attend(self, x: Tensor) -> Tensor:
        return x + self.attn(self.norm1(x))

    def feed(self, x: Tensor) -> Tensor:
        return x + self.ffn(self.norm2(x))


def attention(group: int, block: int, width: int, n_heads: int, window: Sequence[int]) -> Interaction:
    """Among pixels in even blocks, among channels in odd ones.

    Windows are shifted in blocks 2, 6, … of even groups and 0, 4, … of odd ones.
    """
    if block % 2:
        return ChannelAttention(width, n_heads)
    return SpatialAttention(width, n_heads, window, shifted=block % 4 == (0 if group % 2 else 2))


def closing_conv(width: int, light: bool) -> nn.Module:
    if not light:
        return conv(width, width, 3)
    narrow = width // 4
    return nn.Sequential(
        *(conv(width, narrow, 3), nn.LeakyReLU(SLOPE, inplace=True)),
        *(conv(narrow, narrow, 1), nn.LeakyReLU(SLOPE, inplace=True)),
        conv(narrow, width, 3),
    )


class Group(nn.Module):
    def __init__(self, blocks: Sequence[Block], width: int, light: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.conv = closing_conv(width, light)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for block in self.blocks:
            y = block(y)
        return x + channels_last(self.conv(channels_first(y)))


class DAT(SuperResolver):
    """RGB in [0, 1]. scale: 2, 3, 4 or 8.

    depths: blocks of each group; window: sides of the spatial attention's; expansion: of the feed-forward network;
    up_width: features of the upsampler, or None for DAT-light, which upsamples at once and closes its groups by three
    narrow convolutions. Stochastic depth, which the authors train with, is left out.
    """

    def __init__(
        self,
        *,
        scale: int,
        depths: Sequence[int],
        width: int,
        n_heads: int,
        window: Sequence[int],
        expansion: float,
        up_width: int | None,
    ) -> None:
        super().__init__()
        require_scale(scale, (2, 3, 4, 8), "DAT")
        drop_on_load(self, *TABLES)
        light = up_width is None
        self.sub_mean = MeanShift(-1)
        self.add_mean = MeanShift(+1)
        self.conv_first = conv(3, width, 3)
        self.before_RG = nn.ModuleDict({"1": nn.LayerNorm(width)})
        groups = (
            [Block(attention(i, j, width, n_heads, window), width, expansion) for j in range(depth)]
            for i, depth in enumerate(depths)
        )
        self.layers = nn.ModuleList(Group(blocks, width, light) for blocks in groups)
        self.norm = nn.LayerNorm(width)
        self.conv_after_body = closing_conv(width, light)
        if up_width is None:
            self.upsample = shuffle_once(scale, width, 3)
            self.reconstruct_radius = 1
        else:
            self.conv_before_upsample = nn.Sequential(conv(width, up_width, 3), nn.LeakyReLU(inplace=True))
            self.upsample = shuffle_upsampler(scale, up_width)
            self.conv_last = conv(up_width, 3, 3)
            self.reconstruct_radius = 3  # convolutions at strides 1, 1, 2 and 4: 1 + 1 + 1/2 + 1/4, rounded up
        self.closing_radius = 2 if light else 1
        self.tail = ["upsample"] if light else ["conv_before_upsample", "upsample", "conv_last"]
        start_linear(self)

    def stages(self) -> list[Stage]:
        """After the last attention all is local: the state is images (n, c, h, w)."""
        *groups, last = self.layers
        *blocks, block = last.get_submodule("blocks").children()
        assert isinstance(block, Block)

        def until_last_attention(lr: Tensor) -> tuple[Tensor, ...]:
            shallow = self.conv_first(self.sub_mean(lr))
            x = nn.Sequential(*groups)(self.before_RG["1"](channels_last(shallow)))
            return shallow, channels_first(x), channels_first(block.attend(nn.Sequential(*blocks)(x)))

        def leave(state: tuple[Tensor, ...]) -> Tensor:
            return state[0] + self.conv_after_body(channels_first(self.norm(channels_last(state[1]))))

        feed = on_last(lambda y: channels_first(block.feed(channels_last(y))))
        close, radius = rejoin(last.get_submodule("conv")), self.closing_radius
        return [Stage(until_last_attention, None), Stage(feed, 1), Stage(close, radius), Stage(leave, radius)]

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        x = features
        for name in self.tail:
            x = self.get_submodule(name)(x)
        return self.add_mean(x)

"""HAT: Activating More Pixels in Image Super-Resolution Transformer.

Chen, Wang, Zhou, Qiao, Dong. CVPR 2023. https://arxiv.org/abs/2205.04437
New: beside SwinIR's attention in shifted windows, channel attention over the whole image in every block, and once per
group an attention whose keys come from a larger window than its queries. The authors found the need for it with LAM.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from .layers import (
    MeanShift,
    Stage,
    SuperResolver,
    conv,
    drop_on_load,
    pad_to_multiple,
    rejoin,
    require_scale,
    shuffle_upsampler,
    without_padding,
)
from .swin import (
    attend,
    attention_bias,
    bias_table,
    from_windows,
    position_index,
    shift_mask,
    start_linear,
    table_index,
    to_windows,
)


def wide_index(window: int, wide: int, device: torch.device) -> Tensor:
    """(window², wide²): the row of the bias table for each query of a window and key of the wider one around it.

    The smallest difference is 1 − window, yet the authors add only window − wide + 1. Negative rows count from the
    table's end, as PyTorch's indices do: every difference still has a row of its own.
    """
    along = torch.arange(wide, device=device) - torch.arange(window, device=device)[:, None] + window - wide + 1
    return table_index(along, along, window + wide - 1)


class Mlp(nn.Module):
    def __init__(self, width: int, ratio: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, int(ratio * width))
        self.act = nn.GELU()
        self.fc2 = nn.Linear(int(ratio * width), width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class ChannelAttention(nn.Module):
    def __init__(self, width: int, squeeze: int) -> None:
        super().__init__()
        hidden = width // squeeze
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), conv(width, hidden, 1), nn.ReLU(inplace=True), conv(hidden, width, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.attention(x)


class ConvBlock(nn.Module):
    """The paper's CAB."""

    def __init__(self, width: int, compress: int, squeeze: int) -> None:
        super().__init__()
        narrow = width // compress
        self.cab = nn.Sequential(
            conv(width, narrow, 3), nn.GELU(), conv(narrow, width, 3), ChannelAttention(width, squeeze)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, h, w, c) → the same."""
        return self.cab(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class WindowAttention(nn.Module):
    """Swin's: every pixel of a window attends to all the others."""

    def __init__(self, width: int, n_heads: int, window: int) -> None:
        super().__init__()
        self.relative_position_bias_table = bias_table((2 * window - 1) ** 2, n_heads)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.n_heads = n_heads

    def forward(self, x: Tensor, index: Tensor, mask: Tensor | None) -> Tensor:
        """x: (n·windows, m, c), index: (m, m), mask: (windows, m, m)."""
        bias = attention_bias(self.relative_position_bias_table, index, mask, len(x))
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.proj(attend(q, k, v, self.n_heads, bias))


class HybridBlock(nn.Module):
    """The paper's HAB. Everything is (n, h, w, c) from here to the group."""

    def __init__(
        self,
        *,
        width: int,
        n_heads: int,
        window: int,
        shift: int,
        conv_scale: float,
        compress: int,
        squeeze: int,
        mlp_ratio: float,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, n_heads, window)
        self.conv_block = ConvBlock(width, compress, squeeze)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, mlp_ratio)
        self.window, self.shift, self.conv_scale = (window, window), shift, conv_scale

    def forward(self, x: Tensor, index: Tensor, mask: Tensor) -> Tensor:
        normed = self.norm1(x)
        shifted = normed.roll((-self.shift, -self.shift), (1, 2))
        windows = self.attn(to_windows(shifted, self.window), index, mask if self.shift else None)
        attended = from_windows(windows, self.window, x.shape[1:3]).roll((self.shift, self.shift), (1, 2))
        x = x + attended + self.conv_scale * self.conv_block(normed)
        return x + self.mlp(self.norm2(x))


class OverlappingBlock(nn.Module):
    """The paper's OCAB: queries of a window, keys and values of a wider one, with zeros beyond the image."""

    def __init__(self, width: int, n_heads: int, window: int, wide: int, mlp_ratio: float) -> None:
        super().__init__()
        self.relative_position_bias_table = bias_table((window + wide - 1) ** 2, n_heads)
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, mlp_ratio)
        self.n_heads, self.window, self.wide = n_heads, (window, window), wide

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).chunk(3, -1)
        stride, wide = self.window[0], self.wide
        margin = (wide - stride) // 2
        keys, values = (
            pad(y, (0, 0, margin, margin, margin, margin))
            .unfold(1, wide, stride)
            .unfold(2, wide, stride)  # (n, rows, columns, c, wide, wide)
            .permute(0, 1, 2, 4, 5, 3)
            .reshape(-1, wide * wide, y.shape[-1])
            for y in (k, v)
        )
        bias = attention_bias(self.relative_position_bias_table, index, None, 1)
        windows = attend(to_windows(q, self.window), keys, values, self.n_heads, bias)
        x = x + self.proj(from_windows(windows, self.window, x.shape[1:3]))
        return x + self.mlp(self.norm2(x))


class GroupBody(nn.Module):
    """Hybrid blocks, every second one shifted by half a window, and an overlapping block."""

    def __init__(self, n_blocks: int, window: int, wide: int, **block: Any) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            HybridBlock(window=window, shift=i % 2 * (window // 2), **block) for i in range(n_blocks)
        )
        self.overlap_attn = OverlappingBlock(block["width"], block["n_heads"], window, wide, block["mlp_ratio"])

    def forward(self, x: Tensor, near: Tensor, far: Tensor, mask: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, near, mask)
        return self.overlap_attn(x, far)


class Group(nn.Module):
    """The paper's RHAG."""

    def __init__(self, n_blocks: int, window: int, wide: int, **block: Any) -> None:
        super().__init__()
        self.residual_group = GroupBody(n_blocks, window, wide, **block)
        self.conv = conv(block["width"], block["width"], 3)

    def forward(self, x: Tensor, near: Tensor, far: Tensor, mask: Tensor) -> Tensor:
        y = self.residual_group(x, near, far, mask)
        return x + self.conv(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class HAT(SuperResolver):
    """RGB in [0, 1]. scale: 2, 3, 4 or 8. Smallest image: window // 2 + 1 pixels a side.

    n_groups × n_blocks hybrid blocks; window, wide: sides of the windows of queries and of overlapping keys;
    compress, squeeze: how much narrower the convolutions and their channel attention are; up_width: features of the
    upsampler. Stochastic depth, which the authors train with, is left out.
    """

    reconstruct_radius = 3  # convolutions at strides 1, 1, 2 and 4: 1 + 1 + 1/2 + 1/4, rounded up

    def __init__(
        self,
        *,
        scale: int,
        n_groups: int,
        n_blocks: int,
        width: int,
        n_heads: int,
        window: int,
        wide: int,
        mlp_ratio: float,
        conv_scale: float,
        compress: int,
        squeeze: int,
        up_width: int,
    ) -> None:
        super().__init__()
        require_scale(scale, (2, 3, 4, 8), "HAT")
        self.scale, self.window, self.wide = scale, window, wide
        drop_on_load(self, "relative_position_index_SA", "relative_position_index_OCA")
        self.sub_mean = MeanShift(-1)
        self.add_mean = MeanShift(+1)
        self.conv_first = conv(3, width, 3)
        self.patch_embed = nn.ModuleDict({"norm": nn.LayerNorm(width)})
        block = {"width": width, "n_heads": n_heads, "mlp_ratio": mlp_ratio}
        branch = {"conv_scale": conv_scale, "compress": compress, "squeeze": squeeze}
        self.layers = nn.ModuleList(Group(n_blocks, window, wide, **block, **branch) for _ in range(n_groups))
        self.norm = nn.LayerNorm(width)
        self.conv_after_body = conv(width, width, 3)
        self.conv_before_upsample = nn.Sequential(conv(width, up_width, 3), nn.LeakyReLU(inplace=True))
        self.upsample = shuffle_upsampler(scale, up_width)
        self.conv_last = conv(up_width, 3, 3)
        start_linear(self)

    def stages(self) -> list[Stage]:
        """The last overlapping attention is local, too, but windows of 16 with what is around them are most images."""
        last = self.layers[-1]
        assert isinstance(last, Group)
        return [Stage(self._until_last_attention, None), Stage(rejoin(last.conv), 1), Stage(self._leave, 1)]

    def _until_last_attention(self, lr: Tensor) -> tuple[Tensor, ...]:
        """What the body is added to, the last group's input, and what its attentions have made of it.

        At the padded size: to a multiple of the window, by reflection at the right and below.
        """
        shallow = self.conv_first(self.sub_mean(pad_to_multiple(lr, self.window)))
        square, half = (self.window, self.window), (self.window // 2, self.window // 2)
        near, far = position_index(square, lr.device), wide_index(self.window, self.wide, lr.device)
        mask = shift_mask(shallow.shape[2:], square, half, shallow)
        x = self.patch_embed["norm"](shallow.permute(0, 2, 3, 1))
        *groups, last = self.layers
        for group in groups:
            x = group(x, near, far, mask)
        y = last.get_submodule("residual_group")(x, near, far, mask)
        return shallow, x.permute(0, 3, 1, 2), y.permute(0, 3, 1, 2)

    def _leave(self, state: tuple[Tensor, ...]) -> Tensor:
        shallow, x = state
        return shallow + self.conv_after_body(self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        x = self.conv_last(self.upsample(self.conv_before_upsample(features)))
        return self.add_mean(without_padding(x, lr, self.scale))

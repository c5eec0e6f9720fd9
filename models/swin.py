"""Attention within windows, as Swin's (Liu et al., ICCV 2021): what HAT and DAT share. Images here are (n, h, w, c)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

BLOCKED = -100.0  # added to the attention between pixels that only a cyclic shift brought together
Size = Sequence[int]  # rows, columns


def to_windows(x: Tensor, window: Size) -> Tensor:
    """(n, h, w, c) → (n·windows, pixels of a window, c); h and w are multiples of the window's sides."""
    n, h, w, c = x.shape
    x = x.reshape(n, h // window[0], window[0], w // window[1], window[1], c)
    return x.transpose(2, 3).reshape(-1, window[0] * window[1], c)


def from_windows(x: Tensor, window: Size, size: Size) -> Tensor:
    """The inverse of `to_windows`, for an image of `size` (h, w)."""
    x = x.reshape(-1, size[0] // window[0], size[1] // window[1], *window, x.shape[-1])
    return x.transpose(2, 3).reshape(-1, *size, x.shape[-1])


def attend(q: Tensor, k: Tensor, v: Tensor, n_heads: int, bias: Tensor) -> Tensor:
    """q: (n, m, c), k and v: (n, m', c), bias: (n or 1, n_heads, m, m') → (n, m, c)."""
    q, k, v = (x.unflatten(-1, (n_heads, -1)).transpose(1, 2) for x in (q, k, v))
    return scaled_dot_product_attention(q, k, v, bias).transpose(1, 2).flatten(2)


def bias_table(n_rows: int, n_heads: int) -> nn.Parameter:
    """One row for each difference of position, which learns how much it adds to the attention."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(n_rows, n_heads), std=0.02))


def start_linear(net: nn.Module) -> None:
    """Swin's initialisation of all linear layers."""
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)


def attention_bias(table: Tensor, index: Tensor, mask: Tensor | None, n: int) -> Tensor:
    """What `attend` adds for n windows. table: (rows, n_heads), index: (m, m'), mask: (windows of an image, m, m')."""
    bias = table[index].permute(2, 0, 1)[None]
    return bias if mask is None else (bias + mask[:, None]).repeat(n // len(mask), 1, 1, 1)


def table_index(vertical: Tensor, horizontal: Tensor, row_length: int) -> Tensor:
    """Differences of position along the axes, (m, m') and (k, k') → (m·k, m'·k') rows of a table of both."""
    return (row_length * vertical[:, None, :, None] + horizontal[None, :, None, :]).flatten(2).flatten(0, 1)


def position_index(window: Size, device: torch.device) -> Tensor:
    """(pixels, pixels) of a window: the row of the bias table for each query and key, counted from 0."""
    vertical, horizontal = (_steps(side, device)[:, None] - _steps(side, device) + side - 1 for side in window)
    return table_index(vertical, horizontal, 2 * window[1] - 1)


def shift_mask(size: Size, window: Size, shift: Size, like: Tensor) -> Tensor:
    """(windows, pixels, pixels): 0 between pixels that are neighbours without the cyclic shift, else BLOCKED."""
    rows, columns = (_parts(*axis, like.device) for axis in zip(size, window, shift, strict=True))
    part = to_windows((3 * rows[:, None] + columns)[None, ..., None], window)
    return BLOCKED * (part != part.mT).to(like)


def _parts(side: int, window: int, shift: int, device: torch.device) -> Tensor:
    """Along an axis: 0, then 1 and 2 for the two parts of the last window that the shift brought together."""
    along = _steps(side, device)
    return (along >= side - window).int() + (along >= side - shift)


def _steps(n: int, device: torch.device) -> Tensor:
    return torch.arange(n, device=device)

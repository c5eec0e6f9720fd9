"""SwinIR: Image Restoration Using Swin Transformer.

Liang, Cao, Sun, Zhang, Van Gool, Timofte. ICCV Workshops 2021. https://arxiv.org/abs/2108.10257
New: a residual network whose blocks attend within windows, shifted by half a window in every second block.
The blocks are BasicSR's, under their own names; this file says in which order the image passes through them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .basicsr import build_network
from .layers import (
    MeanShift,
    Stage,
    SuperResolver,
    drop_on_load,
    from_last,
    on_last,
    pad_to_multiple,
    rejoin,
    require_scale,
    without_padding,
)

TABLES = ("relative_position_index", "attn_mask")  # of every block; they follow from the sizes


def as_tokens(image: Tensor) -> Tensor:
    """(n, c, h, w) → (n, h·w, c), as BasicSR's blocks have it."""
    return image.flatten(2).mT


def as_image(tokens: Tensor, like: Tensor) -> Tensor:
    """The inverse of `as_tokens`, for an image of the size of `like`."""
    return tokens.mT.unflatten(2, like.shape[-2:])


def group_stages(group: Any, window: int) -> list[Stage]:
    """The paper's RSTB, on a state's last tensor: blocks of attention, shifted or not, and a residual convolution."""

    def attend(block: nn.Module) -> Callable[[Tensor], Tensor]:
        return lambda x: as_image(block(as_tokens(x), x.shape[-2:]), x)

    steps = [from_last, *[on_last] * (len(group.residual_group.blocks) - 1)]
    blocks = [
        Stage(step(attend(block)), block.shift_size, multiple=window)
        for step, block in zip(steps, group.residual_group.blocks, strict=True)
    ]
    return [*blocks, Stage(rejoin(group.conv), 1)]


class SwinIR(SuperResolver):
    """RGB in [0, 1]. scale: 2, 3, 4 or 8. Smallest image: window // 2 + 1 pixels a side.

    depths, n_heads: blocks and heads of each group. upsampler: "pixelshuffle" (classical) or "pixelshuffledirect"
    (lightweight). train_size: LR pixels a side for which BasicSR keeps its masks at hand; other sizes run as well.
    Raises ImportError where BasicSR is not installed.
    """

    # BasicSR's
    conv_first: nn.Conv2d
    patch_embed: nn.Module
    layers: nn.ModuleList
    norm: nn.LayerNorm
    patch_unembed: nn.Module
    conv_after_body: nn.Module

    def __init__(
        self,
        *,
        scale: int,
        width: int,
        depths: Sequence[int],
        n_heads: Sequence[int],
        window: int,
        mlp_ratio: float,
        upsampler: str,
        train_size: int,
    ) -> None:
        super().__init__()
        require_scale(scale, (2, 3, 4, 8), "SwinIR")
        if upsampler not in ("pixelshuffle", "pixelshuffledirect"):
            raise ValueError(f"Upsampler '{upsampler}' is none of 'pixelshuffle' and 'pixelshuffledirect'.")
        device = torch.empty(0).device
        with torch.device("cpu"), warnings.catch_warnings():  # it reads tensors' values, which the meta device has not
            warnings.filterwarnings("ignore", "torch.meshgrid")
            net = build_network(
                name="SwinIR",
                upscale=scale,
                embed_dim=width,
                depths=depths,
                num_heads=n_heads,
                window_size=window,
                mlp_ratio=mlp_ratio,
                upsampler=upsampler,
                img_size=train_size,
            )
        for module in net.modules():
            for name, table in list(module.named_buffers(recurse=False)):
                module.register_buffer(name, table, persistent=False)
        drop_on_load(self, *TABLES)
        self.sub_mean = MeanShift(-1)
        self.add_mean = MeanShift(+1)
        for name, module in net.to(device).named_children():
            self.add_module(name, module)
        self.scale, self.window = scale, window
        self.tail = [name for name in ("conv_before_upsample", "upsample", "conv_last") if hasattr(net, name)]
        # convolutions at strides 1, 1, 2 and 4: 1 + 1 + 1/2 + 1/4, rounded up; the lightweight one has the first alone
        self.reconstruct_radius = 3 if len(self.tail) > 1 else 1

    def stages(self) -> list[Stage]:
        """Attention sees whole windows, also of those that are shifted by half; so do reflections, half a window on."""
        groups = [stage for group in self.layers for stage in group_stages(group, self.window)]
        return [Stage(self._enter, self.window // 2, multiple=self.window), *groups, Stage(self._leave, 1)]

    def _enter(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        """To a multiple of the window, by reflection at the right and below."""
        shallow = self.conv_first(self.sub_mean(pad_to_multiple(lr, self.window)))
        return shallow, as_image(self.patch_embed(shallow), shallow)

    def _leave(self, state: tuple[Tensor, Tensor]) -> Tensor:
        shallow, x = state
        return shallow + self.conv_after_body(as_image(self.norm(as_tokens(x)), x))

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        x = features
        for name in self.tail:
            x = self.get_submodule(name)(x)
        return self.add_mean(without_padding(x, lr, self.scale))

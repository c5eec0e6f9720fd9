"""SwinIR: Image Restoration Using Swin Transformer.

Liang, Cao, Sun, Zhang, Van Gool, Timofte. ICCV Workshops 2021. https://arxiv.org/abs/2108.10257
New: a residual network whose blocks attend within windows, shifted by half a window in every second block.
The blocks are BasicSR's, under their own names; this file says in which order the image passes through them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .basicsr import build_network
from .layers import MeanShift, SuperResolver, drop_on_load, pad_to_multiple, require_scale

TABLES = ("relative_position_index", "attn_mask")  # of every block; they follow from the sizes


class SwinIR(SuperResolver):
    """RGB in [0, 1]. scale: 2, 3, 4 or 8. Smallest image: window // 2 + 1 pixels a side.

    depths, n_heads: blocks and heads of each group. upsampler: "pixelshuffle" (classical) or "pixelshuffledirect"
    (lightweight). train_size: LR pixels a side for which BasicSR keeps its masks at hand; other sizes run as well.
    Raises ImportError where BasicSR is not installed.
    """

    # Runs whole: what the padding adds at the right and below reaches the last pixels through the upsampler.
    reconstruct_radius = None

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
        self.window = window
        self.tail = [name for name in ("conv_before_upsample", "upsample", "conv_last") if hasattr(net, name)]

    def features(self, lr: Tensor) -> Tensor:
        """At the padded size: to a multiple of the window, by reflection at the right and below."""
        shallow = self.conv_first(self.sub_mean(pad_to_multiple(lr, self.window)))
        size = (shallow.shape[2], shallow.shape[3])
        x = self.patch_embed(shallow)
        for group in self.layers:
            x = group(x, size)
        return shallow + self.conv_after_body(self.patch_unembed(self.norm(x), size))

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        """Cuts off what the padding added."""
        x = features
        for name in self.tail:
            x = self.get_submodule(name)(x)
        height, width = (s * x.shape[-1] // features.shape[-1] for s in lr.shape[-2:])
        return self.add_mean(x[..., :height, :width])

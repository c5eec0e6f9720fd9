"""SRDenseNet: Image Super-Resolution Using Dense Skip Connections.

Tong, Li, Liu, Gao. ICCV 2017. https://openaccess.thecvf.com/content_ICCV_2017/html/Tong_Image_Super-Resolution_Using_ICCV_2017_paper.html
New: dense blocks, joined by dense skip connections, so that the upsampler sees the features of every depth.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .layers import Stage, SuperResolver, conv, rename, require_scale, stages_of


class Layer(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = conv(n_in, n_out, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).relu()


class DenseBlock(nn.Module):
    """x and `growth` new features from every layer. own_only: layers after the first do not see x."""

    def __init__(self, n_in: int, growth: int, n_layers: int, own_only: bool) -> None:
        super().__init__()
        n_seen = [i * growth + (0 if own_only and i else n_in) for i in range(n_layers)]
        self.block = nn.Sequential(*(Layer(n, growth) for n in n_seen))
        self.own_only = own_only

    def stages(self) -> list[Stage]:
        """Between layers the state is x and what the layers so far have found."""
        first, *others = self.block
        through = (Stage(partial(self._grow, layer), 1) for layer in others)
        return [Stage(lambda x: (x, first(x)), 1), *through, Stage(lambda state: torch.cat(state, 1), 0)]

    def _grow(self, layer: nn.Module, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        x, found = state
        return x, torch.cat([found, layer(found if self.own_only else torch.cat([x, found], 1))], 1)


class SRDenseNet(SuperResolver):
    """RGB in [0, 1]. scale: 2, 4 or 8.

    Two ports exist. The one with the paper's widths has own_only blocks, and activated deconvolutions of kernel 3. The
    other one is dense all through, starts from 16 features, and has deconvolutions of kernel 4 without activations.
    """

    # transposed convolutions reach the next pixel of the level below, as does the 3×3 at the end
    reconstruct_radius = 1

    def __init__(
        self,
        *,
        scale: int,
        n_blocks: int,
        n_layers: int,
        growth: int,
        width: int,
        bottleneck: int,
        own_only: bool,
        kernel: int,
        activated: bool,
    ) -> None:
        super().__init__()
        require_scale(scale, [2, 4, 8], "SRDenseNet")
        new = n_layers * growth  # features that a block adds
        self.conv = Layer(3, width)
        self.dense_blocks = nn.Sequential(
            *(DenseBlock(width + i * new, growth, n_layers, own_only) for i in range(n_blocks))
        )
        activation = nn.ReLU if activated else nn.Identity
        self.bottleneck = nn.Sequential(conv(width + n_blocks * new, bottleneck, 1), activation())
        doubling: dict[str, Any] = {"kernel_size": kernel, "stride": 2, "padding": 1, "output_padding": 4 - kernel}
        self.deconv = nn.Sequential(
            *(
                module
                for _ in range(int(math.log2(scale)))
                for module in (nn.ConvTranspose2d(bottleneck, bottleneck, **doubling), activation())
            )
        )
        self.reconstruction = conv(bottleneck, 3, 3)

    @staticmethod
    def from_official(state: dict[str, Any]) -> dict[str, Any]:
        """The other port's names."""
        return rename(
            state,
            [
                (r"conv1\.", "conv.conv."),
                (r"denseblock\.", "dense_blocks."),
                (r"Bottleneck\.", "bottleneck.0."),
                (r"convt(\d)\.", lambda m: f"deconv.{2 * int(m[1]) - 2}."),
                (r"conv2\.", "reconstruction."),
            ],
        )

    def stages(self) -> list[Stage]:
        return [Stage(self.conv, 1), *stages_of(self.dense_blocks), Stage(self.bottleneck, 0)]

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.reconstruction(self.deconv(features))

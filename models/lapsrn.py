"""LapSRN: Deep Laplacian Pyramid Networks for Fast and Accurate Super-Resolution.

Lai, Huang, Ahuja, Yang. CVPR 2017. https://arxiv.org/abs/1704.03915
New: ×2 at a time, in a pyramid; each level upsamples the image by a learned filter and adds a predicted residual.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from .layers import Stage, SuperResolver, conv, from_last, on_last, rename, require_scale

SLOPE = 0.2
IMAGE_KERNEL = 4
LEVELS = {2: 1, 4: 2, 8: 3}


class Doubling(nn.ConvTranspose2d):
    """Transposed convolution ×2. Kernel 4 is centred; kernel 3 leaves a last row and column too many, cut off."""

    def __init__(self, n_in: int, n_out: int, kernel: int, bias: bool) -> None:
        super().__init__(n_in, n_out, kernel, stride=2, padding=kernel - 3, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[..., : 2 * x.shape[-2], : 2 * x.shape[-1]]


class FeatureEmbedding(nn.Module):
    """All the features of one level, from those of the level below."""

    def __init__(self, depth: int, width: int, kernel: int, bias: bool) -> None:
        super().__init__()
        convolutions = (*(conv(width, width, 3, bias=bias) for _ in range(depth)), Doubling(width, width, kernel, bias))
        self.cov_block = nn.Sequential(*(m for c in convolutions for m in (c, nn.LeakyReLU(SLOPE, inplace=True))))

    def steps(self, n: int) -> list[nn.Sequential]:
        """n convolutions at a time, then the last one alone, which doubles the size."""
        *layers, last, activation = self.cov_block
        return [
            *(nn.Sequential(*layers[i : i + 2 * n]) for i in range(0, len(layers), 2 * n)),
            nn.Sequential(last, activation),
        ]


class LapSRN(SuperResolver):
    """Values in [0, 1]; channels: 3 for RGB, 1 for Y. scale: 2, 4 or 8. depth: convolutions per level.

    The authors' network (MatConvNet) upsamples features by kernels of 3 and has biases; its PyTorch port, whose names
    we use, has kernels of 4 and no biases.
    """

    reconstruct_radius = 1  # image filters reach the next pixel of the level below, as does `convt_R` at each level

    def __init__(self, *, scale: int, channels: int, depth: int, width: int, kernel: int, bias: bool) -> None:
        super().__init__()
        require_scale(scale, list(LEVELS), "LapSRN")
        self.levels = range(1, LEVELS[scale] + 1)
        self.feature_strides = tuple(2**level for level in self.levels)
        self.conv_input = conv(channels, width, 3, bias=bias)
        for level in self.levels:
            self.add_module(f"convt_I{level}", Doubling(channels, channels, IMAGE_KERNEL, bias=False))
            self.add_module(f"convt_R{level}", conv(width, channels, 3, bias=bias))
            self.add_module(f"convt_F{level}", nn.Sequential(FeatureEmbedding(depth, width, kernel, bias)))

    @staticmethod
    def from_official(state: dict[str, Any]) -> dict[str, Any]:
        """The names of the MatConvNet weights as they are commonly converted."""
        return rename(
            state,
            [
                (r"conv_in\.", "conv_input."),
                (r"conv\.(\d)\.(\d)\.", lambda m: f"convt_F{int(m[1]) + 1}.0.cov_block.{2 * int(m[2])}."),
                (r"up\.(\d)\.", lambda m: f"convt_F{int(m[1]) + 1}.0.cov_block.20."),
                (r"res\.(\d)\.", lambda m: f"convt_R{int(m[1]) + 1}."),
                (r"img\.(\d)\.", lambda m: f"convt_I{int(m[1]) + 1}."),
            ],
        )

    def stages(self) -> list[Stage]:
        """The state is the pyramid so far, the level at work last."""
        stages = [Stage(lambda lr: (leaky_relu(self.conv_input(lr), SLOPE),), 1)]
        embeddings = [module for module in self.modules() if isinstance(module, FeatureEmbedding)]
        for level, (embedding, stride) in enumerate(zip(embeddings, self.feature_strides, strict=True)):
            first, *steps, double = embedding.steps(stride // 2)  # so many convolutions reach one LR pixel
            at_work = (*self.feature_strides[:level], stride // 2)
            stages.append(Stage(from_last(first) if level else on_last(first), 1, at_work))
            stages += [Stage(on_last(step), 1, at_work) for step in steps]
            stages.append(Stage(on_last(double), 1, self.feature_strides[: level + 1]))
        return stages

    def reconstruct(self, features: tuple[Tensor, ...], lr: Tensor) -> Tensor:
        image = lr
        for level, x in zip(self.levels, features, strict=True):
            image = self.get_submodule(f"convt_I{level}")(image) + self.get_submodule(f"convt_R{level}")(x)
        return image

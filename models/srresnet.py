"""SRResNet: Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network.

Ledig, Theis, Huszár, Caballero, Cunningham, Acosta, Aitken, Tejani, Totz, Wang, Shi. CVPR 2017.
https://arxiv.org/abs/1609.04802
New: residual blocks with normalisation, and a deep network at LR size; SRGAN's generator. MSRResNet is the form that
later work trains: no normalisation, 3×3 throughout, the bilinear image as skip.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, pixel_shuffle

from .layers import Stage, SuperResolver, conv, long_skip, on_last, rename, require_scale, shuffle_factors

SLOPE = 0.2
MSR_SLOPE = 0.1


class ResidualBlock(nn.Module):
    def __init__(self, width: int, norm: type[nn.Module], activation: nn.Module) -> None:
        super().__init__()
        self.rcb = nn.Sequential(
            *(conv(width, width, 3, bias=False), norm(width, affine=True), activation),
            *(conv(width, width, 3, bias=False), norm(width, affine=True)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.rcb(x)


class Upsampling(nn.Module):
    def __init__(self, factor: int, width: int, bias: bool, activation: nn.Module) -> None:
        super().__init__()
        expansion = conv(width, factor * factor * width, 3, bias=bias)
        self.upsample_block = nn.Sequential(expansion, nn.PixelShuffle(factor), activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.upsample_block(x)


class SRResNet(SuperResolver):
    """RGB in [0, 1]; not clamped, though one port does that. scale: 2, 3, 4 or 8.

    norm: 'batch', with PReLU and biases, as in the paper, or 'instance', with neither, which needs two pixels.
    """

    reconstruct_radius = 3  # 9×9 at SR size, 3×3 at every stride below: 4/4 + 1/2 + 1, rounded up

    def __init__(self, *, scale: int, n_blocks: int, width: int, norm: str) -> None:
        super().__init__()
        if norm not in ("batch", "instance"):
            raise ValueError(f"The normalisation of SRResNet is 'batch' or 'instance', not '{norm}'.")
        batch = norm == "batch"
        self.local = batch  # in evaluation; an instance is the whole image
        kind = nn.BatchNorm2d if batch else nn.InstanceNorm2d

        def activation() -> nn.Module:
            return nn.PReLU() if batch else nn.LeakyReLU(SLOPE, inplace=True)

        self.conv1 = nn.Sequential(conv(3, width, 9, bias=batch), activation())
        self.trunk = nn.Sequential(*(ResidualBlock(width, kind, activation()) for _ in range(n_blocks)))
        self.conv2 = nn.Sequential(conv(width, width, 3, bias=False), kind(width, affine=True))
        self.upsampling = nn.Sequential(*(Upsampling(f, width, batch, activation()) for f in shuffle_factors(scale)))
        self.conv3 = conv(width, 3, 9, bias=batch)

    @staticmethod
    def from_official(state: dict[str, Any]) -> dict[str, Any]:
        """The names of the port with instance normalisation."""
        places = {"conv1": 0, "in1": 1, "conv2": 3, "in2": 4}
        return rename(
            state,
            [
                (r"conv_input\.", "conv1.0."),
                (r"residual\.(\d+)\.(conv1|in1|conv2|in2)\.", lambda m: f"trunk.{m[1]}.rcb.{places[m[2]]}."),
                (r"conv_mid\.", "conv2.0."),
                (r"bn_mid\.", "conv2.1."),
                (r"upscale4x\.(\d)\.", lambda m: f"upsampling.{int(m[1]) // 3}.upsample_block.0."),
                (r"conv_output\.", "conv3."),
            ],
        )

    def stages(self) -> list[Stage]:
        body = [Stage(on_last(block), 2 if self.local else None) for block in self.trunk]
        return long_skip(self.conv1, body, self.conv2, radius=4, last_radius=1 if self.local else None)

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.conv3(self.upsampling(features))


class PlainBlock(nn.Module):
    """MSRResNet's: no normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = conv(width, width, 3)
        self.conv2 = conv(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x).relu())


class MSRResNet(SuperResolver):
    """RGB in [0, 1]. scale: 2, 3 or 4."""

    reconstruct_radius = 2  # ×4: two 3×3 convolutions at SR size, one at stride 2, one at stride 1: 2/4 + 1/2 + 1

    def __init__(self, *, scale: int, n_blocks: int, width: int) -> None:
        super().__init__()
        require_scale(scale, [2, 3, 4], "MSRResNet")
        self.scale = scale
        self.factors = shuffle_factors(scale)
        self.conv_first = conv(3, width, 3)
        self.body = nn.Sequential(*(PlainBlock(width) for _ in range(n_blocks)))
        for i, factor in enumerate(self.factors, 1):
            self.add_module(f"upconv{i}", conv(width, factor * factor * width, 3))
        self.conv_hr = conv(width, width, 3)
        self.conv_last = conv(width, 3, 3)

    def stages(self) -> list[Stage]:
        enter = Stage(lambda lr: leaky_relu(self.conv_first(lr), MSR_SLOPE), 1)
        return [enter, *(Stage(block, 2) for block in self.body)]

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        x = features
        for i, factor in enumerate(self.factors, 1):
            x = leaky_relu(pixel_shuffle(self.get_submodule(f"upconv{i}")(x), factor), MSR_SLOPE)
        x = self.conv_last(leaky_relu(self.conv_hr(x), MSR_SLOPE))
        return x + interpolate(lr, scale_factor=self.scale, mode="bilinear", align_corners=False)

"""PAN: Efficient Image Super-Resolution Using Pixel Attention.

Zhao, Kong, He, Qiao, Dong. ECCV Workshops 2020. https://arxiv.org/abs/2010.01073
New: attention with one weight per pixel and channel, from a single 1×1 convolution, in the body and in the upsampler.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu

from .layers import Stage, SuperResolver, conv, long_skip, on_last

SLOPE = 0.2


class PixelAttention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv(x).sigmoid()


class AttendedConv(nn.Module):
    """The paper's PA convolution: the attention is computed beside the first convolution, not from its output."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.k2 = conv(width, width, 1)
        self.k3 = conv(width, width, 3, bias=False)
        self.k4 = conv(width, width, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.k4(self.k3(x) * self.k2(x).sigmoid())


class CalibratedBlock(nn.Module):
    """The paper's SCPA: self-calibrated, one half plain, the other with pixel attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1_a = conv(width, half, 1, bias=False)
        self.conv1_b = conv(width, half, 1, bias=False)
        self.k1 = nn.Sequential(conv(half, half, 3, bias=False))
        self.PAConv = AttendedConv(half)
        self.conv3 = conv(2 * half, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        plain = leaky_relu(self.k1(leaky_relu(self.conv1_a(x), SLOPE)), SLOPE)
        attended = leaky_relu(self.PAConv(leaky_relu(self.conv1_b(x), SLOPE)), SLOPE)
        return x + self.conv3(torch.cat([plain, attended], 1))


class PAN(SuperResolver):
    """RGB in [0, 1]. scale: 2, 3 or 4. width, up_width: features of the body and of the upsampler (nf, unf)."""

    # ×4: three convolutions at stride 4 and two at stride 2. The first of the three reads SR pixel 4q − 3, nearest
    # upsampling puts it at 2q − 2, two further convolutions reach 2q − 4, which is LR pixel q − 2; q + 2 on the other
    # side. ×2 has three at stride 2, also 2. The bilinear skip needs 1.
    reconstruct_radius = 2

    def __init__(self, *, scale: int, n_blocks: int, width: int, up_width: int) -> None:
        super().__init__()
        if scale not in (2, 3, 4):
            raise ValueError(f"Scale {scale} is not defined for PAN; choose 2, 3 or 4.")
        self.scale = scale
        self.factors = [2, 2] if scale == 4 else [scale]
        self.conv_first = conv(3, width, 3)
        self.SCPA_trunk = nn.Sequential(*(CalibratedBlock(width) for _ in range(n_blocks)))
        self.trunk_conv = conv(width, width, 3)
        self.upconv1 = conv(width, up_width, 3)
        self.att1 = PixelAttention(up_width)
        self.HRconv1 = conv(up_width, up_width, 3)
        if scale == 4:
            self.upconv2 = conv(up_width, up_width, 3)
            self.att2 = PixelAttention(up_width)
            self.HRconv2 = conv(up_width, up_width, 3)
        self.conv_last = conv(up_width, 3, 3)

    def stages(self) -> list[Stage]:
        body = [Stage(on_last(block), 2) for block in self.SCPA_trunk]
        return long_skip(self.conv_first, body, self.trunk_conv)

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        x = features
        stages = [(self.upconv1, self.att1, self.HRconv1)]
        if self.scale == 4:
            stages.append((self.upconv2, self.att2, self.HRconv2))
        for factor, (upconv, attention, refine) in zip(self.factors, stages, strict=True):
            x = upconv(interpolate(x, scale_factor=factor, mode="nearest"))
            x = leaky_relu(refine(leaky_relu(attention(x), SLOPE)), SLOPE)
        return self.conv_last(x) + interpolate(lr, scale_factor=self.scale, mode="bilinear", align_corners=False)

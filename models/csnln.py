"""CSNLN: Image Super-Resolution with Cross-Scale Non-Local Attention and Exhaustive Self-Exemplars Mining.

Mei, Fan, Zhou, Huang, Huang, Shi. CVPR 2020. https://arxiv.org/abs/2006.01424
New: attention from each position to the patches of a downscaled copy, which puts the image's own larger patches in
place at SR size; fused with in-scale non-local attention in one cell that is applied again and again.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import fold, interpolate, unfold

from .attention import attend, flatten_positions
from .layers import MeanShift, SuperResolver, conv, drop_on_load, pad_to_multiple, require_scale

PATCH = 3  # side of the patches that are compared, in downscaled pixels
SHARPNESS = 10.0  # of the softmax over patches
LEAST_NORM = 1e-4  # of a patch; the official file stores it as `escape_NaN`
OVERLAP = 6.0  # what overlapping patches are divided by, at any scale as in the official code


def rectified(convolution: nn.Module) -> nn.Sequential:
    """A convolution and a PReLU of one slope."""
    return nn.Sequential(convolution, nn.PReLU())


class NonLocal(nn.Module):
    """In-scale attention, without a skip around it."""

    def __init__(self, width: int, attention_slice: int | None) -> None:
        super().__init__()
        self.conv_match1 = rectified(conv(width, width // 2, 1))
        self.conv_match2 = rectified(conv(width, width // 2, 1))
        self.conv_assembly = rectified(conv(width, width, 1))
        self.attention_slice = attention_slice

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (flatten_positions(f(x)) for f in (self.conv_match1, self.conv_match2, self.conv_assembly))
        return attend(query, key, value, self.attention_slice).mT.unflatten(2, x.shape[-2:])


class CrossScale(nn.Module):
    """× factor: each position looks for its surroundings in the downscaled image and takes the large patch there."""

    def __init__(self, width: int, factor: int, attention_slice: int | None) -> None:
        super().__init__()
        self.conv_match_1 = rectified(conv(width, width // 2, 1))
        self.conv_match_2 = rectified(conv(width, width // 2, 1))
        self.conv_assembly = rectified(conv(width, width, 1))
        self.factor = factor
        self.attention_slice = attention_slice
        drop_on_load(self, "escape_NaN")

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        size, step = self.factor * PATCH, self.factor
        small = interpolate(x, (height // step, width // step), mode="bilinear", align_corners=False)
        query = SHARPNESS * unfold(self.conv_match_1(x), PATCH, padding=PATCH // 2).mT
        key = unfold(self.conv_match_2(small), PATCH, padding=PATCH // 2).mT
        key = key / key.norm(dim=2, keepdim=True).clamp(min=LEAST_NORM)
        value = unfold(self.conv_assembly(x), size, stride=step, padding=step).mT
        patches = attend(query, key, value, self.attention_slice).mT
        return fold(patches, (step * height, step * width), size, stride=step, padding=step) / OVERLAP


class ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(width, width, 3), nn.PReLU(), conv(width, width, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class MultiSourceProjection(nn.Module):
    """× factor: in-scale attention, enlarged, corrected by how cross-scale attention differs from it."""

    def __init__(self, width: int, factor: int, attention_slice: int | None) -> None:
        super().__init__()
        self.up_attention = CrossScale(width, factor, attention_slice)
        self.down_attention = NonLocal(width, attention_slice)
        self.upsample = rectified(nn.ConvTranspose2d(width, width, 3 * factor, stride=factor, padding=factor))
        self.encoder = ResidualBlock(width)

    def forward(self, x: Tensor) -> Tensor:
        in_scale = self.upsample(self.down_attention(x))
        return in_scale + self.encoder(self.up_attention(x) - in_scale)


class SelfExemplarMining(nn.Module):
    """The paper's SEM cell: features at LR → what the next turn reads at LR, and this turn's estimate at SR.

    Back-projection: what is lost on the way up and down again is put back at SR. ×4 goes up twice by 2.
    """

    def __init__(self, scale: int, width: int, attention_slice: int | None) -> None:
        super().__init__()
        factor = 2 if scale == 4 else scale

        def down(kernel: int, stride: int, padding: int) -> nn.Sequential:
            return rectified(nn.Conv2d(width, width, kernel, stride=stride, padding=padding))

        def up(kernel: int, stride: int, padding: int) -> nn.Sequential:
            return rectified(nn.ConvTranspose2d(width, width, kernel, stride=stride, padding=padding))

        once = (3 * factor, factor, factor)
        twice = (8, 4, 2)
        self.multi_source_projection = MultiSourceProjection(width, factor, attention_slice)
        self.down_sample_1 = down(*once)
        if scale != 4:
            self.down_sample_2 = down(*once)
        self.error_encode = up(*once)
        self.post_conv = rectified(conv(width, width, 3))
        if scale == 4:
            self.multi_source_projection_2 = MultiSourceProjection(width, factor, attention_slice)
            self.down_sample_3 = down(*twice)
            self.down_sample_4 = down(*twice)
            self.error_encode_2 = up(*twice)
        self.twice = scale == 4

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        estimate = self.multi_source_projection(x)
        estimate = estimate + self.error_encode(x - self.down_sample_1(estimate))
        if not self.twice:
            return self.post_conv(self.down_sample_2(estimate)), estimate
        estimate = self.multi_source_projection_2(estimate)
        estimate = estimate + self.error_encode_2(x - self.down_sample_3(estimate))
        return self.post_conv(self.down_sample_4(estimate)), estimate


class CSNLN(SuperResolver):
    """RGB in [0, 1]. scale: 2, 3 or 4. depth: turns of the one cell.

    The official network takes sides that its ×2 (or ×3) divides; `features` continues others by reflection and needs at
    least 2×2 pixels. attention_slice: positions attended at a time, hence the memory; without effect on the numbers.
    """

    reconstruct_radius = 1  # one convolution at SR: 1/scale, rounded up

    def __init__(self, *, scale: int, depth: int, width: int, attention_slice: int | None) -> None:
        super().__init__()
        require_scale(scale, (2, 3, 4), "CSNLN")
        self.feature_strides = (scale,)
        self.scale = scale
        self.depth = depth
        self.sub_mean = MeanShift(-1)
        self.SEM = SelfExemplarMining(scale, width, attention_slice)
        self.add_mean = MeanShift(+1)
        self.head = nn.Sequential(rectified(conv(3, width, 3)), rectified(conv(width, width, 3)))
        self.tail = nn.Sequential(conv(depth * width, 3, 3))

    def features(self, lr: Tensor) -> Tensor:
        height, width = (self.scale * side for side in lr.shape[-2:])
        x = self.head(self.sub_mean(pad_to_multiple(lr, 2 if self.scale == 4 else self.scale)))
        estimates = []
        for _ in range(self.depth):
            x, estimate = self.SEM(x)
            estimates.append(estimate)
        return torch.cat(estimates, 1)[..., :height, :width]

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.add_mean(self.tail(features))

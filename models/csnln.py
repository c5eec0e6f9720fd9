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
from .layers import MeanShift, Stage, SuperResolver, conv, drop_on_load, pad_to_multiple, require_scale, without_padding

PATCH = 3  # side of the patches that are compared, in downscaled pixels
SHARPNESS = 10.0  # of the softmax over patches
LEAST_NORM = 1e-4  # of a patch; the official file stores it as `escape_NaN`
OVERLAP = 6.0  # what overlapping patches are divided by, at any scale as in the official code
LOOKED = 7  # tensors between the two steps of a turn: x, and queries, keys and values of two attentions


def rectified(convolution: nn.Module) -> nn.Sequential:
    """A convolution and a PReLU of one slope."""
    return nn.Sequential(convolution, nn.PReLU())


class NonLocal(nn.Module):
    """In-scale attention, without a skip around it. Queries are an image, keys and values (n, positions, c)."""

    def __init__(self, width: int, attention_slice: int | None) -> None:
        super().__init__()
        self.conv_match1 = rectified(conv(width, width // 2, 1))
        self.conv_match2 = rectified(conv(width, width // 2, 1))
        self.conv_assembly = rectified(conv(width, width, 1))
        self.attention_slice = attention_slice

    def look(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.conv_match1(x), flatten_positions(self.conv_match2(x)), flatten_positions(self.conv_assembly(x))

    def find(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        found = attend(flatten_positions(query), key, value, self.attention_slice)
        return found.mT.unflatten(2, query.shape[-2:])


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

    def look(self, x: Tensor) -> tuple[Tensor, ...]:
        height, width = x.shape[-2:]
        size, step = self.factor * PATCH, self.factor
        small = interpolate(x, (height // step, width // step), mode="bilinear", align_corners=False)
        key = unfold(self.conv_match_2(small), PATCH, padding=PATCH // 2).mT
        key = key / key.norm(dim=2, keepdim=True).clamp(min=LEAST_NORM)
        return self.conv_match_1(x), key, unfold(self.conv_assembly(x), size, stride=step, padding=step).mT

    def find(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        height, width = query.shape[-2:]
        size, step = self.factor * PATCH, self.factor
        surroundings = SHARPNESS * unfold(query, PATCH, padding=PATCH // 2).mT
        patches = attend(surroundings, key, value, self.attention_slice).mT
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

    def look(self, x: Tensor) -> tuple[Tensor, ...]:
        return *self.down_attention.look(x), *self.up_attention.look(x)

    def find(self, *looked: Tensor) -> Tensor:
        in_scale = self.upsample(self.down_attention.find(*looked[:3]))
        return in_scale + self.encoder(self.up_attention.find(*looked[3:]) - in_scale)


class SelfExemplarMining(nn.Module):
    """The paper's SEM cell: features at LR → this turn's estimate at SR → what the next turn reads at LR.

    The estimate is made in two steps: all up to the last look at the whole image, and what is found by it.
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

    def look(self, x: Tensor) -> tuple[Tensor, ...]:
        looked = x, *self.multi_source_projection.look(x)
        return (x, *self.multi_source_projection_2.look(self._once(*looked))) if self.twice else looked

    def find(self, x: Tensor, *looked: Tensor) -> Tensor:
        if not self.twice:
            return self._once(x, *looked)
        estimate = self.multi_source_projection_2.find(*looked)
        return estimate + self.error_encode_2(x - self.down_sample_3(estimate))

    def _once(self, x: Tensor, *looked: Tensor) -> Tensor:
        estimate = self.multi_source_projection.find(*looked)
        return estimate + self.error_encode(x - self.down_sample_1(estimate))

    def back(self, estimate: Tensor) -> Tensor:
        down = self.down_sample_4 if self.twice else self.down_sample_2
        return self.post_conv(down(estimate))


class CSNLN(SuperResolver):
    """RGB in [0, 1]. scale: 2, 3 or 4. depth: turns of the one cell.

    The official network takes sides that its ×2 (or ×3) divides; others are continued by reflection and need at least
    2×2 pixels. attention_slice: positions attended at a time, hence the memory; without effect on the numbers.
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

    def stages(self) -> list[Stage]:
        """All but the last turn; of that, what a part of the image finds in the whole."""
        attended, radius = (2, 3) if self.scale == 4 else (1, 5)
        looked = (1, attended, 0, 0, attended, 0, 0)
        estimates = (self.scale,) * (self.depth - 1)
        return [Stage(self._until_last_look, None, (*looked, *estimates)), Stage(self._find, radius, self.scale)]

    def _until_last_look(self, lr: Tensor) -> tuple[Tensor, ...]:
        """What `SEM.find` reads, and the estimates so far."""
        x = self.head(self.sub_mean(pad_to_multiple(lr, 2 if self.scale == 4 else self.scale)))
        looked, estimates = self.SEM.look(x), []
        for _ in range(self.depth - 1):
            estimates.append(self.SEM.find(*looked))
            looked = self.SEM.look(self.SEM.back(estimates[-1]))
        return *looked, *estimates

    def _find(self, state: tuple[Tensor, ...]) -> Tensor:
        looked, estimates = state[:LOOKED], state[LOOKED:]
        return torch.cat([*estimates, self.SEM.find(*looked)], 1)

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.add_mean(without_padding(self.tail(features), lr, self.scale))

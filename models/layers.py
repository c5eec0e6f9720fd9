"""Blocks that two networks or more share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)


class SuperResolver(nn.Module):
    """A network whose forward is `reconstruct(features(lr), lr)`.

    features(lr) returns a tensor or a tuple of tensors, each at `feature_strides[i]` pixels per LR pixel.
    reconstruct(features, lr) is the local tail, image-space skip included. `reconstruct_radius` is the margin in LR
    pixels that makes it exact on a crop; None means: run it whole.
    """

    feature_strides: tuple[int, ...] = (1,)
    reconstruct_radius: int | None = None

    def features(self, lr: Tensor) -> Any:
        raise NotImplementedError

    def reconstruct(self, features: Any, lr: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, lr: Tensor) -> Tensor:
        return self.reconstruct(self.features(lr), lr)


class MeanShift(nn.Module):
    """Adds `sign`·`mean`·`peak` to each colour.

    The official module is a frozen 1×1 convolution. Here the mean is Python floats, materialised in the input's dtype:
    built in float32 and cast, it misses float64 parity. An official file's values are checked, then dropped.
    """

    def __init__(self, sign: int, peak: float = 1.0, mean: tuple[float, ...] = DIV2K_MEAN) -> None:
        super().__init__()
        self.shift = tuple(sign * peak * m for m in mean)

    def forward(self, image: Tensor) -> Tensor:
        return image + image.new_tensor(self.shift).view(1, -1, 1, 1)

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ) -> None:
        for key in [k for k in state_dict if k.startswith(prefix)]:
            value = state_dict[key].detach().double().cpu().flatten()
            expected = torch.tensor(self.shift) if key.endswith("bias") else torch.eye(3).flatten()
            if value.shape != expected.shape or not torch.allclose(value, expected.double(), rtol=1e-5, atol=1e-6):
                error_msgs.append(f"{key} is {value.tolist()}, this network's is {expected.tolist()}")


def conv(n_in: int, n_out: int, kernel: int, **options: Any) -> nn.Conv2d:
    """A convolution that keeps the size."""
    return nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, **options)


def shuffle_factors(scale: int) -> list[int]:
    """×scale in steps of pixel shuffle: ×2 at a time, ×3 at once."""
    factors = {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}.get(scale)
    if factors is None:
        raise ValueError(f"Scale {scale} is not defined for this network; choose 2, 3, 4 or 8.")
    return factors


def shuffle_upsampler(scale: int, width: int) -> nn.Sequential:
    """EDSR's upsampler: convolution and pixel shuffle, in the steps of `shuffle_factors`."""
    return nn.Sequential(
        *(m for f in shuffle_factors(scale) for m in (conv(width, f * f * width, 3), nn.PixelShuffle(f)))
    )


def shuffle_once(scale: int, n_in: int, channels: int) -> nn.Sequential:
    """IMDN's upsampler: one convolution to all sub-pixels of the image, one pixel shuffle. Any scale."""
    return nn.Sequential(conv(n_in, scale * scale * channels, 3), nn.PixelShuffle(scale))

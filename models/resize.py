"""The one bicubic resize: MATLAB's imresize, as a differentiable torch function.

Keys' cubic kernel (a = −0.5), antialiased when shrinking, symmetric border. Every output pixel is a fixed weighted sum
of input pixels, so a resize is one matrix for the rows and one for the columns.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def _cubic(x: Tensor) -> Tensor:
    x = x.abs()
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x <= 2, far, torch.zeros_like(x)))


def bicubic_matrix(n_in: int, n_out: int, scale: float) -> Tensor:
    """The (n_out, n_in) float64 matrix of MATLAB's bicubic along one axis. scale = output / input size."""
    if torch.compiler.is_compiling():  # a traced graph computes its own: a tensor from outside is not part of it
        return _matrix(n_in, n_out, scale)
    return _kept_matrix(n_in, n_out, scale)


@lru_cache(maxsize=16)
def _kept_matrix(n_in: int, n_out: int, scale: float) -> Tensor:
    """Made once, whatever modes its first user happens to be in, and an ordinary tensor for all who come after."""
    with torch.inference_mode(False), torch.device("cpu"):
        return _matrix(n_in, n_out, scale)


def _matrix(n_in: int, n_out: int, scale: float) -> Tensor:
    stretch = min(scale, 1.0)
    support = 4 / stretch
    centre = (torch.arange(n_out, dtype=torch.float64) + 0.5) / scale - 0.5
    first = torch.floor(centre - support / 2) + 1
    taps = first[:, None] + torch.arange(int(support) + 2, dtype=torch.float64)
    weights = stretch * _cubic(stretch * (centre[:, None] - taps))
    weights = weights / weights.sum(1, keepdim=True)
    mirrored = taps.long().remainder(2 * n_in)
    mirrored = torch.where(mirrored < n_in, mirrored, 2 * n_in - 1 - mirrored)
    return torch.zeros(n_out, n_in, dtype=torch.float64).scatter_add_(1, mirrored, weights)


def bicubic(image: Tensor, scale: float) -> Tensor:
    """Resize (..., h, w) by `scale`, rows first, to (..., round(h·scale), round(w·scale)). Values are not clipped."""
    for axis in (-2, -1):
        image = resize_axis(image, axis, scale)
    return image


def resize_axis(image: Tensor, axis: int, scale: float) -> Tensor:
    """One pass of `bicubic`, along axis −2 (rows) or −1 (columns)."""
    n_in = image.shape[axis]
    matrix = bicubic_matrix(n_in, round(n_in * scale), scale).to(image)
    return matrix @ image if axis == -2 else image @ matrix.mT

"""Networks whose true dependence is known because it was built in: a map must find it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..types import Window


class Gathered(nn.Module):
    """SR = nearest ×4 of shape(mean of the LR image shifted by each offset). Wraps around at the border.

    offsets: (dy, dx) in LR pixels. shape: a function of single values; one that saturates hides dependence from
    gradients, but not the dependence itself.
    """

    scale = 4

    def __init__(self, offsets: list[tuple[int, int]], shape: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.offsets, self.shape = offsets, shape

    def features(self, lr: Tensor) -> Tensor:
        return self.shape(torch.stack([lr.roll((-dy, -dx), (-2, -1)) for dy, dx in self.offsets])).mean(0)

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return F.interpolate(features, scale_factor=self.scale, mode="bilinear", align_corners=False)

    def forward(self, lr: Tensor) -> Tensor:
        return self.reconstruct(self.features(lr), lr)

    def truth(self, size: tuple[int, int], window: Window) -> np.ndarray:
        """Which LR pixels the window's gradient detector depends on: (h, w) bool. Found by the network's own linear
        part, with no value that saturates."""
        linear = Gathered(self.offsets, lambda x: x)
        probe = torch.zeros(1, 1, *size, dtype=torch.float64, requires_grad=True)
        end = window.size + 1  # the detector's margin
        sr = linear(probe)[..., window.y : window.y + end, window.x : window.x + end]
        (found,) = torch.autograd.grad(sr.sum(), probe)
        return (found[0, 0] != 0).numpy()


def planted_networks() -> dict[str, Gathered]:
    """box: an 11×11 mean. periodic: nine places, 13 LR pixels apart. saturated: the same, through a steep tanh."""
    box = [(dy, dx) for dy in range(-5, 6) for dx in range(-5, 6)]
    far = [(13 * dy, 13 * dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return {
        "box": Gathered(box, lambda x: x),
        "periodic": Gathered(far, lambda x: x),
        "saturated": Gathered(far, lambda x: 0.5 + 0.5 * torch.tanh(8 * (x - 0.5))),
    }

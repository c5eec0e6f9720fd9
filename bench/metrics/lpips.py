"""LPIPS, a learned distance of two images: 0 for equal ones, larger where people see a difference.

Zhang, Isola, Efros, Shechtman & Wang, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR
2018, equation 1, version 0.1: features of a classifier at five depths, of unit length at every position; the squared
difference of each channel times a learned weight, averaged over positions, summed over channels and depths. Weights are
the user's; nothing is loaded here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# a classifier's convolutions up to the last depth that counts: (channels, side, stride, padding) of a convolution with
# its ReLU, "max" for a pooling, and "tap" where the features count; torchvision's modules, so its files fit
_ALEX = [(64, 11, 4, 2), "tap", "max", (192, 5, 1, 2), "tap", "max"]
_ALEX += [(384, 3, 1, 1), "tap", (256, 3, 1, 1), "tap", (256, 3, 1, 1), "tap"]
_VGG = [(64, 3, 1, 1), (64, 3, 1, 1), "tap", "max", (128, 3, 1, 1), (128, 3, 1, 1), "tap"]
_VGG += [layer for width in (256, 512, 512) for layer in ("max", *[(width, 3, 1, 1)] * 3, "tap")]
BACKBONES = {"alex": (_ALEX, 3, 31), "vgg": (_VGG, 2, 16)}  # layers, side of a pooling (stride 2), smallest image

SHIFT = (-0.030, -0.088, -0.188)  # of images in [−1, 1]: ImageNet's normalisation, as the authors round it
SCALE = (0.458, 0.448, 0.450)
EPSILON = 1e-10


class Lpips(nn.Module):
    """The distance with one backbone, alex or vgg. Parameters are named as in the published files: `features.0.weight`
    as torchvision names them, `lin0.model.1.weight` as the lpips package does. min_size: pixels an image needs."""

    def __init__(self, backbone: str) -> None:
        super().__init__()
        layers, side, self.min_size = BACKBONES[backbone]
        self.features, self._taps, widths = nn.Sequential(), [], []
        channels = 3
        for layer in layers:
            if layer == "tap":
                self._taps.append(len(self.features) - 1)
                widths.append(channels)
            elif layer == "max":
                self.features.append(nn.MaxPool2d(side, 2))
            else:
                width, *shape = layer
                self.features.append(nn.Conv2d(channels, width, *shape)).append(nn.ReLU())
                channels = width
        for i, width in enumerate(widths):
            linear = nn.Module()
            linear.model = nn.Sequential(nn.Identity(), nn.Conv2d(width, 1, 1, bias=False))  # its dropout is training's
            self.add_module(f"lin{i}", linear)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Images (n, 3, h, w), RGB in [0, 1] → (n,). Raises ValueError for other shapes and for images too small."""
        if one.shape != other.shape or one.ndim != 4 or one.shape[1] != 3:
            raise ValueError(f"LPIPS compares (n, 3, h, w) with its like, not {one.shape} with {other.shape}.")
        if min(one.shape[2:]) < self.min_size:
            raise ValueError(f"LPIPS needs {self.min_size} pixels a side, there are {one.shape[2]}×{one.shape[3]}.")
        total = one.new_zeros(len(one))
        for i, (a, b) in enumerate(zip(self._depths(one), self._depths(other), strict=True)):
            weights = self.get_submodule(f"lin{i}.model.1")
            total = total + weights((a - b) ** 2).mean((1, 2, 3))
        return total

    def _depths(self, image: Tensor) -> list[Tensor]:
        """The features that count, each of unit length over its channels."""
        shift, scale = (image.new_tensor(v)[:, None, None] for v in (SHIFT, SCALE))
        x, found = (2 * image - 1 - shift) / scale, []
        for i, module in enumerate(self.features):
            x = module(x)
            if i in self._taps:
                found.append(x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + EPSILON))
        return found

"""SRCNN: Image Super-Resolution Using Deep Convolutional Networks.

Dong, Loy, He, Tang. ECCV 2014 and TPAMI 2016. https://arxiv.org/abs/1501.00092
New: the first convolutional network for super-resolution; three layers refine the bicubically upsampled image. Named by
its kernels: 9-1-5 (2014), 9-5-5 (2016).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .layers import Stage, SuperResolver, conv


class SRCNN(SuperResolver):
    """Takes the image at SR size: it belongs inside `PreUpsample`, which makes it any scale.

    channels: 3 for RGB, 1 for Y. kernels, widths: of patch extraction, non-linear mapping (and reconstruction).
    padding_mode: 'replicate', as in the authors' demo, or 'zeros', as in PyTorch ports.
    """

    def __init__(self, *, channels: int, kernels: Sequence[int], widths: Sequence[int], padding_mode: str) -> None:
        super().__init__()
        extraction, mapping, reconstruction = kernels
        wide, narrow = widths
        self.conv1 = conv(channels, wide, extraction, padding_mode=padding_mode)
        self.conv2 = conv(wide, narrow, mapping, padding_mode=padding_mode)
        self.conv3 = conv(narrow, channels, reconstruction, padding_mode=padding_mode)
        self.radii = extraction // 2, mapping // 2
        self.reconstruct_radius = reconstruction // 2

    def stages(self) -> list[Stage]:
        extraction, mapping = self.radii
        return [
            Stage(lambda image: self.conv1(image).relu(), extraction),
            Stage(lambda patches: self.conv2(patches).relu(), mapping),
        ]

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.conv3(features)

"""FSRCNN: Accelerating the Super-Resolution Convolutional Neural Network.

Dong, Loy, Tang. ECCV 2016. https://arxiv.org/abs/1608.00367
New: works on the LR image and upsamples last, by a transposed convolution. Named by its widths, features-shrunk-depth.
"""

from __future__ import annotations

from torch import Tensor, nn

from .layers import Stage, SuperResolver, conv


class FSRCNN(SuperResolver):
    """Values in [0, 1]; channels: 3 for RGB, 1 for Y. width, shrunk, depth: the paper's d, s, m. Any scale from 2."""

    def __init__(self, *, scale: int, channels: int, width: int, shrunk: int, depth: int) -> None:
        super().__init__()
        if scale < 2:
            raise ValueError(f"Scale {scale} is not defined for FSRCNN; choose 2 or more.")
        self.first_part = nn.Sequential(conv(channels, width, 5), nn.PReLU(width))
        self.depth = depth
        mapping = [m for _ in range(depth) for m in (conv(shrunk, shrunk, 3), nn.PReLU(shrunk))]
        self.mid_part = nn.Sequential(
            *(conv(width, shrunk, 1), nn.PReLU(shrunk)),
            *mapping,
            *(conv(shrunk, width, 1), nn.PReLU(width)),
        )
        self.last_part = nn.ConvTranspose2d(width, channels, 9, scale, padding=4, output_padding=scale - 1)
        # SR pixel scale·q + r sees the LR pixels from ceil(q + (r − 4)/scale) to floor(q + (r + 4)/scale)
        self.reconstruct_radius = (scale + 3) // scale
        for name, parameter in self.named_parameters():  # the paper's initialisation: He, and a nearly zero last layer
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim == 4:
                nn.init.kaiming_normal_(parameter, mode="fan_out")
        nn.init.normal_(self.last_part.weight, std=1e-3)

    def stages(self) -> list[Stage]:
        return [Stage(self.first_part, 2), Stage(self.mid_part, self.depth)]

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return self.last_part(features)

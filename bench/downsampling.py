"""HR → LR, and LR → bicubic SR, all uint8 (h, w, 3). Two protocols: 'matlab' (the papers') and 'pil' (LAM's code).

They differ: MATLAB's imresize works on rows first, rounds to 8 bits after each pass and mirrors the border; Pillow
works on columns first and cuts the kernel off at the border. Torch is imported on the first use of MATLAB's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

Image = NDArray[np.uint8]


def crop_to_multiple(hr: Image, scale: int) -> Image:
    """The largest top left part whose sides are multiples of scale."""
    h, w = (side - side % scale for side in hr.shape[:2])
    return hr[:h, :w]


def matlab(hr: Image, scale: int) -> Image:
    """imresize(hr, 1/scale, 'bicubic') on a uint8 image: bit for bit the LR images that Set5 comes with.

    Those of Set14 agree except for the outer three pixels: an older MATLAB made them, which repeated the border.
    """
    return _imresize(hr, 1 / scale)


def pil(hr: Image, scale: int) -> Image:
    """Pillow's antialiased bicubic on uint8, as the reference implementation of LAM."""
    h, w = hr.shape[:2]
    return np.array(PILImage.fromarray(hr).resize((w // scale, h // scale), PILImage.Resampling.BICUBIC))


DOWNSAMPLING: dict[str, Callable[[Image, int], Image]] = {"matlab": matlab, "pil": pil}


def bicubic_sr(lr: Image, scale: int) -> Image:
    """imresize(lr, scale, 'bicubic') on a uint8 image: the baseline that every network must beat."""
    return _imresize(lr, scale)


def _imresize(image: Image, scale: float) -> Image:
    import torch

    from lamscope.models.resize import resize_axis

    plane = torch.from_numpy(np.array(image.transpose(2, 0, 1), dtype=np.float64))
    for axis in (-2, -1):
        # MATLAB casts to uint8 after each pass. A half that floating point left just below itself is still a half.
        plane = torch.floor(resize_axis(plane, axis, scale) + (0.5 + 1e-9)).clamp(0, 255)
    return plane.to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def squared_error(hr: Image, lr: Image, scale: int) -> NDArray[np.int64]:
    """Squared error of bicubic SR, summed over colours, (h, w). Whole numbers, so that comparing sums is exact."""
    difference = bicubic_sr(lr, scale).astype(np.int64) - hr
    return (difference**2).sum(2)

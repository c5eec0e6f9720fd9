"""The images inside a figure, each made at exactly the pixels it is printed with: nothing is resampled later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..metrics.concentration import area_of_contribution, magnitude
from ..types import UserError

Picture = NDArray[np.uint8]  # (height, width, 3)

# the paper's colours, and a pair that any eye tells apart and that keeps its order in grey
COLOURS = {"seismic": "seismic", "safe": "PuOr_r"}


@dataclass(frozen=True)
class Size:
    """A panel's pixels, their resolution in print (dots per inch), and pixels per LR pixel (0: not a whole number)."""

    width: int
    height: int
    dpi: float
    zoom: int


def fit(lr_shape: tuple[int, int], inches: float, finest: int = 300, coarsest: int = 200) -> Size:
    """The panel at most that wide in which each LR pixel is the same whole number of printed pixels.

    lr_shape: (h, w). The resolution is chosen between coarsest and finest so that the panel is exactly `inches` wide
    where possible, narrower otherwise; an LR image with more pixels than the panel is drawn smaller, with zoom 0.
    """
    h, w = lr_shape
    zoom = int(inches * finest / w + 1e-9)
    if zoom == 0:
        width = round(inches * finest)
        return Size(width, max(1, round(width * h / w)), finest, 0)
    return Size(zoom * w, zoom * h, max(zoom * w / inches, coarsest), zoom)


def whole(image: Picture, size: Size) -> Picture:
    """A whole image (H, W, 3) at panel size: pixels repeated where that is exact, else resampled."""
    h, w = image.shape[:2]
    if size.width % w == 0 and size.height % h == 0:
        return magnified(image, size.width // w)[: size.height, : size.width]
    smaller = size.width < w
    return _resized(image, size, Image.Resampling.LANCZOS if smaller else Image.Resampling.BICUBIC)


def magnified(image: Picture, factor: int) -> Picture:
    """Each pixel repeated factor × factor times."""
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def neighbourhood(shape: tuple[int, int], window: Mapping[str, int], size: Size, reach: float = 4.0) -> tuple[int, ...]:
    """(y, x, height, width, factor) of the surroundings of a window: about `reach` windows wide, inside the image,
    and filling the panel when each pixel is repeated factor × factor times."""
    factor = max(int(size.width / (reach * window["size"])), 1, -(-size.width // shape[1]), -(-size.height // shape[0]))
    h, w = -(-size.height // factor), -(-size.width // factor)
    y = int(np.clip(window["y"] + window["size"] // 2 - h // 2, 0, max(shape[0] - h, 0)))
    x = int(np.clip(window["x"] + window["size"] // 2 - w // 2, 0, max(shape[1] - w, 0)))
    return y, x, h, w, factor


def patch(image: Picture, place: tuple[int, ...], size: Size) -> Picture:
    """The part of an image that `neighbourhood` chose, magnified to fill the panel."""
    y, x, h, w, factor = place
    return magnified(image[y : y + h, x : x + w], factor)[: size.height, : size.width]


def attribution(values: Any, size: Size, colours: str = "seismic") -> Picture | None:
    """An attribution map (3, h, w) in the reference's colours: seismic of |sum over channels| / maximum · 0.5 + 0.5.

    None for a map that is zero everywhere or not finite. colours: of COLOURS.
    """
    strength = magnitude(values)
    return None if np.isnan(strength).any() else whole(coloured(strength, colours), size)


def area(values: Any, lr: Picture, size: Size, colours: str = "seismic") -> Picture | None:
    """The area of contribution of a map (3, h, w), bicubic, half and half with the LR image, or None."""
    return over(area_of_contribution(values), lr, size, colours)


def over(strength: NDArray[np.float64], lr: Picture, size: Size, colours: str = "seismic") -> Picture | None:
    """A smooth field (h, w) in [−1, 1], coloured, bicubic, half and half with the LR image; None where undefined."""
    if np.isnan(strength).any():
        return None
    picture = _resized(coloured(strength, colours), size, Image.Resampling.BICUBIC)
    return ((picture.astype(np.uint16) + whole(lr, size)) // 2).astype(np.uint8)


def coloured(strength: NDArray[np.float64], colours: str) -> Picture:
    """Values in [−1, 1] in a map of COLOURS, 0 in its middle. Raises UserError for a name that is none of them."""
    if colours not in COLOURS:
        raise UserError(f"colours is {' or '.join(COLOURS)}, not '{colours}'.")
    return (255 * matplotlib.colormaps[COLOURS[colours]](strength * 0.5 + 0.5)[..., :3]).astype(np.uint8)


def _resized(image: Picture, size: Size, how: Image.Resampling) -> Picture:
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((size.width, size.height), how))

"""Which windows of an image are explained: its centre, a list, or where bicubic fails most ("interpret hard")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .downsampling import squared_error
from .types import UserError, Window

MODES = ("centre", "list", "hardest")


@dataclass(frozen=True)
class WindowChoice:
    """mode: 'centre', 'list' or 'hardest'. size: side in SR pixels.

    positions: top-left corners [[y, x], …] in SR pixels, for 'list' only. count: how many of the hardest windows,
    hardest first; they do not overlap, being tiles of the image (centred, so that a remainder is left out all around).
    Every window keeps one SR pixel free below and to the right, where the detector looks. Raises UserError.
    """

    mode: str = "centre"
    size: int = 16
    positions: Sequence[Sequence[int]] = ()
    count: int = 1

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UserError(f"Unknown window mode '{self.mode}'. Choose one of {', '.join(MODES)}.")
        if not _whole(self.size, 1):
            raise UserError(f"The window size is a positive number of SR pixels, not {self.size}.")
        if not _whole(self.count, 1):
            raise UserError(f"The number of windows is 1 or more, not {self.count}.")
        if self.mode != "hardest" and self.count != 1:
            raise UserError(f"A count of windows is for mode=hardest, not mode={self.mode}.")
        if (self.mode == "list") != bool(self.positions):
            raise UserError("Windows by position need mode=list and positions=[[y,x],…], both.")
        for position in self.positions:
            if not isinstance(position, Sequence) or len(position) != 2 or not all(_whole(p, 0) for p in position):
                raise UserError(f"A window position is [y,x] in SR pixels, not {position}.")
        if len({tuple(p) for p in self.positions}) < len(self.positions):
            raise UserError("A window position is listed twice.")

    def describe(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        positions = [[int(y), int(x)] for y, x in self.positions]
        return {"mode": self.mode, "size": int(self.size), "positions": positions, "count": int(self.count)}

    def check(self, name: str, height: int, width: int) -> None:
        """Raises UserError if an SR image of this size has no room for the windows. name: for the message."""
        if min(height, width) < self.size + 1:
            raise UserError(
                f"Image '{name}' is {width}×{height} in SR pixels, too small for a window of {self.size} pixels "
                "and the one beside it that the detector needs."
            )
        for y, x in self.positions:
            if y + self.size > height - 1 or x + self.size > width - 1:
                raise UserError(
                    f"The {self.size}-pixel window at y={y}, x={x} does not fit into image '{name}': in "
                    f"{width}×{height} SR pixels y is at most {height - 1 - self.size}, x {width - 1 - self.size}."
                )
        room = ((height - 1) // self.size) * ((width - 1) // self.size)
        if self.count > room:
            raise UserError(f"Image '{name}' has room for {room} windows of {self.size} pixels, not {self.count}.")

    def choose(self, hr: NDArray[np.uint8], lr: NDArray[np.uint8], scale: int) -> tuple[Window, ...]:
        """The windows of one image. hr: (scale·h, scale·w, 3), lr: (h, w, 3), both uint8."""
        height, width = hr.shape[:2]
        if self.mode == "centre":
            return (Window((height - self.size) // 2, (width - self.size) // 2, self.size),)
        if self.mode == "list":
            return tuple(Window(y, x, self.size) for y, x in self.positions)
        return hardest(squared_error(hr, lr, scale), self.size, self.count)


def hardest(error: NDArray[np.int64], size: int, count: int) -> tuple[Window, ...]:
    """The tiles with the largest summed error, largest first; of equals the upper, then the left. error: (h, w)."""
    rows, columns = ((side - 1) // size for side in error.shape)
    top, left = (error.shape[0] - rows * size) // 2, (error.shape[1] - columns * size) // 2
    inside = error[top : top + rows * size, left : left + columns * size]
    sums = inside.reshape(rows, size, columns, size).sum((1, 3)).ravel()
    order = np.argsort(-sums, kind="stable")[:count]
    return tuple(Window(int(top + i // columns * size), int(left + i % columns * size), size) for i in order)


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least

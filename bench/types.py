"""Values that travel through the house: frozen dataclasses without behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


class UserError(Exception):
    """A mistake the user can mend. The message is one finished sentence; the command line exits with 2."""


class NotApplicable(UserError):
    """A method or a question that is not defined here, and why: recorded as a result, not mended."""


class WeightsMissing(UserError):
    """The weights of a network are not on this machine."""


class NotTrained(WeightsMissing):
    """There are none anywhere: nobody has published any, nor trained it for us. A pattern of names leaves it out."""


@dataclass(frozen=True)
class Window:
    """A square of SR pixels whose reconstruction is explained.

    y, x: top-left corner in SR pixels. size: side length. Needs y + size and x + size ≤ SR side − 1, because the
    gradient detector looks one pixel below and to the right.
    """

    y: int
    x: int
    size: int


@dataclass(frozen=True)
class Sample:
    """One test image with the windows to explain on it.

    hr: uint8 (scale·h, scale·w, 3) RGB. lr: uint8 (h, w, 3) RGB, downsampled from hr. index: absolute position in the
    data set. name: unique within the data set. condition: (k,) or (k, m·h, m·w), for networks that read one; None is
    the network's default.
    """

    index: int
    name: str
    hr: np.ndarray
    lr: np.ndarray
    scale: int
    windows: tuple[Window, ...]
    condition: np.ndarray | None = None


@dataclass(frozen=True)
class Attribution:
    """What an attribution method returns for one image and one window.

    map: (3, h, w) signed, in the LR frame. score, baseline_score: D(F(I)), D(F(I')). gap: completeness gap
    score − baseline_score − map.sum(). error: estimated relative L2 quadrature error. baseline_score, gap and error are
    None for methods without a path (error also for the reference rule). n_steps: gradient evaluations. n_flat: flat
    pixels met under the root of the detector, summed over steps. n_zeroed: NaN gradient entries set to 0 (only the
    reference implementation does that).
    """

    map: torch.Tensor
    score: float
    baseline_score: float | None
    gap: float | None
    error: float | None
    n_steps: int
    n_flat: int
    n_zeroed: int = 0

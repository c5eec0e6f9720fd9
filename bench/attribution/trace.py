"""What happens along a path: the paper's Fig. 3 in numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..types import Window
from .cone import Region
from .detectors import Detector
from .engine import Point, evaluate, frozen, upscaling, view
from .memory import Chunking
from .paths import Path
from .quadrature import edges, midpoint


@dataclass(frozen=True)
class Trace:
    """n steps from the baseline (α = 0) to the image (α = 1).

    alpha, score: (n + 1,), D(F(γ(α))) at the ends of the steps. gradient: (n,), Σ|∂D/∂γ| in the middle of each step.
    speed: (n,), ‖dγ/dα‖₂. contribution: (n,), what the step adds to the sum of the map; their sum is
    score[-1] − score[0] but for the quadrature.
    """

    alpha: np.ndarray
    score: np.ndarray
    gradient: np.ndarray
    speed: np.ndarray
    contribution: np.ndarray


def trace(net: nn.Module, lr: Tensor, window: Window, path: Path, detector: Detector, n_steps: int) -> Trace:
    """Follow a path for one window. lr: (3, h, w). Raises UserError when the window does not fit."""
    with frozen(net):
        seen = view(net, lr, window, detector, upscaling(net, lr))
        domain, chunking = seen.domain(lr), Chunking(lr.device)

        def run(positions: np.ndarray, gradients: bool) -> list:
            images = path.points(lr, positions, domain).to(lr.dtype)
            points = [Point(image, (seen,)) for image in images]
            return [one[0] for one in evaluate(net, points, detector, chunking, gradients=gradients)]

        ends, middle = run(edges(n_steps), False), run(midpoint(n_steps), True)
    gradients = torch.stack([g for one in middle if (g := one.gradient) is not None]).double()
    moves = path.increments(lr, edges(n_steps), Region(0, lr.shape[-2], 0, lr.shape[-1])).double()
    return Trace(
        alpha=edges(n_steps),
        score=np.array([float(one.score) for one in ends]),
        gradient=gradients.abs().sum((1, 2, 3)).cpu().numpy(),
        speed=(moves.flatten(1).norm(dim=1) * n_steps).cpu().numpy(),
        contribution=(gradients * domain.cut(moves, Region(0, lr.shape[-2], 0, lr.shape[-1])))
        .sum((1, 2, 3))
        .cpu()
        .numpy(),
    )

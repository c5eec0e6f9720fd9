"""What `lam` is measured against: the reference's plain loop, and captum's integrated gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .attribution.detectors import GradientMagnitude
from .attribution.engine import frozen
from .attribution.lam import PathAttribution
from .attribution.paths import Path
from .attribution.quadrature import right
from .types import Window

PLAIN_STEPS = 50


def plain_loop(net: nn.Module, lr: Tensor, window: Window, paper: PathAttribution, n_steps: int) -> Tensor:
    """The first n_steps of the reference's loop, as anyone would write it; returns their gradients (n_steps, 3, h, w).

    Right end points, one at a time, the whole image, the root of the whole gradient image, parameter gradients on.
    """
    net.requires_grad_(True)
    images = paper.path.points(lr, right(PLAIN_STEPS)[:n_steps]).to(lr.dtype)
    gradients = []
    for image in images:
        x = image[None].contiguous().requires_grad_(True)
        net.zero_grad()
        sr = net(x)
        dy, dx = sr[..., :-1, :-1] - sr[..., 1:, :-1], sr[..., :-1, :-1] - sr[..., :-1, 1:]
        magnitude = torch.sqrt(dx**2 + dy**2)
        magnitude[..., window.y : window.y + window.size, window.x : window.x + window.size].sum().backward()
        assert x.grad is not None
        gradients.append(x.grad[0])
    net.zero_grad(set_to_none=True)
    net.requires_grad_(False)
    return torch.stack(gradients)


def captum_gradients(net: nn.Module, lr: Tensor, window: Window, path: Path, n_steps: int, chunk: int) -> Tensor:
    """captum's IntegratedGradients from the blurred image, the generic alternative: (3, h, w).

    The path is a straight line, since captum knows no other; midpoints, `chunk` images a pass, our detector.
    """
    from captum.attr import IntegratedGradients

    detector = GradientMagnitude("rgb", "safe")
    baseline = path.points(lr, np.zeros(1)).to(lr)

    def score(images: Tensor) -> Tensor:
        return detector(net(images), window)[0]

    with frozen(net):
        found: Any = IntegratedGradients(score).attribute(
            lr[None],
            baselines=baseline,
            n_steps=n_steps,
            method="riemann_middle",
            internal_batch_size=chunk,
        )
    return found[0].detach()

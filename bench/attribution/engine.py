"""How a score and its gradient with respect to the LR image are computed, and nothing more than that.

Parameter gradients are never computed. Where the network offers `reconstruct` with a finite radius, only the window
and its margin are reconstructed: bit for bit the same score, at a fraction of the tail's cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..types import UserError, Window
from .detectors import Detector


@contextmanager
def frozen(net: nn.Module) -> Iterator[None]:
    """The network in eval mode and without parameter gradients; left exactly as it was found."""
    modes = {m: m.training for m in net.modules()}
    needed = {p: p.requires_grad for p in net.parameters()}
    try:
        net.eval()
        for p in needed:
            p.requires_grad_(False)
        yield
    finally:
        for m, mode in modes.items():
            m.training = mode
        for p, need in needed.items():
            p.requires_grad_(need)


def upscaling(net: nn.Module, lr: Tensor) -> int:
    """SR pixels per LR pixel: what the network declares as `scale`, else measured by one forward pass."""
    declared = getattr(net, "scale", None)
    if isinstance(declared, int):
        return declared
    with torch.no_grad(), frozen(net):
        return net(lr[None]).shape[-2] // lr.shape[-2]


def check_window(window: Window, lr_size: tuple[int, int], scale: int, margin: int) -> None:
    """Raises UserError when the detector would look beyond the SR image."""
    height, width = (scale * side for side in lr_size)
    inside = window.y >= 0 and window.x >= 0 and window.size > 0
    if not inside or window.y + window.size > height - margin or window.x + window.size > width - margin:
        raise UserError(
            f"Window y={window.y}, x={window.x}, size={window.size} does not fit into the {height}×{width} SR image: "
            f"the detector needs {margin} more pixel below and to the right."
        )


def window_reconstruction(
    net: nn.Module, lr: Tensor, window: Window, detector: Detector, scale: int
) -> tuple[Tensor, Window]:
    """The SR image where the detector looks, (n, 3, …), and the window's place in it.

    Networks without `reconstruct`, or whose tail must run whole, give the whole SR image.
    """
    radius = getattr(net, "reconstruct_radius", None)
    if radius is None or detector.whole:
        return net(lr), window
    top, bottom = _lr_span(window.y, window.size + detector.margin, scale, radius, lr.shape[-2])
    left, right = _lr_span(window.x, window.size + detector.margin, scale, radius, lr.shape[-1])
    features = net.features(lr)  # type: ignore[operator]
    strides = net.feature_strides
    single = isinstance(features, Tensor)
    crops = tuple(
        f[..., t * top : t * bottom, t * left : t * right]
        for f, t in zip((features,) if single else features, strides, strict=True)  # type: ignore[arg-type]
    )
    sr = net.reconstruct(crops[0] if single else crops, lr[..., top:bottom, left:right])  # type: ignore[operator]
    return sr, Window(window.y - scale * top, window.x - scale * left, window.size)


def _lr_span(start: int, size: int, scale: int, radius: int, side: int) -> tuple[int, int]:
    return max(start // scale - radius, 0), min(-(-(start + size) // scale) + radius, side)


@dataclass(frozen=True)
class Evaluation:
    """scores (n,), flat (n,) pixels under the root, gradients (n, 3, h, w) or None."""

    scores: Tensor
    flat: Tensor
    gradients: Tensor | None


def evaluate(
    net: nn.Module,
    images: Tensor,
    window: Window,
    detector: Detector,
    *,
    scale: int,
    chunk: int,
    gradients: bool,
) -> Evaluation:
    """D(F(x)) for every x of images (n, 3, h, w), and ∂D/∂x if asked for, `chunk` images at a time."""
    parts = [
        _evaluate_chunk(net, x, window, detector, scale=scale, gradients=gradients) for x in images.split(max(chunk, 1))
    ]
    grads = [p.gradients for p in parts if p.gradients is not None]
    return Evaluation(
        torch.cat([p.scores for p in parts]),
        torch.cat([p.flat for p in parts]),
        torch.cat(grads) if gradients else None,
    )


def _evaluate_chunk(
    net: nn.Module, images: Tensor, window: Window, detector: Detector, *, scale: int, gradients: bool
) -> Evaluation:
    with torch.set_grad_enabled(gradients):
        # channels-last is faster; the reference's root needs the reference's rounding, which decides what is flat
        layout = torch.contiguous_format if detector.whole else torch.channels_last
        x = images.detach().contiguous(memory_format=layout).requires_grad_(gradients)
        sr, place = window_reconstruction(net, x, window, detector, scale)
        scores, flat = detector(sr, place)
        grads = torch.autograd.grad(scores.sum(), x)[0] if gradients else None
    return Evaluation(scores.detach(), flat, grads)

"""How scores and their gradients with respect to LR images are computed, and nothing more than that.

Parameter gradients are never computed. Of the network only the cone of each window is run (`cone`), windows of one
image share what they have in common, and points of many images go through it side by side, as many as fit (`memory`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..types import UserError, Window
from .cone import Cone, Region, cone, run_shared, run_window
from .detectors import Detector
from .memory import Chunking


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


@dataclass(frozen=True)
class View:
    """One window of images of one size, and the part of the network that it needs: None for all of it."""

    window: Window
    cone: Cone | None

    def domain(self, lr: Tensor) -> Region:
        """The part of the LR image that is computed on."""
        return self.cone.domain if self.cone else Region(0, lr.shape[-2], 0, lr.shape[-1])

    @property
    def n_shared(self) -> int | None:
        return None if self.cone is None else self.cone.n_shared

    @property
    def shape(self) -> Hashable:
        return self.window if self.cone is None else self.cone.shape


def view(net: nn.Module, lr: Tensor, window: Window, detector: Detector, scale: int) -> View:
    """How a window of lr (3, h, w) is seen. Raises UserError when it does not fit."""
    size = lr.shape[-2], lr.shape[-1]
    check_window(window, size, scale, detector.margin)
    return View(window, cone(net, size, window, detector, scale))


@dataclass(frozen=True)
class Point:
    """An image, (3, h, w) over the domain that its views have in common, and the views whose scores are wanted."""

    image: Tensor
    views: tuple[View, ...]

    @property
    def kind(self) -> Hashable:
        """Points of one kind can run side by side."""
        return tuple(self.image.shape), self.views[0].n_shared, len(self.views)


@dataclass(frozen=True)
class Evaluation:
    """score and flat () of one view of a point; gradient (3, h, w): of the score, with respect to the point's image."""

    score: Tensor
    flat: Tensor
    gradient: Tensor | None


def evaluate(
    net: nn.Module, points: Sequence[Point], detector: Detector, chunking: Chunking, *, gradients: bool
) -> list[list[Evaluation]]:
    """D(F(x)) for every view of every point, and ∂D/∂x if asked for. The answers come in the order of the points."""
    kinds: dict[Hashable, list[int]] = {}
    for i, point in enumerate(points):
        kinds.setdefault(point.kind, []).append(i)
    found: dict[int, list[Evaluation]] = {}
    layout = _layout(net, detector)
    for members in kinds.values():
        pixels = points[members[0]].image[0].numel()
        parts = chunking.run(
            lambda part: _evaluate(net, part, detector, layout, gradients), [points[i] for i in members], pixels
        )
        found |= zip(members, (answer for part in parts for answer in part), strict=True)
    return [found[i] for i in range(len(points))]


def _evaluate(
    net: nn.Module, points: Sequence[Point], detector: Detector, layout: torch.memory_format, gradients: bool
) -> list[list[Evaluation]]:
    """One pass of points of one kind."""
    n_views = len(points[0].views)
    answers: list[list[Evaluation]] = [[] for _ in points]
    with torch.set_grad_enabled(gradients):
        x = torch.stack([p.image for p in points]).detach().contiguous(memory_format=layout).requires_grad_(gradients)
        n_shared = points[0].views[0].n_shared
        state = net(x) if n_shared is None else run_shared(net, x, n_shared)
        for k in range(n_views):
            scores, flat = _look(net, x, state, [p.views[k] for p in points], detector)
            grads = torch.autograd.grad(scores.sum(), x, retain_graph=k < n_views - 1)[0] if gradients else None
            for i, answer in enumerate(answers):
                answer.append(Evaluation(scores[i].detach(), flat[i], None if grads is None else grads[i]))
    return answers


def _look(net: nn.Module, x: Tensor, state: Any, views: Sequence[View], detector: Detector) -> tuple[Tensor, Tensor]:
    """Scores and flat pixels, (n,) each, of one view per sample; views of equal shape run together."""
    shapes: dict[Hashable, list[int]] = {}
    for i, one in enumerate(views):
        shapes.setdefault(one.shape, []).append(i)
    scores, flat = [], []
    for members in shapes.values():
        part, images = (state, x) if len(members) == len(views) else (_rows(state, members), x[members])
        cones = [c for i in members if (c := views[i].cone) is not None]
        sr = run_window(net, cones, part, images) if cones else part
        place = cones[0].place if cones else views[members[0]].window
        found = detector(sr.float() if sr.dtype in (torch.bfloat16, torch.float16) else sr, place)
        scores.append(found[0])
        flat.append(found[1])
    order = torch.tensor([i for members in shapes.values() for i in members], device=x.device).argsort()
    return torch.cat(scores)[order], torch.cat(flat)[order]


def _rows(state: Any, members: list[int]) -> Any:
    return state[members] if isinstance(state, Tensor) else tuple(t[members] for t in state)


def _layout(net: nn.Module, detector: Detector) -> torch.memory_format:
    """Channels-last, up to a sixth faster on a CPU, where it is known to be right.

    Not for the reference's root, which needs the reference's rounding to find the same pixels flat, nor for networks
    outside the zoo and with instance normalisation, whose gradient in PyTorch is wrong in this layout (seen in 2.13).
    """
    ours = hasattr(getattr(net, "core", net), "stages")
    wrong = any(isinstance(m, nn.InstanceNorm2d) for m in net.modules())
    return torch.channels_last if ours and not wrong and not detector.whole else torch.contiguous_format

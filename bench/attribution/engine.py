"""How a score and its gradient with respect to the LR image are computed, and nothing more than that.

Parameter gradients are never computed. Where the network offers `reconstruct` with a finite radius, only the window
and its margin are reconstructed: bit for bit the same score, at a fraction of the tail's cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ..types import UserError, Window
from .detectors import Detector

WORTH_CUTTING = 0.85  # a crop costs a copy, so it should save a sixth of the work


class Stage(Protocol):
    """A step of a network's features: state → state; radius None looks at the whole image."""

    @property
    def run(self) -> Callable[[Any], Any]: ...
    @property
    def radius(self) -> int | None: ...
    @property
    def strides(self) -> int | tuple[int, ...]: ...
    @property
    def multiple(self) -> int: ...


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


class Region(NamedTuple):
    """A rectangle of LR pixels: rows top … bottom − 1, columns left … right − 1."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def area(self) -> int:
        return (self.bottom - self.top) * (self.right - self.left)

    def grown(self, radius: int | None, whole: Region, multiple: int = 1) -> Region:
        """With a margin and out to the next multiples, within the image; the whole image for a radius of None."""
        if radius is None:
            return whole
        top, left = (max((edge - radius) // multiple * multiple, 0) for edge in (self.top, self.left))
        bottom, right = (-(-(edge + radius) // multiple) * multiple for edge in (self.bottom, self.right))
        return Region(top, min(bottom, whole.bottom), left, min(right, whole.right))

    def cut(self, tensors: Any, inside: Region, strides: int | tuple[int, ...] = 1) -> Any:
        """This part of tensors that cover `inside`, each or all with so many pixels per LR pixel (0: left whole).

        A tensor may go on beyond `inside` at the right and below, where a network has padded the image: a part that
        ends where `inside` ends has that too.
        """
        if isinstance(tensors, Tensor):
            return self.cut((tensors,), inside, strides)[0]
        if isinstance(strides, int):
            strides = (strides,) * len(tensors)
        top, left = self.top - inside.top, self.left - inside.left
        height = None if self.bottom == inside.bottom else self.bottom - self.top
        width = None if self.right == inside.right else self.right - self.left
        return tuple(
            x[..., _part(s * top, s, height), _part(s * left, s, width)] if s else x
            for x, s in zip(tensors, strides, strict=True)
        )


def _part(start: int, stride: int, length: int | None) -> slice:
    return slice(start, None if length is None else start + stride * length)


def window_reconstruction(
    net: nn.Module, lr: Tensor, window: Window, detector: Detector, scale: int
) -> tuple[Tensor, Window]:
    """The SR image where the detector looks, (n, 3, …), and the window's place in it.

    Every stage computes only what the next one needs of it for the window. What a crop makes wrong at its edge is cut
    away before it is used; at the image's own border the network pads as always. So nothing changes but the cost.
    Networks without `reconstruct`, or whose tail must run whole, give the whole SR image.
    """
    radius = getattr(net, "reconstruct_radius", None)
    if radius is None or detector.whole or not hasattr(net, "stages"):
        return net(lr), window
    tail: Any = net
    whole = Region(0, lr.shape[-2], 0, lr.shape[-1])
    size = window.size + detector.margin
    seen = Region(window.y // scale, -(-(window.y + size) // scale), window.x // scale, -(-(window.x + size) // scale))
    last = seen.grown(radius, whole)
    stages: Sequence[Stage] = tail.stages()
    needs = [last]  # what each stage must get right, the first stage first
    for stage in reversed(stages[1:]):
        needs.insert(0, needs[0].grown(stage.radius, whole, stage.multiple))
    here = needs[0].grown(stages[0].radius, whole, stages[0].multiple)
    state = here.cut(lr, whole)
    for stage, after, need in zip(stages[:-1], stages[1:], needs[:-1], strict=True):
        state = stage.run(state)
        if need.area < WORTH_CUTTING * here.area or here != here.grown(0, whole, after.multiple):
            state, here = need.cut(state, here, stage.strides), need
    features = last.cut(stages[-1].run(state), here, tail.feature_strides)
    sr = tail.reconstruct(features, last.cut(lr, whole))
    return sr, Window(window.y - scale * last.top, window.x - scale * last.left, window.size)


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
        layout = _layout(net, detector)
        x = images.detach().contiguous(memory_format=layout).requires_grad_(gradients)
        sr, place = window_reconstruction(net, x, window, detector, scale)
        scores, flat = detector(sr, place)
        grads = torch.autograd.grad(scores.sum(), x)[0] if gradients else None
    return Evaluation(scores.detach(), flat, grads)


def _layout(net: nn.Module, detector: Detector) -> torch.memory_format:
    """Channels-last, up to a sixth faster on a CPU, where it is known to be right.

    Not for the reference's root, which needs the reference's rounding to find the same pixels flat, nor for networks
    outside the zoo and with instance normalisation, whose gradient in PyTorch is wrong in this layout (seen in 2.13).
    """
    ours = hasattr(getattr(net, "core", net), "stages")
    wrong = any(isinstance(m, nn.InstanceNorm2d) for m in net.modules())
    return torch.channels_last if ours and not wrong and not detector.whole else torch.contiguous_format

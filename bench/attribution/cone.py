"""The dependency cone: which part of every step of a network a window's reconstruction needs, and no more.

What a crop makes wrong at its edge is cut away before it is used; at the image's own border the network pads as always.
So a cone changes nothing but the cost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ..types import Window
from .detectors import Detector

Strides = int | tuple[int, ...]  # pixels per LR pixel of a state's tensors, of each or of all; 0: handed on whole
WORTH_CUTTING = 0.85  # a crop costs a copy, so it should save a sixth of the work


class Stage(Protocol):
    """A step of a network's features: state → state; see `Stage` of the networks. radius None: the whole image."""

    @property
    def run(self) -> Callable[[Any], Any]: ...
    @property
    def radius(self) -> int | None: ...
    @property
    def strides(self) -> Strides: ...
    @property
    def multiple(self) -> int: ...


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

    def within(self, other: Region) -> Region:
        """The same rectangle, counted from the corner of another one."""
        return Region(self.top - other.top, self.bottom - other.top, self.left - other.left, self.right - other.left)

    def cut(self, tensors: Any, inside: Region, strides: Strides = 1) -> Any:
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


@dataclass(frozen=True)
class Cone:
    """What one window needs of a network, for images of one size.

    whole: the image. domain: the part of it that the network reads. regions[i]: what is kept of the state after stage
    i. last: what the tail reads. n_shared: so many stages run on the whole image before anything can be cut, the same
    for every window. place: where the window lies in the reconstruction.
    """

    whole: Region
    domain: Region
    regions: tuple[Region, ...]
    last: Region
    n_shared: int
    place: Window

    @property
    def first(self) -> Region:
        """Where the first part that is the window's own begins."""
        return self.regions[self.n_shared - 1] if self.n_shared else self.domain

    @property
    def shape(self) -> tuple[Any, ...]:
        """Equal for two windows whose cones can be computed in one batch: alike but for where they begin."""
        kept = tuple(region.within(self.first) for region in (self.first, *self.regions[self.n_shared :], self.last))
        at_border = self.first.bottom == self.whole.bottom, self.first.right == self.whole.right
        return self.n_shared, kept, at_border, self.place


def cone(net: nn.Module, size: tuple[int, int], window: Window, detector: Detector, scale: int) -> Cone | None:
    """The cone of a window in LR images of `size`; None where the network, or the detector, works on the whole image.

    window: in SR pixels. A network takes part when it offers `stages`, `reconstruct` and a finite `reconstruct_radius`.
    """
    radius = getattr(net, "reconstruct_radius", None)
    if radius is None or detector.whole or not hasattr(net, "stages"):
        return None
    tail: Any = net
    stages: Sequence[Stage] = tail.stages()
    whole = Region(0, size[0], 0, size[1])
    end = window.size + detector.margin
    seen = Region(window.y // scale, -(-(window.y + end) // scale), window.x // scale, -(-(window.x + end) // scale))
    needs = [seen.grown(radius, whole)]  # what each stage is given, then what the tail is given
    for stage in reversed(stages):
        needs.insert(0, needs[0].grown(stage.radius, whole, stage.multiple))
    given = [whole]
    for need, stage in zip(needs, [*stages, None], strict=True):
        fits = stage is None or given[-1] == given[-1].grown(0, whole, stage.multiple)
        worth = stage is None or need.area < WORTH_CUTTING * given[-1].area
        given.append(need if worth or not fits else given[-1])
    domain, *regions = given[1:]
    last = regions[-1]
    n_shared = 0 if domain != whole else 1 + next((i for i, r in enumerate(regions) if r != whole), len(stages) - 1)
    place = Window(window.y - scale * last.top, window.x - scale * last.left, window.size)
    return Cone(whole, domain, tuple(regions), last, n_shared, place)


def run_shared(net: nn.Module, images: Tensor, n_shared: int) -> Any:
    """The state after the stages that every window needs whole. images: (n, 3, h, w)."""
    state: Any = images
    for stage in _stages(net)[:n_shared]:
        state = stage.run(state)
    return state


def run_window(net: nn.Module, cones: Sequence[Cone], state: Any, images: Tensor) -> Tensor:
    """The reconstruction of one window per sample, (n, 3, …), from the state that `run_shared` left.

    cones: of equal shape, one per sample. images: (n, 3, …) over each cone's domain.
    """
    stages = _stages(net)
    tail: Any = net
    strides = [*(stage.strides for stage in stages[:-1]), tail.feature_strides]
    one = cones[0]
    if one.n_shared:
        state = _gather(state, [c.first for c in cones], one.whole, strides[one.n_shared - 1])
    here = one.first
    for i in range(one.n_shared, len(stages)):
        state = stages[i].run(state)
        if one.regions[i] != here:
            state, here = one.regions[i].cut(state, here, strides[i]), one.regions[i]
    inside = one.domain.within(one.domain)
    return tail.reconstruct(state, _gather(images, [c.last.within(c.domain) for c in cones], inside, 1))


def _gather(state: Any, regions: Sequence[Region], inside: Region, strides: Strides) -> Any:
    """Each sample's own part of a state that covers `inside`, side by side again."""
    if len(set(regions)) == 1:
        return regions[0].cut(state, inside, strides)
    tensors = (state,) if isinstance(state, Tensor) else state
    parts = [r.cut(tuple(x[i : i + 1] for x in tensors), inside, strides) for i, r in enumerate(regions)]
    joined = tuple(torch.cat(column) for column in zip(*parts, strict=True))
    return joined[0] if isinstance(state, Tensor) else joined


def _stages(net: nn.Module) -> Sequence[Stage]:
    offered: Any = net
    return offered.stages()

"""Blocks that two networks or more share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)


@dataclass(frozen=True)
class Stage:
    """A step of `features`, from state to state: a tensor or a tuple of tensors.

    radius: how many LR pixels around a pixel the step looks at; None: at the whole image. strides: pixels per LR pixel
    of the tensors that come out, of each or of all alike; 0: no image, but something that is handed on whole (keys and
    values). multiple: a part of an image that goes in begins and ends at multiples of so many LR pixels, or at the
    image's border, and so do windows and strides within.
    """

    run: Callable[[Any], Any]
    radius: int | None
    strides: int | tuple[int, ...] = 1
    multiple: int = 1


class SuperResolver(nn.Module):
    """A network whose forward is `reconstruct(features(lr), lr)`.

    features(lr) returns a tensor or a tuple of tensors, each at `feature_strides[i]` pixels per LR pixel; where the
    network pads the image at the right and below they go on there. A network whose features, or their last steps, are
    local says so by writing `stages` instead: what a window does not see can then be cropped away between them.
    reconstruct(features, lr) is the local tail, image-space skip included. `reconstruct_radius` is the margin in LR
    pixels that makes it exact on a crop; None means: run it whole.
    """

    feature_strides: tuple[int, ...] = (1,)
    reconstruct_radius: int | None = None

    def stages(self) -> list[Stage]:
        return [Stage(self.features, None, self.feature_strides)]

    def features(self, lr: Tensor) -> Any:
        return reduce(lambda state, stage: stage.run(state), self.stages(), lr)

    def reconstruct(self, features: Any, lr: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, lr: Tensor) -> Tensor:
        return self.reconstruct(self.features(lr), lr)


def channel_weights(width: int, hidden: int) -> nn.Sequential:
    """Channel attention's two layers: one statistic per channel → one weight in (0, 1) per channel."""
    return nn.Sequential(conv(width, hidden, 1), nn.ReLU(inplace=True), conv(hidden, width, 1), nn.Sigmoid())


def on_last(step: Callable[[Tensor], Tensor]) -> Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """What `step` makes of a state's last tensor takes its place."""
    return lambda state: (*state[:-1], step(state[-1]))


def from_last(step: Callable[[Tensor], Tensor]) -> Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """What `step` makes of a state's last tensor joins the state."""
    return lambda state: (*state, step(state[-1]))


def rejoin(step: Callable[[Tensor], Tensor]) -> Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """…, x, y → …, x + step(y): the end of what `from_last` began."""
    return lambda state: (*state[:-2], state[-2] + step(state[-1]))


def stages_of(blocks: Iterable[Any]) -> list[Stage]:
    """Of blocks in a row that list their own."""
    return [stage for block in blocks for stage in block.stages()]


def long_skip(
    head: nn.Module, body: Sequence[Stage], last: nn.Module, radius: int = 1, last_radius: int | None = 1
) -> list[Stage]:
    """x = head(lr), then x + last(body(x)): the state is x and, last, what `body` has made of it. radius: of head."""

    def enter(lr: Tensor) -> tuple[Tensor, Tensor]:
        x = head(lr)
        return x, x

    return [Stage(enter, radius), *body, Stage(lambda state: state[0] + last(state[1]), last_radius)]


def without_padding(sr: Tensor, lr: Tensor, scale: int) -> Tensor:
    """Cuts off what `pad_to_multiple` has added."""
    return sr[..., : scale * lr.shape[-2], : scale * lr.shape[-1]]


class ConditionalResolver(SuperResolver):
    """A SuperResolver that also reads a condition: k numbers per sample, or a map of them.

    net(lr, condition=c) takes c (n, k), the same everywhere in the image, or (n, k, m·h, m·w) with m =
    `condition_stride`; c of one sample serves a whole batch. net(lr) stands for `default_condition`, k numbers.
    Subclasses write `stages`, whose first one reads the condition; `reconstruct` does without.
    """

    condition_stride: int = 1

    def __init__(self, default_condition: Sequence[float]) -> None:
        super().__init__()
        self.default_condition = tuple(default_condition)

    def condition_maps(self, lr: Tensor, condition: Tensor | None) -> Tensor:
        """(n, k, m·h, m·w) in the type of `lr`. Raises ValueError for a condition of another shape."""
        n, k = lr.shape[0], len(self.default_condition)
        height, width = (self.condition_stride * side for side in lr.shape[-2:])
        given = lr.new_tensor(self.default_condition)[None] if condition is None else condition.to(lr)
        maps = given[..., None, None] if given.ndim == 2 else given
        wanted = (n, k, height, width)
        if (
            maps.ndim != 4
            or maps.shape[1] != k
            or any(a not in (1, b) for a, b in zip(maps.shape, wanted, strict=True))
        ):
            raise ValueError(f"The condition's shape is ({n}, {k}) or {wanted}, not {tuple(given.shape)}.")
        return maps.expand(wanted)

    def join(self, condition: Tensor | None) -> Stage:
        """lr → lr and the condition's maps. Given maps cover the whole image, numbers are the same in every part."""
        whole = condition is not None and condition.ndim == 4
        strides = (1, self.condition_stride)
        return Stage(lambda lr: (lr, self.condition_maps(lr, condition)), None if whole else 0, strides)

    def stages(self, condition: Tensor | None = None) -> list[Stage]:
        raise NotImplementedError

    def features(self, lr: Tensor, condition: Tensor | None = None) -> Any:
        return reduce(lambda state, stage: stage.run(state), self.stages(condition), lr)

    def forward(self, lr: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.reconstruct(self.features(lr, condition), lr)


class MeanShift(nn.Module):
    """Adds `sign`·`mean`·`peak` to each colour.

    The official module is a frozen 1×1 convolution. Here the mean is Python floats, materialised in the input's dtype:
    built in float32 and cast, it misses float64 parity. An official file's values are checked, then dropped.
    """

    def __init__(self, sign: int, peak: float = 1.0, mean: tuple[float, ...] = DIV2K_MEAN) -> None:
        super().__init__()
        self.shift = tuple(sign * peak * m for m in mean)

    def forward(self, image: Tensor) -> Tensor:
        return image + image.new_tensor(self.shift).view(1, -1, 1, 1)

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ) -> None:
        for key in [k for k in state_dict if k.startswith(prefix)]:
            value = state_dict[key].detach().double().cpu().flatten()
            expected = torch.tensor(self.shift) if key.endswith("bias") else torch.eye(3).flatten()
            if value.shape != expected.shape or not torch.allclose(value, expected.double(), rtol=1e-5, atol=1e-6):
                error_msgs.append(f"{key} is {value.tolist()}, this network's is {expected.tolist()}")


def conv(n_in: int, n_out: int, kernel: int, **options: Any) -> nn.Conv2d:
    """A convolution that keeps the size."""
    return nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, **options)


def shuffle_factors(scale: int) -> list[int]:
    """×scale in steps of pixel shuffle: ×2 at a time, ×3 at once."""
    factors = {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}.get(scale)
    if factors is None:
        raise ValueError(f"Scale {scale} is not defined for this network; choose 2, 3, 4 or 8.")
    return factors


def shuffle_upsampler(scale: int, width: int, *, relu: bool = False, groups: int = 1) -> nn.Sequential:
    """EDSR's upsampler: convolution and pixel shuffle, in the steps of `shuffle_factors`. relu: CARN's, before each."""
    layers: list[nn.Module] = []
    for factor in shuffle_factors(scale):
        layers.append(conv(width, factor * factor * width, 3, groups=groups))
        layers.extend([nn.ReLU(inplace=True)] if relu else [])
        layers.append(nn.PixelShuffle(factor))
    return nn.Sequential(*layers)


def shuffle_once(scale: int, n_in: int, channels: int) -> nn.Sequential:
    """ESPCN's upsampler: one convolution to all sub-pixels of the image, one pixel shuffle. Any scale."""
    return nn.Sequential(conv(n_in, scale * scale * channels, 3), nn.PixelShuffle(scale))


def require_scale(scale: int, defined: Sequence[int], network: str) -> None:
    """Raises ValueError for a scale that the architecture does not define."""
    if scale not in defined:
        *others, last = defined
        choices = f"{', '.join(map(str, others))} or {last}" if others else str(last)
        raise ValueError(f"Scale {scale} is not defined for {network}; choose {choices}.")


def require_size(image: Tensor, least: int, network: str) -> None:
    """Raises ValueError for an image (n, c, h, w) with a side shorter than `least`."""
    height, width = image.shape[-2:]
    if min(height, width) < least:
        raise ValueError(f"{network} needs at least {least}×{least} pixels, and this image has {height}×{width}.")


def rename(state: dict[str, Any], rules: Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]) -> dict[str, Any]:
    """The entries of a state dict under other names: for `from_official`.

    rules: a regular expression for the beginning of a name, and what re.sub puts in its place. The first one that
    matches applies; other names stay.
    """

    def renamed(key: str) -> str:
        for beginning, replacement in rules:
            name, n = re.subn(rf"\A{beginning}", replacement, key)
            if n:
                return name
        return key

    return {renamed(key): value for key, value in state.items()}


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """(n, c, h, w) → continued at the right and below, by reflection, to multiples of `multiple` (a window's side).

    Raises ValueError for an image that is smaller than its reflection.
    """
    down, right = (-side % multiple for side in image.shape[-2:])
    if down >= image.shape[-2] or right >= image.shape[-1]:
        height, width = image.shape[-2:]
        raise ValueError(
            f"An image of {height}×{width} pixels is too small for windows of {multiple}×{multiple}: "
            f"it needs at least {multiple // 2 + 1}×{multiple // 2 + 1}."
        )
    return pad(image, (0, right, 0, down), mode="reflect") if down or right else image


def drop_on_load(module: nn.Module, *names: str) -> None:
    """Read over the entries of an official state dict that end so: tables that follow from the architecture alone."""
    module.register_load_state_dict_pre_hook(partial(_drop, names))


def _drop(names: tuple[str, ...], module: nn.Module, state_dict: dict[str, Any], *_: Any) -> None:
    for key in [k for k in state_dict if k.endswith(names)]:
        del state_dict[key]

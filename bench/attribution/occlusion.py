"""Occlusion: how the score falls when a patch of the LR image is covered, by captum's Occlusion."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..types import UserError
from .paths import Path
from .single import Score, Single


@dataclass(frozen=True)
class Occlusion(Single):
    """D(F(I)) − D(F(I with a square covered)), averaged over the squares that cover a pixel (Zeiler & Fergus 2014).

    size, stride: of the square in LR pixels. cover: the path whose start is shown in the square (a blurred image, or
    black), all colours at once: the three planes of the map are equal parts of it.
    """

    size: int
    stride: int
    cover: Path

    def __post_init__(self) -> None:
        if not 0 < self.stride <= self.size:
            raise UserError("Occlusion needs a stride between 1 and its size, in LR pixels.")

    def explain(self, score: Score, lr: Tensor) -> Tensor:
        from captum.attr import Occlusion as CaptumOcclusion

        x = score.cut(lr)[None]
        size = tuple(min(self.size, side) for side in x.shape[-2:])
        with torch.no_grad():
            found = CaptumOcclusion(score).attribute(
                x,
                sliding_window_shapes=(3, *size),
                strides=(3, *(min(self.stride, side) for side in size)),
                baselines=score.cut(self.cover.start(lr).to(lr.dtype))[None],
                perturbations_per_eval=score.per_pass,
            )
        return score.paste(found[0] / 3)

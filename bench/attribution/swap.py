"""Patch swap: the causal effect on the window of what lies in a patch. Ours: captum has none."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..types import UserError
from .references import References, frames
from .single import Score, Single, spread


@dataclass(frozen=True)
class PatchSwap(Single):
    """Mean over n_swaps other images of D(F(I)) − D(F(I with a patch of the other image)), for patches on a grid.

    An intervention on real image content (after Hu et al. 2024, causal effect maps): nothing is blurred or blackened.
    size: side of a patch in LR pixels. absolute: the mean size of the change, whatever its sign.
    """

    references: References
    size: int
    n_swaps: int
    absolute: bool
    seed: int

    def __post_init__(self) -> None:
        if min(self.size, self.n_swaps) < 1:
            raise UserError("Patch swap needs size and n_swaps of 1 or more.")

    @torch.no_grad()
    def explain(self, score: Score, lr: Tensor) -> Tensor:
        image, others = score.cut(lr), score.cut(frames(self.references, lr, self.n_swaps, self.seed))
        height, width = image.shape[-2:]
        places = [
            (slice(y, y + self.size), slice(x, x + self.size))
            for y in range(0, height, self.size)
            for x in range(0, width, self.size)
        ]
        tasks = [(place, other) for place in places for other in others]
        full = score(image[None])[0]
        changes = []
        for begin in range(0, len(tasks), score.per_pass):
            part = tasks[begin : begin + score.per_pass]
            swapped = image.repeat(len(part), 1, 1, 1)
            for k, (place, other) in enumerate(part):
                swapped[k][:, *place] = other[:, *place]
            changes.append(full - score(swapped))
        effects = torch.cat(changes).unflatten(0, (-1, self.n_swaps))
        effects = (effects.abs() if self.absolute else effects).mean(1)
        values = image.new_zeros(height, width)
        for place, effect in zip(places, effects, strict=True):
            values[place] = effect / values[place].numel()
        return score.paste(spread(values))

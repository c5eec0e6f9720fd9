"""Maps that know nothing of the network. A method that does not beat them has shown nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..attribution.detectors import GradientMagnitude
from ..attribution.single import Score, Single, spread


@dataclass(frozen=True)
class Nearness(Single):
    """exp(−distance to the window's centre / 2): the nearer, the more important."""

    def explain(self, score: Score, lr: Tensor) -> Tensor:
        window = score.seen.window
        rows, columns = (torch.arange(side, dtype=torch.float64) for side in lr.shape[-2:])
        y, x = ((start + window.size / 2) / score.scale - 0.5 for start in (window.y, window.x))
        distance = ((rows[:, None] - y) ** 2 + (columns - x) ** 2).sqrt()
        return spread((-distance / 2).exp()).to(lr)


@dataclass(frozen=True)
class Random(Single):
    """Uniform noise."""

    seed: int

    def explain(self, score: Score, lr: Tensor) -> Tensor:
        return spread(torch.rand(lr.shape[-2:], generator=torch.Generator().manual_seed(self.seed))).to(lr)


DETECTOR = GradientMagnitude(channels="rgb", root="safe")
CONTROLS: dict[str, Single] = {
    "control: nearness": Nearness("control: nearness", DETECTOR),
    "control: random": Random("control: random", DETECTOR, 0),
}

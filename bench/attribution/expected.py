"""Expected gradients: integrated gradients averaged over images as baselines, by captum's GradientShap."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..types import UserError
from .references import References, frames
from .single import Score, Single, seeded


@dataclass(frozen=True)
class ExpectedGradients(Single):
    """E[(I − I') ⊙ ∇D(F(I' + α(I − I')))], α uniform, I' one of n_references other images (Erion et al. 2021).

    n_samples draws, one a pass: captum would run them all at once, whatever the memory. No noise is added.
    """

    references: References
    n_references: int
    n_samples: int
    seed: int

    def __post_init__(self) -> None:
        if min(self.n_references, self.n_samples) < 1:
            raise UserError("Expected gradients need n_references and n_samples of 1 or more.")

    def explain(self, score: Score, lr: Tensor) -> Tensor:
        from captum.attr import GradientShap

        x = score.cut(lr)[None]
        others = score.cut(frames(self.references, lr, self.n_references, self.seed))
        total = torch.zeros_like(x)
        with seeded(self.seed, lr.device):
            for _ in range(self.n_samples):
                image = x.clone().requires_grad_()
                total += GradientShap(score).attribute(image, baselines=others, n_samples=1, stdevs=0.0).detach()
        return score.paste(total[0] / self.n_samples)

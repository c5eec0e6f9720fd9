"""Meaningful perturbation: the smallest smooth mask that destroys the window. Ours: captum has none."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..types import UserError
from .paths import Path
from .single import Score, Single, spread


@dataclass(frozen=True)
class MeaningfulPerturbation(Single):
    """1 − m for the mask m that minimises D(F(m ⊙ I + (1 − m) ⊙ cover))/D(F(I)) + sparsity·Σ(1 − m)/A +
    smoothness·Σ|∇m|^power/A (Fong & Vedaldi 2017, equation 3), the mean over restarts from random masks.

    A: the window's area in LR pixels, so that both weights say what one window's worth of mask costs. cell: LR pixels
    per cell of the mask, which is enlarged bilinearly. Adam with n_steps steps of length rate on the mask's logits.
    """

    cover: Path
    cell: int
    n_steps: int
    n_restarts: int
    rate: float
    sparsity: float
    smoothness: float
    power: float
    seed: int

    def __post_init__(self) -> None:
        if min(self.cell, self.n_steps, self.n_restarts) < 1:
            raise UserError("A perturbation needs cell, n_steps and n_restarts of 1 or more.")

    def explain(self, score: Score, lr: Tensor) -> Tensor:
        image, cover = score.cut(lr), score.cut(self.cover.start(lr).to(lr.dtype))
        with torch.no_grad():
            full = score(image[None]).clamp(min=torch.finfo(lr.dtype).tiny)
        generator = torch.Generator().manual_seed(self.seed)
        shape = (self.n_restarts, 1, *(-(-side // self.cell) for side in image.shape[-2:]))
        starts = torch.randn(shape, generator=generator, dtype=torch.float64).to(lr)
        masks = [self._learn(score, image, cover, full, start) for start in starts.split(score.per_pass)]
        return score.paste(spread(1 - torch.cat(masks).mean((0, 1))))

    @torch.enable_grad()
    def _learn(self, score: Score, image: Tensor, cover: Tensor, full: Tensor, start: Tensor) -> Tensor:
        """The masks (n, 1, …) of some restarts, which do not know of each other."""
        # logits begin around 2: most of the image is shown, everywhere a little less or more
        logits = (2 + start).clone().requires_grad_()
        adam = torch.optim.Adam([logits], lr=self.rate)
        area = (score.seen.window.size / score.scale) ** 2
        for _ in range(self.n_steps):
            mask = self._mask(logits, image)
            seen = mask * image + (1 - mask) * cover
            steps = mask.diff(dim=-1).abs().pow(self.power).sum() + mask.diff(dim=-2).abs().pow(self.power).sum()
            loss = (score(seen) / full).sum() + (self.sparsity * (1 - mask).sum() + self.smoothness * steps) / area
            adam.zero_grad()
            loss.backward()
            adam.step()
        return self._mask(logits, image).detach()

    def _mask(self, logits: Tensor, image: Tensor) -> Tensor:
        large = F.interpolate(logits.sigmoid(), scale_factor=self.cell, mode="bilinear", align_corners=False)
        return large[..., : image.shape[-2], : image.shape[-1]]

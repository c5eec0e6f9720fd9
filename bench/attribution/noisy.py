"""SmoothGrad and VarGrad: mean and variance of the gradient over noisy images, by captum's NoiseTunnel."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..types import UserError
from .single import Score, Single, seeded


@dataclass(frozen=True)
class NoisyGradient(Single):
    """kind 'smoothgrad': E[∇D(F(I + ε))] (Smilkov et al. 2017); 'vargrad': its variance (Adebayo et al. 2018).

    ε ~ N(0, noise²), noise in units of the image's range [0, 1]. n_samples noisy images, one a pass: so the noise, and
    the map, do not depend on the chunk.
    """

    kind: str
    noise: float
    n_samples: int
    seed: int

    def __post_init__(self) -> None:
        if self.kind not in ("smoothgrad", "vargrad") or self.noise <= 0 or self.n_samples < 2:
            raise UserError(
                "Noisy gradients have kind smoothgrad or vargrad, noise above 0 and n_samples of 2 or more."
            )

    def explain(self, score: Score, lr: Tensor) -> Tensor:
        from captum.attr import NoiseTunnel, Saliency

        x = score.cut(lr)[None].clone().requires_grad_()
        with seeded(self.seed, lr.device):
            found = NoiseTunnel(Saliency(score)).attribute(
                x, nt_type=self.kind, nt_samples=self.n_samples, nt_samples_batch_size=1, stdevs=self.noise, abs=False
            )
        return score.paste(found[0].detach())

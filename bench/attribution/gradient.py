"""The plain gradient and gradient ⊙ input, by captum's Saliency and InputXGradient."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .single import Score, Single


@dataclass(frozen=True)
class Gradient(Single):
    """∂D(F(I))/∂I (Simonyan et al. 2014), signed; with times_input I ⊙ ∂D(F(I))/∂I (Shrikumar et al. 2016)."""

    times_input: bool

    def explain(self, score: Score, lr: Tensor) -> Tensor:
        from captum.attr import InputXGradient, Saliency

        x = score.cut(lr)[None].clone().requires_grad_()
        found = InputXGradient(score).attribute(x) if self.times_input else Saliency(score).attribute(x, abs=False)
        return score.paste(found[0].detach())

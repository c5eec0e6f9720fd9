"""Class activation maps of a super-resolution network: its last feature map before reconstruction, weighted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..types import NotApplicable, UserError
from .guided import guided_gradient
from .single import Score, Single, spread


class _Marked(Score):
    """The score of the whole image, with `mark` between features and reconstruction."""

    def __init__(self, score: Score, lr: Tensor) -> None:
        super().__init__(score.net, score.seen, score.detector, lr, None)
        self.mark = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        return self.look(self.net.reconstruct(self.mark(self.net.features(images)), images), self.seen.window)


class _Whole(Score):
    """The score of the whole image by the network's own forward."""

    def forward(self, images: Tensor) -> Tensor:
        return self.look(self.net(images), self.seen.window)


def activation_map(score: Score, lr: Tensor, layer: str | None, relu: bool) -> Tensor:
    """Σ_k w_k A_k, w_k = spatial mean of ∂D/∂A_k, by captum's LayerGradCam: (h, w), resized to the LR frame.

    Feature maps of several resolutions are resized to LR first (averaged down, bilinear up) and then taken together.
    """
    from captum.attr import LayerGradCam

    model: Any
    if layer is None:
        if not hasattr(score.net, "features") or not hasattr(score.net, "reconstruct"):
            raise NotApplicable(
                "The last feature map of a network without `features` and `reconstruct` is unknown: "
                "name a module with attribution.layer=…"
            )
        model = _Marked(score, lr)
        module = model.mark
    else:
        model = _Whole(score.net, score.seen, score.detector, lr, None)
        modules = dict(score.net.named_modules())
        if layer not in modules:
            raise UserError(f"This network has no module '{layer}'.")
        module = modules[layer]
    with torch.enable_grad():
        x = lr[None].clone().requires_grad_()
        found = LayerGradCam(model, module).attribute(x, relu_attributions=False)
    score.n_images += model.n_images
    score.n_flat += model.n_flat
    total = lr.new_zeros(lr.shape[-2:])
    for values in found if isinstance(found, tuple) else (found,):
        larger = values.shape[-2] > lr.shape[-2]
        size = lr.shape[-2], lr.shape[-1]
        total += (
            F.adaptive_avg_pool2d(values, size)
            if larger
            else F.interpolate(values, size, mode="bilinear", align_corners=False)
        )[0, 0].detach()
    return total.clamp(min=0) if relu else total


@dataclass(frozen=True)
class GradCam(Single):
    """ReLU(Σ_k w_k A_k) (Selvaraju et al. 2017); w_k is the spatial mean of ∂D/∂A_k.

    layer: None for the last feature map before reconstruction, else a module's name. relu: false leaves the sign.
    CAM (Zhou et al. 2016) has the class weights of a linear layer behind global pooling, which no super-resolution
    network has; for such a network Grad-CAM equals it. So `cam` is this with the intensity detector and without ReLU:
    w_k is the spatial mean of the reconstruction's Jacobian, the window's brightness taken as the class.
    """

    layer: str | None
    relu: bool

    def explain(self, score: Score, lr: Tensor) -> Tensor:
        return spread(activation_map(score, lr, self.layer, self.relu))


@dataclass(frozen=True)
class GuidedGradCam(Single):
    """Grad-CAM ⊙ guided backpropagation (Selvaraju et al. 2017), the latter ours: captum's misses functional ReLUs."""

    layer: str | None

    def explain(self, score: Score, lr: Tensor) -> Tensor:
        return activation_map(score, lr, self.layer, relu=True) * score.paste(guided_gradient(score, score.cut(lr)))

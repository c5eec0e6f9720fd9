"""Path attribution: the integral of ∇D(F(γ)) along a path. LAM is this with blurring and the gradient detector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..types import Attribution, UserError, Window
from .detectors import Detector
from .engine import check_window, evaluate, frozen, upscaling
from .paths import Path
from .quadrature import NODES, edges

CPU_CHUNK = 3  # images a pass; more do not help two to eight cores, and the activations no longer fit the cache
GPU_CHUNK = 64


@dataclass(frozen=True)
class PathAttribution:
    """LAM_i = ∫₀¹ ∂D(F(γ(α)))/∂γ(α)_i · ∂γ(α)_i/∂α dα (Gu & Dong 2021, equation 5).

    path, detector, rule ('midpoint' or 'right') and n_steps say which sum stands for the integral. n_steps='auto'
    refines 7 → 21 → 63 midpoints until the estimated relative L2 error of the map is below rtol.
    zero_nan: NaN gradients become 0 and are counted, as in the reference implementation; never otherwise.
    """

    name: str
    path: Path
    detector: Detector
    rule: str
    n_steps: int | str
    rtol: float | None
    zero_nan: bool

    def __post_init__(self) -> None:
        if self.rule not in NODES:
            raise UserError(f"rule is one of {', '.join(NODES)}, not '{self.rule}'.")
        if self.n_steps == "auto":
            if self.rule != "midpoint" or not self.rtol or self.rtol <= 0:
                raise UserError("n_steps=auto needs the midpoint rule and a positive rtol.")
        elif not isinstance(self.n_steps, int) or self.n_steps < 1:
            raise UserError(f"n_steps is a positive whole number or auto, not '{self.n_steps}'.")

    def __call__(self, net: nn.Module, lr: Tensor, window: Window, *, chunk: int | None = None) -> Attribution:
        """lr: (3, h, w) RGB in [0, 1]. chunk: path points a pass (None: by device). Returns the map in the LR frame.

        Raises UserError when the window does not fit. The network and lr come back unchanged.
        """
        scale = upscaling(net, lr)
        check_window(window, (lr.shape[-2], lr.shape[-1]), scale, self.detector.margin)
        with frozen(net):
            integral = _Integral(self, net, lr, window, scale, chunk or self._default_chunk(lr))
            for n in (7, 21, 63) if self.n_steps == "auto" else (self.n_steps,):
                total, error = integral.refine(int(n))
                if self.rtol is not None and error is not None and error <= self.rtol:
                    break
            score, baseline = integral.ends()
        return Attribution(
            map=total.to(lr.dtype),
            score=score,
            baseline_score=baseline,
            gap=score - baseline - float(total.sum()),
            error=error,
            n_steps=len(integral.nodes),
            n_flat=integral.n_flat,
            n_zeroed=integral.n_zeroed,
        )

    def _default_chunk(self, lr: Tensor) -> int:
        if self.detector.whole:
            return 1  # as the reference does
        return CPU_CHUNK if lr.device.type == "cpu" else GPU_CHUNK


class _Integral:
    """The gradients met so far along one path, so that a refinement computes only the new nodes."""

    def __init__(
        self, method: PathAttribution, net: nn.Module, lr: Tensor, window: Window, scale: int, chunk: int
    ) -> None:
        self.method, self.net, self.lr, self.window, self.scale, self.chunk = method, net, lr, window, scale, chunk
        self.nodes = np.empty(0)
        self.gradients = lr.new_empty((0, *lr.shape))
        self.n_flat = 0
        self.n_zeroed = 0

    def refine(self, n_steps: int) -> tuple[Tensor, float | None]:
        """The map with n_steps in float64, and its estimated error. Nodes of a third as many steps are reused."""
        nodes = NODES[self.method.rule](n_steps)
        known = np.isin(np.round(nodes, 12), np.round(self.nodes, 12))
        gradients = self.lr.new_empty((n_steps, *self.lr.shape))
        gradients[torch.from_numpy(known)] = self.gradients
        gradients[torch.from_numpy(~known)] = self._evaluate(nodes[~known])
        self.nodes, self.gradients = nodes, gradients
        moves = self.method.path.increments(self.lr, edges(n_steps)).double()
        total = (gradients.double() * moves).sum(0)
        return total, self._error(total, gradients, moves)

    def _evaluate(self, nodes: np.ndarray) -> Tensor:
        images = self.method.path.points(self.lr, nodes).to(self.lr.dtype)
        found = evaluate(
            self.net, images, self.window, self.method.detector, scale=self.scale, chunk=self.chunk, gradients=True
        )
        assert found.gradients is not None
        self.n_flat += int(found.flat.sum())
        if not self.method.zero_nan:
            return found.gradients
        self.n_zeroed += int(found.gradients.isnan().sum())
        return found.gradients.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf)

    def _error(self, total: Tensor, gradients: Tensor, moves: Tensor) -> float | None:
        """‖M_n − M_{n/3}‖ / (3‖M_n‖): the error of the midpoint rule falls like 1/n where gradients jump."""
        if self.method.rule != "midpoint" or len(gradients) % 3:
            return None
        coarse = (gradients[1::3].double() * moves.unflatten(0, (-1, 3)).sum(1)).sum(0)
        norm = float(total.norm())
        return float((total - coarse).norm()) / (3 * norm) if norm else 0.0

    def ends(self) -> tuple[float, float]:
        """D(F(I)) and D(F(I'))."""
        images = self.method.path.points(self.lr, np.array([1.0, 0.0])).to(self.lr.dtype)
        found = evaluate(
            self.net, images, self.window, self.method.detector, scale=self.scale, chunk=self.chunk, gradients=False
        )
        return float(found.scores[0]), float(found.scores[1])

"""Path attribution: the integral of ∇D(F(γ)) along a path. LAM is this with blurring and the gradient detector."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..types import Attribution, UserError, Window
from .cone import Region
from .detectors import Detector
from .engine import Evaluation, Point, View, evaluate, frozen, upscaling, view
from .memory import Chunking
from .paths import Path
from .quadrature import NODES, edges

ENDS = np.array([1.0, 0.0])  # the image and the baseline


@dataclass(frozen=True)
class PathAttribution:
    """LAM_i = ∫₀¹ ∂D(F(γ(α)))/∂γ(α)_i · ∂γ(α)_i/∂α dα (Gu & Dong 2021, equation 5).

    path, detector, rule ('midpoint', 'right' or 'ends') and n_steps say which sum stands for the integral.
    n_steps='auto' refines 7 → 21 → 63 midpoints until the estimated relative L2 error of the map is below rtol.
    zero_nan: NaN gradients become 0 and are counted, as in the reference implementation; never otherwise.

    With a straight path this is integrated gradients (Sundararajan et al. 2017), and captum's with its midpoints, to
    which a test holds it. Ours, because captum has no other path, no error and no window: it runs the whole network.
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
        """lr: (3, h, w) RGB in [0, 1]. chunk: path points a pass (None: as many as fit). Returns the map in the LR
        frame. Raises UserError when the window does not fit. The network and lr come back unchanged.
        """
        ((found,),) = list(self.stream(net, [(lr, [window])], chunk=chunk))
        return found

    def stream(
        self, net: nn.Module, requests: Iterable[tuple[Tensor, Sequence[Window]]], *, chunk: int | None = None
    ) -> Iterator[list[Attribution]]:
        """Attributions for many images (lr, windows), in order, one list per image.

        Path points of several images and windows share passes, and windows of an image what they have in common. Images
        are read when the device has room for them. chunk: exactly so many path points a pass, never of two images:
        then results are equal to the bit whatever comes before or after; None: as many as fit.
        """
        chunking: Chunking | None = None
        with frozen(net):
            block: list[_Request] = []
            for lr, windows in requests:
                if chunking is None:  # the reference runs its steps one at a time
                    chunking = Chunking(lr.device, chunk or (1 if self.detector.whole else None))
                block.append(_Request(self, net, lr, windows))
                if chunking.fixed or sum(r.n_points for r in block) >= 2 * chunking.size(block[-1].pixels):
                    yield from self._finish(net, block, chunking)
                    block = []
            if block and chunking is not None:
                yield from self._finish(net, block, chunking)

    def _finish(self, net: nn.Module, block: list[_Request], chunking: Chunking) -> Iterator[list[Attribution]]:
        """Refine all integrals of a block, level by level, and evaluate their ends."""
        integrals = [integral for request in block for integral in request.integrals]
        for n_steps in (7, 21, 63) if self.n_steps == "auto" else (int(self.n_steps),):
            todo = [i for i in integrals if not i.converged]
            for integral, nodes, found in self._evaluate(net, todo, n_steps, chunking):
                integral.absorb(n_steps, nodes, found)
        for integral, _, found in self._evaluate(net, integrals, None, chunking):
            integral.score, integral.baseline_score = (float(end.score) for end in found)
        for request in block:
            yield [integral.attribution() for integral in request.integrals]

    def _evaluate(
        self, net: nn.Module, integrals: list[_Integral], n_steps: int | None, chunking: Chunking
    ) -> Iterator[tuple[_Integral, np.ndarray, list[Evaluation]]]:
        """What each integral misses for n_steps, or its two ends for None. Windows of one image share their points."""
        together: dict[Hashable, list[_Integral]] = {}
        for integral in integrals:
            together.setdefault((id(integral.lr), integral.domain), []).append(integral)
        wanted = [(g, ENDS if n_steps is None else g[0].missing(n_steps)) for g in together.values()]
        points = [
            Point(image, tuple(i.view for i in group))
            for group, nodes in wanted
            for image in self.path.points(group[0].lr, nodes, group[0].domain).to(group[0].lr.dtype)
        ]
        found = iter(evaluate(net, points, self.detector, chunking, gradients=n_steps is not None))
        for group, nodes in wanted:
            mine = [next(found) for _ in nodes]
            for k, integral in enumerate(group):
                yield integral, nodes, [answer[k] for answer in mine]


class _Request:
    """One image with its windows."""

    def __init__(self, method: PathAttribution, net: nn.Module, lr: Tensor, windows: Sequence[Window]) -> None:
        scale = upscaling(net, lr)
        views = [view(net, lr, window, method.detector, scale) for window in windows]
        self.integrals = [_Integral(method, lr, one) for one in views]
        first = 7 if method.n_steps == "auto" else int(method.n_steps)
        self.n_points = first * len({i.domain for i in self.integrals})
        self.pixels = max(i.domain.area for i in self.integrals)


class _Integral:
    """The gradients met so far along one path for one window, so that a refinement computes only the new nodes."""

    def __init__(self, method: PathAttribution, lr: Tensor, seen: View) -> None:
        self.method, self.lr, self.view = method, lr, seen
        self.domain = seen.domain(lr)
        self.nodes = np.empty(0)
        self.gradients = lr.new_empty((0, *self.domain.cut(lr, _frame(lr)).shape))
        self.total = self.gradients.new_zeros(self.gradients.shape[1:], dtype=torch.float64)
        self.error: float | None = None
        self.score = self.baseline_score = math.nan
        self.n_flat = 0
        self.n_zeroed = 0

    @property
    def converged(self) -> bool:
        return self.method.rtol is not None and self.error is not None and self.error <= self.method.rtol

    def missing(self, n_steps: int) -> np.ndarray:
        """The nodes of n_steps that are not among those of the last level."""
        nodes = NODES[self.method.rule](n_steps)
        return nodes[~np.isin(np.round(nodes, 12), np.round(self.nodes, 12))]

    def absorb(self, n_steps: int, new: np.ndarray, found: list[Evaluation]) -> None:
        """The map with n_steps in float64, and its estimated error."""
        gradients = torch.stack([answer.gradient for answer in found if answer.gradient is not None])
        self.n_flat += int(torch.stack([answer.flat for answer in found]).sum())
        if self.method.zero_nan:
            self.n_zeroed += int(gradients.isnan().sum())
            gradients = gradients.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf)
        order = torch.from_numpy(np.argsort(np.concatenate([self.nodes, new]))).to(gradients.device)
        self.gradients = torch.cat([self.gradients, gradients])[order]
        self.nodes = np.sort(np.concatenate([self.nodes, new]))
        moves = self.method.path.increments(self.lr, edges(n_steps), self.domain).double()
        self.total = (self.gradients * moves).sum(0)
        self.error = self._estimate(moves)

    def _estimate(self, moves: Tensor) -> float | None:
        """‖M_n − M_{n/3}‖ / (3‖M_n‖): the error of the midpoint rule falls like 1/n where gradients jump."""
        if self.method.rule != "midpoint" or len(self.gradients) % 3:
            return None
        coarse = (self.gradients[1::3] * moves.unflatten(0, (-1, 3)).sum(1)).sum(0)
        norm = float(self.total.norm())
        return float((self.total - coarse).norm()) / (3 * norm) if norm else 0.0

    def attribution(self) -> Attribution:
        """With the map in the whole LR frame."""
        frame = self.lr.new_zeros(self.lr.shape)
        self.domain.cut(frame, _frame(self.lr)).copy_(self.total)
        return Attribution(
            map=frame,
            score=self.score,
            baseline_score=self.baseline_score,
            gap=self.score - self.baseline_score - float(self.total.sum()),
            error=self.error,
            n_steps=len(self.nodes),
            n_flat=self.n_flat,
            n_zeroed=self.n_zeroed,
        )


def _frame(lr: Tensor) -> Region:
    return Region(0, lr.shape[-2], 0, lr.shape[-1])

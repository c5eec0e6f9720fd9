"""What methods share that explain one window at a time: the network and the detector as one score per image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..types import Attribution, Window
from .cone import Region, run_shared, run_window
from .detectors import Detector
from .engine import View, frozen, upscaling, view
from .memory import CACHED_PIXELS


class Score(nn.Module):
    """images (n, 3, …) over `domain`, the part of the frame that the window depends on → D(F(images)): (n,).

    What captum calls a model. It counts the images that it is given and the flat pixels that the detector meets.
    """

    def __init__(self, net: nn.Module, seen: View, detector: Detector, lr: Tensor, chunk: int | None) -> None:
        super().__init__()
        self.net: Any = net
        self.scale = upscaling(net, lr)
        self.seen = seen
        self.detector = detector
        self.frame = Region(0, lr.shape[-2], 0, lr.shape[-1])
        self.domain = seen.domain(lr)
        self.per_pass = chunk or max(1, round(CACHED_PIXELS / self.domain.area))
        self.n_images = 0
        self.n_flat = 0

    def forward(self, images: Tensor) -> Tensor:
        cone = self.seen.cone
        if cone is None:
            return self.look(self.net(images), self.seen.window)
        state = run_shared(self.net, images, cone.n_shared)
        return self.look(run_window(self.net, [cone] * len(images), state, images), cone.place)

    def look(self, sr: Tensor, place: Window) -> Tensor:
        """The detector's score per sample, in float32 at least."""
        scores, flat = self.detector(sr.float() if sr.dtype in (torch.bfloat16, torch.float16) else sr, place)
        self.n_images += len(scores)
        self.n_flat += int(flat.sum())
        return scores

    def cut(self, frames: Tensor) -> Tensor:
        """The domain of whole frames (…, h, w)."""
        return self.domain.cut(frames, self.frame)

    def paste(self, values: Tensor) -> Tensor:
        """Values over the domain (3, …) in the whole frame; the window depends on nothing beyond it."""
        whole = values.new_zeros(3, self.frame.bottom, self.frame.right)
        self.cut(whole).copy_(values)
        return whole

    def gradient(self, image: Tensor) -> Tensor:
        """∂D(F(image))/∂image by autograd. image: (3, …) over the domain."""
        with torch.enable_grad():
            x = image[None].detach().clone().requires_grad_()
            return torch.autograd.grad(self(x).sum(), x)[0][0]


@dataclass(frozen=True)
class Single:
    """A method without batching across images: a subclass says how one window is explained."""

    name: str
    detector: Detector

    def explain(self, score: Score, lr: Tensor) -> Tensor:
        """The map of lr (3, h, w): (3, h, w). The network is frozen; what is random depends on the method's seed."""
        raise NotImplementedError

    def __call__(self, net: nn.Module, lr: Tensor, window: Window, *, chunk: int | None = None) -> Attribution:
        """lr: (3, h, w) RGB in [0, 1]. chunk: images a pass where there are several. Raises UserError when the window
        does not fit, or the method is not defined for the network. The network and lr come back unchanged."""
        with frozen(net):
            seen = view(net, lr, window, self.detector, upscaling(net, lr))
            score = Score(net, seen, self.detector, lr, chunk)
            found = self.explain(score, lr.detach()).detach()
            n_steps, n_flat = score.n_images, score.n_flat
            with torch.no_grad():
                value = float(score(score.cut(lr.detach())[None]))
        return Attribution(found, value, None, None, None, n_steps, n_flat)

    def stream(
        self, net: nn.Module, requests: Iterable[tuple[Tensor, Sequence[Window]]], *, chunk: int | None = None
    ) -> Iterator[list[Attribution]]:
        """Attributions for many images (lr, windows), in order, one list per image."""
        for lr, windows in requests:
            yield [self(net, lr, window, chunk=chunk) for window in windows]


def spread(values: Tensor) -> Tensor:
    """One value per pixel (h, w) → (3, h, w), equal parts for the colours, whose sum is the value."""
    return (values / 3).expand(3, *values.shape[-2:]).clone()


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """torch's and NumPy's global generators, from which captum draws, seeded; afterwards as they were."""
    before = np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(before)  # noqa: NPY002

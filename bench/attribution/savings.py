"""How much of a network's work a window spares: what it does not see is not computed."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..types import Window
from .cone import Region, cone, run_shared, run_window
from .detectors import Detector
from .engine import frozen


def multiply_adds(
    net: nn.Module, lr_size: tuple[int, int], window: Window, detector: Detector, scale: int, *, whole: bool = False
) -> int:
    """Of convolutions and matrix products, for one score and its gradient in an LR image of lr_size (height, width).

    As the engine computes it; whole: of the whole image, forward and back, without parameter gradients. Counted on a
    copy on torch's meta device: nothing is computed and no memory is taken. Not for detectors that look at values.
    """
    ghost = copy.deepcopy(net).to("meta")
    dtype = next((p.dtype for p in ghost.parameters()), torch.float32)
    seen = None if whole else cone(ghost, lr_size, window, detector, scale)
    domain = Region(0, lr_size[0], 0, lr_size[1]) if seen is None else seen.domain
    size = domain.bottom - domain.top, domain.right - domain.left
    lr = torch.empty(1, 3, *size, device="meta", dtype=dtype, requires_grad=True)
    with frozen(ghost), FlopCounterMode(display=False) as counter:
        sr = ghost(lr) if seen is None else run_window(ghost, [seen], run_shared(ghost, lr, seen.n_shared), lr)
        scores, _ = detector(sr, window if seen is None else seen.place)
        scores.sum().backward()  # the counter does not bear torch.autograd.grad
    return counter.get_total_flops() // 2


def spared(net: nn.Module, lr_size: tuple[int, int], window: Window, detector: Detector, scale: int) -> float:
    """The share, in [0, 1), of the whole image's multiply-adds that the engine leaves out."""
    mine, all_of_it = (multiply_adds(net, lr_size, window, detector, scale, whole=whole) for whole in (False, True))
    return 1 - mine / all_of_it

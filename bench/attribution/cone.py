"""How much of a network's work a window spares: what it does not see is not computed."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..types import Window
from .detectors import Detector
from .engine import frozen, window_reconstruction


def multiply_adds(
    net: nn.Module, lr_size: tuple[int, int], window: Window, detector: Detector, scale: int, *, cone: bool
) -> int:
    """Of convolutions and matrix products, for one score and its gradient in an LR image of lr_size (height, width).

    cone: as the engine computes it; else the whole image, forward and back, without parameter gradients. Counted on a
    copy on torch's meta device: nothing is computed and no memory is taken. Not for detectors that look at values.
    """
    ghost = copy.deepcopy(net).to("meta")
    dtype = next((p.dtype for p in ghost.parameters()), torch.float32)
    lr = torch.empty(1, 3, *lr_size, device="meta", dtype=dtype, requires_grad=True)
    with frozen(ghost), FlopCounterMode(display=False) as counter:
        sr, place = window_reconstruction(ghost, lr, window, detector, scale) if cone else (ghost(lr), window)
        scores, _ = detector(sr, place)
        scores.sum().backward()  # the counter does not bear torch.autograd.grad
    return counter.get_total_flops() // 2


def spared(net: nn.Module, lr_size: tuple[int, int], window: Window, detector: Detector, scale: int) -> float:
    """The share, in [0, 1), of the whole image's multiply-adds that the engine leaves out."""
    mine, whole = (multiply_adds(net, lr_size, window, detector, scale, cone=cone) for cone in (True, False))
    return 1 - mine / whole

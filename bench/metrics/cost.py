"""What a network costs: parameters and multiply-adds. Nothing is computed and no memory is taken for it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

PUBLISHED_HR = (720, 1280)  # multiply-adds in the literature: for an SR image of 1280×720


def n_parameters(net: nn.Module) -> int:
    """Number of parameters, trainable or not. Buffers and constants such as a fixed colour mean do not count."""
    return sum(p.numel() for p in net.parameters())


def multiply_adds(net: nn.Module, scale: int, hr_size: tuple[int, int] = PUBLISHED_HR) -> int:
    """Multiply-adds of convolutions and matrix products for one SR image of hr_size (height, width) pixels.

    Of the official network, `net.core` where there is one: what wrappers do (colour, bicubic) is not in the published
    numbers. Element-wise operations are not counted, as in the literature. Counted on a copy without data (torch's meta
    device), so a network that looks at values to decide what to do cannot be counted: torch then raises
    NotImplementedError or RuntimeError.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    ghost = copy.deepcopy(net).to("meta").eval()
    core: Any = getattr(ghost, "core", ghost)
    inputs: list[tuple[Any, Any]] = []
    core.register_forward_pre_hook(lambda _, *given: inputs.append(given), with_kwargs=True)
    dtype = next((p.dtype for p in ghost.parameters()), torch.float32)
    with torch.no_grad():
        ghost(torch.empty(1, 3, *(side // scale for side in hr_size), device="meta", dtype=dtype))
        arguments, options = inputs[0]
        with FlopCounterMode(display=False) as counter:
            core(*arguments, **options)
    return counter.get_total_flops() // 2

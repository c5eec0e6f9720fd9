"""What a network costs: parameters, multiply-adds, activations. Nothing is computed and no memory is taken for it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

PUBLISHED_HR = (720, 1280)  # multiply-adds in the literature: for an SR image of 1280×720


@dataclass(frozen=True)
class Cost:
    """Of one forward pass.

    multiply_adds: of convolutions and matrix products; element-wise operations are not counted, as in the literature.
    activations: elements of the outputs of all convolutions, transposed ones too, each time one runs; linear layers do
    not count (the convention of AIM 2020's and NTIRE's efficient super-resolution challenges: Zhang et al.,
    arXiv:2009.06943). receptive_field: 1 + Σ(k − 1) over the Conv2d modules that run, each once: the rule that gives
    the column of Table 1 in Gu & Dong 2021. It knows nothing of branches, strides, pixel shuffle and deconvolution, and
    sees no attention; what a pixel really depends on is for `support.py`.
    """

    multiply_adds: int
    activations: int
    receptive_field: int


def n_parameters(net: nn.Module) -> int:
    """Number of parameters, trainable or not. Buffers and constants such as a fixed colour mean do not count."""
    return sum(p.numel() for p in net.parameters())


def multiply_adds(net: nn.Module, scale: int, hr_size: tuple[int, int] = PUBLISHED_HR) -> int:
    """Multiply-adds for one SR image of hr_size (height, width) pixels; see `cost`."""
    return cost(net, (hr_size[0] // scale, hr_size[1] // scale)).multiply_adds


def cost(net: nn.Module, lr_size: tuple[int, int]) -> Cost:
    """The cost of one LR image of lr_size (height, width) pixels.

    Of the official network, `net.core` where there is one: what wrappers do (colour, bicubic) is not in the published
    numbers. Counted on a copy without data (torch's meta device), so a network that looks at values to decide what to
    do cannot be counted: torch then raises NotImplementedError or RuntimeError.
    """
    import torch
    from torch import nn
    from torch.utils.flop_counter import FlopCounterMode

    ghost = copy.deepcopy(net).to("meta").eval()
    core: Any = getattr(ghost, "core", ghost)
    inputs: list[tuple[Any, Any]] = []
    core.register_forward_pre_hook(lambda _, *given: inputs.append(given), with_kwargs=True)
    dtype = next((p.dtype for p in ghost.parameters()), torch.float32)
    with torch.no_grad():
        ghost(torch.empty(1, 3, *lr_size, device="meta", dtype=dtype))
        arguments, options = inputs[0]
        ran: dict[nn.Module, int] = {}

        def count(module: nn.Module, _: Any, out: Tensor) -> None:
            ran[module] = ran.get(module, 0) + out.numel()

        for module in core.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.register_forward_hook(count)
        with FlopCounterMode(display=False) as counter:
            core(*arguments, **options)
    kernels = [m.kernel_size[0] for m in ran if isinstance(m, nn.Conv2d)]
    return Cost(counter.get_total_flops() // 2, sum(ran.values()), 1 + sum(k - 1 for k in kernels))

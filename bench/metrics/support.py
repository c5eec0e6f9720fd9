"""Which LR pixels one SR pixel can depend on, found by its gradient: the receptive field as it really is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


def gradient_support(net: nn.Module, lr: Tensor, scale: int) -> Tensor:
    """Where the SR pixel (scale·h/2, scale·w/2) depends on the LR image: (h, w) bool, for these weights.

    lr: (3, h, w), float64 as the network, since faster algorithms of float32 convolutions blur zeros. At the input of
    every convolution and linear layer the gradient is replaced by its sign: hundreds of layers would underflow. Dead
    ReLUs hide pixels, so unite a few seeds. Memory: that of one gradient.
    """
    import torch
    from torch import nn

    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]

    def keep_signs(_: nn.Module, given: tuple[Any, ...]) -> None:
        if given[0].requires_grad:
            given[0].register_hook(torch.sign)

    hooks = [layer.register_forward_pre_hook(keep_signs) for layer in layers]
    try:
        x = lr[None].clone().requires_grad_()
        with torch.enable_grad():
            sr = net(x)
            pixel = sr[..., scale * lr.shape[-2] // 2, scale * lr.shape[-1] // 2]
            (gradient,) = torch.autograd.grad(pixel.sum(), x)
    finally:
        for hook in hooks:
            hook.remove()
    return (gradient[0] != 0).any(0)


def extent(mask: Tensor) -> int:
    """Columns from the first that has a true entry to the last, of a (h, w) mask; 0 where all is false."""
    columns = mask.any(0).nonzero().flatten()
    return int(columns[-1] - columns[0]) + 1 if len(columns) else 0

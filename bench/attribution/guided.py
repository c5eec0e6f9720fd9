"""Guided backpropagation, on the graph of the backward pass. captum has it for nn.ReLU modules only.

Half of the zoo calls ReLUs as functions, in place, or one module several times, which hooks on modules miss. But every
ReLU leaves a node in autograd's graph, whatever it was called by: there the rule is applied. The network is untouched,
and the hooks go with the graph. Where all ReLUs are modules of their own the result is captum's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..types import NotApplicable
from .single import Score, Single

RELU = ("ReluBackward", "LeakyReluBackward", "PreluKernelBackward", "PreluBackward")
OTHERS = (
    "GeluBackward", "SiluBackward", "EluBackward", "CeluBackward", "MishBackward", "HardswishBackward",
    "SoftplusBackward", "HardtanhBackward", "ThresholdBackward", "RreluWithNoiseBackward",
)  # fmt: skip


@dataclass(frozen=True)
class GuidedBackprop(Single):
    """The gradient with its negative part set to 0 at every ReLU on the way back (Springenberg et al. 2015).

    LeakyReLU and PReLU are taken as the ReLU that they approximate: nothing passes where their input is not positive,
    and where it is, the positive part of the gradient. Sigmoids, as in channel attention, products and everything else
    pass their ordinary gradient, and so does a ReLU that is written as a clamp or a maximum. Raises NotApplicable for a
    network with GELU, ReLU6 or another activation for which no rule was published, and for one without any ReLU.
    """

    def explain(self, score: Score, lr: Tensor) -> Tensor:
        return score.paste(guided_gradient(score, score.cut(lr)))


def guided_gradient(score: Score, image: Tensor) -> Tensor:
    """image: (3, …) over the score's domain, as what is returned."""
    with torch.enable_grad():
        x = image[None].detach().clone().requires_grad_()
        value = score(x).sum()
        guided = 0
        for node in _nodes(value.grad_fn):
            kind = node.name()
            if kind.startswith(OTHERS):
                raise NotApplicable(
                    "Guided backpropagation is defined for ReLU, LeakyReLU and PReLU; "
                    f"this network has {kind.split('Backward')[0].upper()}."
                )
            if kind.startswith(RELU):
                _guide(node)
                guided += 1
        if not guided:
            raise NotApplicable("Guided backpropagation needs a network with ReLUs, and this one has none.")
        return torch.autograd.grad(value, x)[0][0]


def _nodes(end: Any) -> Iterator[Any]:
    """Every node of a graph, once."""
    seen, todo = {end}, [end]
    while todo:
        node = todo.pop()
        yield node
        fresh = {parent for parent, _ in node.next_functions if parent is not None} - seen
        seen |= fresh
        todo += fresh


def _guide(node: Any) -> None:
    """Of the gradient that arrives at an activation only what is positive, where the activation's input is, goes on."""
    # in-place activations keep their result, the others their input: both have the sign of the input for a ReLU or a
    # leaky one; a PReLU, whose slope may be negative, keeps its input
    kept = getattr(node, "_saved_self", None)
    active = (node._saved_result if kept is None else kept) > 0
    node.register_prehook(lambda arriving: tuple(g if g is None else g.clamp(min=0) * active for g in arriving))

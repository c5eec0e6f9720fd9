"""NLRN: Non-Local Recurrent Network for Image Restoration.

Liu, Wen, Fan, Loy, Huang. NeurIPS 2018. https://arxiv.org/abs/1806.02919
New: a recurrent network whose one state transition begins with non-local attention, and which hands the correlations of
one step on to the next.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .attention import attend, flatten_positions
from .layers import Stage, SuperResolver, conv

TENSORFLOW = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def norm(width: int) -> nn.BatchNorm2d:
    """With TensorFlow's ε and momentum."""
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)


class Recurrence(nn.Module):
    """`depth` turns of one non-local and two 3×3 convolutions; three batch normalisations of its own for every turn.

    propagate: add the scores of all earlier turns to those of this one. Since scores are products θ·φ, their sum is the
    product of the turns' θ and φ side by side: none is stored.
    """

    def __init__(self, depth: int, width: int, propagate: bool, attention_slice: int | None) -> None:
        super().__init__()
        norms = [f"batch_normalization_{i}" if i else "batch_normalization" for i in range(3 * depth)]
        self.turns = [norms[i : i + 3] for i in range(0, len(norms), 3)]
        self.propagate = propagate
        self.attention_slice = attention_slice
        self.add_module(norms[0], norm(width))
        self.non_local_theta = conv(width, width // 2, 1)
        self.non_local_phi = conv(width, width // 2, 1)
        self.non_local_g = conv(width, width, 1)
        self.add_module(norms[1], norm(width))
        self.RB1_a = conv(width, width, 3)
        self.add_module(norms[2], norm(width))
        self.RB1_b = conv(width, width, 3)
        for name in norms[3:]:
            self.add_module(name, norm(width))

    def stages(self) -> list[Stage]:
        """Between turns the state is start, x, queries (n, c, h, w) and keys (n, positions, c).

        The queries of a part of the image look at the keys of the whole.
        """
        return [
            stage
            for turn in self.turns
            for stage in (
                Stage(partial(self._look, turn), None, (1, 1, 1, 0, 0)),
                Stage(partial(self._find, turn), 2, (1, 1, 1, 0)),
            )
        ]

    def _look(self, turn: list[str], state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        start, x, queries, keys = state
        x = self.get_submodule(turn[0])(x).relu()
        query, key = self.non_local_theta(x), flatten_positions(self.non_local_phi(x))
        if self.propagate:
            query, key = torch.cat([queries, query], 1), torch.cat([keys, key], 2)
        return start, x, query, key, flatten_positions(self.non_local_g(x))

    def _find(self, turn: list[str], state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        start, x, query, key, value = state
        norm_a, norm_b = (self.get_submodule(name) for name in turn[1:])
        attended = attend(flatten_positions(query), key, value, self.attention_slice)
        x = x + attended.mT.unflatten(2, x.shape[-2:])
        return start, start + self.RB1_b(norm_b(self.RB1_a(norm_a(x))).relu()), query, key


class NLRN(SuperResolver):
    """Takes the image at SR size: it belongs inside `PreUpsample`, which makes it any scale.

    channels: 1 for Y, 3 for RGB. propagate: as in the paper and the authors' first repository; their second one attends
    anew at every turn. Attention sees the whole image; the paper's neighbourhood is not in the network: its authors
    restore overlapping patches of 45×45 one by one. attention_slice: positions attended at a time, hence the memory;
    without effect on the numbers.
    """

    reconstruct_radius = 1

    def __init__(self, *, channels: int, depth: int, width: int, propagate: bool, attention_slice: int | None) -> None:
        super().__init__()
        self.batch_normalization = norm(channels)
        self.conv1 = conv(channels, width, 3)
        self.rnn = Recurrence(depth, width, propagate, attention_slice)
        self.batch_normalization_1 = norm(width)
        self.conv_end = conv(width, channels, 3)

    @staticmethod
    def from_official(state: dict[str, Any]) -> dict[str, Any]:
        """TensorFlow's names, a dot for each slash; kernels as (output, input, height, width)."""
        split = ((key.rpartition("."), value) for key, value in state.items())
        return {f"{layer}.{TENSORFLOW.get(last, last)}": value for (layer, _, last), value in split}

    def stages(self) -> list[Stage]:
        return [Stage(self._enter, 1, (1, 1, 1, 0)), *self.rnn.stages(), Stage(lambda state: state[1], 0)]

    def _enter(self, lr: Tensor) -> tuple[Tensor, ...]:
        start = self.conv1(self.batch_normalization(lr))
        none = start[:, :0]  # no queries, no keys
        return start, start, none, flatten_positions(none)

    def reconstruct(self, features: Tensor, lr: Tensor) -> Tensor:
        return lr + self.conv_end(self.batch_normalization_1(features).relu())

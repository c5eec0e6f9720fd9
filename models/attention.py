"""Non-local attention in slices: what several networks share, and what their memory depends on."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def attend(query: Tensor, key: Tensor, value: Tensor, slice_size: int | None, over: str = "keys") -> Tensor:
    """softmax(query·keyᵀ)·value: query (n, i, c), key (n, j, c), value (n, j, d) → (n, i, d).

    over: the axis that the softmax normalises: 'keys' (j, as usual) or 'queries' (i). slice_size: how many positions of
    the other axis are computed at a time; None: all. A slice is exact, since the softmax's axis is never cut, and is
    computed once more in the backward pass: memory grows with slice_size·max(i, j), no longer with i·j.
    """
    axis = 2 if over == "keys" else 1

    def scores_times_value(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return (query @ key.mT).softmax(axis) @ value

    n_sliced = query.shape[1] if over == "keys" else key.shape[1]
    if slice_size is None or slice_size >= n_sliced:
        return scores_times_value(query, key, value)

    def attend_slice(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return scores_times_value(query, key, value)
        output = checkpoint(scores_times_value, query, key, value, use_reentrant=False, preserve_rng_state=False)
        assert isinstance(output, Tensor)
        return output

    if over == "keys":
        return torch.cat([attend_slice(q, key, value) for q in query.split(slice_size, 1)], 1)
    output = torch.zeros_like(query[..., :1])
    for k, v in zip(key.split(slice_size, 1), value.split(slice_size, 1), strict=True):
        output = output + attend_slice(query, k, v)
    return output


def flatten_positions(x: Tensor) -> Tensor:
    """(n, c, h, w) → (n, h·w, c): what `attend` takes."""
    return x.flatten(2).mT

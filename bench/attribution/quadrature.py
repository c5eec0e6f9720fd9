"""Quadrature of a path integral: where the gradient is taken, and between which points the path moves meanwhile.

A rule with n steps is n nodes and n + 1 edges in [0, 1]; the integral is Σ ∇D(γ(node_i)) ⊙ (γ(edge_{i+1}) − γ(edge_i)).
The increments telescope exactly, whatever the rule.
"""

from __future__ import annotations

import numpy as np


def edges(n_steps: int) -> np.ndarray:
    """Equal steps from 0 to 1: (n_steps + 1,)."""
    return np.linspace(0, 1, n_steps + 1)


def right(n_steps: int) -> np.ndarray:
    """The reference rule: the gradient at the end of each step, so that the baseline is never evaluated."""
    return edges(n_steps)[1:]


def midpoint(n_steps: int) -> np.ndarray:
    """The gradient in the middle of each step. Nests under tripling: the nodes of n are among those of 3n."""
    return (np.arange(n_steps) + 0.5) / n_steps


def ends(n_steps: int) -> np.ndarray:
    """Baseline and image are nodes, all of equal weight: what the reference implementation does on straight paths."""
    return np.linspace(0, 1, n_steps)


NODES = {"right": right, "midpoint": midpoint, "ends": ends}

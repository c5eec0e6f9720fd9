"""The multiply-adds that a window spares, counted by hand where that can be done."""

from __future__ import annotations

import pytest
import torch
from test_models import small_net

from lamscope.attribution.detectors import GradientMagnitude
from lamscope.attribution.savings import multiply_adds, spared
from lamscope.models.layers import Stage, SuperResolver, conv, shuffle_once
from lamscope.types import Window

DETECTOR = GradientMagnitude("rgb", "safe")


class TwoConvolutions(SuperResolver):
    reconstruct_radius = 1

    def __init__(self):
        super().__init__()
        self.first, self.last = conv(3, 5, 3), shuffle_once(4, 5, 3)

    def stages(self):
        return [Stage(self.first, 1)]

    def reconstruct(self, features, lr):
        return self.last(features)


def test_two_convolutions_by_hand():
    """A window of 16 SR pixels and one more for its differences: 5×5 LR pixels, 7×7 with the margin, 9×9 of input."""
    net, window = TwoConvolutions(), Window(40, 40, 16)
    first, last = 9 * 3 * 5, 9 * 5 * 48
    mine, whole = (multiply_adds(net, (30, 30), window, DETECTOR, 4, whole=whole) for whole in (False, True))
    assert whole == 2 * 30 * 30 * (first + last)  # forward, and the gradient as much again
    assert mine == 2 * (9 * 9 * first + 7 * 7 * last)
    assert spared(net, (30, 30), window, DETECTOR, 4) == pytest.approx(1 - mine / whole)


def test_the_network_stays_as_it_is():
    net = small_net("hat").train()
    before = {name: p.clone() for name, p in net.named_parameters()}
    assert 0 < spared(net, (40, 40), Window(72, 72, 16), DETECTOR, 4) < 1
    assert net.training and all(p.requires_grad and torch.equal(p, before[name]) for name, p in net.named_parameters())

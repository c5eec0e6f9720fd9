"""Parameters and multiply-adds, counted by hand where that can be done."""

from __future__ import annotations

import torch
from torch import nn

from lamscope.metrics.cost import multiply_adds, n_parameters
from lamscope.models.wrappers import Luminance


def test_a_convolution_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), nn.PixelShuffle(4))
    assert n_parameters(net) == 48 * 3 * 9 + 48
    assert multiply_adds(net, 4, (40, 80)) == 10 * 20 * 48 * 27
    assert multiply_adds(net, 4) == 180 * 320 * 48 * 27  # for a 1280×720 image, as in the papers
    assert all(p.device.type == "cpu" for p in net.parameters())


def test_precision_mode_and_buffers_do_not_matter() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.BatchNorm2d(8)).double().train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    assert n_parameters(net) == 24 + 16
    assert multiply_adds(net, 1, (5, 7)) == 35 * 24
    assert net.training
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_wrappers_do_not_count() -> None:
    core = nn.Sequential(nn.Conv2d(1, 16, 1), nn.PixelShuffle(4))
    assert multiply_adds(Luminance(core, 4), 4, (40, 40)) == 100 * 16
    assert multiply_adds(nn.Sequential(nn.ConvTranspose2d(3, 3, 4, stride=4)), 4, (40, 40)) == 100 * 9 * 16

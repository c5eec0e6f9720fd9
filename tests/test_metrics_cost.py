"""Parameters and multiply-adds, counted by hand where that can be done."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lamscope.metrics.cost import multiply_adds, n_parameters
from lamscope.metrics.memory import peak_memory
from lamscope.models.wrappers import Luminance
from lamscope.zoo import build
from oracle import model_config


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


def chain(n: int) -> nn.Sequential:
    return nn.Sequential(*[m for _ in range(n) for m in (nn.Conv2d(3, 3, 1, bias=False), nn.ReLU())])


def test_the_most_memory_by_hand() -> None:
    image = 3 * 40 * 50 * 4  # bytes
    weights = 9 * 4
    # forward: an operation's input and output; the image itself is alive all the time
    assert peak_memory(chain(1), (40, 50), gradient=False) == 3 * image + weights
    assert peak_memory(chain(5), (40, 50), gradient=False) == 3 * image + 5 * weights
    # gradient: a ReLU keeps its result, and a frozen convolution keeps nothing but its weights
    peaks = [peak_memory(chain(n), (40, 50), gradient=True) for n in (3, 4, 8)]
    assert peaks[1] - peaks[0] == image + weights and peaks[2] - peaks[1] == 4 * (image + weights)
    assert peak_memory(chain(3).double(), (40, 50), gradient=False) == 2 * (3 * image + 3 * weights)


@pytest.mark.slow
@pytest.mark.parametrize(("attention_slice", "gib"), [(1024, 6.926), (10**9, 23.850)])
def test_attention_in_slices_needs_less_memory(attention_slice: int, gib: float) -> None:
    """CSNLN at 64×64: without slices more than a card of 24 GB has. A change of these numbers is worth a look."""
    with torch.device("meta"):
        net = build(model_config("csnln", **{"net.attention_slice": attention_slice}))
    assert peak_memory(net, (64, 64), gradient=True) / 2**30 == pytest.approx(gib, rel=0.05)

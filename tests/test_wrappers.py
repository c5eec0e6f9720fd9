"""From a network's own convention to RGB in [0, 1] and back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lamscope.models.layers import SuperResolver
from lamscope.models.resize import bicubic
from lamscope.models.wrappers import Luminance, PreUpsample, Range, rgb_to_ycbcr, ycbcr_to_rgb


class Nearest(SuperResolver):
    """The simplest network: repeats pixels, and remembers what it was given."""

    reconstruct_radius = 0

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def features(self, lr):
        self.seen = lr
        return lr

    def reconstruct(self, features, lr):
        return features.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)


def image(n=1, h=6, w=7):
    return torch.rand(n, 3, h, w, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@given(st.lists(st.floats(-1, 2), min_size=3, max_size=3))
@settings(deadline=None, max_examples=25)
def test_ycbcr_round_trip(pixel):
    rgb = torch.tensor(pixel, dtype=torch.float64).view(1, 3, 1, 1)
    torch.testing.assert_close(ycbcr_to_rgb(rgb_to_ycbcr(rgb)), rgb, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("rgb", "ycbcr"),
    [  # ITU-R BT.601, 8 bits, as MATLAB's rgb2ycbcr
        ((0, 0, 0), (16, 128, 128)),
        ((1, 1, 1), (235, 128, 128)),
        ((1, 0, 0), (81.481, 90.203, 240)),
        ((0, 0, 1), (40.966, 240, 109.786)),
    ],
)
def test_ycbcr_is_matlabs(rgb, ycbcr):
    mine = rgb_to_ycbcr(torch.tensor(rgb, dtype=torch.float64).view(3, 1, 1)).flatten() * 255
    torch.testing.assert_close(mine, torch.tensor(ycbcr, dtype=torch.float64), rtol=0, atol=1e-9)


def test_range_converts_both_ways():
    inner, lr = Nearest(2), image()
    sr = Range(inner, peak=255.0)(lr)
    torch.testing.assert_close(inner.seen, 255 * lr)
    torch.testing.assert_close(sr, Nearest(2)(lr), rtol=0, atol=1e-12)


def test_luminance_takes_y_from_the_network_and_colour_from_bicubic():
    inner, lr = Nearest(3), image(n=2)
    sr = rgb_to_ycbcr(Luminance(inner, scale=3)(lr))
    y, colour = rgb_to_ycbcr(lr).split([1, 2], 1)
    torch.testing.assert_close(inner.seen, y)
    torch.testing.assert_close(sr[:, :1], Nearest(3)(y), rtol=0, atol=1e-12)
    torch.testing.assert_close(sr[:, 1:], bicubic(colour, 3), rtol=0, atol=1e-12)


def test_luminance_of_gray_is_gray():
    gray = image()[:, :1].expand(-1, 3, -1, -1)
    sr = Luminance(Nearest(2), scale=2)(gray)
    torch.testing.assert_close(sr[:, :1].expand_as(sr), sr, rtol=0, atol=1e-12)
    torch.testing.assert_close(sr, Nearest(2)(gray), rtol=0, atol=1e-12)


def test_luminance_widens_the_radius_to_bicubics():
    assert Luminance(Nearest(2), scale=2).reconstruct_radius == 2
    assert Luminance(nn.Identity(), scale=2).reconstruct_radius is None


def test_pre_upsample_gives_the_network_the_bicubic_image():
    class Negative(nn.Module):
        def forward(self, x):
            return -x

    net, lr = PreUpsample(Negative(), scale=4), image()
    torch.testing.assert_close(net(lr), -bicubic(lr, 4))
    assert net.reconstruct_radius is None


def test_wrappers_nest_and_core_is_the_network():
    inner, lr = Nearest(2), image()
    net = Luminance(Range(inner, peak=255.0), scale=2)
    assert net.core is inner
    torch.testing.assert_close(net.reconstruct(net.features(lr), lr), net(lr))
    torch.testing.assert_close(inner.seen, 255 * rgb_to_ycbcr(lr)[:, :1])


def test_gradient_passes_through():
    lr = image().requires_grad_()
    Luminance(Range(Nearest(2), peak=255.0), scale=2)(lr).sum().backward()
    torch.testing.assert_close(lr.grad, torch.full_like(lr, 4.0), rtol=0, atol=1e-12)

"""What networks say of their steps is true: no step looks farther than its radius, and no radius is idle."""

from __future__ import annotations

import pytest
import torch
from test_models import each_model, image, kind, small_net
from torch import Tensor

from lamscope.attribution.cone import Region
from lamscope.models.layers import Stage

SIZES = {"CSNLN": (12, 13), "NLRN": (7, 8), "SwinIR": (28, 28)}
NOTHING = 1e-30  # relative: the weight of what an attention masks, by −100, is e⁻¹⁰⁰


def as_tuple(state):
    return (state,) if isinstance(state, Tensor) else tuple(state)


def strides_of(strides, state):
    return strides if isinstance(strides, tuple) else (strides,) * len(as_tuple(state))


def steps(net, lr):
    """All stages and the tail, each with the state that it reads and this state's strides."""
    state, strides = lr, (1,)
    for stage in net.stages():
        yield stage, state, strides
        with torch.no_grad():
            state = stage.run(state)
        strides = strides_of(stage.strides, state)
    assert strides == net.feature_strides
    alone = isinstance(state, Tensor)
    tail = Stage(lambda s: net.reconstruct(s[0] if alone else s[:-1], s[-1]), net.reconstruct_radius, net.scale)
    yield tail, (*as_tuple(state), lr), (*strides, 1)


def reach(stage, state, strides, pixel, whole):
    """The smallest region of LR pixels without which a step's output at `pixel` would be another one."""
    inputs = [x.detach().requires_grad_() for x in as_tuple(state)]
    outputs = stage.run(inputs[0] if isinstance(state, Tensor) else tuple(inputs))
    seen = as_tuple(pixel.cut(outputs, whole, stage.strides))
    gradients = torch.autograd.grad(sum((x * torch.rand_like(x)).sum() for x in seen), inputs, allow_unused=True)
    found = [torch.tensor([[pixel.top, pixel.left]])]
    for gradient, stride in zip(gradients, strides, strict=True):
        if gradient is not None and gradient.numel() and stride:
            felt = gradient.abs() > NOTHING * gradient.abs().max()
            found.append(felt.flatten(0, 1).any(0).nonzero() // stride)
    # what padding has added goes with the border
    rows, columns = torch.cat(found).minimum(torch.tensor([whole.bottom - 1, whole.right - 1])).unbind(1)
    return Region(int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1)


def covers(outer, inner):
    vertically = outer.top <= inner.top and inner.bottom <= outer.bottom
    return vertically and outer.left <= inner.left and inner.right <= outer.right


@each_model
def test_radii_are_large_enough_and_not_larger(name):
    check_radii(name, 4, slack=kind(name) == "SRCNN")  # whose tail does not need the bicubic image that it is handed


@pytest.mark.parametrize("scale", [2, 3, 8])
@pytest.mark.parametrize("name", ["csnln", "ddbpn", "fsrcnn", "lapsrn", "nlrn_new", "pan", "rrdbnet", "srcnn"])
def test_radii_that_depend_on_the_scale(name, scale):
    check_radii(name, scale, slack=True)


def check_radii(name, scale, slack):
    """slack: a radius may be one LR pixel too large."""
    net = small_net(name, scale)
    if net.reconstruct_radius is None:
        pytest.skip("a network of BasicSR's registry runs whole")
    height, width = SIZES.get(kind(name), (17, 19))
    whole = Region(0, height, 0, width)
    inside = Region(height // 2, height // 2 + 1, width // 2, width // 2 + 1)
    corner = Region(height - 1, height, width - 1, width)
    for i, (stage, state, strides) in enumerate(steps(net, image((height, width)))):
        found = {pixel: reach(stage, state, strides, pixel, whole) for pixel in (inside, corner)}
        if stage.radius is None:
            assert found[inside] == whole, f"stage {i} is local"
            continue
        for pixel, region in found.items():
            declared = pixel.grown(stage.radius, whole, stage.multiple)
            assert covers(declared, region), f"stage {i} sees {region}, beyond {declared}"
        if stage.radius > slack:
            less = [pixel.grown(stage.radius - 1 - slack, whole, stage.multiple) for pixel in found]
            enough = all(covers(region, seen) for region, seen in zip(less, found.values(), strict=True))
            assert not enough, f"stage {i} needs no radius of {stage.radius}"

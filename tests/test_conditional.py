"""Networks that read a condition beside the image."""

from __future__ import annotations

import pytest
import torch
from test_engine import Whole

from lamscope.models.wrappers import Conditioned, Range
from lamscope.types import UserError, Window
from lamscope.zoo import attribute, build
from oracle import model_config

SMALL = {"sftmd": {"width": 8}, "sftgan": {"width": 8, "condition_width": 4}}
NAMES = ["sftgan", "sftgan_torch", "sftmd", "sftmd_demo"]

each_form = pytest.mark.parametrize("name", NAMES)


def network(name):
    torch.manual_seed(0)
    small = SMALL[name.split("_")[0]] | {"n_blocks": 2}
    return build(model_config(name, **{f"net.{key}": value for key, value in small.items()})).double().eval()


def image(n=1, size=(6, 7)):
    return torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def codes(net, n):
    k = len(net.core.default_condition)
    return torch.rand(n, k, generator=torch.Generator().manual_seed(1), dtype=torch.float64).softmax(1)


@each_form
def test_without_a_condition_the_default_of_the_yaml_counts(name):
    net, lr = network(name), image(2)
    default = model_config(name).net["default_condition"]
    assert list(net.core.default_condition) == default
    given = torch.tensor([default, default], dtype=torch.float64)
    torch.testing.assert_close(net(lr, condition=given), net(lr), rtol=0, atol=0)


@each_form
def test_each_sample_has_its_own_condition(name):
    net, lr = network(name), image(2)
    condition = codes(net, 2)
    sr = net(lr, condition=condition)
    assert not torch.allclose(sr, net(lr))
    for i in range(2):
        one = net(lr[i : i + 1], condition=condition[i : i + 1])
        torch.testing.assert_close(sr[i : i + 1], one, rtol=1e-12, atol=1e-12)
    shared = net(lr, condition=condition[:1])  # one sample's condition serves the batch
    torch.testing.assert_close(shared[:1], sr[:1], rtol=1e-12, atol=1e-12)


@each_form
def test_a_condition_may_be_a_map(name):
    net, lr = network(name), image()
    condition = codes(net, 1)
    height, width = (net.core.condition_stride * side for side in lr.shape[-2:])
    flat = condition[..., None, None].expand(-1, -1, height, width)
    sr = net(lr, condition=flat)
    torch.testing.assert_close(sr, net(lr, condition=condition), rtol=1e-12, atol=1e-12)
    half = flat.clone()
    half[..., : width // 2] = half[..., : width // 2].flip(1)
    assert not torch.allclose(net(lr, condition=half), sr)


@each_form
def test_wrappers_hand_the_condition_to_features(name):
    net, lr = network(name), image(2)
    condition = codes(net, 2)
    features = net.features(lr, condition=condition)
    torch.testing.assert_close(net.reconstruct(features, lr), net(lr, condition=condition), rtol=0, atol=1e-14)
    nested = Range(Range(net.core, peak=1.0), peak=1.0)
    torch.testing.assert_close(nested(lr, condition=condition), net.core(lr, condition), rtol=0, atol=0)


@each_form
def test_a_conditioned_network_takes_an_image_alone(name):
    net, lr = network(name), image(2)
    condition = codes(net, 1)
    conditioned = Conditioned(net, condition)
    assert conditioned.core is net.core
    assert conditioned.scale == 4
    sr = net(lr, condition=condition)
    assert torch.equal(conditioned(lr), sr)
    torch.testing.assert_close(conditioned.reconstruct(conditioned.features(lr), lr), sr, rtol=0, atol=1e-14)


@pytest.mark.parametrize("form", ["vector", "map"])
@each_form
def test_attribution_sees_the_condition(name, form):
    net, lr = network(name), image(size=(24, 20))
    condition = codes(net, 1)
    if form == "map":
        noise = torch.rand(1, condition.shape[1], *(net.core.condition_stride * s for s in lr.shape[-2:]))
        condition = condition[..., None, None] + noise.double()
    conditioned = Conditioned(net, condition)
    window = Window(y=40, x=32, size=8)
    overrides = ["attribution.n_steps=3"]
    mine = attribute(conditioned, lr[0], window=window, overrides=overrides)
    whole = attribute(Whole(conditioned), lr[0], window=window, overrides=overrides)
    torch.testing.assert_close(mine.map, whole.map, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(mine.map, attribute(net, lr[0], window=window, overrides=overrides).map)
    given = attribute(net, lr[0], window=window, overrides=overrides, condition=condition[0])
    assert torch.equal(given.map, mine.map)


@each_form
def test_other_shapes_are_refused(name):
    net, lr = network(name), image(2)
    k = len(net.core.default_condition)
    for shape in [(2, k + 1), (3, k), (k,), (2, k, 5, 5)]:
        with pytest.raises(ValueError, match="The condition's shape is"):
            net(lr, condition=torch.zeros(shape, dtype=torch.float64))


def test_networks_without_a_condition_refuse_one(tiny_net, tiny_image):
    with pytest.raises(UserError, match="reads no condition"):
        attribute(tiny_net, tiny_image, window=Window(y=0, x=0, size=8), condition=torch.zeros(10))
    with pytest.raises(TypeError, match="condition"):
        tiny_net(tiny_image[None], condition=torch.zeros(1, 10))

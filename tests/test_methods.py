"""What every attribution method of conf/attribution must keep: a new one is accepted by passing here."""

from functools import lru_cache
from importlib import resources

import numpy as np
import pytest
import torch
from torch import nn

from lamscope.config import compose, instantiate, options
from lamscope.types import UserError, Window

WINDOWS = [Window(y=40, x=24, size=8), Window(y=8, x=60, size=8)]
SMALL = {
    "lam": ["attribution.n_steps=3"],
    "lam_paper": ["attribution.n_steps=3"],
    "lam_linear": ["attribution.n_steps=3"],
    "lam_linear_paper": ["attribution.n_steps=3"],
    "ig": ["attribution.n_steps=3"],
    "ig_blur": ["attribution.n_steps=3"],
    "smoothgrad": ["attribution.n_samples=3"],
    "vargrad": ["attribution.n_samples=3"],
    "perturbation": ["attribution.n_steps=3", "attribution.n_restarts=2"],
    "expected_gradients": ["attribution.n_samples=3"],
    "patch_swap": ["attribution.size=8", "attribution.n_swaps=2"],
    "occlusion": ["attribution.size=8", "attribution.stride=6"],
}
YAMLS = resources.files("lamscope.conf") / "attribution"
# a method without a seed draws nothing
SEEDED = [name for name in options("attribution") if "\nseed:" in (YAMLS / f"{name}.yaml").read_text("utf-8")]
every_method = pytest.mark.parametrize("name", options("attribution"))


@lru_cache
def method(name, seed=0):
    return instantiate(compose([f"attribution={name}", f"seed={seed}", *SMALL.get(name, [])]).attribution)


def hooks(net):
    kinds = [k for k in vars(net) if "hooks" in k]
    assert "_forward_hooks" in kinds and "_backward_hooks" in kinds
    return sum(len(vars(m)[k]) for m in net.modules() for k in kinds)


@every_method
def test_map_covers_the_frame_and_is_the_same_every_time(name, tiny_net, tiny_image):
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    found = method(name)(tiny_net, tiny_image, WINDOWS[0])
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    torch.rand(7)
    again = method(name)(tiny_net, tiny_image, WINDOWS[0])
    assert found.map.shape == tiny_image.shape and found.map.isfinite().all() and found.map.abs().sum() > 0
    assert torch.equal(found.map, again.map) and found.score == again.score and found.n_steps > 0
    assert not found.map.requires_grad


@every_method
def test_network_and_image_come_back_untouched(name, tiny_net, tiny_image):
    tiny_net.train()
    tiny_net.core.body[0].eval()
    tiny_net.core.head[0].bias.requires_grad_(False)
    state = {k: v.clone() for k, v in tiny_net.state_dict().items()}
    modes = [m.training for m in tiny_net.modules()]
    needs = [p.requires_grad for p in tiny_net.parameters()]
    image = tiny_image.clone()
    method(name)(tiny_net, tiny_image, WINDOWS[0])
    assert all(torch.equal(v, state[k]) for k, v in tiny_net.state_dict().items())
    assert [m.training for m in tiny_net.modules()] == modes
    assert [p.requires_grad for p in tiny_net.parameters()] == needs
    assert all(p.grad is None for p in tiny_net.parameters())
    assert hooks(tiny_net) == 0
    assert torch.equal(image, tiny_image) and not tiny_image.requires_grad and tiny_image.grad is None


@pytest.mark.slow
@every_method
def test_many_images_and_windows_in_any_chunk_give_what_one_gives(name, tiny_net, tiny_image):
    images = [tiny_image, tiny_image.flip(-1).contiguous()]
    for chunk in (None, 1, 5):
        found = list(method(name).stream(tiny_net, [(image, WINDOWS) for image in images], chunk=chunk))
        assert [len(one) for one in found] == [2, 2]
        for image, answers in zip(images, found, strict=True):
            for window, answer in zip(WINDOWS, answers, strict=True):
                alone = method(name)(tiny_net, image, window)
                torch.testing.assert_close(answer.map, alone.map, rtol=1e-4, atol=1e-5 * float(alone.map.abs().max()))
                assert answer.score == pytest.approx(alone.score, rel=1e-5)


@pytest.mark.slow
@every_method
def test_flat_images_have_finite_maps(name, tiny_net, tiny_image):
    for level in (0.0, 0.5, 1.0):
        found = method(name)(tiny_net, torch.full_like(tiny_image, level), WINDOWS[0])
        assert found.map.isfinite().all() and np.isfinite(found.score)


class Flat(nn.Module):
    """Its SR image is exactly flat wherever the LR image is."""

    scale = 4

    def features(self, lr):
        return lr.relu()

    def reconstruct(self, features, lr):
        return nn.functional.interpolate(features, scale_factor=4, mode="nearest")

    def forward(self, lr):
        return self.reconstruct(self.features(lr), lr)


@every_method
def test_exactly_flat_reconstructions_have_finite_maps(name, tiny_image):
    found = method(name)(Flat(), torch.full_like(tiny_image, 0.5), WINDOWS[0])
    assert found.map.isfinite().all()


class Failing(Flat):
    """Runs out of luck at its second look at an image."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
        self.looks = 0

    def features(self, lr):
        self.looks += 1
        if self.looks > 1:
            raise ArithmeticError("enough")
        return self.body(lr)


@pytest.mark.slow
@every_method
def test_a_network_that_fails_on_the_way_comes_back_untouched_too(name, tiny_image):
    net = Failing().train()
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    with pytest.raises(ArithmeticError):
        method(name)(net, tiny_image, WINDOWS[0])
    assert hooks(net) == 0 and net.training and all(p.requires_grad and p.grad is None for p in net.parameters())
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


@every_method
def test_a_window_outside_is_refused(name, tiny_net, tiny_image):
    with pytest.raises(UserError, match="does not fit"):
        method(name)(tiny_net, tiny_image, Window(y=90, x=60, size=8))


@pytest.mark.slow
@every_method
def test_networks_without_stages_run_whole(name, tiny_image):
    """A user's network, of which nothing is known but its forward."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 48, 5, padding=2), nn.ReLU(), nn.Conv2d(48, 48, 1), nn.PixelShuffle(4))
    if name in ("cam", "gradcam", "guided_gradcam"):
        with pytest.raises(UserError, match="layer"):
            method(name)(net, tiny_image, WINDOWS[0])
        named = instantiate(compose([f"attribution={name}", "attribution.layer='1'"]).attribution)
    else:
        named = method(name)
    assert named(net, tiny_image, WINDOWS[0]).map.abs().sum() > 0


@pytest.mark.parametrize("name", SEEDED)
def test_another_seed_is_another_draw(name, tiny_net, tiny_image):
    found = [method(name, seed)(tiny_net, tiny_image, WINDOWS[0]).map for seed in (0, 1)]
    assert not torch.equal(*found)


def test_methods_that_draw_have_a_seed():
    assert {"expected_gradients", "patch_swap", "perturbation", "smoothgrad", "vargrad"} <= set(SEEDED)


@pytest.mark.parametrize(
    "override",
    ["perturbation attribution.n_steps=0", "smoothgrad attribution.noise=0", "occlusion attribution.stride=9",
     "patch_swap attribution.size=0", "expected_gradients attribution.n_samples=0"],
)  # fmt: skip
def test_impossible_settings_are_refused(override):
    with pytest.raises(UserError):
        instantiate(compose([f"attribution={override.split()[0]}", override.split()[1]]).attribution)

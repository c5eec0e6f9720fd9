"""The attribution engine: closed forms, invariances, and the reference implementation's own numbers."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_engine import slopes

from lamscope.attribution.detectors import GradientMagnitude
from lamscope.attribution.engine import frozen
from lamscope.attribution.lam import PathAttribution
from lamscope.attribution.paths import GaussianBlur
from lamscope.config import compose, instantiate
from lamscope.metrics.concentration import diffusion_index
from lamscope.types import UserError, Window
from lamscope.zoo import build, load_model
from oracle import ORACLES, deterministic_state

WINDOW = Window(y=40, x=32, size=16)


@pytest.fixture(scope="module")
def lam():
    return instantiate(compose(["attribution=lam"]).attribution)


@pytest.fixture(scope="module")
def paper():
    return instantiate(compose(["attribution=lam_paper"]).attribution)


class Enlarge(torch.nn.Module):
    def __init__(self, mode):
        super().__init__()
        self.mode = mode

    def forward(self, lr):
        corners = None if self.mode == "nearest" else False
        return F.interpolate(lr, scale_factor=4, mode=self.mode, align_corners=corners)


@dataclass(frozen=True)
class Intensity:
    margin = 0
    whole = False

    def __call__(self, sr, window):
        patch = sr[..., window.y : window.y + window.size, window.x : window.x + window.size]
        return patch.sum((1, 2, 3)), torch.zeros(len(sr))


def rings():
    y, x = np.mgrid[:64, :64]
    r = (x - 32) ** 2 + (y - 32) ** 2
    planes = [0.5 + 0.5 * np.cos(r * np.pi / (64 * (1 + 0.25 * c)) + c) for c in range(3)]
    return torch.tensor(np.stack(planes), dtype=torch.float32)


@pytest.fixture
def two_threads():
    # torch's interpolation rounds differently in one thread, and exactly flat pixels decide which steps become NaN
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("mode", "di", "total"), [("bicubic", 0.693230, -0.96133), ("bilinear", 0.614645, None)])
def test_reference_rule_gives_the_reference_numbers(paper, mode, di, total):
    found = paper(Enlarge(mode), rings(), Window(120, 120, 16))
    assert diffusion_index(found.map) == pytest.approx(di, abs=1e-4)
    assert found.n_zeroed > 0
    if total is not None:
        assert float(found.map.sum()) == pytest.approx(total, abs=1e-4)


def test_safe_root_keeps_what_the_reference_loses(lam, paper):
    lost = paper(Enlarge("nearest"), rings()[:, :24, :24], WINDOW)
    kept = lam(Enlarge("nearest"), rings()[:, :24, :24], WINDOW)
    assert float(lost.map.abs().sum()) == 0 and lost.n_zeroed > 0
    assert kept.map.isfinite().all() and float(kept.map.abs().sum()) > 0
    assert kept.n_flat > 0 and kept.n_zeroed == 0


@given(n=st.integers(1, 9), rule=st.sampled_from(["midpoint", "right"]))
@settings(max_examples=12, deadline=None)
def test_linear_network_and_detector_leave_no_gap(lam, n, rule):
    method = replace(lam, detector=Intensity(), n_steps=n, rule=rule)
    lr = torch.rand(3, 24, 20, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    found = method(Enlarge("bilinear"), lr, WINDOW)
    assert abs(found.gap) < 1e-10 * max(abs(found.score), 1)


@given(y=st.integers(0, 79), x=st.integers(0, 63), size=st.integers(1, 16))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_windowed_reconstruction_equals_the_whole(tiny_net, tiny_image, lam, y, x, size):
    window = Window(y, x, size)
    whole = torch.nn.Module()
    whole.forward = tiny_net.forward  # a network without `reconstruct`
    images = torch.stack([tiny_image, tiny_image.flip(1)])
    one, one_gradients = slopes(tiny_net, images, window, lam.detector)
    two, two_gradients = slopes(whole, images, window, lam.detector)
    assert torch.allclose(one, two, rtol=1e-5)
    assert (one_gradients - two_gradients).norm() <= 1e-5 * two_gradients.norm()


def test_batched_equals_one_by_one(tiny_net, tiny_image, lam):
    one, many = (lam(tiny_net, tiny_image, WINDOW, chunk=c) for c in (1, 8))
    assert (one.map - many.map).norm() <= 1e-5 * one.map.norm()
    assert one.score == pytest.approx(many.score, rel=1e-5)
    assert one.gap == pytest.approx(many.gap, abs=1e-3)


def test_network_and_image_come_back_unchanged(tiny_net, tiny_image, lam):
    net, image = tiny_net.train(), tiny_image.clone()
    next(net.children()).eval()
    first = next(net.parameters()).requires_grad_(True)
    before = {m: m.training for m in net.modules()}
    lam(net, image, WINDOW)
    assert {m: m.training for m in net.modules()} == before
    assert first.requires_grad and all(p.grad is None for p in net.parameters())
    assert torch.equal(image, tiny_image) and not image.requires_grad


def test_parameters_need_no_gradient_while_maps_are_computed(tiny_net):
    tiny_net.requires_grad_(True)
    with frozen(tiny_net):
        assert not any(p.requires_grad for p in tiny_net.parameters())
    assert all(p.requires_grad for p in tiny_net.parameters())


def test_error_estimate_comes_from_the_nested_third(tiny_net, tiny_image, lam):
    fine = lam(tiny_net, tiny_image, WINDOW)
    coarse = replace(lam, n_steps=7)(tiny_net, tiny_image, WINDOW)
    expected = float((fine.map - coarse.map).norm() / (3 * fine.map.norm()))
    assert fine.error == pytest.approx(expected, rel=1e-3) and coarse.error is None


def test_automatic_steps_reuse_nodes_and_stop_at_rtol(tiny_net, tiny_image, lam):
    loose = replace(lam, n_steps="auto", rtol=10.0)(tiny_net, tiny_image, WINDOW)
    tight = replace(lam, n_steps="auto", rtol=1e-9)(tiny_net, tiny_image, WINDOW)
    fixed = replace(lam, n_steps=63)(tiny_net, tiny_image, WINDOW)
    assert (loose.n_steps, tight.n_steps) == (21, 63)
    assert (tight.map - fixed.map).norm() <= 1e-5 * fixed.map.norm()


@pytest.mark.parametrize("window", [Window(96 - 16, 0, 16), Window(-1, 0, 16), Window(0, 0, 0), Window(0, 65, 16)])
def test_windows_outside_the_image_are_refused(tiny_net, tiny_image, lam, window):
    with pytest.raises(UserError, match="does not fit"):
        lam(tiny_net, tiny_image, window)


@pytest.mark.parametrize("change", [{"rule": "simpson"}, {"n_steps": 0}, {"n_steps": "auto", "rtol": None}])
def test_impossible_rules_are_refused(lam, change):
    with pytest.raises(UserError):
        replace(lam, **change)


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", ["fsrcnn", *(pytest.param(n, marks=pytest.mark.slow) for n in ("edsr_baseline", "imdn", "san"))]
)
def test_deterministic_networks_give_the_reference_maps(shared, paper, name):
    golden = np.load(shared / "oracle" / "open" / f"{name}_lam.npz")
    config = compose([f"model={name}"]).model
    net = build(config).double()
    net.core.load_state_dict(deterministic_state(net.core, ORACLES[name]))
    lr = torch.from_numpy(golden["lr"]).reshape(3, 24, 20)
    found = paper(net, lr, WINDOW)
    expected = torch.from_numpy(golden["map"])
    assert float((found.map - expected).norm() / expected.norm()) < 1e-9


REAL = {"imdn": "imdn", "rfdn": "rfdn_aim", "pan": "pan", "carn_m": "carn_m"}


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize(("image", "y", "x"), [(1, 150, 110), (2, 120, 120)])
def test_real_networks_give_the_reference_maps(shared, paper, name, image, y, x):
    # 29 of the 32 reference maps are met to 1e-3. Three (imdn 4, pan 1, carn_m 7, each at 120, 120) differ by 1.1e-3 to
    # 2.0e-3: so far is the reference's float32 itself from float64 there, and ours is nearer
    golden = np.load(shared / "oracle" / "lam_real" / f"{REAL[name]}_{image}_{y}_{x}.npz")
    net = load_model(name, folders=[shared / "weights"], device="cpu")
    lr = torch.from_numpy(golden["lr_uint8"]).permute(2, 0, 1).float() / 255
    found = paper(net, lr, Window(y, x, 16))
    expected = torch.from_numpy(golden["map"])
    assert float((found.map - expected).norm() / expected.norm()) < 1e-3
    assert diffusion_index(found.map) == pytest.approx(float(diffusion_index(golden["map"])), abs=0.01)
    assert found.n_zeroed == 0


def test_settings_reach_the_method():
    overrides = ["attribution=lam", "attribution.detector.channels=y", "attribution.n_steps=7"]
    method = instantiate(compose(overrides).attribution)
    assert isinstance(method, PathAttribution) and method.n_steps == 7
    assert method.detector == GradientMagnitude("y", "safe")
    assert method.path == GaussianBlur(1.2, 9, "arc_length", "double")

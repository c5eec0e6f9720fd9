"""Closed forms of the single methods, and the identities between them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lamscope.config import compose, instantiate
from lamscope.metrics.concentration import diffusion_index
from lamscope.types import Window

WINDOW = Window(y=2, x=3, size=4)


def method(name, *overrides):
    return instantiate(compose([f"attribution={name}", *overrides]).attribution)


class Linear(nn.Module):
    """SR = 2·LR shifted by (1, 2) pixels around the border, plus a constant; scale 1."""

    scale = 1

    def forward(self, x):
        return 2 * x.roll((1, 2), (-2, -1)) + 0.25


@pytest.fixture
def image():
    return torch.rand(3, 12, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def jacobian(image):
    found = torch.zeros_like(image)
    found[:, 1:5, 1:5] = 2
    return found


BRIGHT = "attribution/detector=intensity"


def test_linear_network_has_closed_forms(image, jacobian):
    net = Linear()
    assert torch.equal(method("gradient", BRIGHT)(net, image, WINDOW).map, jacobian)
    torch.testing.assert_close(method("gradient_input", BRIGHT)(net, image, WINDOW).map, jacobian * image)
    torch.testing.assert_close(method("ig", BRIGHT)(net, image, WINDOW).map.float(), jacobian * image)
    torch.testing.assert_close(method("smoothgrad", BRIGHT)(net, image, WINDOW).map, jacobian)
    assert float(method("vargrad", BRIGHT)(net, image, WINDOW).map.abs().max()) < 1e-10


def test_straight_paths_are_complete_on_a_linear_network(image):
    for name in ("ig", "ig_blur", "lam_linear"):
        found = method(name, BRIGHT, "attribution.n_steps=2", "attribution.path.origin=null")(Linear(), image, WINDOW)
        assert abs(found.gap) < 1e-4 * abs(found.score)


@pytest.mark.parametrize("name", ["ig", "ig_blur", "lam_linear"])
def test_straight_paths_are_captums_integrated_gradients(name, tiny_net, tiny_image):
    from captum.attr import IntegratedGradients

    ours, window = method(name), Window(y=40, x=24, size=8)
    net, image = tiny_net.double().eval(), tiny_image.double()
    theirs = IntegratedGradients(lambda x: ours.detector(net(x), window)[0]).attribute(
        image[None], ours.path.start(image)[None].double(), n_steps=21, method="riemann_middle"
    )
    found = ours(net, image, window).map.double()  # captum keeps its weights in float32
    assert float((found - theirs[0]).norm() / found.norm()) < 1e-6


@pytest.mark.slow
def test_vargrad_is_the_variance_of_the_gradient():
    """D = Σx³/3 has the gradient x²; with x ~ N(a, s²) its variance is 4a²s² + 2s⁴."""

    class Cubic(nn.Module):
        scale = 1

        def forward(self, x):
            return x**3 / 3

    settings = ["attribution.n_samples=4000", "attribution.noise=0.1"]
    x = torch.full((3, 8, 8), 0.5)
    found = method("vargrad", BRIGHT, *settings)(Cubic(), x, WINDOW).map[:, 2:6, 3:7]
    assert float(found.mean()) == pytest.approx(4 * 0.25 * 0.01 + 2 * 1e-4, rel=0.03)
    found = method("smoothgrad", BRIGHT, *settings)(Cubic(), x, WINDOW).map[:, 2:6, 3:7]
    assert float(found.mean()) == pytest.approx(0.25 + 0.01, rel=0.01)


def test_occlusion_of_a_linear_network_is_what_the_square_held(image, jacobian):
    black = "attribution.cover={_target_:lamscope.attribution.paths.Straight,origin:null}"
    found = method("occlusion", BRIGHT, "~attribution.cover", "+" + black)(Linear(), image, WINDOW).map
    share = (jacobian * image).sum(0)
    expected = F.avg_pool2d(share[None], 4, divisor_override=1)[0].repeat_interleave(4, 0).repeat_interleave(4, 1)
    torch.testing.assert_close(found.sum(0), expected, rtol=1e-4, atol=1e-4)


def test_patch_swap_of_a_linear_network_is_the_difference_of_the_patches(image, jacobian):
    patch_swap = method("patch_swap", BRIGHT)
    others = patch_swap.references.crops(12, 16, 3, 0).transpose(0, 3, 1, 2) / 255
    share = (jacobian * (image - torch.from_numpy(others).mean(0).float())).sum(0)
    expected = F.avg_pool2d(share[None], 4)[0].repeat_interleave(4, 0).repeat_interleave(4, 1)
    torch.testing.assert_close(patch_swap(Linear(), image, WINDOW).map.sum(0), expected, rtol=1e-3, atol=1e-4)


def test_expected_gradients_of_a_linear_network_average_over_baselines(image, jacobian):
    expected_gradients = method("expected_gradients", BRIGHT, "attribution.n_samples=400")
    others = expected_gradients.references.crops(12, 16, 5, 0).transpose(0, 3, 1, 2) / 255
    expected = jacobian * (image - torch.from_numpy(others).mean(0).float())
    found = expected_gradients(Linear(), image, WINDOW).map
    assert float((found - expected).norm() / expected.norm()) < 0.1


def test_perturbation_masks_what_the_window_needs_and_leaves_the_rest(image):
    class Local(nn.Module):
        scale = 1

        def forward(self, x):
            return x

    y, x = np.mgrid[:24, :24]
    stripes = torch.from_numpy(0.5 + 0.4 * np.cos(2.5 * x + y)).float().expand(3, 24, 24)
    found = method("perturbation", "attribution.cell=1")(Local(), stripes, Window(8, 8, 8)).map.sum(0)
    inside = found[8:17, 8:17].mean()
    assert inside > 0.5 and found[:4].mean() < 0.2 * inside


def test_cam_is_gradcam_of_a_linear_tail_before_the_relu(image):
    """For features ⊗ constant weights per channel, CAM is the weighted sum of the features."""

    class Pooled(nn.Module):
        scale = 1
        weights = torch.tensor([0.5, -2.0, 1.0])

        def features(self, lr):
            return lr.square()

        def reconstruct(self, features, lr):
            return (features * self.weights.view(3, 1, 1)).sum(1, keepdim=True).expand(-1, 3, -1, -1)

        def forward(self, lr):
            return self.reconstruct(self.features(lr), lr)

    found = method("cam")(Pooled(), image, WINDOW).map.sum(0)
    expected = (image.square() * Pooled.weights.view(3, 1, 1)).sum(0) * 3 * WINDOW.size**2 / (12 * 16)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


class Homogeneous(nn.Module):
    """ReLUs only, no additive biases; every ReLU a module of its own, as captum's DeepLift and LRP need."""

    scale = 1

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.ReLU(),
            nn.Conv2d(8, 3, 3, padding=1, bias=False),
        )  # fmt: skip

    def forward(self, x):
        return self.body(x)


class Brightness(nn.Module):
    """The intensity detector as a linear layer, whose relevance LRP knows how to hand down."""

    def __init__(self, net, image):
        super().__init__()
        self.net = net
        weights = torch.zeros_like(image)
        weights[:, 2:6, 3:7] = 1
        self.window = nn.Linear(image.numel(), 1, bias=False).requires_grad_(False)
        self.window.weight = nn.Parameter(weights.reshape(1, -1), requires_grad=False)

    def forward(self, x):
        return self.window(self.net(x).flatten(1))


def test_gradient_times_input_is_deeplift_and_lrp_without_biases(image):
    """Ancona et al. 2018, recalled in the paper's supplement: only ReLU, no additive biases."""
    from captum.attr import LRP, DeepLift

    net = Homogeneous().double().eval()
    image = image.double()
    found = method("gradient_input", BRIGHT)(net, image, WINDOW)
    deeplift = DeepLift(Brightness(net, image)).attribute(
        image[None].clone().requires_grad_(), torch.zeros_like(image[None])
    )
    lrp = LRP(Brightness(net, image)).attribute(image[None].clone().requires_grad_())
    assert found.map.abs().sum() > 0
    torch.testing.assert_close(found.map, deeplift[0].detach(), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found.map, lrp[0].detach(), rtol=1e-4, atol=1e-6)
    assert float(found.map.sum()) == pytest.approx(found.score, rel=1e-9)  # and complete, from black


def test_the_identity_ends_with_the_first_bias(image):
    from captum.attr import DeepLift

    net = Homogeneous().double().eval()
    net.body[0] = nn.Conv2d(3, 8, 3, padding=1).double().requires_grad_(False)
    image = image.double()
    found = method("gradient_input", BRIGHT)(net, image, WINDOW).map
    deeplift = DeepLift(Brightness(net, image)).attribute(
        image[None].clone().requires_grad_(), torch.zeros_like(image[None])
    )
    assert not torch.allclose(found, deeplift[0].detach(), rtol=0.01)


class Bicubic(nn.Module):
    scale = 4

    def forward(self, lr):
        return F.interpolate(lr, scale_factor=4, mode="bicubic", align_corners=False)


def rings(dtype):
    y, x = np.mgrid[:64, :64]
    r = (x - 32) ** 2 + (y - 32) ** 2
    planes = [0.5 + 0.5 * np.cos(r * np.pi / (64 * (1 + 0.25 * c)) + c) for c in range(3)]
    return torch.tensor(np.stack(planes), dtype=dtype)


def test_linear_path_gives_the_reference_implementations_number():
    """Reference code, linear path from the blurred rings, bicubic ×4, window 16 at 120: DI 0.706561.

    Its straight paths have their 50 points at linspace(0, 1, 50), both ends among them and all of weight 1/50, unlike
    its blur path's right end points. In float32, since rounding decides which steps an exactly flat pixel takes away:
    with right end points, or a baseline in float64, it is 0.698 to 0.702.
    """
    found = method("lam_linear_paper")(Bicubic(), rings(torch.float32), Window(120, 120, 16))
    assert diffusion_index(found.map) == pytest.approx(0.706561, abs=1e-5)
    assert found.n_zeroed > 0 and found.n_steps == 50
    for other in ("attribution.rule=right", "attribution.path.origin.arithmetic=double"):
        moved = method("lam_linear_paper", other)(Bicubic(), rings(torch.float32), Window(120, 120, 16))
        assert abs(diffusion_index(moved.map) - 0.706561) > 0.003


@pytest.mark.slow
def test_every_rule_of_the_linear_path_has_one_limit_where_nothing_is_flat():
    """0.7066 is not far from the integral by its rule, but by the steps that it lost."""
    image, limit = rings(torch.float64), None
    for rule, n_steps in (("midpoint", 101), ("right", 101), ("ends", 101), ("midpoint", 21)):
        found = method("lam_linear", f"attribution.rule={rule}", f"attribution.n_steps={n_steps}")(
            Bicubic().double(), image, Window(120, 120, 16)
        )
        limit = found.map if limit is None else limit
        assert float((found.map - limit).norm() / limit.norm()) < 0.003

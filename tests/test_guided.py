"""Guided backpropagation: by hand on residual networks, and captum's where captum's is right."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lamscope.attribution.detectors import GradientMagnitude, Intensity
from lamscope.config import compose, instantiate
from lamscope.types import UserError, Window

WINDOW = Window(y=1, x=1, size=4)


@pytest.fixture(scope="module")
def guided():
    return instantiate(compose(["attribution=guided_backprop", "attribution/detector=intensity"]).attribution)


class Pointwise(nn.Module):
    """x → x + w₂·act(w₁·x), twice with the same activation; scale 1, pixel by pixel."""

    scale = 1

    def __init__(self, activate):
        super().__init__()
        self.activate = activate

    def forward(self, x):
        for inner, outer in ((2.0, -3.0), (-1.0, 0.5)):
            x = x + outer * self.activate(inner * (x - 0.4))
        return x


def by_hand(x):
    """The rule written out for `Pointwise`: back through the second block, then the first."""
    first = 2.0 * (x - 0.4)
    middle = x - 3.0 * first.clamp(min=0)
    second = -1.0 * (middle - 0.4)
    arriving = torch.ones_like(x)
    # a skip passes the gradient on; the branch passes its positive part, where the activation's input is positive
    arriving = arriving - 1.0 * (0.5 * arriving).clamp(min=0) * (second > 0)
    return arriving + 2.0 * (-3.0 * arriving).clamp(min=0) * (first > 0)


ACTIVATIONS = {
    "module": nn.ReLU(),
    "in-place module": nn.ReLU(inplace=True),
    "function": F.relu,
    "method": lambda x: x.relu(),
    "in-place method": lambda x: x.relu_(),
    "leaky function": lambda x: F.leaky_relu(x, 0.0),
    "in-place leaky": lambda x: F.leaky_relu(x, 0.0, inplace=True),
}


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_residual_network_by_hand_however_its_relus_are_called(guided, kind):
    x = torch.rand(3, 7, 6, generator=torch.Generator().manual_seed(0))
    found = guided(Pointwise(ACTIVATIONS[kind]), x, WINDOW).map
    inside = torch.zeros_like(x)
    inside[:, 1:5, 1:5] = 1
    torch.testing.assert_close(found, by_hand(x) * inside)
    assert not torch.allclose(found, torch.autograd.functional.jacobian(
        lambda image: (Pointwise(ACTIVATIONS[kind])(image) * inside).sum(), x))  # fmt: skip


class Residual(nn.Module):
    """Every ReLU a module of its own, not in place: where captum's hooks see all of them."""

    scale = 2

    def __init__(self, separate=True):
        super().__init__()
        self.head = nn.Conv2d(3, 6, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1)) for _ in range(3)
        )
        self.tail = nn.Sequential(nn.Conv2d(6, 12, 3, padding=1), nn.PixelShuffle(2))
        self.separate = separate

    def features(self, x):
        x = self.head(x)
        for block in self.blocks:
            # the same network, its ReLUs modules or functions
            x = x + (block(x) if self.separate else block[2](block[0](x).relu_()))
        return x

    def reconstruct(self, x, lr):
        return self.tail(x)

    def forward(self, x):
        return self.reconstruct(self.features(x), x)


class Scalar(nn.Module):
    def __init__(self, net, detector):
        super().__init__()
        self.net, self.detector = net, detector

    def forward(self, x):
        return self.detector(self.net(x), WINDOW)[0]


@pytest.fixture
def nets():
    torch.manual_seed(3)
    separate = Residual()
    functional = Residual(separate=False)
    functional.load_state_dict(separate.state_dict())
    return separate.eval(), functional.eval()


def test_captum_agrees_where_relus_are_modules_and_misses_those_that_are_not(nets):
    from captum.attr import GuidedBackprop

    ours = instantiate(compose(["attribution=guided_backprop"]).attribution)
    x = torch.rand(3, 9, 8)
    separate, functional = (ours(net, x, WINDOW).map for net in nets)
    detector = GradientMagnitude("rgb", "safe")
    theirs = [GuidedBackprop(Scalar(net, detector)).attribute(x[None].requires_grad_())[0].detach() for net in nets]
    torch.testing.assert_close(separate, theirs[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(functional, separate, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(theirs[1], theirs[0], rtol=0.1)  # why it is not used


def test_guided_gradcam_is_captums_where_relus_are_modules(nets):
    from captum.attr import GuidedGradCam

    ours = instantiate(compose(["attribution=guided_gradcam", "attribution/detector=intensity"]).attribution)
    x = torch.rand(3, 9, 8)
    net = nets[0]
    last = nn.Identity()
    features = net.features
    net.features = lambda image: last(features(image))
    net.last = last  # captum needs a module to look at
    theirs = GuidedGradCam(Scalar(net, Intensity("rgb")), last).attribute(
        x[None].requires_grad_(), interpolate_mode="bilinear"
    )
    torch.testing.assert_close(ours(net, x, WINDOW).map, theirs[0].detach(), rtol=1e-4, atol=1e-5)


def test_a_leaky_relu_is_taken_as_a_relu_and_prelu_too(guided):
    x = torch.rand(3, 7, 6)
    expected = guided(Pointwise(F.relu), x, WINDOW).map
    for activate in (lambda x: F.leaky_relu(x, 0.2), nn.LeakyReLU(0.1, inplace=True), nn.PReLU()):
        # one block: what comes behind a leaky activation is another image
        net, plain = (nn.Sequential(nn.Conv2d(3, 3, 1), _Call(a), nn.Conv2d(3, 3, 1)) for a in (activate, F.relu))
        plain.load_state_dict({k: v for k, v in net.state_dict().items() if k in plain.state_dict()})
        torch.testing.assert_close(guided(net, x, WINDOW).map, guided(plain, x, WINDOW).map)
    assert expected.abs().sum() > 0


class _Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("activate", [F.gelu, F.silu, F.elu, F.mish, F.softplus, F.relu6, F.celu, F.selu])
def test_activations_without_a_published_rule_are_not_applicable(guided, activate):
    with pytest.raises(UserError, match="is defined for ReLU"):
        guided(Pointwise(activate), torch.rand(3, 7, 6), WINDOW)


def test_a_network_without_relus_is_not_applicable(guided):
    with pytest.raises(UserError, match="has none"):
        guided(Pointwise(torch.sigmoid), torch.rand(3, 7, 6), WINDOW)

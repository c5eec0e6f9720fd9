"""The cone: what a window does not see is not computed, for every network of the zoo, and nothing changes."""

import pytest
import torch
from test_models import each_model, image, kind, small_net

from lamscope.attribution.detectors import GradientMagnitude
from lamscope.attribution.engine import Region, evaluate, window_reconstruction
from lamscope.types import Window
from lamscope.zoo import load_model

DETECTOR = GradientMagnitude("rgb", "safe")


class Whole(torch.nn.Module):
    """The same network without the parts that let the engine crop."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, lr):
        return self.net(lr)


# CSNLN and NLRN attend over all pixels, some of them at SR: a cost of their number squared. SwinIR's windows are of 8.
SIZES = {"CSNLN": (13, 11), "NLRN": (9, 7), "SwinIR": (45, 38)}


@each_model
def test_cone_equals_the_whole(name):
    net = small_net(name)
    height, width = SIZES.get(kind(name), (26, 21))
    lr = image((height, width))
    inside = Window(2 * height - 5, 2 * width - 6, 11)  # begins and ends within LR pixels
    for window in (Window(0, 0, 8), inside, Window(4 * height - 17, 4 * width - 17, 16)):
        cone = evaluate(net, lr, window, DETECTOR, scale=4, chunk=1, gradients=True)
        whole = evaluate(Whole(net), lr, window, DETECTOR, scale=4, chunk=1, gradients=True)
        assert cone.scores.item() == pytest.approx(whole.scores.item(), rel=1e-10)
        assert (cone.gradients - whole.gradients).norm() <= 1e-10 * whole.gradients.norm()


def test_a_local_network_costs_what_the_window_needs(monkeypatch):
    net = load_model("fsrcnn", weights=None, device="cpu")
    seen = []
    net.core.first_part.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape[-2:]))
    sr, place = window_reconstruction(net, torch.rand(1, 3, 256, 256), Window(500, 500, 16), DETECTOR, 4)
    assert max(seen[0]) < 24 and max(sr.shape[-2:]) < 40
    assert place.y + place.size < sr.shape[-2]


def test_regions_stop_at_the_border():
    whole = Region(0, 10, 0, 12)
    region = Region(1, 3, 10, 12).grown(2, whole)
    assert region == Region(0, 5, 8, 12) and region.grown(None, whole) == whole
    assert Region(3, 5, 4, 5).grown(1, whole, multiple=4) == Region(0, 8, 0, 8)
    assert Region(3, 4, 9, 10).grown(0, whole, multiple=8) == Region(0, 8, 8, 12)  # the border is a multiple, too
    image = torch.arange(120.0).view(1, 1, 10, 12)
    assert torch.equal(Region(2, 4, 9, 11).cut(region.cut(image, whole), region), image[..., 2:4, 9:11])
    doubled = image.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(region.cut(doubled, whole, (2,)), doubled[..., 0:10, 16:24])
    part, keys = region.cut((doubled, image), whole, (2, 0))
    assert torch.equal(part, doubled[..., 0:10, 16:24]) and keys is image

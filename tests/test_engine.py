"""The cone: what a window does not see is not computed, for every network of the zoo, and nothing changes."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from test_models import each_model, image, kind, small_net

from lamscope.attribution.cone import Region
from lamscope.attribution.detectors import GradientMagnitude
from lamscope.attribution.engine import Point, evaluate, frozen, view
from lamscope.attribution.memory import Chunking
from lamscope.config import compose, instantiate
from lamscope.types import UserError, Window
from lamscope.zoo import load_model

DETECTOR = GradientMagnitude("rgb", "safe")
CPU = torch.device("cpu")


def slopes(net, images, window, detector=DETECTOR, chunk=2):
    """Scores (n,) and whole-frame gradients (n, 3, h, w) of one window, through the engine."""
    seen = view(net, images[0], window, detector, 4)
    frame = Region(0, images.shape[-2], 0, images.shape[-1])
    domain = seen.domain(images[0])
    points = [Point(domain.cut(image, frame), (seen,)) for image in images]
    with frozen(net):
        answers = evaluate(net, points, detector, Chunking(CPU, chunk), gradients=True)
    gradients = torch.zeros_like(images)
    domain.cut(gradients, frame).copy_(torch.stack([answer.gradient for (answer,) in answers]))
    return torch.stack([answer.score for (answer,) in answers]), gradients


class Whole(torch.nn.Module):
    """The same network without the parts that let the engine crop."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, lr):
        return self.net(lr)


SIZES = {"CSNLN": (13, 11), "NLRN": (9, 7)}  # attend over all pixels, some at SR: a cost of their number squared


@each_model
def test_cone_equals_the_whole(name):
    net = small_net(name)
    height, width = SIZES.get(kind(name), (26, 21))
    lr = image((height, width))
    for window in (Window(0, 0, 8), Window(4 * height - 33, 4 * width - 17, 16)):
        score, gradient = slopes(net, lr, window)
        whole_score, whole_gradient = slopes(Whole(net), lr, window)
        assert score.item() == pytest.approx(whole_score.item(), rel=1e-10)
        assert (gradient - whole_gradient).norm() <= 1e-10 * whole_gradient.norm()


def test_a_local_network_costs_what_the_window_needs():
    net = load_model("fsrcnn", weights=None, device="cpu")
    seen = []
    net.core.first_part.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape[-2:]))
    slopes(net, torch.rand(1, 3, 256, 256), Window(500, 500, 16))
    assert len(seen) == 1 and max(seen[0]) < 24


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


@pytest.fixture(scope="module")
def lam():
    return instantiate(compose(["attribution=lam", "attribution.n_steps=7"]).attribution)


def images(*sizes):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, *size, generator=generator, dtype=torch.float64) for size in sizes]


WINDOWS = [Window(0, 0, 8), Window(40, 32, 16), Window(44, 32, 16), Window(79, 63, 16)]


@pytest.mark.parametrize("name", ["edsr_baseline", "rcan", "imdn", "rnan"])
def test_windows_of_many_images_in_one_stream_equal_each_alone(lam, name):
    net = small_net(name)
    requests = [(lr, WINDOWS) for lr in images((24, 20), (26, 21), (24, 20))]
    together = list(lam.stream(net, requests))
    assert [len(found) for found in together] == [len(WINDOWS)] * len(requests)
    for (lr, windows), found in zip(requests, together, strict=True):
        for window, one in zip(windows, found, strict=True):
            alone = lam(net, lr, window)
            assert (one.map - alone.map).norm() <= 1e-10 * alone.map.norm()
            assert one.score == pytest.approx(alone.score, rel=1e-10)
            assert one.n_steps == alone.n_steps and one.n_flat == alone.n_flat


def test_windows_share_what_every_one_needs(lam):
    net = small_net("rcan")
    runs = []
    net.core.body[0].register_forward_hook(lambda *_: runs.append(1))
    (lr,) = images((24, 20))
    list(lam.stream(net, [(lr, WINDOWS)], chunk=1))
    assert len(runs) == 7 + 2  # steps and ends, not times four windows


def test_a_fixed_chunk_gives_the_same_bits_whatever_comes_before(lam):
    net = small_net("imdn").float()
    lrs = [lr.float() for lr in images((24, 20), (24, 20), (26, 21))]
    requests = [(lr, WINDOWS[:2]) for lr in lrs]
    whole, rest = list(lam.stream(net, requests, chunk=3)), list(lam.stream(net, requests[1:], chunk=3))
    for found, again in zip(whole[1:], rest, strict=True):
        assert all(torch.equal(a.map, b.map) for a, b in zip(found, again, strict=True))


def test_only_windows_that_are_not_exact_enough_are_refined(lam):
    (lr,) = images((24, 20))
    net = small_net("rcan")
    errors = sorted(found.error for found in next(replace(lam, n_steps=21).stream(net, [(lr, WINDOWS)])))
    auto = replace(lam, n_steps="auto", rtol=(errors[1] + errors[2]) / 2)
    found = next(auto.stream(net, [(lr, WINDOWS)]))
    assert sorted(one.n_steps for one in found) == [21, 21, 63, 63]
    assert all(one.error <= auto.rtol for one in found if one.n_steps == 21)


class Greedy(torch.nn.Module):
    """Runs out of memory for more than `room` images at a time, as a GPU would say it."""

    def __init__(self, net, room):
        super().__init__()
        self.net, self.room, self.batches, self.scale = net, room, [], 4

    def forward(self, lr):
        self.batches.append(len(lr))
        if len(lr) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return self.net(lr)


def test_running_out_of_memory_costs_time_only(lam):
    net, (lr,) = small_net("edsr_baseline"), images((24, 20))
    greedy = Greedy(net, 2)
    found = lam(greedy, lr, WINDOWS[1])
    plain = lam(Whole(net), lr, WINDOWS[1], chunk=1)
    assert (found.map - plain.map).norm() <= 1e-10 * plain.map.norm()
    assert max(greedy.batches) > 2 and greedy.batches.count(max(greedy.batches)) == 1  # it learns
    with pytest.raises(UserError, match="One path point alone does not fit"):
        lam(Greedy(net, 0), lr, WINDOWS[1])
    with pytest.raises(UserError, match="7 path points do not fit .* Set a smaller chunk"):
        lam(Greedy(net, 2), lr, WINDOWS[1], chunk=7)  # other parts would round otherwise


def test_other_errors_are_not_mistaken_for_a_full_memory(lam):
    class Broken(torch.nn.Module):
        def forward(self, lr):
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        lam(Broken(), images((24, 20))[0], WINDOWS[1])


def test_chunks_follow_from_measured_memory(monkeypatch):
    chunking = Chunking(CPU)
    assert chunking.size(480) == 1  # before anything is known

    def work(points):
        x = torch.ones(len(points), 1000, requires_grad=True)
        x.exp().sum().backward()  # saves 4,000 bytes a point
        return len(points)

    assert chunking.run(work, range(9), 480)[:1] == [1]
    assert chunking.bytes_per_pixel == pytest.approx(4000 / 480)
    monkeypatch.setattr("lamscope.attribution.memory.free_bytes", lambda device: 11 * 4000)
    assert chunking.size(480) == 7
    assert chunking.size(4800) == 1  # ten times larger points
    assert chunking.run(work, range(15), 480) == [5, 5, 5]
    assert Chunking(CPU, 4).run(work, range(9), 480) == [4, 4, 1]


@pytest.mark.slow
def test_a_memory_that_is_really_full(tmp_path):
    """A process that may take little more than it has: the allocator fails, and the map comes all the same."""
    code = """
import resource, torch
from lamscope.attribution import memory
from lamscope.config import compose, instantiate
from lamscope.types import UserError, Window
torch.set_num_threads(1)
torch.manual_seed(0)

class Wide(torch.nn.Module):
    scale = 4
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Conv2d(3, 512, 3, padding=1), torch.nn.ReLU(),
                                        torch.nn.Conv2d(512, 48, 3, padding=1), torch.nn.PixelShuffle(4))
    def forward(self, lr):
        self.batches = [*getattr(self, "batches", []), len(lr)]
        return self.body(lr)

net, lr = Wide(), torch.rand(3, 64, 64)
lam = instantiate(compose(["attribution=lam"]).attribution)
plain = lam(net, lr, Window(120, 120, 16), chunk=1)
net.batches = []
used = int(next(x for x in open("/proc/self/status") if x.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + (150 << 20),) * 2)  # a point saves 16 MiB
try:
    lam(net, lr, Window(120, 120, 16), chunk=21)
except UserError as error:  # smaller parts would round otherwise, and a chunk promises the same bits
    assert "21 path points do not fit" in str(error) and "chunk=auto" in str(error), error
else:
    raise AssertionError("there was room")
assert net.batches == [21], net.batches
net.batches = []
memory.CACHED_PIXELS, memory.free_bytes = 21 * 64 * 64, lambda device: 1 << 40  # plans too much
found = lam(net, lr, Window(120, 120, 16))
assert max(net.batches) == 20 and any(3 <= n <= 10 for n in net.batches), net.batches
assert (found.map - plain.map).norm() <= 1e-5 * plain.map.norm()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

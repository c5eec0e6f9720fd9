"""One test over the zoo: everything in conf/model/ does what the rest of the house relies on.

A network of your own is accepted by the same tests: LAMSCOPE_MODELS=my/conf/model/mine.yaml pytest tests/test_models.py
"""

from __future__ import annotations

import warnings
from fnmatch import fnmatchcase

import pytest
import torch

from lamscope.attribution.engine import Region
from lamscope.config import FAMILIES
from lamscope.types import UserError, Window
from lamscope.zoo import attribute, build
from oracle import build_core, model_config, registered, runnable

# Hyper-parameters that make a network small. A class without an entry is tested at full size.
SMALL = {
    "CARN": {"width": 8},
    "CSNLN": {"depth": 2, "width": 8},
    "DAT": {"depths": [3], "width": 64, "n_heads": 2},
    "DDBPN": {"n_stages": 3, "width": 4, "wide": 8},
    "DRLN": {"width": 8, "reduction": 2},
    "EDSR": {"n_blocks": 2, "width": 8},
    "ESPCN": {"width": 8},
    "FSRCNN": {"width": 8, "shrunk": 4, "depth": 2},
    "HAT": {"n_groups": 1, "n_blocks": 2, "width": 24, "n_heads": 2, "squeeze": 4, "up_width": 8},
    "IMDN": {"n_blocks": 2, "width": 16},
    "LapSRN": {"depth": 2, "width": 8},
    "MSRN": {"n_blocks": 2, "width": 8},
    "MSRResNet": {"n_blocks": 2, "width": 8},
    "NLRN": {"depth": 2, "width": 4},
    "PAN": {"n_blocks": 2, "width": 8, "up_width": 6},
    "RCAN": {"n_groups": 2, "n_blocks": 1, "width": 16, "reduction": 4},
    "RDN": {"n_blocks": 2, "n_layers": 2, "growth": 6, "width": 8},
    "RFDN": {"n_blocks": 2, "width": 16},
    "RNAN": {"n_groups": 3, "width": 8},
    "RRDBNet": {"n_blocks": 1, "width": 8, "growth": 4},
    "SAN": {"n_groups": 2, "n_blocks": 1, "width": 16, "reduction": 4, "region_reduction": 4},
    "SFTGAN": {"n_blocks": 2, "width": 8, "condition_width": 4},
    "SFTMD": {"n_blocks": 2, "width": 8},
    "SRCNN": {"widths": [8, 4]},
    "SRDenseNet": {"n_blocks": 2, "n_layers": 3, "growth": 4, "width": 8, "bottleneck": 8},
    "SRResNet": {"n_blocks": 2, "width": 8},
    "build_network": {"num_feat": 8, "num_block": 2},
    "SwinIR": {"width": 12, "depths": [2], "n_heads": [2], "train_size": 16},
}
SIZE = (15, 17)
SMALLER = {"NLRN": (5, 6)}  # attends over all pixels at SR size: a cost of their number squared
SCALES = (2, pytest.param(3, marks=pytest.mark.slow), 4, pytest.param(8, marks=pytest.mark.slow))

each_model = pytest.mark.parametrize("name", runnable(registered()))


def kind(name):
    return model_config(name).net["_target_"].rpartition(".")[2]


def small_config(name, scale=4):
    return model_config(name, scale=scale, **{f"net.{key}": value for key, value in SMALL.get(kind(name), {}).items()})


def small_net(name, scale=4, seed=0):
    torch.manual_seed(seed)
    if name.endswith(".yaml") and scale != model_config(name).scale:
        pytest.skip("a network of your own is tested at its own scale")
    try:
        net = build(small_config(name, scale))
    except UserError as error:
        refused = (f"Scale {scale} is not defined for", "BasicSR's MSRResNet cannot be built")
        if scale == model_config(name).scale or not any(text in str(error) for text in refused):
            raise
        pytest.skip(str(error))
    return net.double().eval()


def image(size=SIZE, n=1, seed=0):
    return torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unused(patterns, names):
    """The parameters that a YAML's unused_parameters stands for: names or shell patterns."""
    return {key for key in names if any(fnmatchcase(key, pattern) for pattern in patterns)}


@each_model
def test_facts(name):
    config = model_config(name)
    assert config.family in FAMILIES
    assert config.channels in ("rgb", "y")
    with torch.device("meta"):
        net = build_core(config)
    if not name.endswith(".yaml"):  # what a user's own network need not say
        assert config.name == name
        assert config.title and config.authors and config.venue and config.year and config.paper and config.code
        assert config.n_parameters
    assert config.n_parameters in (None, sum(p.numel() for p in net.parameters()))
    for pattern in config.unused_parameters:
        assert unused([pattern], [key for key, _ in net.named_parameters()]), pattern


@each_model
@pytest.mark.parametrize("scale", SCALES)
def test_shape_and_purity(name, scale):
    size = SMALLER.get(kind(name), SIZE)
    net, lr = small_net(name, scale), image(size, n=2)
    before = lr.clone()
    with torch.no_grad():
        sr = net(lr)
        assert sr.shape == (2, 3, scale * size[0], scale * size[1])
        assert sr.dtype == torch.float64
        assert torch.equal(lr, before)
        assert torch.equal(net(lr), sr)
        if hasattr(net.core, "reconstruct"):
            torch.testing.assert_close(net.reconstruct(net.features(lr), lr), sr, rtol=0, atol=1e-14)
        torch.testing.assert_close(net(lr[1:]), sr[1:], rtol=1e-12, atol=1e-12)  # samples do not see each other


@each_model
def test_smallest_image(name):
    config = small_config(name, model_config(name).scale)
    net = build(config).double().eval()
    with torch.no_grad():
        assert net(image((config.min_size, config.min_size))).isfinite().all()


@each_model
def test_one_pixel_less_is_refused(name):
    config = small_config(name, model_config(name).scale)
    if config.min_size == 1:
        pytest.skip("takes an image of one pixel")
    net = build(config).double().eval()
    for size in ((config.min_size - 1, config.min_size), (config.min_size + 3, config.min_size - 1)):
        with pytest.raises(ValueError, match=f"needs? at least {config.min_size}×{config.min_size}"):
            net(image(size))
    with pytest.raises(UserError, match=f"needs at least {config.min_size}×{config.min_size}"):
        attribute(net, image((config.min_size - 1, 32))[0], window=Window(0, 0, 1))


@each_model
def test_bfloat16_stays_near(name):
    """Under autocast, as a GPU would run it: 8 bits of mantissa, and nothing overflows."""
    net, lr = small_net(name, model_config(name).scale).float(), image(SMALLER.get(kind(name), SIZE)).float()
    with torch.no_grad():
        exact = net(lr)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = net(lr)
    assert rough.isfinite().all()
    assert (rough - exact).norm() < 0.05 * exact.norm()


@pytest.mark.slow
@each_model
def test_export(name):
    """torch.export gives a graph of the same numbers; there is no network here that it cannot trace."""
    net, lr = small_net(name, model_config(name).scale), image(SMALLER.get(kind(name), SIZE))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of what it will rename
        graph = torch.export.export(net, (lr,))
        torch.testing.assert_close(graph.module()(lr), net(lr), rtol=1e-12, atol=1e-12)


@each_model
@pytest.mark.parametrize("scale", SCALES)
def test_windowed_reconstruct_is_exact(name, scale):
    height, width = SMALLER.get(kind(name), SIZE)
    net, lr = small_net(name, scale), image((height, width))
    radius, whole = net.reconstruct_radius, Region(0, height, 0, width)
    if radius is None:
        pytest.skip("runs whole: a network without `reconstruct`")
    with torch.no_grad():
        sr, features = net(lr), net.features(lr)
        for y, x in [(0, 0), (height // 2, width // 2), (height - 1, width - 1), (1, width - 2), (radius, radius)]:
            pixel = Region(y, y + 1, x, x + 1)
            part = pixel.grown(radius, whole)
            mine = net.reconstruct(part.cut(features, whole, net.feature_strides), part.cut(lr, whole))
            torch.testing.assert_close(
                pixel.cut(mine, part, scale), pixel.cut(sr, whole, scale), rtol=1e-12, atol=1e-12
            )


@each_model
def test_gradient_reaches_every_parameter(name):
    config = small_config(name, model_config(name).scale)
    reached, everything = set(), set()
    for seed in range(3):  # in one seed a ReLU may be dead
        torch.manual_seed(seed)
        net = build(config).double().eval()
        net(image(SMALLER.get(kind(name), SIZE), seed=seed)).square().sum().backward()
        everything |= {key for key, _ in net.core.named_parameters()}
        reached |= {key for key, p in net.core.named_parameters() if p.grad is not None and bool(p.grad.any())}
    assert everything - reached == unused(config.unused_parameters, everything)


@pytest.mark.parametrize(
    "name",
    [
        *("carn", "csnln", "dat_light", "ddbpn", "drln", "edsr", "fsrcnn", "hat", "lapsrn"),
        *("pan", "rdn", "rnan", "san", "sftgan", "sftmd", "srdensenet", "srresnet", "swinir", "swinir_light"),
    ],
)
def test_undefined_scale_is_refused(name):
    with pytest.raises(UserError, match="Scale 1 is not "):
        build_core(model_config(name, scale=1))


def test_single_scale_carn_holds_one_upsampler():
    """The authors' name for it is `upsample.up`; their counts are 1,111,875 and, for CARN-M, 294,147."""
    for name, count in (("carn", 1_111_875), ("carn_m", 294_147)):
        with torch.device("meta"):
            net = build_core(model_config(name, **{"net.scales": None}))
        assert {key.split(".")[1] for key, _ in net.named_parameters() if key.startswith("upsample.")} == {"up"}
        assert sum(p.numel() for p in net.parameters()) == count


# Names that other publications of the same network use, and the ones they stand for.
OTHER_NAMES = {
    "lapsrn_official_y": {
        "conv_in.bias": "conv_input.bias",
        "conv.1.9.weight": "convt_F2.0.cov_block.18.weight",
        "up.0.bias": "convt_F1.0.cov_block.20.bias",
        "res.1.bias": "convt_R2.bias",
        "img.0.weight": "convt_I1.weight",
    },
    "rrdbnet": {
        "body.22.rdb3.conv5.bias": "RRDB_trunk.22.RDB3.conv5.bias",
        "conv_body.weight": "trunk_conv.weight",
        "conv_up2.weight": "upconv2.weight",
        "conv_hr.bias": "HRconv.bias",
    },
    "srdensenet": {
        "conv1.weight": "conv.conv.weight",
        "denseblock.7.block.7.conv.bias": "dense_blocks.7.block.7.conv.bias",
        "Bottleneck.weight": "bottleneck.0.weight",
        "convt2.bias": "deconv.2.bias",
        "conv2.bias": "reconstruction.bias",
    },
    "srresnet_in": {
        "conv_input.weight": "conv1.0.weight",
        "residual.15.in2.bias": "trunk.15.rcb.4.bias",
        "bn_mid.weight": "conv2.1.weight",
        "upscale4x.3.weight": "upsampling.1.upsample_block.0.weight",
        "conv_output.weight": "conv3.weight",
    },
}


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_other_names_are_translated_and_our_own_stay(name):
    with torch.device("meta"):
        net = build_core(model_config(name))
    ours, other = net.state_dict(), OTHER_NAMES[name]
    assert type(net).from_official({key: key for key in other}) == {other[key]: key for key in other}
    assert set(other.values()) <= set(ours)
    assert type(net).from_official({key: key for key in ours}) == {key: key for key in ours}


MINE = """
name: mine
family: plain
scale: 2
min_size: 3
net:
  _target_: torch.nn.Sequential
  _args_:
    - {_target_: torch.nn.Conv2d, in_channels: 3, out_channels: 12, kernel_size: 5, padding: 2, padding_mode: reflect}
    - {_target_: torch.nn.PixelShuffle, upscale_factor: 2}
"""


@pytest.mark.parametrize(
    "check",
    [
        test_facts,
        test_smallest_image,
        test_one_pixel_less_is_refused,
        test_bfloat16_stays_near,
        test_gradient_reaches_every_parameter,
    ],
)
def test_a_network_of_your_own_is_held_to_the_same(tmp_path, check):
    file = tmp_path / "mine.yaml"
    file.write_text(MINE)
    check(str(file))
    test_shape_and_purity(str(file), 2)
    file.write_text(MINE.replace("min_size: 3", "min_size: 2"))
    if check is test_smallest_image:
        with pytest.raises(RuntimeError, match="[Pp]adding size"):
            check(str(file))


def test_models_of_your_own_are_found(monkeypatch):
    monkeypatch.setenv("LAMSCOPE_MODELS", "a/mine.yaml:b/other.yaml")
    assert registered()[-2:] == ["a/mine.yaml", "b/other.yaml"] and "edsr" in registered()

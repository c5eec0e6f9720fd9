"""Deterministic weights: the same numbers in the authors' code and in ours, from the parameters' names alone.

golden/networks.npz holds what the authors' code computes with these weights on `reference_input` (float64, CPU, torch
2.13), every 7th row and 5th column of the ×4 output. Sources of that code: the `code` entry of each conf/model/*.yaml.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import json
import math
import os
import zlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from lamscope.config import ModelConfig, instantiate, options

GOLDEN = Path(__file__).parent / "golden" / "networks.npz"
ROWS, COLUMNS = slice(None, None, 7), slice(None, None, 5)
NORMS = (nn.BatchNorm2d, nn.InstanceNorm2d, nn.LayerNorm)

# Official networks, and the gain of their weights (below 1 where depth would make the output explode).
ORACLES = {
    "carn": 1.0,
    "carn_m": 1.0,
    "csnln": 1.0,
    "dat_light": 1.0,
    "ddbpn": 1.0,
    "drln": 1.0,
    "edsr": 1.0,
    "edsr_baseline": 1.0,
    "espcn": 1.0,
    "espcn_y": 1.0,
    "fsrcnn": 1.0,
    "fsrcnn_56_48_6": 1.0,
    "fsrcnn_y": 1.0,
    "hat": 1.0,
    "imdn": 1.0,
    "lapsrn": 1.0,
    "lapsrn_y": 1.0,
    "msrn": 1.0,
    "nlrn": 1.0,
    "nlrn_new": 1.0,
    "nlrn_new_rgb": 1.0,
    "pan": 1.0,
    "rcan": 0.65,
    "rdn": 1.0,
    "rfdn": 1.0,
    "rnan": 0.6,
    "rrdbnet": 1.0,
    "san": 0.7,
    "sftgan": 1.0,
    "sftgan_torch": 1.0,
    "sftmd": 1.0,
    "sftmd_demo": 1.0,
    "srcnn": 1.0,
    "srcnn_y": 1.0,
    "srdensenet": 1.0,
    "srdensenet_yjn": 1.0,
    "srresnet": 1.0,
    "srresnet_bn": 1.0,
    "srresnet_in": 1.0,
    "swinir": 1.0,
    "swinir_light": 1.0,
}

# LR pixels of the reference input, where it is not 24×20: the authors' code wants multiples of a window.
SIZES = {
    "dat_light": (32, 64),
    "hat": (32, 48),
    "nlrn": (10, 9),
    "nlrn_new": (10, 9),
    "nlrn_new_rgb": (10, 9),
    "swinir": (24, 32),
    "swinir_light": (24, 32),
}
BRIDGED = {"basicsr", "swinir", "swinir_light"}  # BasicSR's, or built from its blocks
UNIT_RANGE = {"nlrn"}  # whose reference numbers were made at 0..1, though it is for 0..255
SLOW = {
    "csnln",
    "ddbpn",
    "drln",
    "edsr",
    "hat",
    "nlrn",
    "rdn",
    "rrdbnet",
    "san",
    "srdensenet",
    "swinir",
}  # at full size, as the reference numbers need it


def model_config(name: str, **overrides: Any) -> ModelConfig:
    """conf/model/<name>.yaml, or a user's file, resolved and checked against the schema. overrides: of its own keys."""
    read = _read.__wrapped__ if name.endswith(".yaml") else _read  # a user's file may change
    return copy.deepcopy(read(name, json.dumps(overrides)))


@cache
def _read(name: str, overrides: str) -> ModelConfig:
    file = Path(name) if name.endswith(".yaml") else _conf() / "model" / f"{name}.yaml"
    node = OmegaConf.merge(OmegaConf.structured(ModelConfig), OmegaConf.load(file))
    root = OmegaConf.create({"model": node})
    for key, value in json.loads(overrides).items():
        OmegaConf.update(root, f"model.{key}", value)
    model = root.model
    assert isinstance(model, DictConfig)
    config = OmegaConf.to_object(model)
    assert isinstance(config, ModelConfig)
    return config


def build_core(config: ModelConfig) -> nn.Module:
    """The official network, without wrappers, randomly initialised."""
    return instantiate(config.net)


def official_names(name: str, net: nn.Module) -> dict[str, str]:
    """Our entry → the authors' name of it, where `from_official` renames them: the golden file lists the authors'."""
    with np.load(GOLDEN) as golden:
        theirs = golden[f"{name}.names"].tolist() if f"{name}.names" in golden else []
    return {ours: key for key in theirs for ours in type(net).from_official({key: key})}


def deterministic_state(net: nn.Module, gain: float, official: Mapping[str, str] | None = None) -> dict[str, Tensor]:
    """Float64 weights for `net`, which may live on the meta device. official: the authors' names that differ."""
    slopes = {f"{name}.weight" for name, module in net.named_modules() if isinstance(module, nn.PReLU)}
    norms = {f"{name}.weight" for name, module in net.named_modules() if isinstance(module, NORMS)}
    state = {}
    for name, value in net.state_dict().items():
        t = torch.randn(value.shape, generator=_generator((official or {}).get(name, name)), dtype=torch.float64)
        if not value.is_floating_point():
            state[name] = torch.zeros(value.shape, dtype=value.dtype)  # batches counted: a constant to the network
        elif name in slopes:
            state[name] = 0.25 + 0.05 * t
        elif name in norms:
            state[name] = 1 + 0.1 * t
        elif name.endswith("running_mean"):
            state[name] = 0.1 * t
        elif name.endswith("running_var"):
            state[name] = 1 + 0.1 * t.abs()
        elif value.ndim >= 2:
            state[name] = gain * t / math.sqrt(math.prod(value.shape[1:]))
        else:
            state[name] = 0.05 * t
    return state


def deterministic_net(name: str) -> nn.Module:
    """The official network `name` in float64 with the deterministic weights, in eval mode."""
    with torch.device("meta"):
        net = build_core(model_config(name))
    state = deterministic_state(net, ORACLES[name], official_names(name, net))
    net.load_state_dict(state, assign=True)
    if any(table.is_meta for table in net.buffers()):  # tables that are in no state dict
        net = build_core(model_config(name)).double()
        net.load_state_dict(state)
    return net.eval()


def reference_size(name: str) -> tuple[int, int]:
    """LR pixels."""
    return SIZES.get(name, (24, 20))


def reference_input(name: str) -> Tensor:
    """(1, channels, *reference_size), or at SR size where the network takes that, in the official network's range."""
    config = model_config(name)
    peaks = [wrapper.get("peak", 1.0) for wrapper in config.wrappers if name not in UNIT_RANGE]
    peak = max(peaks, default=1.0)
    enlarged = any(wrapper["_target_"].endswith(".PreUpsample") for wrapper in config.wrappers)
    size = (side * (4 if enlarged else 1) for side in reference_size(name))
    shape = (1, 1 if config.channels == "y" else 3, *size)
    return peak * torch.rand(shape, generator=_generator("input"), dtype=torch.float64)


def reference_condition(name: str) -> dict[str, Tensor]:
    """What a conditional network is called with beside the image; empty for the others."""
    config = model_config(name)
    if config.family != "conditional":
        return {}
    k = len(config.net["default_condition"])
    if k == 10:  # SFTMD's code of the blur kernel
        return {"condition": torch.randn((1, k), generator=_generator("kernel_code"), dtype=torch.float64)}
    shape = (1, k, *(4 * side for side in reference_size(name)))  # SFT-GAN's class probabilities
    return {"condition": torch.randn(shape, generator=_generator("segprob"), dtype=torch.float64).softmax(1)}


def relative_error(mine: Tensor, official: Tensor) -> float:
    return ((mine - official).abs().max() / official.abs().max()).item()


def runnable(names: Iterable[str], slow: Iterable[str] = ()) -> list[Any]:
    """The names as parameters of a test, marked if slow, and skipped if they need BasicSR and it is not installed."""
    absent = pytest.mark.skipif(importlib.util.find_spec("basicsr") is None, reason="BasicSR is not installed")
    marks = {name: [absent] * (name in BRIDGED) + [pytest.mark.slow] * (name in slow) for name in names}
    return [pytest.param(name, marks=marks[name]) for name in names]


def registered() -> list[str]:
    """The networks of conf/model, and the YAML files of your own that LAMSCOPE_MODELS names, with : between them."""
    return [*options("model"), *filter(None, os.environ.get("LAMSCOPE_MODELS", "").split(os.pathsep))]


def _conf() -> Path:
    return Path(importlib.import_module("lamscope.conf").__file__ or "").parent


def _generator(name: str) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(f"{name}#open".encode()))

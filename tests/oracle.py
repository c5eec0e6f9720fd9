"""Deterministic weights: the same numbers in the authors' code and in ours, from the parameters' names alone.

golden/networks.npz holds what the authors' code computes with these weights on `reference_input` (float64, CPU, torch
2.13), every 7th row and 5th column of the ×4 output. Sources of that code: the `code` entry of each conf/model/*.yaml.
"""

from __future__ import annotations

import importlib
import math
import zlib
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from lamscope.config import ModelConfig, instantiate, options

GOLDEN = Path(__file__).parent / "golden" / "networks.npz"
ROWS, COLUMNS = slice(None, None, 7), slice(None, None, 5)

# Official networks, and the gain of their weights (below 1 where depth would make the output explode).
ORACLES = {
    "carn": 1.0,
    "carn_m": 1.0,
    "edsr": 1.0,
    "edsr_baseline": 1.0,
    "fsrcnn": 1.0,
    "fsrcnn_56_48_6": 1.0,
    "fsrcnn_y": 1.0,
    "imdn": 1.0,
    "pan": 1.0,
    "rcan": 0.65,
    "rfdn": 1.0,
}


def model_config(name: str, **overrides: Any) -> ModelConfig:
    """conf/model/<name>.yaml, resolved and checked against the schema. overrides: of the file's own keys."""
    node = OmegaConf.merge(OmegaConf.structured(ModelConfig), OmegaConf.load(_conf() / "model" / f"{name}.yaml"))
    root = OmegaConf.create({"model": node})
    for key, value in overrides.items():
        OmegaConf.update(root, f"model.{key}", value)
    model = root.model
    assert isinstance(model, DictConfig)
    config = OmegaConf.to_object(model)
    assert isinstance(config, ModelConfig)
    return config


def build_core(config: ModelConfig) -> nn.Module:
    """The official network, without wrappers, randomly initialised."""
    return instantiate(config.net)


def deterministic_state(net: nn.Module, gain: float) -> dict[str, Tensor]:
    """Float64 weights for `net`, which may live on the meta device."""
    slopes = {f"{name}.weight" for name, module in net.named_modules() if isinstance(module, nn.PReLU)}
    state = {}
    for name, value in net.state_dict().items():
        t = torch.randn(value.shape, generator=_generator(name), dtype=torch.float64)
        if name in slopes:
            state[name] = 0.25 + 0.05 * t
        elif value.ndim >= 2:
            state[name] = gain * t / math.sqrt(math.prod(value.shape[1:]))
        else:
            state[name] = 0.05 * t
    return state


def deterministic_net(name: str) -> nn.Module:
    """The official network `name` in float64 with the deterministic weights, in eval mode."""
    with torch.device("meta"):
        net = build_core(model_config(name))
    net.load_state_dict(deterministic_state(net, ORACLES[name]), assign=True)
    return net.eval()


def reference_input(name: str) -> Tensor:
    """(1, channels, 24, 20), in the official network's own range."""
    config = model_config(name)
    peak = max([wrapper.get("peak", 1.0) for wrapper in config.wrappers], default=1.0)
    shape = (1, 1 if config.channels == "y" else 3, 24, 20)
    return peak * torch.rand(shape, generator=_generator("input"), dtype=torch.float64)


def relative_error(mine: Tensor, official: Tensor) -> float:
    return ((mine - official).abs().max() / official.abs().max()).item()


def registered() -> list[str]:
    return options("model")


def _conf() -> Path:
    return Path(importlib.import_module("lamscope.conf").__file__ or "").parent


def _generator(name: str) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(f"{name}#open".encode()))

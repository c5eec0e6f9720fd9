"""Networks by name: build, load weights, attribute. The front door for Python."""

from __future__ import annotations

import importlib
import inspect
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import weights as weight_files
from .config import Config, ModelConfig, compose, instantiate
from .types import Attribution, UserError, Window

PRECISIONS = dict.fromkeys(("fp32", "tf32", "bf16", "fp16"), torch.float32) | {"fp64": torch.float64}
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Origin:
    """Where a network's numbers come from. file is None for random initialisation."""

    file: str | None
    sha256: str | None
    source_sha256: str | None


def load_model(
    name: str,
    *,
    weights: str | Path | None = "auto",
    device: str | torch.device = "auto",
    dtype: torch.dtype = torch.float32,
    folders: list[str | Path] | None = None,
    overrides: list[str] | None = None,
) -> nn.Module:
    """A network of conf/model by name, RGB [0, 1] in and out, in eval mode and without parameter gradients.

    net(lr): (n, 3, h, w) → (n, 3, s·h, s·w), not clamped. weights: 'auto' (what the YAML names: shipped, or found in
    `folders`), a path, or None (deterministic random initialisation, with a warning). overrides: Hydra's syntax, for
    instance ["model.net.width=32"]. Raises UserError for an unknown name, and weights that are missing or do not fit.
    """
    config = compose([f"model={name}", *(overrides or [])])
    config.model.weights = None if weights is None else str(weights)
    net, _ = load(config.model, folders or [], resolve_device(str(device)), dtype)
    return net


def attribute(
    net: nn.Module,
    lr: Tensor,
    *,
    window: Window,
    method: str = "lam",
    overrides: list[str] | None = None,
    chunk: int | None = None,
    condition: Tensor | None = None,
) -> Attribution:
    """Which LR pixels the network used for a window: lr (3, h, w) RGB in [0, 1] → Attribution with map (3, h, w).

    net: any module from (n, 3, h, w) to (n, 3, s·h, s·w). window: in SR pixels, y + size ≤ s·h − 1. method: a name of
    conf/attribution; overrides: Hydra's syntax, for instance ["attribution.n_steps=63"]. lr goes to the network's
    device and dtype. condition: for networks that read one, (k,) or (k, m·h, m·w) in place of their default. Raises
    UserError for an unknown method, a window outside the image, an image that is too small, and a condition where the
    network reads none; ValueError for one of another shape.
    """
    if lr.ndim != 3 or lr.shape[0] != 3:
        raise UserError(f"lr is one RGB image of shape (3, h, w), not {tuple(lr.shape)}.")
    least = getattr(net, "min_size", 1)
    if min(lr.shape[-2:]) < least:
        raise UserError(f"The image is {lr.shape[-1]}×{lr.shape[-2]}; the network needs at least {least}×{least}.")
    config = compose([f"attribution={method}", *(overrides or [])])
    if condition is not None:
        if condition_of(net) is None:
            raise UserError("This network reads no condition beside the image.")
        net = conditioned(net, condition)
    parameter = next(net.parameters(), lr)
    run = instantiate(config.attribution)
    return run(net, lr.to(parameter.device, parameter.dtype), window, chunk=chunk)


def build(model: ModelConfig) -> nn.Module:
    """The network of a YAML inside its wrappers, with freshly initialised parameters."""
    net = instantiate(model.net)
    if not isinstance(net, nn.Module):
        raise UserError(f"{model.net.get('_target_')} of '{model.name}' is no torch module.")
    wrappers = model.wrappers or [{"_target_": "lamscope.models.wrappers.Range"}]
    for wrapper in wrappers:
        net = instantiate(wrapper, inner=net)
    net.scale = model.scale  # type: ignore[assignment] (a plain attribute, for those who need SR coordinates)
    net.min_size = model.min_size  # type: ignore[assignment] (the outermost wrapper refuses what is smaller)
    return net


def condition_of(net: nn.Module) -> tuple[int, int] | None:
    """What a network reads beside the image: (numbers a pixel, places per LR pixel); None: nothing."""
    core = getattr(net, "core", net)
    default = getattr(core, "default_condition", None)
    return None if default is None else (len(default), core.condition_stride)  # type: ignore[arg-type,return-value]


def conditioned(net: nn.Module, condition: Any) -> nn.Module:
    """A network that takes an image alone, with one sample's condition for good: (k,) or (k, m·h, m·w), or None."""
    if condition is None:
        return net
    given = torch.as_tensor(condition)[None].to(next(net.parameters()))
    return instantiate({"_target_": "lamscope.models.wrappers.Conditioned"}, inner=net, condition=given)


def load(
    model: ModelConfig, folders: list[str | Path], device: torch.device, dtype: torch.dtype
) -> tuple[nn.Module, Origin]:
    """Build, load weights, freeze. Raises UserError when weights are missing or do not fit."""
    path = weight_files.find(model, folders)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = build(model)
    if path is None:
        warnings.warn(f"'{model.name}' has random weights: its maps say nothing of a trained network.", stacklevel=3)
    else:
        weight_files.load_into(net.core, weight_files.read(path), str(path), model.name)  # type: ignore[arg-type]
    net.to(device, dtype).eval().requires_grad_(False)
    file_hash = None if path is None else weight_files.sha256_of(path)
    return net, Origin(None if path is None else path.name, file_hash, source_hash(model))


def network_identity(model: ModelConfig, origin: Origin) -> dict[str, Any]:
    """Everything that decides what a network computes, as JSON values."""
    return {
        "net": model.net,
        "wrappers": model.wrappers,
        "scale": model.scale,
        "weights": origin.sha256,
        "source": origin.source_sha256,
    }


def source_hash(model: ModelConfig) -> str | None:
    """sha256 of the file that defines a user's own network; None for networks of the zoo, which the version covers."""
    target = str(model.net.get("_target_", ""))
    if target.startswith("lamscope."):
        return None
    module = importlib.import_module(target.rpartition(".")[0])
    file = inspect.getsourcefile(module)
    return None if file is None else weight_files.sha256_of(Path(file))


def resolve_device(name: str) -> torch.device:
    """auto → cuda where there is one, else cpu. Raises UserError for a device that this machine lacks."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"Device '{name}' cannot be used here: {reason}.") from error
    return device


def prepare(config: Config) -> tuple[torch.device, torch.dtype]:
    """Set torch up as machine says: threads, plain float32 (TF32 only when asked for), seeds. dtype: of images."""
    if config.machine.precision not in PRECISIONS:
        raise UserError(f"machine.precision is one of {', '.join(PRECISIONS)}, not '{config.machine.precision}'.")
    if config.machine.threads is not None:
        torch.set_num_threads(config.machine.threads)
    device = resolve_device(config.machine.device)
    rounded = config.machine.precision == "tf32"
    if rounded and device.type != "cuda":
        raise UserError(f"machine.precision=tf32 is for NVIDIA GPUs, not for device '{device}'.")
    torch.backends.cuda.matmul.allow_tf32 = rounded
    torch.backends.cudnn.allow_tf32 = rounded
    torch.manual_seed(config.seed)
    return device, PRECISIONS[config.machine.precision]


def precision(name: str, device: torch.device) -> AbstractContextManager[Any]:
    """Within it, networks compute with bf16 or fp16 where autocast allows it; any other name changes nothing here."""
    return torch.autocast(device.type, AUTOCAST[name]) if name in AUTOCAST else nullcontext()


def weight_folders(setting: Any) -> list[str | Path]:
    """machine.weights as a list of folders."""
    if setting is None:
        return []
    return [setting] if isinstance(setting, str | Path) else list(setting)

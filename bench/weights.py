"""Weights: find the file, check its sha256, read it without ever executing code, and say what does not fit."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .config import ModelConfig
from .fetch import cached
from .types import UserError


class WeightsMissing(UserError):
    """The published file of a network is not on this machine."""


WRAPPINGS = ("params_ema", "params", "state_dict", "model")


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def find(model: ModelConfig, folders: Iterable[str | Path] = ()) -> Path | None:
    """The file that model.weights stands for; None for random initialisation.

    'auto' is the file named in the model's YAML, shipped with the package or in one of `folders`; its sha256 must be
    the one stated there. Anything else is a path, taken as it is. Raises UserError with the way out.
    """
    if model.weights is None:
        return None
    if model.weights != "auto":
        path = Path(model.weights).expanduser()
        if not path.is_file():
            raise UserError(f"There is no weights file '{path}'.")
        return path
    checkpoint = model.checkpoint
    if checkpoint.file is None:
        raise WeightsMissing(f"No published weights are known for '{model.name}'. Give a file: model.weights=FILE.")
    path = next((c for c in candidates(model, folders) if c.is_file()), None)
    if path is None:
        source = checkpoint.url or checkpoint.page or model.code or "its authors' page"
        raise WeightsMissing(
            f"The weights of '{model.name}' are not here: get {checkpoint.file} from {source} "
            f"and name its folder with machine.weights=FOLDER{_or_fetch(model)}."
        )
    found = sha256_of(path)
    if checkpoint.sha256 and not found.startswith(checkpoint.sha256):
        raise UserError(
            f"{path} is not the published file of '{model.name}': its sha256 is {found[:16]}…, "
            f"expected {checkpoint.sha256[:16]}…. Fetch it again, or use it all the same with model.weights={path}."
        )
    return path


def _or_fetch(model: ModelConfig) -> str:
    fetchable = model.checkpoint.url and model.checkpoint.sha256
    return f", or run `lamscope weights fetch {model.name}`" if fetchable else ""


def candidates(model: ModelConfig, folders: Iterable[str | Path] = ()) -> list[Path]:
    """Where the file that weights=auto stands for may lie: the package, the user's folders, the cache."""
    checkpoint = model.checkpoint
    if checkpoint.file is None:
        return []
    found = [shipped_folder() / checkpoint.file] if checkpoint.shipped else []
    found += [Path(folder).expanduser() / checkpoint.file for folder in folders]
    place = cached(model)
    return [*found, place] if place is not None else found


def shipped_folder() -> Path:
    """The folder of weights that come with the package."""
    return Path(str(resources.files("lamscope.models"))) / "weights"


def read(path: Path) -> dict[str, Tensor]:
    """The state dict of a .safetensors file or a PyTorch checkpoint, on the CPU, without `module.` prefixes.

    A checkpoint may hold its weights under params_ema, params, state_dict or model. Nothing in the file is executed.
    Raises UserError for a file that is truncated, of another kind, or needs code to be loaded.
    """
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    for key in WRAPPINGS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not content or not all(isinstance(k, str) for k in content):
        raise UserError(f"{path} holds no state dict of named tensors.")
    state = {k.removeprefix("module."): v for k, v in content.items() if isinstance(v, Tensor)}
    if not state:
        raise UserError(f"{path} holds no state dict of named tensors.")
    broken = next((k for k, v in state.items() if v.is_floating_point() and not v.isfinite().all()), None)
    if broken is not None:
        raise UserError(f"{path} holds NaN or infinite values in '{broken}'.")
    return state


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as f:
            return {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 (a safetensors file is no mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is not a readable safetensors file: {_first_line(error)}") from error


def _read_pickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is not loaded: it is damaged, no checkpoint, or wants to execute code, which is never allowed."
        ) from error
    except Exception as error:  # a parser fed with arbitrary bytes may raise anything; all of it means the same
        raise UserError(f"{path} is not a readable checkpoint: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:160] + "."


def load_into(core: nn.Module, state: dict[str, Tensor], source: str, name: str) -> None:
    """Load a state dict under the official names. Raises UserError that names what does not fit."""
    translate = getattr(type(core), "from_official", None)
    if translate is not None:
        state = translate(state)
    try:
        result = core.load_state_dict(state, strict=False)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:] if line.strip()]
        raise UserError(f"{source} does not fit '{name}': {_some(lines)}.") from error
    problems = [f"missing {k}" for k in result.missing_keys] + [f"unexpected {k}" for k in result.unexpected_keys]
    if problems:
        raise UserError(f"{source} does not fit '{name}': {_some(problems)}. Is it a checkpoint of another network?")


def _some(items: list[str], n: int = 3) -> str:
    more = f" and {len(items) - n} more" if len(items) > n else ""
    return "; ".join(item.rstrip(".") for item in items[:n]) + more


def metadata(path: Path) -> dict[str, str]:
    """What the header of a .safetensors file says of its origin; empty for other files."""
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="pt") as f:
            return dict(f.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is not a readable safetensors file: {_first_line(error)}") from error

"""Files of weights that nobody vouched for → tensors. Nothing in them is executed or larger than the file makes it.

A checkpoint is read in three steps: its zip's directory (`zips`); the names that its pickle uses (`pickletools`, which
loads nothing); and only then torch's own restricted unpickler, with the tensors mapped from the file.
"""

from __future__ import annotations

import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from .types import UserError
from .zips import require_stored

WRAPPINGS = ("params_ema", "params", "state_dict", "model")

# What the pickle of a state dict, or of a training state around it, may name. torch's own list also has functions that
# make tensors and bytes of any size out of a number, which a small file can exhaust the memory with.
_DTYPES = ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")
PICKLED = {
    *("collections OrderedDict", "collections Counter", "__builtin__ set", "builtins set"),
    *("torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"),
    *("torch Size", "torch device", "torch.nn.parameter Parameter"),
    *(f"torch {name}Storage" for name in _DTYPES),
    *(f"torch {name}" for name in ("float16", "float32", "float64", "bfloat16", "int64", "int32", "uint8", "bool")),
}
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)


def read(path: Path) -> dict[str, Tensor]:
    """The state dict of a .safetensors file or a PyTorch checkpoint, on the CPU, without `module.` prefixes.

    A checkpoint may hold its weights under params_ema, params, state_dict or model. Raises UserError for a file that is
    truncated, of another kind, needs code to be loaded, or claims more than it has.
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
    odd = next((k for k, v in state.items() if not _is_plain(v)), None)
    if odd is not None:
        raise UserError(f"{path} holds '{odd}', which is no plain tensor of numbers.")
    # a view may repeat its values without end; tied weights repeat them once or twice
    if sum(v.numel() * v.element_size() for v in state.values()) > 4 * path.stat().st_size:
        raise UserError(f"{path} claims more values than a file of its size can hold.")
    broken = next((k for k, v in state.items() if v.is_floating_point() and not v.isfinite().all()), None)
    if broken is not None:
        raise UserError(f"{path} holds NaN or infinite values in '{broken}'.")
    return state


def _is_plain(value: Tensor) -> bool:
    return (
        type(value) in (Tensor, nn.Parameter)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and value.dtype in (*FLOATS, *WHOLE)
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as f:
            return {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 (a safetensors file is no mapping)
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError, OverflowError) as error:
        raise UserError(f"{path} is not a readable safetensors file: {first_line(error)}") from error


def _read_pickle(path: Path) -> Any:
    """What torch.save wrote: a zip file, or the pickles in a row of its older format."""
    with path.open("rb") as stream:
        is_zip = stream.read(4) == b"PK\3\4"  # as torch tells them apart
    try:
        _refuse_code(path, is_zip)
        # mapped, every tensor must lie inside the file
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except UserError:
        raise
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is not loaded: it is damaged, no checkpoint, or wants to execute code, which is never allowed."
        ) from error
    except Exception as error:  # a parser fed with arbitrary bytes may raise anything; all of it means the same
        raise UserError(f"{path} is not a readable checkpoint: {first_line(error)}") from error


def _refuse_code(path: Path, is_zip: bool) -> None:
    """Read what the file's pickles name, without loading any; all of it must be in PICKLED."""
    if not is_zip:
        with path.open("rb") as stream:
            for _ in range(5):  # magic number, protocol, system, content, keys of the storages
                _refuse_names(path, stream)
        return
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if any(name.endswith("/constants.pkl") for name in names):
            raise UserError(f"{path} is not loaded: it is a TorchScript archive, which is code; save its state dict.")
        require_stored(archive)
        content = [name for name in names if name.endswith("/data.pkl")]
        if len(content) != 1:
            raise ValueError("it is a zip file without a checkpoint")
        with archive.open(content[0]) as stream:
            _refuse_names(path, stream)


def _refuse_names(path: Path, stream: Any) -> None:
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4") or (
            opcode.name == "GLOBAL" and argument not in PICKLED
        ):
            named = f" ({argument.replace(' ', '.', 1)[:60]})" if isinstance(argument, str) else ""
            raise UserError(f"{path} is not loaded: it wants to execute code{named}, which is never allowed.")


def metadata(path: Path) -> dict[str, str]:
    """What the header of a .safetensors file says of its origin; empty for other files."""
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="pt") as f:
            return dict(f.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is not a readable safetensors file: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """What an exception says, as the end of a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:160] + "."

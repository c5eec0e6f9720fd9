"""The one import of BasicSR (Wang et al., https://github.com/XPixelGroup/BasicSR), and its networks for the zoo.

BasicSR 1.4.2 imports torchvision, of which super-resolution needs almost nothing. `load` tries, in this order: as is;
with the module that torchvision ≥ 0.17 renamed under its old name; with minimal stand-ins for torchvision, where it is
absent or cannot load its compiled operators. What `load` adds to `sys.modules` is removed before it returns.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

_OLD_NAME = "torchvision.transforms.functional_tensor"
_ABSENT = "BasicSR needs torchvision for this, and torchvision cannot be imported here"


def load(module: str = "basicsr") -> types.ModuleType:
    """Import `module` ("basicsr" or one of its submodules). Raises ImportError with one sentence when it cannot."""
    name = "basicsr"
    try:
        if name not in sys.modules:
            with _torchvision():
                importlib.import_module(name)
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ImportError(
            "BasicSR is not installed; install it with: pip install --no-build-isolation basicsr==1.4.2"
        ) from error


def build_network(*, name: str, **options: Any) -> nn.Module:
    """A network of BasicSR's registry by its class name, RGB in [0, 1] as BasicSR trains them: name="MSRResNet"."""
    registry = load("basicsr.utils.registry").ARCH_REGISTRY
    load("basicsr.archs")
    if name not in registry:
        raise ValueError(f"BasicSR has no network '{name}'; it has {', '.join(sorted(registry.keys()))}.")
    try:
        return registry.get(name)(**options)
    except AttributeError as error:  # some of its networks build nothing for a scale they do not know, and miss it then
        raise ValueError(f"BasicSR's {name} cannot be built with {options}: {error}.") from error


@contextmanager
def _torchvision() -> Iterator[None]:
    """What BasicSR's import wants of torchvision, for as long as the block runs."""
    before = {name for name in sys.modules if _is_torchvision(name)}
    try:
        importlib.import_module("torchvision")
        try:
            importlib.import_module(_OLD_NAME)
            added = {}
        except ModuleNotFoundError:
            added = {_OLD_NAME: importlib.import_module("torchvision.transforms._functional_tensor")}
    except (ImportError, RuntimeError, OSError, AttributeError):  # absent, or built for another torch
        for name in {n for n in sys.modules if _is_torchvision(n)} - before:
            del sys.modules[name]  # what a failed import left behind
        added = _stand_ins()
    sys.modules.update(added)
    try:
        yield
    finally:
        for name in added:
            sys.modules.pop(name, None)


def _is_torchvision(name: str) -> bool:
    return name == "torchvision" or name.startswith("torchvision.")


def _stand_ins() -> dict[str, types.ModuleType]:
    """Modules with the names that BasicSR imports. Only colour normalisation works; the rest says what is missing."""
    names = {
        "torchvision": {"__version__": "0.0.0"},
        "torchvision.transforms": {},
        "torchvision.transforms.functional": {"normalize": _normalize},
        _OLD_NAME: {"rgb_to_grayscale": _missing},
        "torchvision.utils": {"make_grid": _missing},
        "torchvision.ops": {"deform_conv2d": _missing},
        "torchvision.models": {},
        "torchvision.models.vgg": {},
    }
    modules = {}
    for name, contents in names.items():
        module = modules[name] = types.ModuleType(name)
        module.__dict__.update(contents, __path__=[])
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)
    return modules


def _normalize(tensor: Tensor, mean: list[float], std: list[float], inplace: bool = False) -> Tensor:
    """(…, c, h, w): subtract `mean`, divide by `std`, each per channel."""
    shape = (-1, 1, 1)
    offset, divisor = tensor.new_tensor(mean).view(shape), tensor.new_tensor(std).view(shape)
    return tensor.sub_(offset).div_(divisor) if inplace else (tensor - offset) / divisor


def _missing(*_: Any, **__: Any) -> Any:
    raise ImportError(_ABSENT)

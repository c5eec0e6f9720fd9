"""lamscope: which input pixels does a super-resolution network really use?"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .version import __version__

if TYPE_CHECKING:
    from .config import options
    from .metrics.concentration import diffusion_index, gini
    from .table import read_records
    from .types import Attribution, UserError, Window
    from .zoo import attribute, load_model

__all__ = [
    "Attribution",
    "UserError",
    "Window",
    "__version__",
    "attribute",
    "diffusion_index",
    "gini",
    "load_model",
    "options",
    "read_records",
]

_HOME = {
    "Attribution": "types",
    "UserError": "types",
    "Window": "types",
    "attribute": "zoo",
    "diffusion_index": "metrics.concentration",
    "gini": "metrics.concentration",
    "load_model": "zoo",
    "options": "config",
    "read_records": "table",
}


def __getattr__(name: str) -> object:
    # public names are imported when first used, so that `import lamscope` and `lamscope --help` do not wait for torch
    if name in _HOME:
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module 'lamscope' has no attribute '{name}'")

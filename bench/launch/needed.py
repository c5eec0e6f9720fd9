"""Packages that an extra installs."""

from __future__ import annotations

import importlib
from typing import Any

from ..types import UserError


def needed(package: str, extra: str) -> Any:
    """The package, imported. Raises UserError with the command that installs it."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise UserError(f"This launcher needs {error.name}: pip install 'lamscope[{extra}]'.") from error

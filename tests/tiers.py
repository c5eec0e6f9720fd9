"""Which parameters of a test run in the fast tier."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def tiered(names: Iterable[str], slow: Collection[str]) -> list[Any]:
    """The names, those of `slow` marked so: variants of what another name shows. One that is not there is refused."""
    names = list(names)
    assert set(slow) <= set(names), f"{set(slow) - set(names)} are no parameters"
    return [pytest.param(name, marks=pytest.mark.slow) if name in slow else name for name in names]

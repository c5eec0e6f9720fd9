"""experiment=equal_budget: does a wider look go with better reconstruction when training and size are equal?

Every lite network is trained alike (train=lite), so that a DI–PSNR comparison over them is one of architectures. A job
is one network with all seeds of its training; those that are not trained yet are listed, never left out in silence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..config import Config


def measure(config: Config) -> list[dict[str, Any]]:
    """One network on one test set: a cell for every seed that is trained, resumed like any other."""
    from .trained import measure as measure_one

    return measure_one(config)


def conclude(config: Config, results: list[list[dict[str, Any]]]) -> list[Path]:
    """Tables, figures and numbers.md in <results>/equal_budget/<test set>; returns their paths."""
    from .verdict import conclude as judge

    return judge(config, [row for rows in results for row in rows])

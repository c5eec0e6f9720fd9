"""The trial: every attribution method before the same criteria, on the same networks, images and windows.

Each method × network × criterion is a file of its own under <results>/runs/methods, so a trial that was stopped goes on
where it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..config import Config


def measure(config: Config) -> list[Path]:
    """All methods and criteria on one network; returns the files of rows."""
    from .work import measure as work

    return work(config)


def conclude(config: Config, results: list[list[Path]]) -> None:
    """The table with intervals, and one figure per criterion, in <results>/tables and <results>/figures/methods."""
    from .verdict import conclude as judge

    judge(config, [file for files in results for file in files])


__all__: list[Any] = ["conclude", "measure"]

"""The main job: attribute every cell, then rank and draw."""

from __future__ import annotations

from pathlib import Path

from .config import Config
from .report import report
from .runner import run_cell
from .shards import beside


def measure(config: Config) -> Path:
    """One cell; returns its HDF5 file."""
    return run_cell(config)


def conclude(config: Config, files: list[Path]) -> None:
    """Ranking in the terminal, tables and figures of the cells of this command, in <results>/report."""
    report(beside(files), Path(config.results) / "report", config.figures)

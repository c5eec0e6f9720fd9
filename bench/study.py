"""The main job: attribute every cell, then rank and draw."""

from __future__ import annotations

from pathlib import Path

from .config import Config
from .perceptual import asked, score
from .report import report
from .runner import run_cell
from .shards import beside


def measure(config: Config) -> Path:
    """One cell; returns its HDF5 file. With metric.lpips_weights also the LPIPS of its images, beside it."""
    distance = asked(config)
    file = run_cell(config)
    if distance is not None:
        score(config, file, distance)
    return file


def conclude(config: Config, files: list[Path]) -> None:
    """Ranking in the terminal, tables and figures of the cells of this command, in <results>/report."""
    figures = [*config.figures, "lpips_vs_di"] if config.figures and config.metric.lpips_weights else config.figures
    report(beside(files), Path(config.results) / "report", figures)

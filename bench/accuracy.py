"""How far a map is from its limit: `lam` at several step counts, and the reference rule, against 400 midpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from .attribution.lam import PathAttribution
from .config import Config, compose, instantiate
from .explain import lr_tensor
from .metrics.concentration import diffusion_index
from .progress import track
from .report.benchmark import publish
from .zoo import condition_of, conditioned, load, prepare, weight_folders

LIMIT_STEPS = 400
STEPS = (7, 21, 63)


def measure(config: Config) -> list[dict[str, Any]]:
    """One row per image: relative L2 error of each map, its DI error, and the error that lam estimates of itself."""
    device, dtype = prepare(config)
    plain, _ = load(config.model, weight_folders(config.machine.weights), device, dtype)
    lam: PathAttribution = instantiate(config.attribution)
    paper: PathAttribution = instantiate(compose(["attribution=lam_paper"]).attribution)
    methods = {"paper50": paper} | {f"lam{n}": replace(lam, n_steps=n, rtol=None) for n in STEPS}
    dataset = instantiate(config.dataset)
    dataset.check_conditions(config.model.name, config.model.scale, condition_of(plain))
    rows = []
    samples = dataset.samples(config.model.scale)
    for sample in track(samples, len(dataset), 0, f"accuracy of {config.model.name}", config.machine.progress):
        net, lr = conditioned(plain, sample.condition), lr_tensor(sample, device, dtype)
        for window in sample.windows:
            limit = replace(lam, n_steps=LIMIT_STEPS, rtol=None)(net, lr, window).map
            row: dict[str, Any] = {"model": config.model.name, "image": sample.name, "di": diffusion_index(limit)}
            row |= {"window_y": window.y, "window_x": window.x}
            for name, method in methods.items():
                found = method(net, lr, window)
                row[f"{name}_error"] = float((found.map - limit).norm() / limit.norm())
                row[f"{name}_di_error"] = diffusion_index(found.map) - row["di"]
                if found.error is not None:
                    row[f"{name}_estimate"] = found.error
            rows.append(row)
    return rows


def conclude(config: Config, results: list[list[dict[str, Any]]]) -> None:
    """Print the table and write it to <results>/tables/accuracy.csv and .md."""
    frame = pd.DataFrame([row for rows in results for row in rows])
    command = "lamscope run experiment=accuracy machine.weights=FOLDER dataset.path=FOLDER"
    publish(
        frame,
        f"Relative L2 error of the map, and error of DI, against {LIMIT_STEPS} midpoints",
        Path(config.results) / "tables" / "accuracy",
        command,
    )

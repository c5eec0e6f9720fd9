"""How far a map is from its limit, 400 midpoints, and how far the error that `lam` states of itself can be trusted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from .attribution.lam import PathAttribution
from .config import Config, compose, instantiate
from .durable import replacing
from .explain import walk
from .metrics.concentration import diffusion_index
from .report.benchmark import publish
from .zoo import load, prepare, weight_folders

LIMIT_STEPS = 400
STEPS = (7, 12, 21, 63)
RTOL = 0.02  # for n_steps=auto
FACTORS = (1.0, 1.5, 2.0)  # of the stated error, within which the true one is looked for


def measure(config: Config) -> list[dict[str, Any]]:
    """One row per image: relative L2 error of each map, its DI error, and the error that lam estimates of itself."""
    device, dtype = prepare(config)
    plain, _ = load(config.model, weight_folders(config.machine.weights), device, dtype)
    lam: PathAttribution = instantiate(config.attribution)
    paper: PathAttribution = instantiate(compose(["attribution=lam_paper"]).attribution)
    methods = {"paper50": paper} | {f"lam{n}": replace(lam, n_steps=n, rtol=None) for n in STEPS}
    methods |= {
        "sigma21": instantiate({**config.attribution, "path": {**config.attribution["path"], "speed": "sigma"}}),
        "auto": replace(lam, n_steps="auto", rtol=RTOL),
    }
    rows = []
    for sample, net, lr in walk(plain, config, device, dtype, "accuracy"):
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
                if name == "auto":
                    row["auto_steps"] = found.n_steps
            rows.append(row)
    return rows


def conclude(config: Config, results: list[list[dict[str, Any]]]) -> None:
    """Print and write <results>/tables/accuracy (means per network), accuracy_maps (every map) and coverage."""
    frame = pd.DataFrame([row for rows in results for row in rows])
    tables = Path(config.results) / "tables"
    command = "lamscope run experiment=accuracy machine.weights=FOLDER dataset.path=FOLDER"
    tables.mkdir(parents=True, exist_ok=True)
    with replacing(tables / "accuracy_maps.csv") as part:
        part.write_text(frame.to_csv(index=False), encoding="utf-8")
    limit = f"against {LIMIT_STEPS} midpoints"
    publish(summary(frame), f"Relative L2 error of the map {limit}: means", tables / "accuracy", command)
    publish(
        coverage(frame), f"The error that lam states of itself, and the true one {limit}", tables / "coverage", command
    )


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over images per network: every method's error, and its |ΔDI| in percentage points."""
    names = [column.removesuffix("_di_error") for column in frame if column.endswith("_di_error")]
    values = frame[["model"]].copy()
    for name in names:
        values[name] = frame[f"{name}_error"]
    for name in names:
        values[f"{name}_ΔDI"] = frame[f"{name}_di_error"].abs()
    values["auto_steps"] = frame["auto_steps"]
    means = values.groupby("model", sort=False).mean().reset_index()
    means.insert(1, "maps", values.groupby("model", sort=False).size().to_numpy())
    return means


def coverage(frame: pd.DataFrame) -> pd.DataFrame:
    """Per network and number of steps: how often the true error is below the stated one and below multiples of it."""
    rows = []
    names = [column.removesuffix("_estimate") for column in frame if column.endswith("_estimate")]
    for name in names:
        for model, part in [*frame.groupby("model", sort=False), ("all", frame)]:
            ratio = part[f"{name}_error"] / part[f"{name}_estimate"]
            row: dict[str, Any] = {"method": name, "network": model, "maps": int(ratio.notna().sum())}
            row |= {"true_/_stated": float(ratio.median()), "largest": float(ratio.max())}
            row |= {f"below_{factor:g}×": float((ratio <= factor).mean()) for factor in FACTORS}
            rows.append(row)
    return pd.DataFrame(rows)

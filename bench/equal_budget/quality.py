"""experiment=equal_budget_quality: how well every network and seed was trained, whatever came out.

Y-PSNR by the protocol of experiment=psnr, beside bicubic on the same images. A network that ends below bicubic is
listed with its curve; one that is not trained yet, or whose training is unfinished or diverged, is listed as that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from .. import psnr
from ..config import Config
from ..report.benchmark import publish
from ..report.tables import write_text
from ..training.checkpoint import newest
from ..training.curve import read_curve
from .trained import Trained, find, run_folder, settings_of, with_weights

CURVES = "curves"
NOT_YET = "not trained yet"


def measure(config: Config) -> list[dict[str, Any]]:
    """One network on one test set, a row a seed: its facts, its scores or why it has none, and its curve."""
    return [_measure(config, seed) for seed in settings_of(config).seeds]


def _measure(config: Config, seed: int) -> dict[str, Any]:
    settings, model = settings_of(config), config.model
    trained = find(model, seed, settings)
    run = run_folder(model, seed, settings)
    row = {"network": model.name, "family": model.family, "seed": seed, "n_parameters": model.n_parameters}
    row |= {"curve": None if run is None else run / "curve.csv", **_progress(trained, run)}
    if trained is None:
        return row
    scores = psnr.measure(with_weights(config, trained, seed))
    return row | {key: scores[key] for key in ("dataset", "n_images", "psnr_y", "bicubic_psnr_y", "ssim_y")}


def _progress(trained: Trained | None, run: Path | None) -> dict[str, Any]:
    rows = [] if run is None else read_curve(run / "curve.csv")
    seconds = sum(float(row["seconds"]) for row in rows) if rows else None
    if trained is not None:
        seconds = float(trained.said["seconds"]) if "seconds" in trained.said else seconds
        validation = float(trained.said["validation_psnr_y"])
        recipe = json.loads(trained.said["recipe"])
        done = {"updates": int(trained.said["updates"]), "seconds": seconds, "validation_psnr_y": validation}
        return done | {"state": "trained", "recipe": recipe["name"]}
    if run is None:
        return {"updates": 0, "state": NOT_YET}
    diverged = bool(rows) and not rows[-1]["psnr_y"]
    return {"updates": newest(run), "seconds": seconds, "state": "diverged" if diverged else "unfinished"}


def conclude(config: Config, results: list[list[dict[str, Any]]]) -> list[Path]:
    """Print and write <results>/equal_budget/quality.csv and .md, and the curves that are here beside them."""
    folder = Path(config.results) / "equal_budget"
    rows = [row for rows in results for row in rows]
    frame, first = pd.DataFrame(rows), settings_of(config).seeds[0]
    written = [
        write_text(folder / CURVES / f"{row['network']}-seed{row['seed']}.csv", Path(row["curve"]).read_text("utf-8"))
        for row in {(row["network"], row["seed"]): row for row in rows if row["curve"] is not None}.values()
        if Path(row["curve"]).is_file()
    ]
    command = "lamscope run experiment=equal_budget_quality trial.runs=RUNS machine.data=FOLDER"
    return written + publish(
        _table(frame, first), "How well the lite networks were trained", folder / "quality", command, 4
    )


def _table(frame: pd.DataFrame, first: int) -> pd.DataFrame:
    """One row a network and seed, the best on the first test set first; other seeds than the first where begun."""
    rows = [row for row in _rows(frame) if row["seed"] == first or row["state"] != NOT_YET]
    table = pd.DataFrame(rows)
    order = [column for column in table if str(column).endswith("_over_bicubic")][:1]
    return table.sort_values(
        [*order, "network", "seed"], ascending=[False] * len(order) + [True, True], ignore_index=True
    )


def _rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    sets = list(frame.get("dataset", pd.Series(dtype=str)).dropna().unique())
    for _, part in frame.groupby(["network", "seed"], sort=True):
        first = part.iloc[0]
        row = {key: first.get(key) for key in ("network", "seed", "family", "n_parameters", "updates", "seconds")}
        row["kept_out_psnr"] = first.get("validation_psnr_y")
        below = []
        for name in sets:
            here = part[part["dataset"] == name]
            score, bicubic = (
                float(here[key].iloc[0]) if len(here) else float("nan") for key in ("psnr_y", "bicubic_psnr_y")
            )
            row |= {f"{name}_psnr_y": score, f"{name}_over_bicubic": score - bicubic}
            below += [name] if score < bicubic else []
        curve = f"{CURVES}/{first['network']}-seed{first['seed']}.csv"
        yield row | {"state": f"below bicubic on {', '.join(below)}: see {curve}" if below else first["state"]}

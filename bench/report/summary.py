"""What the page knows before it loads an image: networks, images, statistics and provenance of one part, as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..cellfile import NO_IMAGES
from ..figures import panels, style
from ..statistics import alike
from ..store import read_provenance
from ..table import PLACE
from .findings import Findings
from .gather import Part

METRICS = ("di", "psnr_y", "psnr_rgb", "ssim_y")
ROW = ("di", "window_psnr_y", "gap", "error", "n_steps", "n_flat", "status")  # per window and network


def colour_tables() -> dict[str, list[str]]:
    """256 colours (#rrggbb) of each pair of figures/panels, from −1 to 1."""
    fields = {name: panels.coloured(np.linspace(-1, 1, 256)[None, :], name)[0] for name in panels.COLOURS}
    return {name: ["#{:02x}{:02x}{:02x}".format(*rgb) for rgb in field.tolist()] for name, field in fields.items()}


def part_summary(part: Part, findings: Findings, title: str, slug: str) -> dict[str, Any]:
    """Plain values only; NaN is None. Networks are in the order of the ranking, which images refer to."""
    table, records = part.table, part.records
    first = records[~records["status"].isin(NO_IMAGES)].iloc[0]
    test, survey = table.attrs["test"], part.survey
    models = table["model"].tolist()
    ordered = table.sort_values("mean_rank", kind="stable")
    groups = alike(ordered["mean_rank"].to_numpy(), test.critical_difference)
    return plain(
        {
            "slug": slug,
            "title": title,
            **{key: first[key] for key in ("dataset", "attribution", "detector", "scale", "window_size")},
            "lr": [int(first["lr_h"]), int(first["lr_w"])],
            "notes": table.attrs["notes"],
            "networks": _networks(part),
            "images": _images(records, findings.images, models),
            "row": ROW,
            "test": {
                "statistic": test.statistic,
                "p": test.p,
                "critical_difference": test.critical_difference,
                "n_images": test.n_images,
                "groups": [ordered["model"].iloc[a : b + 1].tolist() for a, b in groups],
            },
            "concordance": {"w": findings.concordance.w, "p": findings.concordance.p},
            "agreement": {
                "rank_correlation": survey.agreement["rank_correlation"].mean(skipna=False),
                "overlap": survey.agreement["overlap"].mean(skipna=False),
                "pixels": survey.overlap.loc[models, models].to_numpy(),
            },
            "correlations": findings.scores.to_dict("records"),
            "distance": [
                survey.distance.loc[survey.distance["model"] == model, ["radius", "share"]].to_numpy().T
                for model in models
            ],
            "provenance": [_provenance(files) for files in _files(records, models)],
        }
    )


def windows_of(records: pd.DataFrame, models: list[str]) -> dict[int, list[dict[str, Any]]]:
    """Per image its windows: y, x, size, `number` of the map and `rows` of numbers (see ROW), one per network.

    records: from `maps.numbered`. What a network lacks, or has without a finite result, is None.
    """
    position = {model: i for i, model in enumerate(models)}
    found: dict[int, dict[tuple[int, int], dict[str, Any]]] = {}
    rows = records[~records["status"].isin(NO_IMAGES) & records["model"].isin(models)]
    for row in rows.sort_values([*PLACE, "model"], kind="stable").to_dict("records"):
        place = int(row["window_y"]), int(row["window_x"])
        empty = {"y": place[0], "x": place[1], "size": int(row["window_size"])}
        empty |= {"number": [None] * len(models), "rows": [None] * len(models)}
        window = found.setdefault(int(row["index"]), {}).setdefault(place, empty)
        i = position[row["model"]]
        window["number"][i] = int(row["window"]) if row["status"] == "ok" else None
        window["rows"][i] = plain([row[name] for name in ROW])
    return {index: list(windows.values()) for index, windows in found.items()}


def plain(value: Any) -> Any:
    """NumPy values and missing numbers as JSON has them; numbers to six significant digits."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value


def _networks(part: Part) -> list[dict[str, Any]]:
    table = part.table.merge(part.survey.reach, on="model")
    looks = style.looks(list(part.table[["model", "family"]].itertuples(index=False, name=None)))
    found = []
    for row in table.to_dict("records"):
        look = looks[str(row["model"])]
        found.append(
            {
                "name": row["model"],
                "label": look.label,
                "family": row["family"],
                "colour": look.colour,
                "marker": look.marker,
                **{key: row[key] for key in ("rank", "mean_rank", "n_parameters", "r50", "r90")},
                **{m: [row[m], row[f"{m}_low"], row[f"{m}_high"], row[f"{m}_median"]] for m in METRICS},
            }
        )
    return found


def _images(records: pd.DataFrame, ranked: pd.DataFrame, models: list[str]) -> list[dict[str, Any]]:
    """Every image, with its rank if all networks have it; means over windows, None where a window is missing."""
    good = records[(records["status"] == "ok")]
    places = records[records["index"].notna()].drop_duplicates(PLACE).groupby("index").size()
    counts = good.groupby(["index", "model"]).size().unstack().reindex(columns=models)
    whole = counts.eq(places.reindex(counts.index), axis=0)
    means = {
        m: good.groupby(["index", "model"])[m].mean().unstack().reindex(columns=models).where(whole) for m in METRICS
    }
    names = records[records["index"].notna()].groupby("index")["image"].first()
    ranks = ranked.set_index("index")
    found = []
    for index, name in names.items():
        row: dict[str, Any] = {"index": int(str(int(index))), "name": name, "n_windows": int(places[index])}  # type: ignore[call-overload]
        if index in ranks.index:
            row |= {"rank": int(ranks.loc[index, "rank"]), "rank_mean": int(ranks.loc[index, "rank_mean"])}
        for metric, table in means.items():
            row[metric] = table.loc[index].tolist() if index in table.index else [None] * len(models)
        found.append(row)
    return found


def _files(records: pd.DataFrame, models: list[str]) -> list[list[str]]:
    rows = records[~records["status"].isin(NO_IMAGES)]
    return [rows.loc[rows["model"] == model, "file"].unique().tolist() for model in models]


def _provenance(files: list[str]) -> dict[str, Any]:
    """How a network's numbers were made, from the first of its files."""
    stored = read_provenance(files[0])
    model = stored.get("config", {}).get("model", {})
    identity = stored.get("identity", {})
    environment = stored.get("environment", {})
    return {
        "digest": str(stored.get("digest", ""))[:10],
        "file": Path(files[0]).name,
        "weights": stored.get("weights_file"),
        "sha256": identity.get("weights"),
        "images": identity.get("images"),
        **{key: model.get(key) for key in ("title", "authors", "venue", "year", "paper", "code")},
        "trained_on": (model.get("checkpoint") or {}).get("training_set"),
        "licence": (model.get("checkpoint") or {}).get("licence"),
        **{key: environment.get(key) for key in ("lamscope", "commit", "python", "device", "precision")},
        "torch": (environment.get("packages") or {}).get("torch"),
        "net": json.dumps(identity.get("net") or {}, sort_keys=True),
        "attribution": json.dumps(identity.get("attribution") or {}, sort_keys=True),
        "environments": 1 + len(stored.get("also", [])),
    }

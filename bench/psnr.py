"""experiment=psnr: every network with weights on hand × chosen sets, measured beside what its authors published.

Protocol of the field: HR cropped to a multiple of the scale, MATLAB's bicubic, the network's output rounded to 8 bits,
scale pixels shaved. PSNR-Y is on BT.601 luminance in floating point (as BasicSR), PSNR-Y8 on luminance rounded to 8
bits (as MATLAB's rgb2ycbcr on a uint8 image), PSNR-RGB over all three channels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch

from .config import Config, instantiate
from .datasets import known_sets
from .downsampling import bicubic_sr
from .explain import lr_tensor
from .kept import kept, place
from .metrics import fidelity
from .perceptual import Perceptual, asked
from .progress import track
from .report.paper import Column, PaperTable, write_table
from .scores import SCORES as ADDED
from .types import WeightsMissing
from .zoo import load, network_identity, precision, prepare, weight_folders

TOLERANCE = 0.02  # dB: two decimals are published, and a mean over images rounds both
SCORES = ("psnr_y", "psnr_y8", "psnr_rgb", "ssim_y")
COLUMNS = (
    Column("network", "network"),
    Column("dataset", "test set"),
    Column("n_images", "images", "d"),
    Column("psnr_rgb", "PSNR-RGB", ".2f"),
    Column("psnr_y8", "PSNR-Y8", ".2f"),
    Column("psnr_y", "PSNR-Y", ".2f"),
    Column("published_psnr", "published", ".2f"),
    Column("difference", "difference", "+.2f"),
    Column("ssim_y", "SSIM-Y", ".4f"),
    Column("published_ssim", "published", ".4f"),
    Column("remark", "beyond 0.02 dB"),
)
PERCEPTUAL = tuple(Column(key, head, ".4f") for key, head in ADDED.items())  # where they were asked for


def measure(config: Config) -> dict[str, Any]:
    """One network on one set: its mean scores, bicubic's on the same images, and what is published of it.

    Scores are kept in <results>/psnr/<set>/<network>-<digest>.json, so that a stopped command goes on where it stopped.
    A network whose weights are not here is a row without scores, and takes no time.
    """
    device, dtype = prepare(config)
    distance = asked(config)
    dataset = instantiate(config.dataset)
    model = config.model
    row: dict[str, Any] = {"network": model.name, "dataset": dataset.name, "scale": model.scale}
    try:
        net, origin = load(model, weight_folders(config.machine.weights), device, dtype)
    except WeightsMissing:
        return row
    identity = {
        **network_identity(model, origin),
        "images": dataset.manifest()["sha256"],
        "downsampling": config.dataset["downsampling"],
        "precision": config.machine.precision,
        "lpips": distance and [distance.score, distance.about],
    }

    def compute() -> dict[str, float]:
        samples = dataset.samples(model.scale)
        label = f"{model.name} on {dataset.name}"
        found = []
        for sample in track(samples, len(dataset), 0, label, config.machine.progress):
            with torch.no_grad(), precision(config.machine.precision, device):
                sr = fidelity.to_image(net(lr_tensor(sample, device, dtype)[None])[0])
            bicubic = _scores(bicubic_sr(sample.lr, model.scale), sample.hr, model.scale, distance)
            of_bicubic = {f"bicubic_{key}": value for key, value in bicubic.items()}
            found.append(_scores(sr, sample.hr, model.scale, distance) | of_bicubic)
        return {"n_images": len(found), **pd.DataFrame(found).mean()}

    file = place(Path(config.results) / "psnr" / dataset.name, model.name, identity)
    published = model.published.get(dataset.name) if model.scale == 4 else None
    row |= {"weights": origin.sha256, "family": model.family, "channels": model.channels}
    row |= {"lite": model.checkpoint.shipped, "training_set": model.checkpoint.training_set}
    row |= kept(file, config.on_existing, compute)
    return row | _beside(row, published, model.checkpoint.note)


def _scores(sr: Any, hr: Any, scale: int, distance: Perceptual | None) -> dict[str, float]:
    found = fidelity.fidelity(sr, hr, shave=scale)
    found |= {distance.score: distance(sr, hr)} if distance else {}
    return found | {"psnr_y8": fidelity.psnr(sr, hr, shave=scale, rounded=True)}


def _beside(row: dict[str, Any], published: Any, note: str | None) -> dict[str, Any]:
    """The published numbers, the difference, and, where it is beyond TOLERANCE, its likely reason."""
    if not published:
        return {}
    psnr, ssim = (*published, None)[:2]
    difference = round(row["psnr_y"], 2) - psnr
    remark = ""
    if abs(difference) > TOLERANCE + 1e-9:
        rounded = abs(round(row["psnr_y8"], 2) - psnr) <= TOLERANCE + 1e-9
        remark = "published with 8-bit luminance (PSNR-Y8)" if rounded else note or "reason unknown"
    return {"published_psnr": psnr, "published_ssim": ssim, "difference": difference, "remark": remark}


def conclude(config: Config, rows: list[dict[str, Any]]) -> None:
    """Print the table and write <results>/tables/psnr_<sets>.csv, .md and .tex. Raises UserError for no weights."""
    columns = [*COLUMNS[:-1], *(c for c in PERCEPTUAL if any(c.key in row for row in rows)), COLUMNS[-1]]
    frame = pd.DataFrame(rows).reindex(columns=_keys(columns, rows))
    sets = list(dict.fromkeys(frame["dataset"]))
    lacking = sorted(frame.loc[frame["n_images"].isna(), "network"].unique())
    measured = frame[~frame["network"].isin(lacking)]
    if measured.empty:
        raise WeightsMissing("None of these networks has its weights here: name a folder with machine.weights=FOLDER.")
    measured = measured.assign(n_images=measured["n_images"].astype(int))
    lite = measured["lite"].astype(bool)
    parts = [("", pd.concat([_bicubic(measured), measured[~lite]], ignore_index=True))]
    if lite.any():
        parts.append(("Lite networks, which ship with lamscope and were trained on other photographs", measured[lite]))
    notes = [
        "PSNR-Y: luminance in floating point; PSNR-Y8: rounded to 8 bits, as MATLAB; difference: PSNR-Y − published."
    ]
    notes += ["LPIPS: of 8-bit RGB, nothing shaved; lower is better."] if len(columns) > len(COLUMNS) else []
    notes += [f"No weights here, so not measured: {', '.join(lacking)}."] if lacking else []
    command = f"lamscope run experiment=psnr machine.weights=FOLDER {_where(config, sets)}"
    table = PaperTable("Published and measured PSNR", command, columns, parts, notes)
    write_table(table, Path(config.results) / "tables" / ("psnr_" + "_".join(sets)))


def _keys(columns: list[Column], rows: list[dict[str, Any]]) -> list[str]:
    """The table's columns first, then all others that a row has."""
    return list(dict.fromkeys([column.key for column in columns] + [key for row in rows for key in row]))


def _where(config: Config, sets: list[str]) -> str:
    if config.dataset.get("path") or "known" not in config.dataset:
        return "dataset=folder dataset.path=FOLDER"
    return f"machine.data=FOLDER dataset={','.join(sets)}"


def _bicubic(measured: pd.DataFrame) -> pd.DataFrame:
    """One row per set and scale: MATLAB's bicubic beside what papers print of it, the check of the protocol itself."""
    known = known_sets()
    rows = []
    for (name, scale), part in measured.groupby(["dataset", "scale"], sort=False):
        first = part.iloc[0]
        row = {"network": f"bicubic ×{scale}", "dataset": name, "scale": scale, "n_images": first["n_images"]}
        row |= {s: first[f"bicubic_{s}"] for s in (*SCORES, *ADDED) if f"bicubic_{s}" in first}
        facts = known.get(str(name))
        published = facts.bicubic.get(f"x{scale}") if facts else None
        rows.append(row | _beside(row, published, facts.bicubic_note if facts else None))
    return pd.DataFrame(rows).reindex(columns=measured.columns)

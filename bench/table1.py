"""experiment=table1: Table 1 of the LAM paper (Gu & Dong, CVPR 2021) for every network with weights here, beside it.

The paper's 150 images were never listed and its weights are partly its authors' own, so no row can be expected to agree
to the digit; what differs stands below the table.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from .catalogue import catalogue
from .config import Config, ModelConfig, read_model
from .report.paper import Column, PaperTable, write_table
from .report.terminal import interval
from .runner import run_cell
from .shards import beside
from .table import ranking, read_records
from .types import UserError, WeightsMissing

# the paper's rows in its order: our model, its receptive field in LR pixels, its remark; PSNR and DI are in conf/model
ROWS: dict[str, tuple[str, str]] = {
    "fsrcnn_56_48_6": ("17", "fully convolutional"),
    "carn": ("45", "residual"),
    "edsr_baseline": ("75", "residual"),
    "msrn": ("107", "residual"),
    "rrdbnet": ("703", "residual"),
    "imdn": ("global", "global pooling"),
    "rfdn": ("global", "global pooling"),
    "rcan": ("global", "global pooling"),
    "rnan": ("global", "non-local"),
    "san": ("global", "non-local"),
}
SCALE = 4
COLUMNS = (
    Column("model", "network"),
    Column("field_paper", "field, paper"),
    Column("field_rule", "by its rule", "d"),
    Column("field_measured", "measured"),
    Column("psnr_paper", "PSNR, paper", ".2f"),
    Column("psnr_rgb", "PSNR-RGB", ".2f"),
    Column("psnr_y", "PSNR-Y", ".2f"),
    Column("di_paper", "DI %, paper", ".2f"),
    Column("di", "DI %", ".2f"),
    Column("interval", "95 % interval"),
    Column("remark", "remark"),
)


def measure(config: Config) -> dict[str, Any] | None:
    """One network's cell, by the Y detector for networks on luminance; None for another scale.

    `file` is None when its weights are not here.
    """
    model = config.model
    if model.scale != SCALE:
        return None
    if model.channels == "y":
        detector = config.attribution.get("detector", {}) | {"channels": "y"}
        config = replace(config, attribution=config.attribution | {"detector": detector})
    try:
        return {"model": model.name, "file": run_cell(config)}
    except WeightsMissing:
        return {"model": model.name, "file": None}


def conclude(config: Config, results: list[dict[str, Any] | None]) -> None:
    """Print the table and write <results>/tables/table1_<data set>.csv, .md and .tex."""
    files = {row["model"]: beside([row["file"]]) for row in results if row and row["file"] is not None}
    if not files:
        raise WeightsMissing("None of these networks has its weights here: name a folder with machine.weights=FOLDER.")
    records = read_records(file for found in files.values() for file in found)
    known = [read_model(name) for name in files if _of_the_zoo(name)]
    fields = catalogue(config, known, measure=True).set_index("name")
    rules = catalogue(config, [read_model(name) for name in ROWS]).set_index("name")["receptive_field"]
    rgb = _rows(records[records["detector"] == "rgb"], fields)
    luminance = _rows(records[records["detector"] == "y"], fields)
    lite = rgb["model"].map(_is_lite).astype(bool)
    paper = pd.DataFrame([_paper_row(name, int(rules[name])) for name in ROWS]).set_index("model")
    first = paper.combine_first(rgb[~lite].set_index("model")).loc[list(ROWS)].reset_index()
    parts = [
        ("Table 1", first),
        ("Other networks with weights here", rgb[~lite & ~rgb["model"].isin(list(ROWS))]),
        ("Networks on luminance, by the Y detector: not to be ranked with the others", luminance),
        ("Lite networks, which ship with lamscope and were trained on other photographs", rgb[lite]),
    ]
    keys = [*(column.key for column in COLUMNS), "di_low", "di_high", "n_images"]
    dataset = str(records["dataset"].iloc[0])
    command = "lamscope run experiment=table1 machine.weights=FOLDER dataset.path=FOLDER"
    title = f"Table 1 of Gu & Dong (CVPR 2021), and the same columns measured on {dataset}"
    filled = [(heading, frame.reindex(columns=keys)) for heading, frame in parts if len(frame)]
    table = PaperTable(title, command, COLUMNS, filled, _what_differs(records, list(files)))
    write_table(table, Path(config.results) / "tables" / f"table1_{dataset}")


def _rows(records: pd.DataFrame, fields: pd.DataFrame) -> pd.DataFrame:
    """Measured columns of one detector's networks, in the order of their DI, the narrowest first as in the paper."""
    if records.empty:
        return pd.DataFrame(columns=[column.key for column in COLUMNS])
    found = ranking(records).sort_values("di", ignore_index=True)
    here = fields.reindex(found["model"])
    return pd.DataFrame(
        {
            "model": found["model"],
            "field_rule": here["receptive_field"].array,
            "field_measured": [_field(*pair) for pair in zip(here["support"], here["support_frame"], strict=True)],
            "psnr_rgb": found["psnr_rgb"],
            "psnr_y": found["psnr_y"],
            "di": found["di"],
            "interval": [interval(*pair) for pair in zip(found["di_low"], found["di_high"], strict=True)],
            "di_low": found["di_low"],
            "di_high": found["di_high"],
            "n_images": found["n_images"].astype(float),  # rows of the paper have none
            "remark": found["family"],
        }
    )


def _paper_row(name: str, rule: int) -> dict[str, Any]:
    field, remark = ROWS[name]
    published = read_model(name).published["lam_table1"]
    row = {"model": name, "field_paper": field, "field_rule": rule, "remark": remark}
    return row | {"psnr_paper": published["psnr"], "di_paper": published["di"]}


def _field(support: Any, frame: Any) -> str:
    """The side of the gradient's support; 'global' where it filled the longest image tried, which is then named."""
    if pd.isna(support):
        return ""
    return f"global ({frame})" if support == "global" else str(int(support))


def _of_the_zoo(name: str) -> bool:
    try:
        return bool(read_model(name).name)
    except UserError:  # a network of the user's own
        return False


def _model(name: str) -> ModelConfig:
    return read_model(name) if _of_the_zoo(name) else ModelConfig(name=name)


def _is_lite(name: str) -> bool:
    return _model(name).checkpoint.shipped


def _what_differs(records: pd.DataFrame, names: list[str]) -> list[str]:
    """The plain statement: images, protocol, weights."""
    first = records.iloc[0]
    n, h, w = records["image"].nunique(), int(first["lr_h"]), int(first["lr_w"])
    images = (
        f"Images: {n} of {first['dataset']}, LR {w}×{h}; the paper's are 150 of LR 64×64 from DIV2K validation and "
        "Urban100, and were never listed. PSNR and DI are means over different images: compare orders, not numbers."
    )
    protocol = (
        f"Protocol: {first['attribution']}, windows of {int(first['window_size'])} SR pixels, where bicubic fails most "
        "unless told otherwise; the paper has the reference rule of 50 steps and does not say where its windows lie."
    )
    fields = (
        "Fields in LR pixels: the paper's rule is 1 + Σ(k − 1) over all convolutions, and global where pooling or "
        "attention is; measured is the side of the gradient's support."
    )
    notes = [images, protocol, "PSNR: the paper does not say whether of RGB or of Y; here 4 pixels are shaved.", fields]
    notes.append("A row of Table 1 with – has no official weights here. The paper trained FSRCNN and EDSR itself.")
    for name in names:
        checkpoint = _model(name).checkpoint
        trained = f"trained on {checkpoint.training_set or 'a set that is not stated'}"
        notes.append(f"{name}: {checkpoint.file}, {trained}{f'; {checkpoint.note}' if checkpoint.note else ''}.")
    return notes

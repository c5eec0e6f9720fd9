"""Any frame of measurements, printed, and written as CSV and Markdown with the command that made it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from ..durable import replacing
from .terminal import terminal


def publish(frame: pd.DataFrame, title: str, stem: Path, command: str, digits: int = 3) -> list[Path]:
    """Print the frame; write <stem>.csv (all digits) and <stem>.md (so many significant ones); returns both paths."""
    table = markdown_table(frame, digits)
    terminal().print(f"{title}\n\n{table}\n", markup=False, soft_wrap=True)
    stem.parent.mkdir(parents=True, exist_ok=True)
    contents = {".csv": frame.to_csv(index=False), ".md": f"# {title}\n\n`{command}`\n\n{table}\n"}
    written = []
    for suffix, content in contents.items():
        path = stem.with_suffix(suffix)
        with replacing(path) as part:
            part.write_text(content, encoding="utf-8")
        written.append(path)
    return written


def command_of(experiment: str, models: Iterable[str], dataset: dict[str, Any]) -> str:
    """What makes a measurement again with the reader's own FOLDERs. dataset: its node of the configuration."""
    own: dict[str, Any] = {
        "FolderDataset": "folder dataset.path=FOLDER",
        "HDF5Dataset": "hdf5 dataset.path=FILE",
        "PairDataset": "pairs dataset.path=FOLDER dataset.lr_path=FOLDER",
    }
    where = own.get(dataset["_target_"].split(".")[-1], dataset["name"])
    where += f" dataset.limit={dataset['limit']}" if dataset.get("limit") else ""
    return f"lamscope run experiment={experiment} model={','.join(models)} machine.weights=FOLDER dataset={where}"


def markdown_table(frame: pd.DataFrame, digits: int = 3) -> str:
    """A Markdown table: numbers to the right, underscores as spaces, – for what is missing."""
    shown = frame.map(lambda value: f"{value:#.{digits}g}".rstrip(".") if isinstance(value, float) else str(value))
    shown = shown.where(frame.notna(), "–")
    numeric = [pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]
    rows = [[str(name).replace("_", " ") for name in shown], [" --: " if n else " :-- " for n in numeric]]
    rows += [[f" {cell} " for cell in row] for row in shown.itertuples(index=False)]
    rows[0] = [f" {name} " for name in rows[0]]
    return "\n".join("|" + "|".join(row) + "|" for row in rows)

"""The ranking and the numbers behind the figures as CSV (all digits) and Markdown (to read)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..durable import replacing
from ..scores import SCORES
from .terminal import count, interval

FORMULA = ("=", "+", "-", "@")


def write_tables(records: pd.DataFrame, ranking: pd.DataFrame, title: str, folder: Path) -> list[Path]:
    """ranking.csv, ranking.md and records.csv in folder; returns their paths. Each appears whole or not at all."""
    return [
        write_text(folder / "ranking.csv", csv_text(ranking)),
        write_text(folder / "ranking.md", markdown(ranking, title)),
        write_text(folder / "records.csv", csv_text(records)),
    ]


def csv_text(table: pd.DataFrame) -> str:
    """CSV with all digits. A text that a spreadsheet would compute, by how it begins, gets an apostrophe before it."""
    shown = table.copy()
    for name in shown.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in shown.dtypes]]:
        shown[name] = [f"'{v}" if isinstance(v, str) and v.startswith(FORMULA) else v for v in shown[name]]
    return shown.to_csv(index=False)


def markdown(ranking: pd.DataFrame, title: str) -> str:
    """The ranking as a Markdown document, with what is missing below it."""
    head = ["rank", "network", "family", "DI (%)", "95 % interval", "median", "PSNR-Y (dB)", "PSNR-RGB (dB)", "SSIM-Y"]
    added = [name for name in SCORES if name in ranking]
    head += [*(SCORES[name] for name in added), "parameters"]
    lines = [f"# {title}", "", _row(head), _row(["--:", ":--", ":--", *["--:"] * (len(head) - 3)])]
    for row in ranking.to_dict("records"):
        numbers = [f"{row['di']:.3f}", interval(row["di_low"], row["di_high"]), f"{row['di_median']:.3f}"]
        numbers += [f"{row['psnr_y']:.2f}", f"{row['psnr_rgb']:.2f}", f"{row['ssim_y']:.4f}"]
        numbers += [f"{row[name]:.4f}" if row[name] == row[name] else "–" for name in added]
        lines.append(_row([str(row["rank"]), row["model"], row["family"], *numbers, count(row["n_parameters"])]))
    n = int(ranking["n_images"].iloc[0])
    means = f"Means over {n} image{'s' if n != 1 else ''}" if n != 1 else "One image"
    lines += ["", f"{means}; the interval is a bootstrap over images, the same resamples for every network."]
    lines += [f"- {note}" for note in ranking.attrs.get("notes", [])]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"


def write_text(path: Path, text: str) -> Path:
    """Write one file, whole or not at all; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
    return path

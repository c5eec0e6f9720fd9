"""The numbers of equal budget, printed and written: tables, numbers.md and figures. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..config import Config
from ..figures import seeds, style
from ..report import report
from ..report.benchmark import markdown_table
from ..report.tables import write_text
from ..report.terminal import interval, terminal
from ..table import read_records
from ..types import UserError
from .analysis import QUANTITIES, Runs, correlations, gather, one_each, variation

RUNS = """\
DI and PSNR are means over images, DI's interval (95 %) a bootstrap over images; r50 and r90 are the distances from the
window, in LR pixels, that hold half and nine tenths of the attribution."""
CORRELATIONS = """\
One run a network. Intervals (95 %) are bootstraps over networks, over images, and over both at once: believe the last.
Within images: the mean over images of the correlation across networks. Families: those with three networks of
equal size or more; below five, resampling networks says nothing."""
SPREAD = """\
Standard deviations over runs of one architecture and over architectures; the share of variance that is architecture
(ICC, 95 % interval from F); the share of pairs of architectures further apart than 95 % of pairs of runs of one."""


def conclude(config: Config, results: list[dict[str, Any]]) -> list[Path]:
    """Print the numbers and write them, with the figures, to <results>/equal_budget/<test set>."""
    files = [row["file"] for row in results if row["file"] is not None]
    if not files:
        raise UserError(
            "None of these networks is trained: lamscope train -m model='glob(*_lite)' train=lite …, "
            "then trial.runs=results/train."
        )
    runs = gather(read_records(files))
    folder = Path(config.results) / "equal_budget" / str(runs.records["dataset"].iloc[0])
    untrained = sorted({row["model"] for row in results} - set(runs.table["network"]))
    found, spread = correlations(runs), variation(runs)
    text = _markdown(runs, found, spread, untrained)
    terminal().print(text, markup=False, soft_wrap=True)
    written = [
        write_text(folder / "networks.csv", runs.table.to_csv(index=False)),
        write_text(folder / "correlations.csv", found.to_csv(index=False)),
        write_text(folder / "spread.csv", spread.to_csv(index=False)),
        write_text(folder / "numbers.md", text),
        *style.save(style.page(seeds.draw(runs.records, runs.table, _said(runs, found))), folder / "psnr_vs_di"),
    ]
    chosen = runs.table.loc[one_each(runs.table), "run"]
    firsts = runs.records.loc[runs.records["run"].isin(chosen), "file"].unique()
    return written + report(firsts, folder.parent, config.figures)


def _markdown(runs: Runs, found: pd.DataFrame, spread: pd.DataFrame, untrained: list[str]) -> str:
    first, n_images = runs.records.iloc[0], len(runs.by_image["di"])
    table = runs.table
    title = (
        f"Equal budget: {table['network'].nunique()} networks, {len(table)} runs, {n_images} images of "
        f"{first['dataset']} (LR {int(first['lr_w'])}×{int(first['lr_h'])})"
    )
    where = "" if first["dataset"] == "shipped" else " dataset=folder dataset.path=FOLDER"
    parts = [
        f"# {title}",
        f"`lamscope run experiment=equal_budget trial.runs=RUNS{where}`",
        *([" ".join(runs.notes)] if runs.notes else []),
        f"Not trained yet: {', '.join(untrained)}." if untrained else "Every network is trained.",
        "## Runs, the widest first",
        RUNS,
        markdown_table(_networks(table), 4),
        "## Does a wider look go with a better score? Correlations over networks",
        CORRELATIONS,
        markdown_table(_correlations(found)) if len(found) else "Fewer than three networks: no correlation.",
        "## Seeds against architectures",
        SPREAD,
        markdown_table(_spread(spread)),
    ]
    return "\n\n".join(parts) + "\n"


def _said(runs: Runs, found: pd.DataFrame) -> list[str]:
    """The figure's words: the correlations over all networks with the table's last interval."""
    lines = []
    for row in found[(found["scope"] == "all") & (found["x"] == "ln_di") & (found["y"] == "psnr_y")].itertuples():
        if row.kind in ("pearson", "spearman"):
            sure = np.isfinite(row.both_low)
            lines.append(
                f"{row.kind.capitalize()} {row.value:.2f}"
                + (f" [{row.both_low:z.2f}, {row.both_high:z.2f}]" if sure else "")
            )
    n_images = len(runs.by_image["di"])
    return [line.replace("-", "−") for line in lines] + [f"{n_images} image{'s' if n_images > 1 else ''}"]


def _networks(table: pd.DataFrame) -> pd.DataFrame:
    shown = table[["network", "seed", "family", "n_parameters", "di", "psnr_y", "window_psnr_y", "r50", "r90"]].copy()
    shown.insert(5, "di_interval", _intervals(table, "di_"))
    return shown


def _correlations(found: pd.DataFrame) -> pd.DataFrame:
    shown = found[["x", "y", "scope", "kind", "value"]].copy()
    for over in ("networks", "images", "both"):
        shown[f"over_{over}"] = _intervals(found, f"{over}_")
    return shown.assign(n=found["n"])


def _spread(spread: pd.DataFrame) -> pd.DataFrame:
    shown = spread.assign(quantity=spread["quantity"].map(QUANTITIES), interval=_intervals(spread, "", 4))
    shown["icc"] = [f"{value:.4f}" if np.isfinite(value) else "–" for value in spread["icc"]]  # mostly close to 1
    first = ["quantity", "scope", "over_seeds", "over_architectures", "icc", "interval", "pairs_beyond_seeds"]
    return shown[[*first, "n_architectures", "n_repeated", "n_runs"]]


def _intervals(frame: pd.DataFrame, prefix: str, digits: int = 2) -> list[str]:
    return [interval(*pair, digits) for pair in zip(frame[f"{prefix}low"], frame[f"{prefix}high"], strict=True)]

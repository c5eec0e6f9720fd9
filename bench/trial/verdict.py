"""From rows to a verdict: means over networks and images with paired intervals; what beats LAM and what does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..config import Config
from ..figures import criterion as figure
from ..figures import style
from ..report.benchmark import publish
from ..statistics import bootstrap_mean, rank_test
from .cell import read

REFERENCE = "lam"


@dataclass(frozen=True)
class Question:
    """better: +1 when larger is better, −1 when smaller is, 0 for what is only told."""

    title: str
    better: int


QUESTIONS = {
    "completeness": Question("Completeness gap (relative)", -1),
    "saturation": Question("Distance of |gradient| from |ΔD| along the path", -1),
    "deletion blur": Question("Deletion by blurring: change of the window", +1),
    "deletion swap": Question("Deletion by other images' patches", +1),
    "insertion blur": Question("Insertion into a blurred image", +1),
    "insertion swap": Question("Insertion into another image", +1),
    "sensitivity blur": Question("Sensitivity-n, blurred blocks (correlation)", +1),
    "sensitivity swap": Question("Sensitivity-n, swapped blocks (correlation)", +1),
    "infidelity blur": Question("Infidelity, blurred blocks", -1),
    "infidelity swap": Question("Infidelity, swapped blocks", -1),
    "planted box": Question("Planted 11×11 mean: average precision", +1),
    "planted periodic": Question("Planted periodic gather: average precision", +1),
    "planted saturated": Question("Planted saturating gather: average precision", +1),
    "brightness": Question("Turn of the map when the image is brighter", -1),
    "robustness": Question("Turn of the map under half an 8-bit level of noise", -1),
    "repeatability": Question("Turn of the map with another seed", -1),
    "randomisation": Question("Rank correlation with the map of shuffled weights", -1),
    "seconds": Question("Seconds a map", -1),
    "evaluations": Question("Passes of the network a map", 0),
}


def conclude(config: Config, files: Sequence[Path]) -> None:
    """<results>/tables/methods.csv and .md (one row per method), methods_details.csv (one per method and criterion,
    with intervals and the paired difference from LAM), and <results>/figures/methods/<criterion>.*."""
    rows = pd.concat([read(file) for file in dict.fromkeys(files)], ignore_index=True)
    results = Path(config.results)
    details = judge(rows)
    command = "lamscope run experiment=methods machine.weights=FOLDER dataset=folder dataset.path=FOLDER"
    networks = sorted(set(rows["model"]) - {"planted"})
    n = rows.loc[rows["model"] != "planted", "image"].nunique()
    publish(details, "Every method and criterion, with intervals", results / "tables" / "methods_details", command)
    title = f"Attribution methods, means over {', '.join(networks)} and {n} images: ▲ better, ▼ worse than lam"
    publish(overview(details), title, results / "tables" / "methods", command)
    for name, question in QUESTIONS.items():
        if (details["criterion"] == name).any():
            drawn = figure.draw(details, rows, name, question.title, question.better)
            style.save(style.page(drawn), results / "figures" / "methods" / name.replace(" ", "_"))
    for kind in ("deletion", "insertion"):
        drawn = figure.draw_curves(rows, kind)
        style.save(style.page(drawn), results / "figures" / "methods" / f"{kind}_curves")


def judge(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per criterion and method: mean, its 95 % interval over images, the paired difference from LAM with its
    interval, mean rank (1 is best) with Friedman's p and Nemenyi's critical difference of the criterion.

    A number is the mean over the networks of one image first, so that images, which were drawn, are what is resampled,
    and networks, which were not, are what is averaged. Methods that are not defined, or not finite, on some image or
    network are left out of a criterion; `methods.csv` shows that as missing.
    """
    found = []
    numbers = rows[rows["x"].isna()]
    for name, question in QUESTIONS.items():
        part = numbers[numbers["criterion"] == name]
        if part.empty:
            continue
        cells = part.pivot_table(index="image", columns=["method", "model"], values="value", dropna=False)
        whole = [m for m in cells.columns.unique("method") if cells[m].notna().all(axis=None)]
        table = pd.DataFrame({m: cells[m].mean(axis=1) for m in whole})
        if table.empty:
            continue
        values = table.to_numpy()
        low, high = bootstrap_mean(values)
        ranks = rank_test(question.better * values) if question.better and values.shape[1] > 2 else None
        gaps = values - table[[REFERENCE]].to_numpy() if REFERENCE in table else np.full_like(values, np.nan)
        gap_low, gap_high = bootstrap_mean(gaps) if REFERENCE in table else (gaps[0], gaps[0])
        for k, method in enumerate(table):
            sides = (question.better * gap_low[k], question.better * gap_high[k])
            verdict = "better" if min(sides) > 0 else "worse" if max(sides) < 0 else "alike"
            found.append(
                {
                    "criterion": name,
                    "method": method,
                    "mean": values[:, k].mean(),
                    "low": low[k],
                    "high": high[k],
                    "minus_lam": gaps[:, k].mean(),
                    "minus_lam_low": gap_low[k],
                    "minus_lam_high": gap_high[k],
                    "verdict": verdict if question.better and method != REFERENCE and REFERENCE in table else "–",
                    "mean_rank": np.nan if ranks is None else ranks.mean_rank[k],
                    "critical_difference": np.nan if ranks is None else ranks.critical_difference,
                    "friedman_p": np.nan if ranks is None else ranks.p,
                    "n_images": len(table),
                }
            )
    return pd.DataFrame(found)


def overview(details: pd.DataFrame) -> pd.DataFrame:
    """Methods × criteria: the mean, with ▲ where the paired interval says better than LAM, ▼ where it says worse."""
    marks = {"better": " ▲", "worse": " ▼"}
    texts = [f"{m:.3g}{marks.get(v, '')}" for m, v in zip(details["mean"], details["verdict"], strict=True)]
    cells = details.assign(cell=texts)
    table = cells.pivot_table(index="method", columns="criterion", values="cell", aggfunc="first")
    return table.reindex(columns=[name for name in QUESTIONS if name in table]).fillna("–").reset_index()

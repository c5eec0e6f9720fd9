"""From rows to a verdict: means over networks and images with paired intervals; what beats LAM and what does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..config import Config
from ..durable import replacing
from ..figures import criterion as figure
from ..figures import style
from ..report.benchmark import command_of, publish
from ..statistics import bootstrap_mean, rank_test, sign_flip, sign_flip_family
from .cell import read

REFERENCE = "lam"
LEVEL = 0.05
MARKS = {"better": " ▲", "worse": " ▼", "better (uncorrected)": " △", "worse (uncorrected)": " ▽"}


@dataclass(frozen=True)
class Question:
    """better: +1 when larger is better, −1 when smaller is, 0 for what is only told."""

    title: str
    better: int


QUESTIONS = {
    "completeness": Question("Relative completeness gap", -1),
    "saturation": Question("Distance of |gradient| from |ΔD| along the path", -1),
    "deletion blur": Question("Deletion by blurring: change of the window", +1),
    "deletion swap": Question("Deletion by other images' patches", +1),
    "insertion blur": Question("Insertion into a blurred image", +1),
    "insertion swap": Question("Insertion into another image", +1),
    "sensitivity blur": Question("Sensitivity-n: correlation, blurred blocks", +1),
    "sensitivity swap": Question("Sensitivity-n: correlation, swapped blocks", +1),
    "infidelity blur": Question("Infidelity, blurred blocks", -1),
    "infidelity swap": Question("Infidelity, swapped blocks", -1),
    "planted box": Question("Planted 11×11 mean: average precision", +1),
    "planted periodic": Question("Planted periodic gather: average precision", +1),
    "planted saturated": Question("Planted saturating gather: average precision", +1),
    "brightness": Question("Turn of the map (1 − cosine) when the image is brighter", -1),
    "robustness": Question("Turn of the map (1 − cosine) under half an 8-bit level of noise", -1),
    "repeatability": Question("Turn of the map (1 − cosine) with another seed", -1),
    "randomisation": Question("Rank correlation with the map of shuffled weights", -1),
    "seconds": Question("CPU seconds a map", -1),
    "evaluations": Question("Passes of the network a map", 0),
}


def conclude(config: Config, files: Sequence[Path]) -> None:
    """<results>/tables/methods.csv and .md (one row per method), methods_details.csv (one per method and criterion,
    with intervals and the paired difference from LAM, or the reason why there is no number), methods_networks.csv (the
    means of every network), methods_curves.csv (what the curves show), and <results>/figures/methods/<criterion>.*."""
    rows = pd.concat([read(file) for file in dict.fromkeys(files)], ignore_index=True)
    results = Path(config.results)
    details = judge(rows)
    networks = sorted(set(rows["model"]) - {"planted"}) or [config.model.name]
    command = command_of("methods", networks, config.dataset)
    n = rows["image"].nunique()
    publish(details, "Every method and criterion, with intervals", results / "tables" / "methods_details", command)
    publish(by_network(rows), "Means over images, network by network", results / "tables" / "methods_networks", command)
    title = f"Attribution methods, means over {', '.join(networks)} and {n} images: {legend(n)}"
    publish(overview(details), title, results / "tables" / "methods", command)
    with replacing(results / "tables" / "methods_curves.csv") as part:
        curves(rows).to_csv(part, index=False)
    for name, question in QUESTIONS.items():
        if (details["criterion"] == name).any():
            drawn = figure.draw(details, rows, name, question.title, question.better)
            style.save(style.page(drawn), results / "figures" / "methods" / name.replace(" ", "_"))
    curved = set(rows.loc[rows["x"].notna(), "criterion"])
    for kind in ("deletion", "insertion"):
        if f"{kind} blur" in curved:
            drawn = figure.draw_curves(rows, kind)
            style.save(style.page(drawn), results / "figures" / "methods" / f"{kind}_curves")
    if "randomisation" in curved:
        drawn = figure.draw_cascade(rows)
        style.save(style.page(drawn), results / "figures" / "methods" / "randomisation_curves")


def judge(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per criterion and method: mean, its 95 % interval over images, the paired difference from LAM with its
    interval and p (sign flips of whole images; p_family: adjusted for the methods of the criterion), mean rank (1 is
    best) with Friedman's p and Nemenyi's critical difference of the criterion, status and reason.

    The verdict is better or worse where the interval excludes 0 and p_family < 0.05; 'better (uncorrected)' or worse
    so where only p is; else 'open'. Any of them takes six images (of fewer, p is never below 0.0625), whatever a
    bootstrap of so few says.

    A number is the mean over the networks of one image first, so that images, which were drawn, are what is resampled,
    and networks, which were not, are what is averaged. A method that lacks an image or a network has a row without
    numbers: status 'not applicable' where it is defined for none, else 'incomplete', and the reason.
    """
    found = []
    numbers = rows[rows["x"].isna()]
    for name, question in QUESTIONS.items():
        part = numbers[numbers["criterion"] == name]
        if part.empty:
            continue
        cells = part.pivot_table(index="image", columns=["method", "model"], values="value", dropna=False)
        everywhere = part["model"].unique()
        cells = cells.reindex(columns=pd.MultiIndex.from_product([part["method"].unique(), everywhere]))
        whole = [m for m in cells.columns.unique(0) if cells[m].notna().all(axis=None)]
        table = pd.DataFrame({m: cells[m].mean(axis=1) for m in sorted(whole)})
        if len(table.columns):
            found += _judged(name, question, table)
        found += [_lacking(name, m, part, cells[m]) for m in sorted(set(cells.columns.unique(0)) - set(whole))]
    return pd.DataFrame(found)


def _judged(name: str, question: Question, table: pd.DataFrame) -> list[dict[str, Any]]:
    """table: images × methods, finite."""
    values = table.to_numpy()
    low, high = bootstrap_mean(values)
    ranks = rank_test(question.better * values) if question.better and values.shape[1] > 2 else None
    nothing = np.full(values.shape[1], np.nan)
    gaps, gap_low, gap_high = np.full_like(values, np.nan), nothing, nothing
    p, p_family = nothing.copy(), nothing.copy()
    compared = question.better and REFERENCE in table
    if REFERENCE in table:
        gaps = values - table[[REFERENCE]].to_numpy()
        gaps[np.abs(gaps) <= 1e-12 * np.abs(values).max()] = 0  # rounding is no difference
        gap_low, gap_high = bootstrap_mean(gaps)
        others = [k for k, method in enumerate(table) if method != REFERENCE]
        if compared and others:
            p[others] = sign_flip(gaps[:, others])
            p_family[others] = sign_flip_family(gaps[:, others])
    found = []
    for k, method in enumerate(table):
        sides = question.better * gap_low[k], question.better * gap_high[k]
        verdict = "open" if min(sides) <= 0 <= max(sides) or not p[k] < LEVEL else "better" if sides[0] > 0 else "worse"
        if verdict != "open" and not p_family[k] < LEVEL:
            verdict += " (uncorrected)"
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
                "p": p[k],
                "p_family": p_family[k],
                "verdict": verdict if compared and method != REFERENCE else "–",
                "mean_rank": np.nan if ranks is None else ranks.mean_rank[k],
                "critical_difference": np.nan if ranks is None else ranks.critical_difference,
                "friedman_p": np.nan if ranks is None else ranks.p,
                "n_images": len(table),
                "status": "ok",
                "reason": "",
            }
        )
    return found


def _lacking(name: str, method: str, part: pd.DataFrame, cells: pd.DataFrame) -> dict[str, Any]:
    """The row of a method that has no number for the criterion everywhere."""
    mine = part[(part["method"] == method) & (part["status"] != "ok")]
    absent = sorted(set(part["model"]) - set(part.loc[part["method"] == method, "model"]))
    reasons = list(dict.fromkeys(mine["reason"][mine["reason"] != ""]))
    reasons += [f"{(mine['status'] == 'nan').sum()} numbers are not finite."] if (mine["status"] == "nan").any() else []
    reasons += [f"Not measured on {', '.join(absent)}."] if absent else []
    defined = not (cells.isna().all(axis=None) and len(mine) and (mine["status"] == "not applicable").all())
    status = "incomplete" if defined else "not applicable"
    reason = " ".join(reasons) or "Not measured on every image."
    return {"criterion": name, "method": method, "verdict": "–", "n_images": 0, "status": status, "reason": reason}


def by_network(rows: pd.DataFrame) -> pd.DataFrame:
    """Criterion × method × network: the mean over images of what is finite, and of how many images that is."""
    numbers = rows[rows["x"].isna() & (rows["status"] == "ok")]
    means = numbers.groupby(["criterion", "method", "model"])["value"].agg(["mean", "count"]).reset_index()
    means = means.rename(columns={"count": "n_images"})
    return means.sort_values("criterion", key=lambda c: c.map(list(QUESTIONS).index), kind="stable", ignore_index=True)


def curves(rows: pd.DataFrame) -> pd.DataFrame:
    """Criterion × method × network × place: the mean over images of what is finite, and of how many images that is."""
    places = rows[rows["x"].notna() & (rows["status"] == "ok")]
    means = places.groupby(["criterion", "method", "model", "x"])["value"].agg(["mean", "count"]).reset_index()
    return means.rename(columns={"count": "n_images"})


def overview(details: pd.DataFrame) -> pd.DataFrame:
    """Methods × criteria: the mean with its mark; n/a where the criterion is not defined for the method, ? where
    numbers are missing."""
    missing = {"not applicable": "n/a", "incomplete": "?"}
    texts = [
        missing.get(status) or f"{mean:.3g}{MARKS.get(verdict, '')}"
        for mean, verdict, status in zip(details["mean"], details["verdict"], details["status"], strict=True)
    ]
    cells = details.assign(cell=texts)
    table = cells.pivot_table(index="method", columns="criterion", values="cell", aggfunc="first")
    return table.reindex(columns=[name for name in QUESTIONS if name in table]).fillna("–").reset_index()


def legend(n: int) -> str:
    """What the marks of the overview mean where there are n images."""
    least = 2.0 ** (1 - n)
    why = f"sign flips of whole images: with {n} no p is below {least:.2g}"
    why += ", so there are none" if least >= LEVEL else ""
    meaning = "▲ better, ▼ worse than lam at 5 %, corrected for the methods of the criterion, △ ▽ not corrected"
    return f"{meaning} ({why}); n/a: not defined, methods_details says why"

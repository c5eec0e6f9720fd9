"""What the networks say together, as numbers: images by rank, pairs of networks, correlations, agreement."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..comparison import agreement_on_images, correlations, image_ranking, pairwise
from ..scores import SCORES
from ..statistics import Concordance
from .benchmark import markdown_table
from .gather import Part
from .tables import csv_text, write_text
from .terminal import interval

INTERVALS = (
    "Intervals (95 %) are bootstraps over networks, within images over images. Fewer than three networks, as in some "
    "families, have no correlation."
)


@dataclass(frozen=True)
class Findings:
    """images: by maximum DI, with rank_mean, the rank by mean DI. scores: correlations of each score with ln DI."""

    images: pd.DataFrame
    pairs: pd.DataFrame
    scores: pd.DataFrame
    concordance: Concordance


@dataclass(frozen=True)
class Chapter:
    """A part that was reported. findings: where a page is made. files: its tables and figures."""

    part: Part
    findings: Findings | None
    title: str
    files: tuple[Path, ...]


def find(part: Part) -> Findings:
    """Raises UserError as `table.common` does."""
    images = image_ranking(part.records)
    by_mean = image_ranking(part.records, "mean")[["index", "rank"]].rename(columns={"rank": "rank_mean"})
    scores = [
        correlations(part.records, score).assign(score=score)
        for score in ("psnr_y", "psnr_rgb", "ssim_y", *(name for name in SCORES if name in part.table))
        if np.isfinite(part.table[score]).all()
    ]
    found = pd.concat(scores, ignore_index=True) if scores else pd.DataFrame()
    return Findings(images.merge(by_mean, on="index"), pairwise(part.records), found, agreement_on_images(part.records))


def write_findings(part: Part, findings: Findings, title: str, folder: Path) -> list[Path]:
    """images.csv, pairs.csv, correlations.csv and findings.md (all of it, to read) in folder; returns their paths."""
    return [
        write_text(folder / "images.csv", csv_text(findings.images)),
        write_text(folder / "pairs.csv", csv_text(findings.pairs)),
        write_text(folder / "correlations.csv", csv_text(findings.scores)),
        write_text(folder / "findings.md", _markdown(part, findings, title)),
    ]


def _markdown(part: Part, findings: Findings, title: str) -> str:
    test, concordance, survey = part.table.attrs["test"], findings.concordance, part.survey
    n = test.n_images
    ranks = part.table[["model", "mean_rank"]].sort_values("mean_rank", kind="stable")
    apart = f"{_number(test.critical_difference)} differ at the {100 * (1 - test.alpha):.0f} % level (Nemenyi)"
    pixels, overlap = (survey.agreement[name].mean(skipna=False) for name in ("rank_correlation", "overlap"))
    over = f"mean over pairs of networks and {len(survey.agreement)} windows"
    notes = [f"- {note}" for note in part.table.attrs["notes"]]
    ranked = (
        f"Friedman χ² {_number(test.statistic)}, p {_number(test.p)}; two networks whose mean ranks are further apart "
        f"than {apart}."
    )
    agreed = (
        f"On images: Kendall's W {_number(concordance.w)} (p {_number(concordance.p)}). On pixels, {over}: rank "
        f"correlation {_number(pixels)}, overlap (IoU) of the strongest 5 % {_number(overlap)}."
    )
    paragraphs = [
        f"# {title}",
        f"On the {n} image{'s' if n != 1 else ''} that all {len(part.table)} networks have.",
        *(["\n".join(notes)] if notes else []),
        "## Ranks of DI over images",
        ranked,
        markdown_table(ranks.reset_index(drop=True)),
        "## Agreement",
        agreed,
        "## Does a wider look go with a better score? Correlation with ln DI",
        markdown_table(_readable(findings.scores)) if len(findings.scores) else "No score is finite everywhere.",
        INTERVALS,
        "## Distance from the window that holds half and nine tenths of the attribution, LR pixels",
        markdown_table(survey.reach.sort_values("r90", ascending=False).reset_index(drop=True)),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _readable(scores: pd.DataFrame) -> pd.DataFrame:
    scores = scores[scores["value"].notna()]
    bounds = [interval(low, high) for low, high in zip(scores["low"], scores["high"], strict=True)]
    return scores[["score", "scope", "kind", "value"]].assign(interval=bounds, n=scores["n"], over=scores["over"])


def _number(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    return "< 0.001" if 0 <= value < 0.001 else f"{value:.3f}"

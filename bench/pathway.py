"""What happens along a path from the baseline to the image: the paper's Fig. 3 for any network and image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .config import Config, instantiate
from .durable import replacing
from .explain import walk
from .figures import path as figure
from .figures import style
from .printable import as_file_name
from .report.benchmark import command_of, publish
from .zoo import load, prepare, weight_folders


@dataclass(frozen=True)
class Paths:
    """paths: label → path. n_steps: per path. shown: at which α its images are shown."""

    paths: dict[str, Any]
    n_steps: int
    shown: Sequence[float]


@dataclass(frozen=True)
class Followed:
    """One network and image. steps: one row per path and step. images: path → (len(shown), h, w, 3) in [0, 1], at
    the α of shown."""

    model: str
    image: str
    steps: pd.DataFrame
    images: dict[str, np.ndarray]
    shown: Sequence[float]


def measure(config: Config) -> list[Followed]:
    """Follow every path on every image of the data set, for its first window, with the detector of `attribution`."""
    from .attribution.trace import trace

    device, dtype = prepare(config)
    asked: Paths = instantiate(config.trial)
    detector = instantiate(config.attribution["detector"])
    plain, _ = load(config.model, weight_folders(config.machine.weights), device, dtype)
    found = []
    for sample, net, lr in walk(plain, config, device, dtype, "paths"):
        frames, images = [], {}
        for label, path in asked.paths.items():
            along = trace(net, lr, sample.windows[0], path, detector, asked.n_steps)
            points = path.points(lr, np.asarray(asked.shown))
            images[label] = points.permute(0, 2, 3, 1).clamp(0, 1).cpu().numpy()
            frames.append(
                pd.DataFrame(
                    {
                        "model": config.model.name,
                        "image": sample.name,
                        "path": label,
                        "alpha": along.alpha[1:],
                        "score": along.score[1:],
                        "baseline_score": along.score[0],
                        "gradient": along.gradient,
                        "speed": along.speed,
                        "contribution": along.contribution,
                    }
                )
            )
        steps = pd.concat(frames, ignore_index=True)
        found.append(Followed(config.model.name, sample.name, steps, images, asked.shown))
    return found


def conclude(config: Config, results: list[list[Followed]]) -> None:
    """<results>/tables/path.csv and .md, one row per network, image and path; path_steps.csv, one per step; and
    <results>/figures/path/<network>-<image>."""
    followed = [one for cell in results for one in cell]
    folder = Path(config.results)
    steps = pd.concat([one.steps for one in followed], ignore_index=True)
    command = command_of("path", steps["model"].unique(), config.dataset)
    publish(summary(steps), "What happens along a path", folder / "tables" / "path", command)
    with replacing(folder / "tables" / "path_steps.csv") as part:
        steps.to_csv(part, index=False)
    for one in followed:
        drawn = figure.draw(one.steps, one.images, one.shown)
        style.save(style.page(drawn), folder / "figures" / "path" / as_file_name(f"{one.model}-{one.image}"))


def summary(steps: pd.DataFrame) -> pd.DataFrame:
    """One row per network, image and path.

    saturation: total variation distance between the distributions of |gradient| and of |change of D| over the steps, in
    [0, 1]. half_at: the α at which half of the change of D is done. gap: of completeness, relative.
    """
    from .metrics.faithfulness import distribution_distance

    rows = []
    for (model, image, path), part in steps.groupby(["model", "image", "path"], sort=False):
        scores = np.concatenate([part["baseline_score"].iloc[:1], part["score"]])
        total = scores[-1] - scores[0]
        reached = (scores[1:] - scores[0]) / total >= 0.5 if total else np.zeros(len(part), bool)
        rows.append(
            {
                "model": model,
                "image": image,
                "path": path,
                "score": scores[-1],
                "baseline_score": scores[0],
                "half_at": float(part["alpha"].to_numpy()[reached.argmax()]) if reached.any() else np.nan,
                "saturation": distribution_distance(part["gradient"].to_numpy(), np.abs(np.diff(scores))),
                "gap": abs(total - part["contribution"].sum()) / abs(total) if total else np.nan,
            }
        )
    return pd.DataFrame(rows)

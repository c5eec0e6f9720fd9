"""Which images a comparison grid shows, and their tensors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..store import read_tensors

PLACE = ["index", "image", "window_y", "window_x"]


@dataclass(frozen=True)
class Place:
    """One window of one image, with the rows of all networks there."""

    image: str
    rows: pd.DataFrame

    @property
    def slug(self) -> str:
        """The image's name as a part of a file name."""
        return re.sub(r"[^\w.-]+", "_", self.image) or "image"


def choose(records: pd.DataFrame, models: Sequence[str], n: int) -> list[Place]:
    """n images that all models have, evenly over the ranks of the maximum DI over networks: smallest, …, largest.

    Of an image with several windows, the one with the largest DI. Fewer if there are fewer.
    """
    good = records.loc[(records["status"] == "ok") & records["model"].isin(models)]
    table = good.pivot_table(index=PLACE, columns="model", values="di").dropna()
    highest = table.reindex(columns=models).max(axis=1).sort_values(kind="stable")
    highest = highest.loc[~highest.index.get_level_values("image").duplicated(keep="last")]
    picked = np.unique(np.linspace(0, len(highest) - 1, min(n, len(highest))).round().astype(int))
    places = []
    for key in highest.index[picked].to_list():
        here = (good[PLACE] == list(key)).all(axis=1)
        rows = good.loc[here].set_index("model").loc[list(models)].reset_index()
        places.append(Place(str(key[PLACE.index("image")]), rows))
    return places


def entries(place: Place, records: pd.DataFrame) -> list[dict[str, Any]]:
    """What `lam_grid.draw` takes: one entry per network, with its tensors from the store."""
    found = []
    for row in place.rows.to_dict("records"):
        tensors = read_tensors(row["file"], int(row["index"]))
        windows = records[(records["file"] == row["file"]) & (records["index"] == row["index"])]
        here = (windows["window_y"] == row["window_y"]) & (windows["window_x"] == row["window_x"])
        found.append(
            {
                "model": row["model"],
                "family": row["family"],
                "hr": tensors["hr"],
                "lr": tensors["lr"],
                "sr": tensors["sr"],
                "map": tensors["map"][int(np.flatnonzero(here)[0])],
                "window": {"y": row["window_y"], "x": row["window_x"], "size": row["window_size"]},
                "di": row["di"],
                "psnr_y": row["psnr_y"],
            }
        )
    return found

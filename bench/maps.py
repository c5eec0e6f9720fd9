"""From records to the maps behind them: which image and window, its tensors, and what all maps of a test set show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .metrics.distance import mass_within, radius_of_mass, window_distance
from .metrics.overlap import mean_pair, rank_correlation, top_overlap
from .statistics import bootstrap_mean
from .store import read_tensors
from .table import PLACE, common

TOP = 0.05  # share of pixels whose overlap is measured
SHARES = (0.5, 0.9)  # of the attribution, whose radius is given


@dataclass(frozen=True)
class Place:
    """One window of one image, with the rows of all networks there."""

    image: str
    rows: pd.DataFrame

    @property
    def slug(self) -> str:
        """The image's name as a part of a file name."""
        return re.sub(r"[^\w.-]+", "_", self.image)[:120] or "image"


@dataclass(frozen=True)
class Survey:
    """What the maps of a part show together, on the windows that all networks have.

    agreement: one row per window: index, image, window_y, window_x, rank_correlation, overlap (means over pairs of
    networks; overlap is the IoU of the strongest 5 % of pixels). rank_correlation, overlap: networks × networks, means
    over windows. distance: model, radius (LR pixels), share of the attribution within it, low, high (95 % interval over
    images). reach: model, r50, r90: the radius that holds half and nine tenths, means over images.
    """

    agreement: pd.DataFrame
    rank_correlation: pd.DataFrame
    overlap: pd.DataFrame
    distance: pd.DataFrame
    reach: pd.DataFrame
    far: pd.DataFrame


def numbered(records: pd.DataFrame) -> pd.DataFrame:
    """Records with `window`: the position of the row's map among those of its image. As read, nothing left out."""
    return records.assign(window=records.groupby(["file", "index"]).cumcount())


def places(records: pd.DataFrame, models: Sequence[str]) -> list[Place]:
    """The windows that all models have, in the order of the largest DI over them, the smallest first.

    Of an image with several windows, the one with the largest DI. Rows are in the order of models.
    """
    good = numbered(records)
    good = good.loc[(good["status"] == "ok") & good["model"].isin(models)]
    table = good.pivot_table(index=PLACE, columns="model", values="di").dropna()
    highest = table.reindex(columns=models).max(axis=1).sort_values(kind="stable")
    highest = highest.loc[~highest.index.get_level_values("image").duplicated(keep="last")]
    rows = dict(tuple(good.groupby(PLACE)))
    return [
        Place(str(key[PLACE.index("image")]), rows[key].set_index("model").loc[list(models)].reset_index())
        for key in highest.index
    ]


def choose(records: pd.DataFrame, models: Sequence[str], n: int) -> list[Place]:
    """n of `places`, evenly over their ranks: smallest, …, largest. Fewer if there are fewer."""
    found = places(records, models)
    picked = np.unique(np.linspace(0, len(found) - 1, min(n, len(found))).round().astype(int))
    return [found[i] for i in picked]


def entries(place: Place) -> list[dict[str, Any]]:
    """What figures of one window take: one entry per network, with its tensors from the store."""
    found = []
    for row in place.rows.to_dict("records"):
        tensors = read_tensors(row["file"], int(row["index"]))
        found.append(
            {
                "model": row["model"],
                "family": row["family"],
                "image": row["image"],
                "hr": tensors["hr"],
                "lr": tensors["lr"],
                "sr": tensors["sr"],
                "map": tensors["map"][int(row["window"])],
                "window": {"y": row["window_y"], "x": row["window_x"], "size": row["window_size"]},
                "scale": row["scale"],
                "di": row["di"],
                "psnr_y": row["psnr_y"],
            }
        )
    return found


def survey(records: pd.DataFrame) -> Survey:
    """Reads every map once, one image at a time. Raises UserError as `table.common` does."""
    shared, _ = common(numbered(records))
    models = sorted(shared["model"].unique())
    first = shared.iloc[0]
    shape = (int(first["lr_h"]), int(first["lr_w"]))
    radii = np.arange(np.ceil(np.hypot(*shape)) + 1)
    agreement, matrices, profiles, reach = [], [], [], []
    for key, maps in _maps(shared, models):
        place = dict(zip(PLACE, key, strict=True))
        together = rank_correlation(maps), top_overlap(maps, TOP)
        matrices.append(together)
        agreement.append(
            {**place, "rank_correlation": mean_pair(together[0]), "overlap": mean_pair(together[1])},
        )
        window = (int(place["window_y"]), int(place["window_x"]), int(first["window_size"]), int(first["scale"]))
        away = window_distance(shape, *window)
        profiles.append([mass_within(each, away, radii) for each in maps])
        reach.append([[radius_of_mass(each, away, share) for share in SHARES] for each in maps])
    index = pd.Index([row["index"] for row in agreement])
    correlation, overlap = np.mean(matrices, axis=0)
    radius = _per_image(reach, index)
    return Survey(
        pd.DataFrame(agreement),
        pd.DataFrame(correlation, models, models),
        pd.DataFrame(overlap, models, models),
        _distance(_per_image(profiles, index), models, radii),
        _reach(radius, models),
        pd.DataFrame(radius[:, :, -1], index.unique(), models),
    )


def _maps(shared: pd.DataFrame, models: list[str]) -> Iterator[tuple[tuple[Any, ...], list[np.ndarray]]]:
    """(place, the maps of all models there), one image in memory at a time."""
    for index, rows in shared.groupby("index", sort=True):
        files = rows.drop_duplicates("model").set_index("model")["file"]
        stored = {model: read_tensors(files[model], int(str(index)), ["map"])["map"] for model in models}
        for key, here in rows.groupby(PLACE, sort=True):
            window = here.set_index("model")["window"]
            yield key, [stored[model][window[model]] for model in models]


def _per_image(values: list[Any], index: pd.Index) -> np.ndarray:
    """(windows, …) → (images, …), windows averaged."""
    stacked = np.asarray(values)
    return np.stack([stacked[index == image].mean(axis=0) for image in index.unique()])


def _distance(profiles: np.ndarray, models: list[str], radii: np.ndarray) -> pd.DataFrame:
    low, high = bootstrap_mean(profiles, n_resamples=1999, method="percentile")
    return pd.DataFrame(
        {
            "model": np.repeat(models, len(radii)),
            "radius": np.tile(radii, len(models)),
            "share": profiles.mean(axis=0).ravel(),
            "low": low.ravel(),
            "high": high.ravel(),
        }
    )


def _reach(reach: np.ndarray, models: list[str]) -> pd.DataFrame:
    means = reach.mean(axis=0)
    return pd.DataFrame({"model": models, **{f"r{share:.0%}"[:-1]: means[:, i] for i, share in enumerate(SHARES)}})

"""What `table.ranking` does not need: one diffusion index per network × image."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..cellfile import NO_IMAGES
from ..table import ONE_OF, PLACE
from ..types import UserError


def di_by_image(records: pd.DataFrame) -> pd.DataFrame:
    """Diffusion index (percent), one row per image, one column per network, averaged over the image's windows.

    records: as `read_records` gives them, of one setting (see table.comparable). Rows are ordered by the maximum over
    networks, smallest first. NaN where a network lacks a valid number for one of the image's windows, so that no two
    numbers of a row are means over different windows. Raises UserError for mixed settings and when nothing is valid.
    """
    rows = records.loc[~records["status"].isin(NO_IMAGES)]
    for column, what in ONE_OF.items():
        if rows[column].nunique() > 1:
            values = ", ".join(sorted(map(str, rows[column].unique()))[:4])
            raise UserError(f"Results with different {what} ({column} {values}) cannot share one figure.")
    twice = rows.loc[rows.duplicated(["model", *PLACE]).to_numpy()]
    if len(twice):
        raise UserError(f"Several runs of {twice['model'].iloc[0]} cover the same images; choose one of them.")
    if not (rows["status"] == "ok").any():
        raise UserError("There are no finished results to draw.")
    values = rows.assign(di=rows["di"].where(rows["status"] == "ok").astype(float))
    table = values.set_index([*PLACE, "model"])["di"].unstack("model")
    table = table[sorted(rows.loc[rows["status"] == "ok", "model"].unique())]
    images = table.groupby(level="image", sort=True)
    means = images.mean().where(images.count().eq(images.size(), axis=0), np.nan)
    highest = means.max(axis=1)
    return means.loc[highest.sort_values(kind="stable").index]


def families(records: pd.DataFrame) -> list[tuple[str, str]]:
    """(network, family) of each network in records."""
    return sorted(set(records[["model", "family"]].itertuples(index=False, name=None)))

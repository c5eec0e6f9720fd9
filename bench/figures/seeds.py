"""DI and PSNR of networks trained alike, every seed: do networks differ by more than seeds do?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from . import psnr_vs_di, style
from .frame import families


def draw(
    records: pd.DataFrame,
    runs: pd.DataFrame,
    said: list[str] | None = None,
    ax: Axes | None = None,
    *,
    width: float = 4.6,
    height: float = 3.4,
) -> Axes:
    """`psnr_vs_di` of one run a network (its lowest seed), and the other seeds as hollow marks tied to it.

    records: one test set's, as `read_records` gives them. runs: columns network, seed, di (percent), psnr_y: a row a
    run. said: lines in place of the correlations that `psnr_vs_di` works out. Raises UserError as `psnr_vs_di.draw`
    does.
    """
    lowest = records.groupby("model")["seed"].transform("min")
    first = records[records["seed"] == lowest]
    more = ["hollow: further seeds"] if runs["network"].duplicated().any() else []
    ax = psnr_vs_di.draw(first, ax, width=width, height=height, said=None if said is None else said + more)
    looks = style.looks(families(first))
    with style.paper():
        for network, rows in runs.groupby("network"):
            ordered, look = rows.sort_values("seed"), looks[str(network)]
            points = np.column_stack([np.log(ordered["di"]), ordered["psnr_y"]])
            for point in points[1:]:
                ax.plot(*np.column_stack([points[0], point]), color=look.colour, lw=0.5, zorder=2.5)
                ax.plot(
                    *point, look.marker, ms=4 * look.size, mfc="white", mec=look.colour, mew=0.7, zorder=3,
                    scalex=False, scaley=False,
                )  # fmt: skip
    return ax

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
    looks = style.looks(families(first))
    others = {str(network): rows.sort_values("seed")[["di", "psnr_y"]] for network, rows in runs.groupby("network")}
    points = {network: np.column_stack([np.log(rows["di"]), rows["psnr_y"]]) for network, rows in others.items()}
    more = np.concatenate([here[1:] for here in points.values()])
    note = ["hollow: further seeds"] if len(more) else []
    said = None if said is None else said + note
    ax = psnr_vs_di.draw(first, ax, width=width, height=height, said=said, more=more)
    with style.paper():
        for network, here in points.items():
            look = looks[network]
            for point in here[1:]:
                ax.plot(*np.column_stack([here[0], point]), color=look.colour, lw=0.5, zorder=2.5)
                ax.plot(*point, look.marker, ms=4 * look.size, mfc="white", mec=look.colour, mew=0.7, zorder=3)
    return ax

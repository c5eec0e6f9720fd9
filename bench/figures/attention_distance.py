"""How far from the window networks look: the share of attribution within a distance, in LR pixels.

A companion of the diffusion index that does not depend on the size of the image, and that tells a dense
neighbourhood from a few far pixels.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from . import style

TITLE = "Distance (LR pixels) that holds nine tenths of the\nattribution, mean over images; marks are of the mean curve"
MARKED = (0.5, 0.9)  # shares
ALMOST = 0.995  # the axis ends where every network has this share


def draw(distances: pd.DataFrame, ax: Axes | None = None, *, width: float = style.SINGLE, height: float = 2.7) -> Axes:
    """One line a network, its 95 % interval over images as a band; a mark where half and nine tenths are reached.

    distances: columns model, family, radius (LR pixels), share, low, high, r90 (mean radius that holds nine
    tenths), as `maps.survey` gives them. The legend is ordered by r90, the farthest first. The axis is a square root,
    since most of every map lies near.
    """
    looks = style.looks(list(distances[["model", "family"]].drop_duplicates().itertuples(index=False, name=None)))
    reach = distances.groupby("model")["r90"].first().sort_values(ascending=False, kind="stable")
    columns = style.legend_columns([f"{looks[str(m)].label} 00.0" for m in reach.index], width - 0.5, handle=0.35)
    rows = -(-len(reach) // columns)
    ax = style.new_axes(width, height + 0.125 * (rows + 1)) if ax is None else ax
    with style.paper():
        for model in reach.index[::-1]:
            look, line = looks[str(model)], distances[distances["model"] == model]
            radius = line["radius"].to_numpy(float)
            ax.fill_between(radius, line["low"], line["high"], color=look.colour, alpha=0.18, lw=0)
            ax.plot(radius, line["share"], color=look.colour, lw=0.9)
            reached = [share for share in MARKED if share >= line["share"].iloc[0]]
            marks = np.interp(reached, line["share"], np.sqrt(radius)) ** 2  # on the line, as it is drawn
            ax.plot(
                marks, reached, look.marker, ls="", color=look.colour, ms=4.5 * look.size, mec="white", mew=0.4,
                zorder=4, clip_on=False,
            )  # fmt: skip
        handles = [
            ax.plot([], [], look.marker, ls="-", lw=0.9, color=look.colour, ms=3.5 * look.size, mew=0,
                    label=f"{look.label} {reach[model]:.1f}")[0]
            for model, look in ((m, looks[str(m)]) for m in reach.index)
        ]  # fmt: skip
        ax.legend(
            handles=handles, ncols=columns, loc="lower left", bbox_to_anchor=(0, 1.01), borderaxespad=0,
            handlelength=1.3, handletextpad=0.4, columnspacing=0.8, title=TITLE,
            title_fontsize=style.SMALL, alignment="left",
        )  # fmt: skip
        slowest = distances.groupby("radius")["share"].min()
        end = slowest.index[min(int((slowest < ALMOST).sum()), len(slowest) - 1)]
        ax.set_xscale("function", functions=(lambda r: np.sqrt(np.maximum(r, 0)), np.square))
        ax.set(xlim=(0, max(float(end), 1)), ylim=(0, 1.01))
        ax.set_xticks([r for r in (0, 1, 2, 5, 10, 20, 50, 100, 200, 500) if r <= end])
        ax.set_xlabel("Distance from the window (LR pixels)")
        ax.set_ylabel("Share of attribution within")
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}".replace("%", " %"))
        ax.grid()
    return ax

"""A new network's place in the ranking: mean DI of every network with its interval, the newcomer marked."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..table import ranking
from ..types import UserError
from . import style


def draw(
    records: pd.DataFrame,
    ax: Axes | None = None,
    *,
    newcomer: str,
    width: float = style.SINGLE,
    height: float | None = None,
) -> Axes:
    """One row a network, the widest on top, with its PSNR at the right. records: one comparable part.

    newcomer: the network in bold on a tinted row. Bars: 95 % intervals over images. Raises UserError where it has no
    results, and as `ranking` does.
    """
    table = ranking(records)
    if newcomer not in set(table["model"]):
        raise UserError(f"There are no results of {newcomer} to mark.")
    looks = style.looks(table[["model", "family"]].itertuples(index=False, name=None))
    ax = style.new_axes(width, height or 0.75 + 0.19 * len(table)) if ax is None else ax
    with style.paper():
        at = [float(y) for y in reversed(range(len(table)))]
        for y, row in zip(at, table.to_dict("records"), strict=True):
            look, new = looks[row["model"]], row["model"] == newcomer
            bounds = np.nan_to_num([[row["di"] - row["di_low"]], [row["di_high"] - row["di"]]])
            ax.errorbar(row["di"], y, xerr=bounds, fmt="none", ecolor=look.colour, elinewidth=1.6 if new else 0.8)
            ax.plot(
                row["di"], y, look.marker, color=look.colour, ms=(5 if new else 4.5) * look.size,
                mec=style.INK if new else "white", mew=0.8 if new else 0.4, zorder=3,
            )  # fmt: skip
            weight = "bold" if new else "normal"
            ax.text(
                1.02, y, f"{row['psnr_y']:.2f}", transform=ax.get_yaxis_transform(), va="center", fontsize=style.SMALL,
                weight=weight,
            )  # fmt: skip
            if new:
                ax.axhspan(y - 0.5, y + 0.5, color="#fff2cc", lw=0, zorder=0)
        ax.set_xscale("log")
        ax.set_yticks(at, [f"{looks[m].label}  {rank}" for m, rank in zip(table["model"], table["rank"], strict=True)])
        for text, model in zip(ax.get_yticklabels(), table["model"], strict=True):
            text.set_fontweight("bold" if model == newcomer else "normal")
        ax.set_ylim(-0.6, len(table) - 0.4)
        ax.tick_params(axis="y", length=0)
        ticks = style.log_ticks(*ax.get_xlim())
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
        ax.grid(axis="x")
        ax.set_xlabel("DI (%), mean over images")
        ax.text(
            1.02, 1.0, "PSNR-Y\n(dB)", transform=ax.transAxes, va="bottom", fontsize=style.SMALL, linespacing=1.0,
        )  # fmt: skip
    return ax

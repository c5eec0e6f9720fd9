"""How many times faster than the reference's plain loop a map is, per network."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from . import style

OURS, FEW, GENERIC = "#1b5e8c", "#8fb8d6", "#b0a58f"


def draw(frame: pd.DataFrame, ax: Axes | None = None, *, width: float = style.DOUBLE) -> Axes:
    """Bars of the speed table, the fastest first: lam, lam with few steps, captum; logarithmic.

    frame: the columns network, lr, ratio, few_ratio, captum_ratio, one row per network and size of image.
    """
    table = frame.sort_values("ratio", ascending=True, kind="stable").reset_index(drop=True)
    sizes = table["lr"].nunique() > 1
    names = [f"{style.label(n)}, {s}" if sizes and s != table["lr"].mode()[0] else style.label(n)
             for n, s in zip(table["network"], table["lr"], strict=True)]  # fmt: skip
    if ax is None:
        ax = style.new_axes(width, 0.8 + 0.17 * len(table))
    with style.paper():
        rows = range(len(table))
        ax.barh(rows, table["few_ratio"], 0.72, color=FEW, label="lam, 12 steps")
        ax.barh(rows, table["ratio"], 0.72, color=OURS, label="lam, 21 steps (default)")
        ax.plot(table["ratio"] / table["captum_ratio"], rows, "o", color=GENERIC, mec="white", mew=0.4, ms=4,
                label="captum, straight path, 21 steps")  # fmt: skip
        for row, ratio in zip(rows, table["ratio"], strict=True):
            ax.text(1.04 * max(table["few_ratio"][row], ratio), row, f"{ratio:.3g}", va="center", fontsize=6.5)
        ax.set_yticks(list(rows), names)
        ax.set_ylim(-0.6, len(table) - 0.4)
        ax.set_xscale("log")
        ax.set_xlim(0.8, 1.6 * table["few_ratio"].max())
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set_xlabel("times as fast as the reference's loop of 50 steps, same device, same run")
        ax.axvline(1, color="#777777", lw=0.6)
        ax.grid(axis="x", color="#dddddd", lw=0.4)
        ax.set_axisbelow(True)
        ax.legend(loc="lower right", frameon=False)
    return ax

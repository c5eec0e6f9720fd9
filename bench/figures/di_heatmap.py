"""Diffusion index of every network on every image at one glance: networks × images, in colours of ln DI."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from . import style
from .frame import di_by_image, families

NAMED = 30  # up to so many images, the axis names them
ROW = 0.15  # inches


def draw(
    records: pd.DataFrame, ax: Axes | None = None, *, width: float = style.DOUBLE, colours: str = "cividis"
) -> Axes:
    """Rows: networks, the widest (mean over complete images) first. Columns: images by the maximum DI over networks.

    records: as `read_records` gives them, one setting. What is missing is white with a diagonal. colours: any of
    matplotlib's; cividis looks the same to all eyes and keeps its order in grey. seismic and safe, which other figures
    offer, have a middle, which DI has not: cividis too. Raises UserError as `di_by_image` does.
    """
    table = di_by_image(records)
    complete = table.dropna()
    order = (table if complete.empty else complete).mean().sort_values(ascending=False, kind="stable").index
    table = table[order]
    looks = style.looks(families(records))
    values = np.ma.masked_invalid(table.to_numpy(float).T)
    positive = values[values > 0]
    norm = LogNorm(positive.min(), positive.max()) if positive.count() and np.ptp(positive) > 0 else Normalize()
    palette = matplotlib.colormaps["cividis" if colours in ("seismic", "safe") else colours].with_extremes(bad="white")
    rows, columns = values.shape
    ax = style.new_axes(width, 0.75 + ROW * rows + (0.35 if columns <= NAMED else 0)) if ax is None else ax
    with style.paper():
        drawn = ax.pcolormesh(values, norm=norm, cmap=palette, linewidth=0, rasterized=False)
        for y, x in np.argwhere(np.ma.getmaskarray(values)):
            ax.plot([x, x + 1], [y, y + 1], color="#888888", lw=0.5)
        ax.invert_yaxis()
        ax.set_yticks(np.arange(rows) + 0.5, [looks[name].label for name in table.columns])
        for text, name in zip(ax.get_yticklabels(), table.columns, strict=True):
            text.set_color(looks[name].ink)
        ax.tick_params(axis="y", length=0)
        ax.spines[:].set_visible(False)
        if columns <= NAMED:
            names = [n if len(n) <= 18 else f"{n[:9]}…{n[-8:]}" for n in map(str, table.index)]
            ax.set_xticks(np.arange(columns) + 0.5, names, rotation=45, ha="right", rotation_mode="anchor")
            ax.set_xlabel("Image, ordered by the maximum over networks")
        else:
            step = next(s for s in (5, 10, 20, 50, 100, 200, 500, columns) if columns / s <= 15)
            shown = np.array([1, *range(step, columns + 1, step)])
            ax.set_xticks(shown - 0.5, [str(rank) for rank in shown])
            ax.set_xlabel("Image, by rank of the maximum over networks (1: the smallest)")
        bar = style.page(ax).colorbar(drawn, ax=ax, pad=0.01, aspect=14, fraction=0.05)
        bar.set_label("DI (%)", fontsize=style.SMALL)
        bar.outline.set_visible(False)  # type: ignore[operator]
        if isinstance(norm, LogNorm):
            nice = np.array([m * 10.0**e for e in range(-4, 3) for m in (1, 2, 5)])
            nice = nice[(nice >= positive.min()) & (nice <= positive.max())]
            bar.set_ticks(nice.tolist(), labels=[f"{value:g}" for value in nice])
            bar.minorticks_off()
    return ax

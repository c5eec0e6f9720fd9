"""How the diffusion index moves when one choice changes: a panel per choice, a line per network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from . import style

COLUMNS = 4


def draw(frame: pd.DataFrame, factors: Sequence[str]) -> Figure:
    """frame: model, family, image, factor, setting and di_ratio, the DI over that of the run. Thin: single images;
    thick: their mean. Settings stand in the frame's order."""
    looks = style.looks(frame[["model", "family"]].itertuples(index=False, name=None))
    rows = -(-len(factors) // COLUMNS)
    with style.paper():
        page = Figure(figsize=(style.DOUBLE, 1.55 * rows + 0.3), dpi=style.DPI, layout="constrained")
        FigureCanvasAgg(page)
        axes = page.subplots(rows, COLUMNS, squeeze=False).ravel()
        for ax, factor in zip(axes, factors, strict=False):
            part = frame[frame["factor"] == factor]
            settings = list(dict.fromkeys(part["setting"]))
            ax.axhline(1, color=style.FAINT, lw=0.6, zorder=0)
            for model, look in looks.items():
                grid = (
                    part[part["model"] == model]
                    .pivot(index="setting", columns="image", values="di_ratio")
                    .loc[settings]
                )
                ax.plot(grid.to_numpy(), color=look.colour, lw=0.35, alpha=0.45)
                mean = grid.mean(axis=1).to_numpy()
                ax.plot(mean, color=look.colour, marker=look.marker, ms=3 * look.size, mec="white", mew=0.3, lw=1.1)
            ax.set_xticks(np.arange(len(settings)), settings)
            ax.set_xlim(-0.3, len(settings) - 0.7)
            ax.set_yscale("log", base=2)
            low, high = part["di_ratio"].min(), part["di_ratio"].max()
            wide = low < 0.7 or high > 1.5
            scale = (0.25, 0.5, 1, 2, 4, 8) if wide else (0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4)
            ticks = [t for t in scale if min(low, 0.85) * 0.95 <= t <= max(high, 1.18) * 1.05]
            ax.set_ylim(min(low, 0.85) * 0.95, max(high, 1.18) * 1.05)
            ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
            ax.set_yticks([], minor=True)
            ax.set_title(factor)
        for ax in axes[::COLUMNS]:
            ax.set_ylabel("DI / DI of the run")
        for ax in axes[len(factors) :]:
            ax.set_axis_off()
        handles = [
            page.axes[0].plot([], [], color=look.colour, marker=look.marker, ms=4 * look.size, label=look.label)[0]
            for look in looks.values()
        ]
        spare = axes[len(factors)] if len(factors) < len(axes) else axes[0]
        spare.legend(handles=handles, loc="center left")
    return page

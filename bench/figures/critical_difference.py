"""Mean ranks of networks with Nemenyi's critical difference (Demšar, JMLR 2006, figure 1)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..statistics import RankTest, alike
from ..table import ranking
from ..types import UserError
from . import style
from .frame import families

STEP = 0.13  # inches between two names
LIFT = 0.075  # inches between two bars


def draw(records: pd.DataFrame, ax: Axes | None = None, *, width: float = style.DOUBLE) -> Axes:
    """An axis of mean ranks (1: the widest on every image), names beside it, a bar over networks that do not differ.

    records: as `read_records` gives them, one setting; ranks are of DI per image, on the images that all networks have.
    ax: where to draw; None: a new figure of that width in inches, as high as the names need.
    Raises UserError as `ranking` does, and for a single network.
    """
    table = ranking(records, n_resamples=99).sort_values(["mean_rank", "model"], ignore_index=True)
    test: RankTest = table.attrs["test"]
    n = len(table)
    if n < 2:
        raise UserError("Ranks need at least two networks.")
    ranks = table["mean_rank"].to_numpy()
    bars = alike(ranks, test.critical_difference)
    left = -(-n // 2)  # so many names on the left, the better half
    head, foot = 0.62 + LIFT * len(bars), 0.06
    height = head + STEP * (left + 0.5) + foot
    looks = style.looks(families(records))
    with style.paper():
        ax = style.new_axes(width, height) if ax is None else ax
        ax.set_axis_off()
        names = [looks[name].label for name in table["model"]]
        margin = max(style.text_width(name, style.TEXT) for name in names) + 0.5
        per_rank = (width - 2 * margin) / max(n - 1, 1)  # inches
        ax.set(xlim=(1 - margin / per_rank, n + margin / per_rank), ylim=(-(STEP * (left + 0.5) + foot), head))
        _scale(ax, n, test, per_rank)
        for level, (first, last) in enumerate(bars):
            y = 0.07 + LIFT * level
            reach = 0.02 / per_rank
            ax.plot([ranks[first] - reach, ranks[last] + reach], [y, y], color=style.INK, lw=2, solid_capstyle="butt")
        for i, (name, rank) in enumerate(zip(table["model"], ranks, strict=True)):
            side = i < left
            y = -STEP * ((i if side else n - 1 - i) + 1)
            end = 1 - 0.12 / per_rank if side else n + 0.12 / per_rank
            look = looks[name]
            ax.plot([rank, rank, end], [0, y, y], color=look.ink, lw=0.6, zorder=1)
            ax.plot(rank, 0, look.marker, color=look.colour, ms=4.5 * look.size, mec="white", mew=0.4, zorder=4)
            ax.annotate(
                f"{look.label}  {rank:.2f}" if side else f"{rank:.2f}  {look.label}", (end, y),
                (-3 if side else 3, 0), "data", "offset points", ha="right" if side else "left", va="center",
                color=look.ink, annotation_clip=False,
            )  # fmt: skip
    return ax


def _scale(ax: Axes, n: int, test: RankTest, per_rank: float) -> None:
    """The axis, above the bars; above it the critical difference at its length, and what was tested."""
    top = ax.get_ylim()[1]
    y = top - 0.42
    ax.plot([1, n], [y, y], color=style.INK, lw=0.8)
    step = next(s for s in (1, 2, 5, 10, 20, n) if n / s <= 15)
    for tick in range(1, n + 1):
        named = (tick - 1) % step == 0 or tick == n
        ax.plot([tick, tick], [y, y + (0.05 if named else 0.03)], color=style.INK, lw=0.6)
        if named:
            ax.annotate(str(tick), (tick, y + 0.05), (0, 1), "data", "offset points", ha="center", fontsize=style.SMALL)
    ax.plot([1, n], [0, 0], color=style.FAINT, lw=0.5, zorder=0)
    ax.annotate("mean rank of DI (1: widest)", (n, top), ha="right", va="top", fontsize=style.SMALL)
    bar = top - 0.07
    cd = test.critical_difference
    ax.plot([1, 1 + cd], [bar, bar], color=style.INK, lw=1.2, marker="|", ms=4, mew=0.8)
    friedman = "" if np.isnan(test.p) else f", Friedman p {_p(test.p)}"
    text = f"critical difference {cd:.2f} ({1 - test.alpha:.0%}){friedman}, {test.n_images} images"
    ax.annotate(text, (1 + cd, bar), (5, 0), "data", "offset points", va="center", fontsize=style.SMALL)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"

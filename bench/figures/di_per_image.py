"""Diffusion index of every network on every image, images ordered by the maximum over networks (after Fig. 8, top)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from . import style
from .frame import di_by_image, families

NAMED = 16  # up to so many images, the axis names them


def draw(
    records: pd.DataFrame,
    ax: Axes | None = None,
    *,
    width: float = style.DOUBLE,
    height: float = 2.6,
    log: bool = False,
) -> Axes:
    """Dots: networks; black line: their mean; grey line: their maximum. Images that lack a network have dots only.

    records: as `read_records` gives them, one setting. ax: where to draw; None: a new figure of width × height inches,
    higher if the legend needs more than one row. log: logarithmic axis. Raises UserError as `di_by_image` does.
    """
    table = di_by_image(records)
    looks = style.looks(families(records))
    handles = _handles(looks, table)
    room = (width if ax is None else ax.bbox.width / style.page(ax).dpi) - 0.5
    columns = style.legend_columns([str(h.get_label()) for h in handles], room, handle=0.34)
    if ax is None:
        legend_rows = -(-len(handles) // columns)
        ax = style.new_axes(width, height + 0.125 * (legend_rows - 1))
    rank = np.arange(1, len(table) + 1)
    with style.paper():
        _lines(ax, rank, table, log)
        size = float(np.clip(60 / np.sqrt(max(table.size, 1)), 2.2, 4.2))  # points: the more dots, the smaller
        for name in table.columns:
            look = looks[name]
            ax.plot(
                rank, table[name], look.marker, color=look.colour, ms=size * look.size, mec="white", mew=0.25, zorder=3,
                clip_on=False,
            )  # fmt: skip
        ax.legend(
            handles=handles, ncols=columns, loc="lower left", bbox_to_anchor=(0, 1.01), borderaxespad=0,
            handlelength=1.3, handletextpad=0.4, columnspacing=1.0,
        )  # fmt: skip
        _axes(ax, rank, table, log)
    return ax


def _lines(ax: Axes, rank: np.ndarray, table: pd.DataFrame, log: bool) -> None:
    complete = table.notna().all(axis=1)
    mean, highest = table.mean(axis=1).where(complete), table.max(axis=1).where(complete)
    if len(rank) == 1:  # one image: a bar instead of a line
        rank = np.array([0.9, 1.1])
        mean, highest = mean.repeat(2), highest.repeat(2)
    floor = 0 if not log else table.min().min()
    ax.fill_between(rank, highest, floor, color="#eeeeee", lw=0, zorder=0)
    ax.plot(rank, highest, color=style.FAINT, lw=0.8, zorder=1)
    ax.plot(rank, mean, color=style.INK, lw=1.1, zorder=4)
    missing = int((~complete).sum())
    if missing:
        lack = "lacks" if missing == 1 else "lack"
        note = f"{missing} of {len(table)} images {lack} a network: no mean or maximum there"
        ax.annotate(note, (0, 1), (4, -2), "axes fraction", "offset points", va="top", fontsize=style.SMALL)


def _handles(looks: dict[str, style.Look], table: pd.DataFrame) -> list[Line2D]:
    """Legend entries: networks, the widest first, then the two lines."""
    order = [looks[str(name)] for name in table.mean().sort_values(ascending=False, kind="stable").index]
    networks = [
        Line2D([], [], ls="", marker=k.marker, color=k.colour, ms=4 * k.size, mew=0, label=k.label) for k in order
    ]
    mean = Line2D([], [], color=style.INK, lw=1.1, label="mean")
    return [*networks, mean, Line2D([], [], color=style.FAINT, lw=0.8, label="maximum")]


def _axes(ax: Axes, rank: np.ndarray, table: pd.DataFrame, log: bool) -> None:
    ax.set_ylabel("Diffusion index (%)")
    ax.set_xlim(0.5, len(rank) + 0.5)
    ax.grid(axis="y")
    if log:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:g}")
    else:
        ax.set_ylim(bottom=0)
    if len(rank) <= NAMED:
        names = [n if len(n) <= 18 else f"{n[:9]}…{n[-8:]}" for n in map(str, table.index)]
        ax.set_xticks(rank, names, rotation=35, ha="right", rotation_mode="anchor")
        ax.set_xlabel("Image, ordered by the maximum over networks")
    else:
        step = next(s for s in (5, 10, 20, 50, 100, 200, 500, 1000, len(rank)) if len(rank) / s <= 15)
        ax.set_xticks([1, *range(step, len(rank) + 1, step)])
        ax.set_xlabel("Image, by rank of the maximum over networks (1: the smallest)")

"""Does a wider look go with better reconstruction? Mean PSNR against ln DI, one point per network (after Fig. 7a)."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..cellfile import NO_IMAGES
from ..statistics import pearson, spearman
from ..table import ranking
from . import labels, style
from .frame import families

ENOUGH = 4  # networks from which on a line and its correlations are shown
SURE = 8  # networks from which on a bootstrap over networks says something


def draw(
    records: pd.DataFrame,
    ax: Axes | None = None,
    *,
    width: float = style.SINGLE,
    height: float = 2.9,
    value: str = "psnr_y",
    value_label: str = "PSNR-Y (dB)",
    least: float = 0.4,
    said: list[str] | None = None,
    more: np.ndarray | None = None,
) -> Axes:
    """Networks as points: colour is the family, marker the network. From four on: least-squares line, Pearson and
    Spearman correlation; from eight on with their 95 % bootstrap band and intervals over networks.

    records: as `read_records` gives them, one setting. Points are those of `table.ranking`: means over the images that
    all networks have; the figure says how many. value: what is on the y axis, psnr_y, psnr_rgb, ssim_y or an added
    score. least: what the y axis spans at least. said: lines in place of the correlations and the number of images.
    more: points (n, 2) of ln DI and that value which the caller marks: the axes hold them and names keep off them.
    ax: where to draw; None: a new figure of width × height inches. Raises UserError as `ranking` does.
    """
    table = ranking(records, n_resamples=99)  # its intervals are not shown
    looks = style.looks(families(records))
    xy = np.column_stack([np.log(table["di"]), table[value]])
    ax = style.new_axes(width, height) if ax is None else ax
    with style.paper():
        ax.set_xlabel("ln DI  (DI in %, mean over images)")
        ax.set_ylabel(value_label)
        ax.grid()
        more = np.zeros((0, 2)) if more is None else more
        everything = np.concatenate([xy, more])
        _limits(ax, everything, least)
        line = _regression(ax, xy) if len(xy) >= ENOUGH else None
        for name, (x, y) in zip(table["model"], xy, strict=True):
            look = looks[name]
            ax.plot(x, y, look.marker, color=look.colour, ms=5 * look.size, mec="white", mew=0.4, zorder=4)
        _family_legend(ax, set(table["family"]))
        _second_axis(ax)
        style.page(ax).draw_without_rendering()  # the layout settles, so that labels know their pixels
        n_all = records.loc[~records["status"].isin(NO_IMAGES), "index"].nunique()
        corner = _say(ax, said or _summary(xy, int(table["n_images"].iloc[0]), n_all), everything)
        labels.beside(ax, xy, [looks[name] for name in table["model"]], [corner, *labels.marks(ax, more)], line)
    return ax


def _limits(ax: Axes, xy: np.ndarray, least_y: float) -> None:
    """Room for labels around the points, and a sensible frame for one point or equal points."""
    for setter, values, least in ((ax.set_xlim, xy[:, 0], 0.4), (ax.set_ylim, xy[:, 1], least_y)):
        low, high = values.min(), values.max()
        pad = max(0.14 * (high - low), least / 2)
        setter(low - pad, high + pad)


def _regression(ax: Axes, xy: np.ndarray) -> np.ndarray:
    """Draws the line, and its band where it means something; returns points of the line (n, 2)."""
    import seaborn

    limits = ax.get_xlim(), ax.get_ylim()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a resample of equal points has no slope; it is one of a thousand
        seaborn.regplot(
            x=xy[:, 0], y=xy[:, 1], ax=ax, scatter=False, truncate=False, ci=95 if len(xy) >= SURE else None,
            n_boot=1000, seed=0, color="#777777", line_kws={"lw": 0.9, "zorder": 2},
        )  # fmt: skip
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])
    return np.column_stack(ax.lines[-1].get_data())


def _family_legend(ax: Axes, present: set[str]) -> None:
    known = [f for f in style.FAMILY_COLOURS if f in present]
    names = known + sorted(present - set(known))
    handles = [
        Line2D([], [], ls="", marker="o", ms=4, mew=0, color=style.FAMILY_COLOURS.get(f, style.OTHER_FAMILY), label=f)
        for f in names
    ]
    room = style.page(ax).get_figwidth() - 0.5
    ax.legend(
        handles=handles, ncols=style.legend_columns(names, room, handle=0.25), loc="lower left",
        bbox_to_anchor=(0, 1.12), borderaxespad=0, handlelength=0.8, handletextpad=0.3, columnspacing=0.9,
    )  # fmt: skip


def _second_axis(ax: Axes) -> None:
    """DI itself along the top, because nobody thinks in logarithms."""
    shown = style.log_ticks(*np.exp(ax.get_xlim()))
    top = ax.secondary_xaxis("top")
    top.set_xticks(np.log(shown), [f"{v:g}" for v in shown])
    top.tick_params(length=2, pad=1)
    top.set_xlabel("DI (%)", fontsize=style.SMALL, labelpad=2)
    top.spines["top"].set_visible(False)


def _summary(xy: np.ndarray, n_images: int, n_all: int) -> list[str]:
    lines = []
    if len(xy) >= ENOUGH and np.ptp(xy[:, 0]) > 0 and np.ptp(xy[:, 1]) > 0:
        for name, found in (("Pearson", pearson(*xy.T)), ("Spearman", spearman(*xy.T))):
            interval = f" [{found.low:.2f}, {found.high:.2f}]" if len(xy) >= SURE else ""
            lines.append(f"{name} {found.value:.2f}{interval}".replace("-", "−"))
    of = f" of {n_all}" if n_images < n_all else ""
    lines.append(f"{n_images}{of} image{'s' if n_all != 1 else ''}")
    return lines


def _say(ax: Axes, lines: list[str], xy: np.ndarray) -> tuple[float, float, float, float]:
    """Lines of text in the corner with the fewest points near it; returns the box they fill, in pixels."""
    unit = style.page(ax).dpi / 72
    width = max(style.text_width(t, style.SMALL) for t in lines) * 72 * unit
    height = len(lines) * style.SMALL * 1.3 * unit
    left, bottom, right, top = ax.bbox.extents
    margin = 4 * unit
    points = ax.transData.transform(xy) if len(xy) else np.zeros((0, 2))
    best = None
    for up in (True, False):
        for east in (False, True):
            x0 = right - margin - width if east else left + margin
            y0 = top - margin - height if up else bottom + margin
            centre = np.array([x0 + width / 2, y0 + height / 2])
            reach = np.abs(points - centre) / (np.array([width, height]) / 2 + 14 * unit)
            crowd = (1 / np.maximum(reach.max(axis=1), 0.5) ** 4).sum() if len(points) else 0.0
            if best is None or crowd < best[0] - 1e-9:
                best = (crowd, up, east, (x0, y0, x0 + width, y0 + height))
    assert best is not None
    _, up, east, box = best
    ax.annotate(
        "\n".join(lines), (int(east), int(up)), (-4 if east else 4, -4 if up else 4), "axes fraction", "offset points",
        fontsize=style.SMALL, ha="right" if east else "left", va="top" if up else "bottom", linespacing=1.25, zorder=5,
    ).set_in_layout(False)  # fmt: skip
    return box

"""The trial of the attribution methods: one criterion a figure, and the curves of deletion and insertion."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from . import style

LAM, NETWORK = "#d55e00", "#777777"
ZERO = 1e-9  # of a relative measure: less is rounding
PIXELS = {
    ("deletion", "blur"): "LR pixels blurred (%)",
    ("deletion", "swap"): "LR pixels from another image (%)",
    ("insertion", "blur"): "LR pixels kept (%), the others blurred",
    ("insertion", "swap"): "LR pixels kept (%), the others from another image",
}
METHODS = {  # the ones that are told apart in curves; the others are grey
    "lam": (LAM, "-"),
    "ig": ("#0060a8", "-"),
    "ig_blur": ("#63bdf0", "--"),
    "gradient_input": ("#00876c", "-"),
    "vargrad": ("#7a3fb5", "-."),
    "occlusion": ("#ecb52a", "-"),
    "patch_swap": ("#c46bb3", "-"),
    "gradcam": ("#7a4a1e", ":"),
    "control: nearness": (style.INK, "--"),
    "control: random": (NETWORK, ":"),
}


def draw(details: pd.DataFrame, rows: pd.DataFrame, criterion: str, title: str, better: int) -> Axes:
    """Mean of every method with its 95 % interval over images, the best on top; small marks below: single networks.

    details: as `judge` gives them. rows: the trial's rows. better: +1, −1 or 0. LAM is coloured, controls are hollow.
    What is 0 but for rounding stands at the left end of a logarithmic axis, as 0.
    """
    asked = details[details["criterion"] == criterion]
    part = asked[asked["status"] == "ok"].sort_values("mean", ascending=better <= 0, kind="stable")
    single = rows[(rows["criterion"] == criterion) & rows["x"].isna()].groupby(["model", "method"])["value"].mean()
    models = sorted(single.index.unique("model"))
    ax = style.new_axes(style.SINGLE, 0.85 + 0.16 * len(part))
    left = _left(part, single)
    with style.paper():
        for y, (_, row) in enumerate(part.iterrows()):
            name = str(row["method"])
            colour = LAM if name == "lam" else style.INK
            face = "white" if name.startswith("control") else colour
            if left is not None and row["mean"] < ZERO:
                ax.plot(left, y, "o", ms=4, mec=colour, mfc=face, mew=0.8, zorder=3, clip_on=False)
                ax.annotate("0", (left, y), (4, 0), textcoords="offset points", va="center", fontsize=style.SMALL)
                continue
            ax.plot([row["low"], row["high"]], [y, y], color=colour, lw=1.0, zorder=2)
            ax.plot(row["mean"], y, "o", ms=4, mec=colour, mfc=face, mew=0.8, zorder=3)
            for marker, model in zip(style.MARKERS, models, strict=False):
                if len(models) > 1 and (model, name) in single.index:
                    ax.plot(single[model, name], y + 0.3, marker, ms=2.4, mfc="none", mec=NETWORK, mew=0.5, zorder=1)
        if len(models) > 1:
            for marker, model in zip(style.MARKERS, models, strict=False):
                ax.plot([], [], marker, ms=2.6, mfc="none", mec=NETWORK, mew=0.6, label=style.label(model))
            ax.legend(ncols=5, loc="lower right", bbox_to_anchor=(1, 1.0), borderaxespad=0.2, handletextpad=0.1,
                      columnspacing=0.8)  # fmt: skip
        ax.set_yticks(range(len(part)), [str(m) for m in part["method"]])
        ax.set_ylim(len(part) - 0.4, -0.6)
        ax.set_xlabel("\n".join([title, *textwrap.wrap(_told(asked, better), 62)]), loc="right")
        if left is not None:
            ax.set_xscale("log")
            ax.set_xlim(left=left)
        ax.grid(axis="x")
    return ax


def _left(part: pd.DataFrame, single: pd.Series) -> float | None:
    """The left end of a logarithmic axis; None where a linear one shows all: intervals that reach 0, a narrow range."""
    means = part.loc[part["mean"] >= ZERO, "mean"]
    shown = np.concatenate([means, part.loc[means.index, "low"].dropna(), single[single.abs() >= ZERO]])
    if not means.size or shown.min() <= 0 or means.max() <= 50 * means.min():
        return None
    return float(shown.min()) / 1.5


def _told(asked: pd.DataFrame, better: int) -> str:
    """Which end is better, and which methods are missing: all of them where they are few."""
    told = [{1: "larger is better", -1: "smaller is better", 0: ""}[better]]
    for status, words in (("not applicable", "not defined for"), ("incomplete", "not measured everywhere:")):
        names = sorted(asked.loc[asked["status"] == status, "method"])
        told.append(f"{words} {', '.join(names) if len(names) < 5 else f'{len(names)} methods'}" if names else "")
    return "; ".join(filter(None, told))


def draw_curves(rows: pd.DataFrame, kind: str) -> Axes:
    """Deletion or insertion over the part of the pixels, left by blurring, right by swapping; means over all images and
    networks. Returns the left axes."""
    first = style.new_axes(style.DOUBLE, 2.6)
    fig = style.page(first)
    first.remove()
    with style.paper():
        axes = fig.subplots(1, 2, sharey=True)
        low, high = 0.0, 1.0
        for ax, fill in zip(axes, ("blur", "swap"), strict=True):
            part = rows[(rows["criterion"] == f"{kind} {fill}") & rows["x"].notna()]
            means = part.groupby(["method", "x"])["value"].mean()
            for name in sorted(means.index.unique("method"), key=lambda m: (m in METHODS, m == "lam")):
                colour, line = METHODS.get(name, (style.FAINT, "-"))
                curve = means[name]
                ax.plot(
                    100 * curve.index.to_numpy(),
                    curve.to_numpy(),
                    line,
                    color=colour,
                    lw=1.0 if name in METHODS else 0.5,
                )
            ax.set_xscale("log")
            ax.xaxis.set_major_formatter("{x:g}")
            ax.set_xlabel(PIXELS[kind, fill])
            low, high = min(low, float(means.min())), max(high, float(means.max()))
            ax.set_ylim(low, 1.02 * high)
            ax.grid()
        axes[0].set_ylabel("Change of the window" if kind == "deletion" else "Part of the window's change undone")
        _name_methods(axes[1], rows)
    return axes[0]


def draw_cascade(rows: pd.DataFrame) -> Axes:
    """Rank correlation of a map with that of the network whose layers are shuffled from the output down, over the part
    of the layers: one panel per network, means over all images. A map of the network falls, a map of the window stays.
    Returns the first axes."""
    part = rows[(rows["criterion"] == "randomisation") & rows["x"].notna()]
    means = part.groupby(["model", "method", "x"])["value"].mean()
    models = sorted(means.index.unique("model"))
    columns = 2 if len(models) == 4 else min(len(models), 3)
    first = style.new_axes(style.DOUBLE, 0.5 + 1.9 * -(-len(models) // columns))
    fig = style.page(first)
    first.remove()
    with style.paper():
        grid = fig.subplots(-(-len(models) // columns), columns, sharex=True, sharey=True, squeeze=False)
        for k, (ax, model) in enumerate(zip(grid.flat, models, strict=False)):
            for name in sorted(means[model].index.unique("method"), key=lambda m: (m in METHODS, m == "lam")):
                colour, line = METHODS.get(name, (style.FAINT, "-"))
                curve = means[model, name]
                x, y = np.concatenate([[0.0], 100 * curve.index.to_numpy()]), np.concatenate([[1.0], curve.to_numpy()])
                ax.plot(x, y, line, color=colour, lw=1.0 if name in METHODS else 0.5, marker="o", ms=1.6, clip_on=False)
            ax.set_title(style.label(model))
            ax.set_xlim(0, 100)
            ax.set_xticks([0, 25, 50, 75, 100])
            ax.tick_params(labelbottom=k + columns >= len(models))  # where no panel is below
            ax.grid()
        for ax in grid.flat[len(models) :]:
            ax.set_axis_off()
        fig.supxlabel("Layers shuffled, from the output down (%)", fontsize=style.TEXT)
        grid[0, 0].set_ylabel("Rank correlation with the map")
        _name_methods(grid[0, -1], rows)
    return grid[0, 0]


def _name_methods(ax: Axes, rows: pd.DataFrame) -> None:
    """The legend of curves, to the right."""
    for name, (colour, line) in METHODS.items():
        if (rows["method"] == name).any():
            ax.plot([], [], line, color=colour, label=name)
    if not set(rows["method"]) <= set(METHODS):
        ax.plot([], [], color=style.FAINT, lw=0.5, label="others")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))

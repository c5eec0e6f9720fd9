"""A path from the baseline to the image, and what the network makes of it (after Fig. 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from . import style

D, MASS = "#d55e00", "#0060a8"


def draw(
    steps: pd.DataFrame, images: dict[str, np.ndarray], shown: Sequence[float], *, width: float = style.DOUBLE
) -> Axes:
    """One row per path: its images; D along it; how fast image and gradient move, both as parts of their maxima; the
    cumulative sum of the map against the line that completeness demands. steps, images: as `pathway.Followed` has them;
    shown: α of the images. Returns the first axes.
    """
    labels = list(images)
    n_images = len(next(iter(images.values())))
    first = style.new_axes(width, 1.05 * len(labels) + 0.75)
    fig = style.page(first)
    first.remove()
    ends = steps["score"].to_numpy(), steps["baseline_score"].to_numpy()
    low, high = min(e.min() for e in ends), max(e.max() for e in ends)
    room = 0.06 * (high - low)
    with style.paper():
        grid = fig.add_gridspec(len(labels), n_images + 3, width_ratios=[0.72] * n_images + [1.25] * 3)
        for r, label in enumerate(labels):
            part = steps[steps["path"] == label]
            for c, image in enumerate(images[label]):
                ax = fig.add_subplot(grid[r, c])
                ax.imshow(image, interpolation="nearest")
                ax.set_xticks([])
                ax.set_yticks([])
                for spine in ax.spines.values():
                    spine.set_visible(False)
                if c == 0:
                    ax.set_ylabel(label)
                if r == 0:
                    ax.set_title(f"{'α = ' if c == 0 else ''}{shown[c]:g}")
            panels = [fig.add_subplot(grid[r, n_images + k]) for k in range(3)]
            _panels(panels, part)
            panels[0].set_ylim(low - room, high + room)
            for ax, title in zip(panels, ("D(F(γ))", "speed, gradient", "Σ map up to α"), strict=True):
                ax.set_xlim(0, 1)
                ax.grid()
                if r == 0:
                    ax.set_title(title)
                    if ax.get_legend_handles_labels()[0]:
                        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.2), borderaxespad=0, handlelength=1.0)
                if r == len(labels) - 1:
                    ax.set_xlabel("α")
                else:
                    ax.set_xticklabels([])
    return fig.axes[0]


def _panels(panels: list[Axes], part: pd.DataFrame) -> None:
    start, alpha = part["baseline_score"].iloc[0], np.concatenate([[0.0], part["alpha"]])
    middle = (alpha[1:] + alpha[:-1]) / 2
    panels[0].plot(alpha, np.concatenate([[start], part["score"]]), color=D)
    for name, colour, label in (("speed", style.INK, "‖dγ/dα‖ / max"), ("gradient", MASS, "Σ|∇D| / max")):
        values = part[name].to_numpy()
        panels[1].plot(middle, values / values.max() if values.max() else values, color=colour, label=label)
    panels[1].set_ylim(0, 1.08)
    panels[2].plot(alpha, np.concatenate([[0.0], part["contribution"].cumsum()]), color=D)
    panels[2].axhline(part["score"].iloc[-1] - start, color=style.INK, lw=0.6, ls="--", label="D(F(I)) − D(F(I'))")

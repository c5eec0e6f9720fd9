"""One image through the eyes of several networks: SR patch, LAM and area of contribution (after Fig. 5).

The first column is the ground truth: the HR patch, the HR image with the window boxed, the LR input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..types import UserError
from . import panels, style

LEFT, RIGHT, GAP, BAND_GAP = 0.29, 0.32, 0.035, 0.12  # inches: row names, colour bar, between panels, between bands
LINE = 0.115  # inches per line under a column
SMALLEST, LARGEST = 0.55, 1.45  # inches: width of a panel
ROWS = ("SR patch", "LAM", "Area of\ncontribution")

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class _Grid:
    """Where everything is, in printed pixels; y counts from the top."""

    size: panels.Size
    columns: int
    name_lines: tuple[int, ...]  # of each band

    @property
    def bands(self) -> int:
        return len(self.name_lines)

    def inches(self, value: float) -> int:
        return round(value * self.size.dpi)

    @property
    def width(self) -> int:
        return self.x(self.columns - 1) + self.size.width + self.inches(RIGHT)

    @property
    def height(self) -> int:
        return self.y(self.bands, 0) - self.inches(BAND_GAP)

    def x(self, column: int) -> int:
        return self.inches(LEFT) + column * (self.size.width + self.inches(GAP))

    def y(self, band: int, row: int) -> int:
        row_height = self.size.height + self.inches(GAP)
        above = sum(len(ROWS) * row_height + self.inches((n + 2) * LINE + BAND_GAP) for n in self.name_lines[:band])
        return self.inches(0.02) + above + row * row_height


def draw(
    entries: Sequence[Entry], fig: Figure | None = None, *, width: float = style.DOUBLE, reach: float = 4
) -> Figure:
    """Networks as columns, in the order given, in several bands if there are many.

    entries: one per network, all of one image and window: model (name), family (optional), hr (s·h, s·w, 3) uint8,
    lr (h, w, 3) uint8, sr (s·h, s·w, 3) uint8, map (3, h, w), window {"y", "x", "size"} or (y, x, size) in SR pixels,
    di (percent), psnr_y (dB). fig: drawn into, its size and resolution are set; None: a new one.
    width: inches at most. reach: the patch is about so many windows wide. Returns the figure.
    Raises UserError without entries, and where they are not of one image and window.
    """
    window = _common(entries)
    lr = entries[0]["lr"]
    grid = _grid(entries, lr.shape[:2], width)
    size = grid.size
    place = panels.neighbourhood(entries[0]["hr"].shape[:2], window, size, reach)
    with style.paper():
        fig = Figure() if fig is None else fig
        FigureCanvasAgg(fig)
        # a hundredth of a pixel more, because the canvas cuts fractions off
        fig.set_dpi(size.dpi)
        fig.set_size_inches((grid.width + 0.01) / size.dpi, (grid.height + 0.01) / size.dpi)
        per_band = grid.columns - 1
        for band in range(grid.bands):
            _reference(fig, grid, band, entries[0], window, place)
            shown = entries[band * per_band : (band + 1) * per_band]
            for column, entry in enumerate(shown, start=1):
                _network(fig, grid, band, column, entry, window, place)
            _colour_bar(fig, grid, band, len(shown))
    return fig


def _common(entries: Sequence[Entry]) -> dict[str, int]:
    """The window that all entries share."""
    if not entries:
        raise UserError("A comparison of attribution maps needs at least one network.")
    first = _window(entries[0])
    for entry in entries[1:]:
        if _window(entry) != first or not np.array_equal(entry["hr"], entries[0]["hr"]):
            both = f"'{entry['model']}' and '{entries[0]['model']}'"
            raise UserError(f"{both} were not measured on one image and window.")
    return first


def _window(entry: Entry) -> dict[str, int]:
    window = entry["window"]
    values = [window[k] for k in ("y", "x", "size")] if isinstance(window, Mapping) else window
    return {k: int(v) for k, v in zip(("y", "x", "size"), values, strict=True)}


def _grid(entries: Sequence[Entry], lr_shape: tuple[int, int], width: float) -> _Grid:
    """As few bands as the smallest panel allows, evenly filled, and panels as large as fit."""
    room = width - LEFT - RIGHT + GAP
    most = max(1, int(room / (SMALLEST + GAP) + 1e-9) - 1)
    bands = -(-len(entries) // most)
    columns = 1 + -(-len(entries) // bands)
    size = panels.fit(lr_shape, min(room / columns - GAP, LARGEST))
    lines = [_name(entry, size.width / size.dpi).count("\n") + 1 for entry in entries]
    return _Grid(size, columns, tuple(max(lines[i : i + columns - 1]) for i in range(0, len(lines), columns - 1)))


def _name(entry: Entry, room: float) -> str:
    """The network's written name in one line or two, cut where even that is too wide."""
    text = style.label(str(entry["model"]))
    if style.text_width(text, style.SMALL, bold=True) > room and "-" in text:
        text = text.replace("-", "-\n", 1)
    lines = []
    for line in text.split("\n"):
        kept = line
        while style.text_width(kept, style.SMALL, bold=True) > room and len(kept) > 2:
            kept = kept[:-2] + "…"
        lines.append(kept)
    return "\n".join(lines)


def _panel(fig: Figure, grid: _Grid, band: int, row: int, column: int, picture: panels.Picture | None) -> Axes:
    size = grid.size
    left, top = grid.x(column), grid.y(band, row)
    bounds = (left / grid.width, 1 - (top + size.height) / grid.height)
    ax = fig.add_axes((*bounds, size.width / grid.width, size.height / grid.height))
    ax.set(xticks=[], yticks=[], xlim=(0, size.width), ylim=(size.height, 0))
    for spine in ax.spines.values():
        spine.set(visible=True, linewidth=0.4, color="#555555")
    if picture is None:
        ax.text(0.5, 0.5, "undefined", transform=ax.transAxes, ha="center", va="center", fontsize=style.SMALL)
    else:
        extent = (0, size.width, size.height, 0)
        ax.imshow(picture, interpolation="none", aspect="auto", extent=extent, resample=False)
    return ax


def _reference(
    fig: Figure, grid: _Grid, band: int, entry: Entry, window: dict[str, int], place: tuple[int, ...]
) -> None:
    """The first column, and the names of rows and numbers."""
    hr, size = entry["hr"], grid.size
    enlarged = _panel(fig, grid, band, 0, 0, panels.patch(hr, place, size))
    _box_in_patch(enlarged, window, place)
    full = _panel(fig, grid, band, 1, 0, panels.whole(hr, size))
    scale = size.width / hr.shape[1]
    _box(full, place[1] * scale, place[0] * scale, place[3] * scale, place[2] * scale, thin=True)
    _box(full, window["x"] * scale, window["y"] * scale, window["size"] * scale, window["size"] * scale)
    low = _panel(fig, grid, band, 2, 0, panels.whole(entry["lr"], size))
    for ax, tag in ((enlarged, "HR patch"), (full, "HR"), (low, "LR")):
        ax.annotate(
            tag, (0, 1), (1.5, -1.5), "axes fraction", "offset points", va="top", fontsize=style.SMALL,
            bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "boxstyle": "square,pad=0.12"},
        )  # fmt: skip
    for row, name in enumerate(ROWS):
        y = 1 - (grid.y(band, row) + size.height / 2) / grid.height
        fig.text(
            grid.inches(LEFT / 2) / grid.width, y, name, rotation=90, ha="center", va="center", fontsize=style.SMALL,
            linespacing=1.1, multialignment="center",
        )  # fmt: skip
    _caption(fig, grid, band, 0, ["", "PSNR-Y (dB)", "DI (%)"])


def _network(
    fig: Figure, grid: _Grid, band: int, column: int, entry: Entry, window: dict[str, int], place: tuple[int, ...]
) -> None:
    size = grid.size
    ax = _panel(fig, grid, band, 0, column, panels.patch(entry["sr"], place, size))
    _box_in_patch(ax, window, place)
    ax = _panel(fig, grid, band, 1, column, panels.attribution(entry["map"], size))
    scale = size.width / entry["hr"].shape[1]
    _box(ax, window["x"] * scale, window["y"] * scale, window["size"] * scale, window["size"] * scale, thin=True)
    _panel(fig, grid, band, 2, column, panels.area(entry["map"], entry["lr"], size))
    numbers = [f"{v:.2f}" if np.isfinite(v) else "–" for v in (entry["psnr_y"], entry["di"])]
    look = style.looks([(str(entry["model"]), str(entry.get("family", "")))])[str(entry["model"])]
    _caption(fig, grid, band, column, [_name(entry, size.width / size.dpi), *numbers], look.ink)


def _caption(fig: Figure, grid: _Grid, band: int, column: int, lines: Sequence[str], colour: str = style.INK) -> None:
    """Name (bold), PSNR and DI under a column."""
    x = (grid.x(column) + grid.size.width / 2) / grid.width
    top = grid.y(band, len(ROWS) - 1) + grid.size.height
    for row, text in enumerate(lines):
        y = 1 - (top + grid.inches((grid.name_lines[band] + row) * LINE)) / grid.height
        bold = row == 0
        fig.text(
            x, y, text, ha="center", va="baseline", fontsize=style.SMALL, linespacing=1.1,
            weight="bold" if bold else "normal", color=colour if bold else style.INK,
        )  # fmt: skip


def _box_in_patch(ax: Axes, window: dict[str, int], place: tuple[int, ...]) -> None:
    y, x, _, _, factor = place
    _box(ax, (window["x"] - x) * factor, (window["y"] - y) * factor, window["size"] * factor, window["size"] * factor)


def _box(ax: Axes, x: float, y: float, width: float, height: float, thin: bool = False) -> None:
    """A frame that is seen on any picture: black on white."""
    for line, colour in ((1.3, "white"), (0.6, "black")) if not thin else ((0.9, "white"), (0.4, "black")):
        ax.add_patch(Rectangle((x, y), width, height, fill=False, lw=line, ec=colour, joinstyle="miter"))


def _colour_bar(fig: Figure, grid: _Grid, band: int, column: int) -> None:
    """What the colours of the LAM row mean: |sum over channels| relative to each map's maximum."""
    size = grid.size
    left, top = grid.x(column) + size.width + grid.inches(0.045), grid.y(band, 1)
    ax = fig.add_axes(
        (
            left / grid.width, 1 - (top + size.height) / grid.height, grid.inches(0.055) / grid.width,
            size.height / grid.height,
        )
    )  # fmt: skip
    shades = (255 * matplotlib.colormaps["seismic"](np.linspace(1, 0.5, 128))[:, None, :3]).astype(np.uint8)
    ax.imshow(shades, interpolation="none", aspect="auto", extent=(0, 1, 0, 1))
    ax.yaxis.tick_right()
    ax.set(xticks=[], yticks=[0, 1])
    ax.tick_params(length=0, pad=1.5)
    for spine in ax.spines.values():
        spine.set(visible=True, linewidth=0.4, color="#555555")
    labels = ax.get_yticklabels()
    labels[0].set_va("bottom")
    labels[1].set_va("top")
    ax.annotate(
        "|LAM| / max", (1, 0.5), (7, 0), "axes fraction", "offset points", rotation=90, fontsize=style.SMALL, ha="left",
        va="center",
    )  # fmt: skip

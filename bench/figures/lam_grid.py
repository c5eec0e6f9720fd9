"""One image through the eyes of several networks: SR patch, LAM and area of contribution (after Fig. 5).

The first column is the ground truth: the HR patch, the HR image with the window boxed, the LR input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..types import UserError
from . import panels, sheet, style
from .sheet import LINE, Panel

LEFT, RIGHT, GAP, BAND_GAP = 0.29, 0.32, 0.035, 0.12  # inches: row names, colour bar, between panels, between bands

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
    entries: Sequence[Entry],
    fig: Figure | None = None,
    *,
    width: float = style.DOUBLE,
    reach: float = 4,
    colours: str = "seismic",
) -> Figure:
    """Networks as columns, in the order given, in several bands if there are many.

    entries: one per network, all of one image and window: model (name), family (optional), hr (s·h, s·w, 3) uint8,
    lr (h, w, 3) uint8, sr (s·h, s·w, 3) uint8, map (3, h, w), window {"y", "x", "size"} or (y, x, size) in SR pixels,
    di (percent), psnr_y (dB). fig: drawn into, its size and resolution are set; None: a new one.
    width: inches at most. reach: the patch is about so many windows wide. colours: seismic or safe (see panels).
    Returns the figure.
    Raises UserError without entries, and where they are not of one image and window.
    """
    window = _common(entries)
    lr = entries[0]["lr"]
    grid = _grid(entries, lr.shape[:2], width)
    size = grid.size
    place = panels.neighbourhood(entries[0]["hr"].shape[:2], window, size, reach)
    with style.paper():
        page = sheet.blank(fig, grid.width, grid.height, grid.size.dpi)
        per_band = grid.columns - 1
        for band in range(grid.bands):
            shown = entries[band * per_band : (band + 1) * per_band]
            _reference(page, grid, band, entries[0], window, place)
            for column, entry in enumerate(shown, start=1):
                _network(page, grid, band, column, entry, window, place, colours)
            _colour_bar(page, grid, band, len(shown), colours)
    return style.page(page)


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


def _panel(page: Axes, grid: _Grid, band: int, row: int, column: int) -> Panel:
    return Panel(page, grid.size, grid.x(column), grid.y(band, row))


def _reference(
    page: Axes, grid: _Grid, band: int, entry: Entry, window: dict[str, int], place: tuple[int, ...]
) -> None:
    """The first column, and the names of rows and numbers."""
    hr, size = entry["hr"], grid.size
    y, x, height, width, factor = place
    enlarged, full, low = (_panel(page, grid, band, row, 0) for row in range(3))
    enlarged.show(panels.patch(hr, place, size))
    enlarged.box(window["x"] - x, window["y"] - y, window["size"], window["size"], factor)
    full.show(panels.whole(hr, size))
    full.box(x, y, width, height, size.width / hr.shape[1], thin=True)
    full.box(window["x"], window["y"], window["size"], window["size"], size.width / hr.shape[1])
    low.show(panels.whole(entry["lr"], size))
    for panel, tag in ((enlarged, "HR patch"), (full, "HR"), (low, "LR")):
        panel.tag(tag)
    for row, name in enumerate(ROWS):
        page.text(
            grid.inches(LEFT / 2), grid.y(band, row) + size.height / 2, name, rotation=90, ha="center", va="center",
            fontsize=style.SMALL, linespacing=1.1, multialignment="center",
        )  # fmt: skip
    _caption(page, grid, band, 0, ["", "PSNR-Y (dB)", "DI (%)"])


def _network(
    page: Axes,
    grid: _Grid,
    band: int,
    column: int,
    entry: Entry,
    window: dict[str, int],
    place: tuple[int, ...],
    colours: str,
) -> None:
    size = grid.size
    patch, lam, area = (_panel(page, grid, band, row, column) for row in range(3))
    patch.show(panels.patch(entry["sr"], place, size))
    patch.box(window["x"] - place[1], window["y"] - place[0], window["size"], window["size"], place[4])
    lam.show(panels.attribution(entry["map"], size, colours))
    scale = size.width / entry["hr"].shape[1]
    lam.box(window["x"], window["y"], window["size"], window["size"], scale, thin=True)
    area.show(panels.area(entry["map"], entry["lr"], size, colours))
    numbers = [f"{v:.2f}" if np.isfinite(v) else "–" for v in (entry["psnr_y"], entry["di"])]
    look = style.looks([(str(entry["model"]), str(entry.get("family", "")))])[str(entry["model"])]
    _caption(page, grid, band, column, [_name(entry, size.width / size.dpi), *numbers], look.ink)


def _caption(page: Axes, grid: _Grid, band: int, column: int, lines: Sequence[str], colour: str = style.INK) -> None:
    """Name (bold), PSNR and DI under a column."""
    x = grid.x(column) + grid.size.width / 2
    top = grid.y(band, len(ROWS) - 1) + grid.size.height
    for row, text in enumerate(lines):
        bold = row == 0
        page.text(
            x, top + grid.inches((grid.name_lines[band] + row) * LINE), text, ha="center", va="baseline",
            fontsize=style.SMALL, linespacing=1.1, weight="bold" if bold else "normal",
            color=colour if bold else style.INK,
        )  # fmt: skip


def _colour_bar(page: Axes, grid: _Grid, band: int, column: int, colours: str) -> None:
    """What the colours of the LAM row mean: |sum over channels| relative to each map's maximum."""
    left = grid.x(column) + grid.size.width + grid.inches(0.045)
    size = panels.Size(grid.inches(0.055), grid.size.height, grid.size.dpi, 0)
    Panel(page, size, left, grid.y(band, 1)).scale((0, 1), colours, "|LAM| / max")

"""Two networks on one image: what each reconstructs, where each looks, and where one looks more than the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..metrics.concentration import magnitude
from ..types import UserError
from . import panels, sheet, style

LEFT, RIGHT, GAP = 0.02, 0.32, 0.035  # inches: margin, colour bar, between panels
LARGEST = 1.3  # inches: width of a panel


def draw(
    pair: Sequence[Mapping[str, Any]],
    fig: Figure | None = None,
    *,
    width: float = style.DOUBLE,
    reach: float = 4,
    colours: str = "seismic",
) -> Figure:
    """HR, then SR patch and LAM of both, then the difference of their shares of attribution, first − second.

    pair: two entries as `lam_grid.draw` takes them, of one image and window. A share is |sum over channels| over
    its sum (each map sums to 1), so that the difference sums to 0; it is shown relative to its largest magnitude.
    colours: seismic or safe (see panels). Raises UserError for other than two entries and for two images.
    """
    if len(pair) != 2:
        raise UserError(f"A difference needs two networks, not {len(pair)}.")
    first, second = pair
    if first["window"] != second["window"] or not np.array_equal(first["hr"], second["hr"]):
        raise UserError(f"'{first['model']}' and '{second['model']}' were not measured on one image and window.")
    columns = 6
    room = (width - LEFT - RIGHT + GAP) / columns - GAP
    size = panels.fit(first["lr"].shape[:2], min(room, LARGEST))

    def pixels(inches: float) -> int:
        return round(inches * size.dpi)

    window, hr = first["window"], first["hr"]
    place = panels.neighbourhood(hr.shape[:2], window, size, reach)
    page_width = pixels(LEFT) + columns * size.width + (columns - 1) * pixels(GAP) + pixels(RIGHT)
    with style.paper():
        page = sheet.blank(fig, page_width, pixels(0.02) + size.height + pixels(3.4 * sheet.LINE), size.dpi)
        shown = [
            sheet.Panel(page, size, pixels(LEFT) + i * (size.width + pixels(GAP)), pixels(0.02)) for i in range(columns)
        ]
        whole, scale = shown[0], size.width / hr.shape[1]
        whole.show(panels.whole(hr, size))
        whole.box(window["x"], window["y"], window["size"], window["size"], scale)
        whole.below("HR", 1, bold=True)
        whole.below("PSNR-Y (dB)", 2)
        whole.below("DI (%)", 3)
        looks = style.looks([(str(e["model"]), str(e.get("family", ""))) for e in pair])
        for entry, patch, lam in zip(pair, shown[1:5:2], shown[2:5:2], strict=True):
            look = looks[str(entry["model"])]
            patch.show(panels.patch(entry["sr"], place, size))
            patch.box(window["x"] - place[1], window["y"] - place[0], window["size"], window["size"], place[4])
            lam.show(panels.attribution(entry["map"], size, colours))
            lam.box(window["x"], window["y"], window["size"], window["size"], scale, thin=True)
            patch.below(look.label, 1, bold=True, colour=look.ink)
            lam.below("LAM", 1)
            patch.below(_number(entry["psnr_y"]), 2)
            lam.below(_number(entry["di"]), 3)
        difference = _difference(first["map"], second["map"])
        shown[5].show(None if difference is None else panels.whole(panels.coloured(difference, colours), size))
        shown[5].box(window["x"], window["y"], window["size"], window["size"], scale, thin=True)
        shown[5].below("first − second", 1)
        bar = panels.Size(pixels(0.055), size.height, size.dpi, 0)
        right = shown[5].left + size.width + pixels(0.045)
        sheet.Panel(page, bar, right, pixels(0.02)).scale((-1, 1), colours, "difference / max")
    return style.page(page)


def _difference(first: Any, second: Any) -> np.ndarray | None:
    a, b = (magnitude(values) for values in (first, second))
    difference = a / a.sum() - b / b.sum()
    peak = np.abs(difference).max()
    return None if np.isnan(peak) else difference / max(peak, np.finfo(float).tiny)


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "–"

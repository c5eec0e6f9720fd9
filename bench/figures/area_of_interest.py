"""The area-of-interest sheet: images with a small, a medium and a large area (after Fig. 8, bottom, and Fig. S1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from ..metrics.interest import area_of_interest
from ..types import UserError
from . import panels, sheet, style

LEFT, RIGHT, GAP, GROUP_GAP = 0.19, 0.34, 0.035, 0.08  # inches: group names, colour bar, between panels, groups
LARGEST = 0.9  # inches: width of a panel


def draw(
    images: Sequence[Mapping[str, Any]],
    fig: Figure | None = None,
    *,
    width: float = style.DOUBLE,
    columns: int = 10,
    hr: bool = True,
    colours: str = "seismic",
) -> Figure:
    """Per image the HR with the window boxed, below it the area of interest over the LR image, and its rank and DI.

    images: in the order of ranks, each with group (the name of its row), rank, n_ranks, di (the maximum over networks),
    hr, lr, window {"y", "x", "size"}, wide and narrow (lists of maps (3, h, w)), n_networks. The caption states how
    maps were pooled. columns: images side by side. hr: without it the
    window is boxed on the area, and a sheet has half the size. Raises UserError without images.
    """
    if not images:
        raise UserError("An area-of-interest sheet needs at least one image.")
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for image in images:
        groups.setdefault(str(image["group"]), []).append(image)
    columns = min(columns, max(map(len, groups.values())))
    room = (width - LEFT - RIGHT + GAP) / columns - GAP
    size = panels.fit(images[0]["lr"].shape[:2], min(room, LARGEST))

    def pixels(inches: float) -> int:
        return round(inches * size.dpi)

    above = size.height + pixels(GAP) if hr else 0
    row_height = above + size.height + pixels(2.4 * sheet.LINE)
    rows = {name: -(-len(members) // columns) for name, members in groups.items()}
    gaps = pixels(GROUP_GAP) * (len(groups) - 1)
    body = pixels(0.02) + sum(rows.values()) * row_height + gaps
    page_width = pixels(LEFT + RIGHT) + columns * size.width + (columns - 1) * pixels(GAP)
    text = sheet.wrapped(_rule(images, colours), page_width / size.dpi - 0.06)
    with style.paper():
        page = sheet.blank(fig, page_width, body + pixels(sheet.LINE * (len(text) + 0.6)), size.dpi)
        top = pixels(0.02)
        for name, members in groups.items():
            middle = top + (rows[name] * row_height - pixels(2.4 * sheet.LINE)) / 2
            page.text(pixels(LEFT / 2), middle, name, rotation=90, ha="center", va="center", fontsize=style.SMALL)
            for i, image in enumerate(members):
                left = pixels(LEFT) + (i % columns) * (size.width + pixels(GAP))
                _image(page, size, (left, top + (i // columns) * row_height), above, image, colours)
            top += rows[name] * row_height + pixels(GROUP_GAP)
        bar = panels.Size(pixels(0.055), above + size.height, size.dpi, 0)
        right = pixels(LEFT) + columns * (size.width + pixels(GAP))
        sheet.Panel(page, bar, right, pixels(0.02)).scale((-0.5, 1), colours, "")
        sheet.lines(page, text, pixels(0.02), body, size.dpi)
    return style.page(page)


def _image(
    page: Any, size: panels.Size, corner: tuple[int, int], above: int, image: Mapping[str, Any], colours: str
) -> None:
    """above: printed pixels that the HR takes, 0 without it."""
    area = sheet.Panel(page, size, corner[0], corner[1] + above)
    area.show(panels.over(area_of_interest(image["wide"], image["narrow"]), image["lr"], size, colours))
    boxed = area
    if above:
        boxed = sheet.Panel(page, size, *corner)
        boxed.show(panels.whole(image["hr"], size))
    window, factor = image["window"], size.width / image["hr"].shape[1]
    boxed.box(window["x"], window["y"], window["size"], window["size"], factor, thin=True)
    area.below(f"{image['rank']}", 1, bold=True)
    area.below(f"{image['di']:.1f} %", 2)


def _rule(images: Sequence[Mapping[str, Any]], colours: str) -> str:
    first = images[0]
    k, n = len(first["wide"]), int(first["n_networks"])
    pool = f"the {k} widest and the {k} narrowest" if k > 1 else "the widest and the narrowest"
    both, wide = ("Red", "blue") if colours == "seismic" else ("Orange", "purple")
    return (
        f"Under each image: its rank of {first['n_ranks']} by the maximum DI over {n} networks, and that DI. {both}: "
        f"noticed by almost all networks; {wide}: by the wide ones only. Shown is Z(B) − ½ (Z(A) − Z(B)) / max(Z(A) − "
        f"Z(B)), where Z is the kernel density of a map, and A and B are the means of |LAM| / max of {pool} of the {n} "
        f"networks, by their DI on that image."
    )

"""A page of pictures, placed by printed pixels, so that each reaches the file pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from . import panels, style


def blank(fig: Figure | None, width: int, height: int, dpi: float) -> Axes:
    """One empty axes all over the figure (None: a new one); data coordinates are printed pixels, y downwards."""
    fig = Figure() if fig is None else fig
    FigureCanvasAgg(fig)
    fig.set_dpi(dpi)
    # a hundredth of a pixel more, because the canvas cuts fractions off
    fig.set_size_inches((width + 0.01) / dpi, (height + 0.01) / dpi)
    page = fig.add_axes((0, 0, 1, 1))
    page.set_axis_off()
    page.set(xlim=(0, width + 0.01), ylim=(height + 0.01, 0), autoscale_on=False)
    return page


@dataclass(frozen=True)
class Panel:
    """One picture on the page, its upper left corner in printed pixels."""

    page: Axes
    size: panels.Size
    left: int
    top: int

    def show(self, picture: panels.Picture | None) -> None:
        size = self.size
        if picture is None:
            middle = (self.left + size.width / 2, self.top + size.height / 2)
            self.page.text(*middle, "undefined", ha="center", va="center", fontsize=style.SMALL)
        else:
            self._place(picture)
        self.page.add_patch(_frame(self.left, self.top, size.width, size.height, 0.4, "#555555"))

    def box(self, x: float, y: float, width: float, height: float, factor: float, thin: bool = False) -> None:
        """A frame that is seen on any picture: black on white. x, y, width, height: in units of `factor` pixels."""
        panel = Rectangle((self.left, self.top), self.size.width, self.size.height, transform=self.page.transData)
        for line, colour in ((0.9, "white"), (0.4, "black")) if thin else ((1.3, "white"), (0.6, "black")):
            corner = (self.left + x * factor, self.top + y * factor)
            frame = self.page.add_patch(_frame(*corner, width * factor, height * factor, line, colour))
            frame.set_clip_path(panel)

    def tag(self, text: str) -> None:
        """Text on a light ground in the upper left corner."""
        self.page.annotate(
            text, (self.left, self.top), (1.5, -1.5), "data", "offset points", va="top", fontsize=style.SMALL,
            bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "boxstyle": "square,pad=0.12"},
        )  # fmt: skip

    def below(self, text: str, line: float = 1, bold: bool = False, colour: str = style.INK) -> None:
        """Text under the panel, centred; line 1 is the first."""
        at = (self.left + self.size.width / 2, self.top + self.size.height + line * LINE * self.size.dpi)
        weight = "bold" if bold else "normal"
        self.page.text(*at, text, ha="center", va="baseline", fontsize=style.SMALL, weight=weight, color=colour)

    def scale(self, limits: tuple[float, float], colours: str, text: str) -> None:
        """This panel as a colour bar: limits, in [−1, 1], from bottom to top, with what they measure beside it."""
        size, (low, high) = self.size, limits
        self._place(panels.coloured(np.linspace(high, low, size.height)[:, None], colours))
        self.page.add_patch(_frame(self.left, self.top, size.width, size.height, 0.4, "#555555"))
        right = self.left + size.width
        for value, y, align in ((high, self.top, "top"), (low, self.top + size.height, "bottom")):
            self.page.annotate(
                f"{value:g}".replace("-", "−"), (right, y), (1.5, 0), "data", "offset points", va=align,
                fontsize=style.SMALL,
            )  # fmt: skip
        self.page.annotate(
            text, (right, self.top + size.height / 2), (7, 0), "data", "offset points", rotation=90,
            fontsize=style.SMALL, ha="left", va="center",
        )  # fmt: skip

    def _place(self, picture: panels.Picture) -> None:
        limits = self.page.get_xlim(), self.page.get_ylim()
        extent = (self.left, self.left + self.size.width, self.top + self.size.height, self.top)
        self.page.imshow(picture, interpolation="none", aspect="auto", extent=extent, resample=False)
        self.page.set(xlim=limits[0], ylim=limits[1])


LINE = 0.115  # inches per line of small text
HINTED = 0.96  # small glyphs on whole pixels are a little wider than their outlines


def lines(page: Axes, text: list[str], left: int, top: int, dpi: float) -> None:
    """Lines of small text (see `wrapped`), from the upper left corner (printed pixels) on."""
    for number, line in enumerate(text):
        at = (left, top + (number + 0.8) * LINE * dpi)
        page.text(*at, line, va="baseline", fontsize=style.SMALL)


def wrapped(text: str, width: float) -> list[str]:
    """Lines of small text that fit into so many inches."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if style.text_width(longer, style.SMALL) <= HINTED * width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _frame(x: float, y: float, width: float, height: float, line: float, colour: str) -> Rectangle:
    return Rectangle((x, y), width, height, fill=False, lw=line, ec=colour, joinstyle="miter")

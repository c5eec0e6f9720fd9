"""What all figures share: sizes, fonts, one colour per family, one marker per network, and how a figure is saved.

No pyplot: a figure is a value, drawn by Agg, so nothing here needs a display or touches global state.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from ..durable import replacing

SINGLE, DOUBLE = 3.3, 6.9  # column widths of a two-column paper, inches
TEXT, SMALL = 7.0, 6.0  # font sizes, points; nothing is smaller
DPI = 300
INK, FAINT = "#222222", "#b8b8b8"

# Any two differ by ΔE2000 ≥ 11 for normal, protanopic, deuteranopic and tritanopic eyes (a test holds this).
FAMILY_COLOURS = {
    "plain": "#999999",
    "residual": "#0060a8",
    "dense": "#00876c",
    "channel attention": "#d55e00",
    "pixel attention": "#ecb52a",
    "non-local": "#c46bb3",
    "transformer": "#1a1a1a",
    "conditional": "#63bdf0",
}
OTHER_FAMILY = "#7a4a1e"
# marker → its size relative to a circle that looks as large
MARKERS = {
    "o": 1.0, "s": 0.92, "^": 1.08, "D": 0.82, "v": 1.08, "P": 1.1, "X": 1.1, "<": 1.08, ">": 1.08, "p": 1.12, "*": 1.5,
    "d": 1.12,
}  # fmt: skip

_SPELLED = {
    "ddbpn": "D-DBPN",
    "lapsrn": "LapSRN",
    "rrdbnet": "RRDBNet",
    "srdensenet": "SRDenseNet",
    "srresnet": "SRResNet",
    "swinir": "SwinIR",
}
_ACRONYMS = frozenset(
    [
        "carn", "csnln", "dat", "dbpn", "drln", "edsr", "espcn", "fsrcnn", "hat", "imdn", "msrn", "nlrn", "pan", "rcan",
        "rdn", "rfdn", "rnan", "san", "sftgan", "sftmd", "srcnn", "vdsr",
    ]
)  # fmt: skip

_RC: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],  # ships with matplotlib: the same glyphs on every machine
    "font.size": TEXT,
    "axes.labelsize": TEXT,
    "axes.titlesize": TEXT,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.0,
    "figure.constrained_layout.h_pad": 0.02,
    "figure.constrained_layout.w_pad": 0.02,
    "pdf.fonttype": 42,  # embed TrueType: text stays text for editors and for submission checks
    "pdf.compression": 6,
    "image.composite_image": False,  # a PDF keeps each panel's own pixels
    "mathtext.fontset": "dejavusans",
}


@dataclass(frozen=True)
class Look:
    """How a network appears everywhere: its written name, its family's colour, its own marker.

    size: the marker's size relative to a circle. ink: the colour, dark enough for text on white.
    """

    label: str
    colour: str
    marker: str

    @property
    def size(self) -> float:
        return MARKERS[self.marker]

    @property
    def ink(self) -> str:
        red, green, blue = (0.55 * part + 0.03 for part in to_rgb(self.colour))
        return to_hex((red, green, blue))


@contextmanager
def paper() -> Iterator[None]:
    """Matplotlib's settings for print, while drawing and while saving; nothing outside is changed."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        yield


def new_axes(width: float, height: float) -> Axes:
    """One axes on a figure of that size in inches, laid out so that labels and legends stay inside."""
    with paper():
        fig = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(fig)
        return fig.add_subplot()


def page(ax: Axes) -> Figure:
    """The figure that axes are on."""
    fig = ax.get_figure(root=True)
    assert fig is not None
    return fig


def label(name: str) -> str:
    """A network's name as papers write it: carn_m → CARN-M, edsr_baseline → EDSR-baseline; unknown names unchanged.

    What follows in brackets, the settings of a variant, stays: edsr[width=64] → EDSR[width=64].
    """
    written, bracket, setting = name.partition("[")
    first, *rest = written.split("_")
    if first in _SPELLED or first in _ACRONYMS:
        first = _SPELLED.get(first, first.upper())
        written = "-".join([first, *(part.upper() if len(part) == 1 else part for part in rest)])
    return written + bracket + setting


def looks(families: Iterable[tuple[str, str]]) -> dict[str, Look]:
    """The look of each (network, family). A network keeps its marker whichever others are drawn beside it, unless two
    of one family would share one: then the later name takes the next free marker (from 13 on, markers repeat)."""
    taken: dict[str, set[str]] = {}
    found = {}
    for name, family in sorted(set(families)):
        used = taken.setdefault(family, set())
        if len(used) == len(MARKERS):
            used.clear()
        first = zlib.crc32(name.encode()) % len(MARKERS)
        marker = next(m for m in [*MARKERS][first:] + [*MARKERS][:first] if m not in used)
        used.add(marker)
        found[name] = Look(label(name), FAMILY_COLOURS.get(family, OTHER_FAMILY), marker)
    return found


def log_ticks(low: float, high: float) -> np.ndarray:
    """Round values between two positive limits of a logarithmic axis: 1, 2, 5, …; closer ones if those are too few."""
    for steps in ([1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9], np.arange(1, 10, 0.1), np.arange(1, 10, 0.01)):
        nice = np.array([round(m, 2) * 10.0**e for e in range(-4, 3) for m in steps])
        found = nice[(nice >= low) & (nice <= high)]
        if len(found) > 1:
            return found[:: -(-len(found) // 12)]
    return np.array([low, high])


@cache
def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width in inches of one line of text, known without drawing it."""
    font = get_font(findfont(FontProperties(family=_RC["font.family"], weight="bold" if bold else "normal")))
    font.set_size(size, 720)  # ten times as fine as a point, because widths come in whole units of hinting
    font.set_text(text)
    return font.get_width_height()[0] / 64 / 720


def legend_columns(labels: list[str], room: float, handle: float = 0.3) -> int:
    """Legend columns, for as few rows as fit into `room` inches. handle: inches for the symbol and gaps of a column."""
    for rows in range(1, len(labels)):
        columns = -(-len(labels) // rows)
        least, longer = divmod(len(labels), columns)  # matplotlib fills column by column, the first ones one longer
        heights = [least + (i < longer) for i in range(columns)]
        ends = np.cumsum(heights)
        widths = [max(text_width(t, SMALL) for t in labels[e - h : e]) for e, h in zip(ends, heights, strict=True)]
        if sum(widths) + columns * handle <= room:
            return columns
    return 1


def save(fig: Figure, stem: str | Path) -> list[Path]:
    """Write <stem>.png and <stem>.pdf and return their paths. No dates or versions inside: equal figures, equal bytes.

    Each file appears whole or not at all. The resolution is the figure's own (200–300 dots per inch).
    """
    stem = Path(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, dict[str, None]] = {
        "png": {"Software": None},
        "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    }
    written = []
    with paper():
        for kind, without in metadata.items():
            path = stem.with_name(f"{stem.name}.{kind}")
            buffer = io.BytesIO()
            fig.savefig(buffer, format=kind, dpi=fig.dpi, metadata=without)
            with replacing(path) as part:
                part.write_bytes(buffer.getvalue())
            written.append(path)
    return written

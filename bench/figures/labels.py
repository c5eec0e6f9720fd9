"""Names beside points, without collisions: each label takes the free place nearest to its point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from numpy.typing import NDArray

from . import style

_ANGLES = np.deg2rad([0, 180, 90, 270, 45, 135, 315, 225, 22, 158, 202, 338, 67, 113, 247, 293])
_RADII = (4.5, 8.0, 12.0, 17.0, 23.0, 30.0, 38.0)  # points


def beside(
    ax: Axes,
    xy: NDArray[np.float64],
    looks: Sequence[style.Look],
    avoid: Sequence[tuple[float, float, float, float]] = (),
    line: NDArray[np.float64] | None = None,
) -> list[Annotation]:
    """Write names beside the points xy (n, 2; data coordinates) of axes whose limits and place are final.

    avoid: further boxes to keep free (x0, y0, x1, y1; pixels). line: points (m, 2) of a line better not written on.
    Greedy, the most crowded point first, then improved until nothing moves. A label that had to go further away gets a
    thin line to its point.
    """
    texts = [look.label for look in looks]
    unit = style.page(ax).dpi / 72  # pixels per point
    points = ax.transData.transform(np.asarray(xy, dtype=float).reshape(-1, 2))
    height = style.SMALL * 1.25 * unit
    widths = [style.text_width(t, style.SMALL) * 72 * unit + 2.5 * unit for t in texts]
    frame = np.array(ax.bbox.extents)
    dots = marks(ax, xy)
    fixed = np.concatenate([dots, np.asarray(avoid, dtype=float).reshape(-1, 4)])
    places = [_places(p, w, height, unit) for p, w in zip(points, widths, strict=True)]
    path = np.zeros((0, 2)) if line is None else ax.transData.transform(line)
    near = [-(np.hypot(*(points - p).T) < 40 * unit).sum() for p in points]
    order = np.argsort(near, kind="stable")
    chosen: dict[int, int] = {}
    for _ in range(8):
        before = dict(chosen)
        for i in order:
            others = [places[j][chosen[j]] for j in chosen if j != i]
            obstacles = np.concatenate([fixed, np.reshape(others, (-1, 4))])
            strangers = np.delete(dots, i, axis=0)
            cost = _cost(places[i], obstacles, frame, unit) + 6 * _crossed(places[i], path)
            # a name close to another's point misleads, and so does a line across it or a name
            cost += 5 * (_overlap(places[i], strangers + np.array([-4, -4, 4, 4]) * unit) > 0).sum(axis=1)
            cost += 15 * _passes(points[i], places[i], np.concatenate([strangers, np.reshape(others, (-1, 4))]))
            chosen[int(i)] = int(np.argmin(cost))
        if chosen == before:
            break
    return [_write(ax, points[i], places[i][chosen[i]], looks[i], unit) for i in range(len(texts))]


def marks(ax: Axes, xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """The boxes (n, 4) that marks at the points xy (n, 2; data coordinates) take, in pixels."""
    points, reach = ax.transData.transform(np.asarray(xy, dtype=float).reshape(-1, 2)), 2.6 * style.page(ax).dpi / 72
    return np.column_stack([points - reach, points + reach])


def _places(point: NDArray[np.float64], width: float, height: float, unit: float) -> NDArray[np.float64]:
    """Candidate boxes (m, 4) around a point, nearest first: the box touches the ray at that radius."""
    boxes = []
    for radius in _RADII:
        for angle in _ANGLES:
            dx, dy = np.cos(angle), np.sin(angle)
            x = point[0] + radius * unit * dx + (dx - 1) / 2 * width
            y = point[1] + radius * unit * dy + (dy - 1) / 2 * height
            boxes.append((x, y, x + width, y + height))
    return np.array(boxes)


def _cost(
    places: NDArray[np.float64], obstacles: NDArray[np.float64], frame: NDArray[np.float64], unit: float
) -> NDArray[np.float64]:
    """Overlap (square points) with obstacles, weighed so that any overlap is worse than any distance."""
    overlap = _overlap(places, obstacles).sum(axis=1) / unit**2
    outside = (frame[:2] - places[:, :2]).clip(0).sum(1) + (places[:, 2:] - frame[2:]).clip(0).sum(1)
    preference = np.repeat(_RADII, len(_ANGLES)) + np.tile(np.arange(len(_ANGLES)) * 0.15, len(_RADII))
    return 30 * overlap + 100 * (outside / unit) + preference + 200 * (overlap > 0)


def _overlap(places: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area (m, n) that each of m places shares with each of n boxes."""
    x = np.minimum(places[:, None, 2], boxes[:, 2]) - np.maximum(places[:, None, 0], boxes[:, 0])
    y = np.minimum(places[:, None, 3], boxes[:, 3]) - np.maximum(places[:, None, 1], boxes[:, 1])
    return x.clip(0) * y.clip(0)


def _crossed(places: NDArray[np.float64], path: NDArray[np.float64]) -> NDArray[Any]:
    """Which boxes (m, 4) a densely sampled path (n, 2) runs through."""
    inside = (path[None] >= places[:, None, :2]) & (path[None] <= places[:, None, 2:])
    return np.any(inside.all(axis=2), axis=1)


def _passes(point: NDArray[np.float64], places: NDArray[np.float64], dots: NDArray[np.float64]) -> NDArray[Any]:
    """Which places (m, 4) could be joined to their point only across one of the dots (n, 4)."""
    ends = np.clip(point, places[:, :2], places[:, 2:])
    on_way = point + np.linspace(0, 1, 9)[:, None, None] * (ends - point)  # (9, m, 2)
    inside = (on_way[:, :, None] >= dots[:, :2]) & (on_way[:, :, None] <= dots[:, 2:])
    return np.any(inside.all(axis=3), axis=(0, 2))


def _write(ax: Axes, point: NDArray[np.float64], box: NDArray[np.float64], look: style.Look, unit: float) -> Annotation:
    centre = (box[:2] + box[2:]) / 2
    reach = np.hypot(*(np.clip(point, box[:2], box[2:]) - point)) / unit
    offset = (centre - point) / unit
    line = {"arrowstyle": "-", "lw": 0.4, "color": "#777777", "shrinkA": 0, "shrinkB": 2.2, "relpos": (0.5, 0.5)}
    if reach > 6:
        line["relpos"] = tuple(np.clip((point - box[:2]) / (box[2:] - box[:2]), 0, 1))
    annotation = ax.annotate(
        look.label, tuple(ax.transData.inverted().transform(point)), tuple(offset), "data", "offset points",
        fontsize=style.SMALL, color=look.ink, ha="center", va="center", arrowprops=line if reach > 6 else None,
        zorder=5, annotation_clip=False,
    )  # fmt: skip
    annotation.set_in_layout(False)
    return annotation

"""The pictures of the page: small files that browsers load when they are looked at.

SR and HR are WebP; maps and areas are 8-bit grey PNG strips, one network below the other, which the page colours.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..metrics.concentration import area_of_contribution, magnitude
from ..store import read_tensors

THUMB = 144  # pixels: longest side of a picture of the wall
LONGEST = 1024  # pixels: longest side of any other picture; larger ones are scaled down
QUALITY = 92  # of WebP, where lossless pictures would be too many


@dataclass(frozen=True)
class Job:
    """One image of one part: where its tensors are, and what its script says of it.

    files: one per network of the part, None where the network lacks the image. windows: per window {"y", "x", "size"},
    "number" (position of the map per network, None where it has none) and "rows" (the numbers per network).
    """

    folder: Path
    slug: str
    index: int
    files: tuple[str | None, ...]
    windows: tuple[dict[str, Any], ...]
    lossless: bool


def make(job: Job) -> int:
    """Write the files of one image: its script, SR of every network, HR, LR and the thumbnail. Returns their bytes."""
    stem, written = f"{job.index:05d}", 0
    tensors = [None if file is None else read_tensors(file, job.index) for file in job.files]
    truth = next(found for found in tensors if found is not None)
    for name, data in (
        (f"{stem}-hr.webp", webp(truth["hr"], job.lossless)),
        (f"{stem}-lr.png", png(truth["lr"])),
        (f"{stem}-thumb.webp", webp(truth["hr"], False, THUMB)),
        *((f"{stem}-sr{i}.webp", webp(t["sr"], job.lossless)) for i, t in enumerate(tensors) if t is not None),
    ):
        (job.folder / name).write_bytes(data)
        written += len(data)
    windows = []
    for window in job.windows:
        maps = [
            t["map"][number] if t is not None and number is not None else np.zeros((3, *truth["lr"].shape[:2]))
            for t, number in zip(tensors, window["number"], strict=True)
        ]
        about = {key: value for key, value in window.items() if key != "number"}
        windows.append(
            {**about, "maps": _strip(map(magnitude, maps)), "areas": _strip(map(area_of_contribution, maps))}
        )
    h, w = truth["lr"].shape[:2]
    key, content = (json.dumps(value) for value in (f"{job.slug}/{job.index}", {"h": h, "w": w, "windows": windows}))
    script = f"lamscope.loaded({key},{content});\n"
    (job.folder / f"{stem}.js").write_text(script, encoding="utf-8")
    return written + len(script)


def webp(picture: NDArray[np.uint8], lossless: bool, longest: int = LONGEST) -> bytes:
    """A picture (h, w, 3) as WebP, scaled down where its longest side exceeds `longest`."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    if max(image.size) > longest:
        image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=lossless, quality=70 if lossless else QUALITY, method=3 if lossless else 4)
    return buffer.getvalue()


def png(picture: NDArray[np.uint8]) -> bytes:
    """A picture (h, w, 3) or (h, w) as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _strip(fields: Any) -> str:
    """Fields in [0, 1], (h, w) each, below one another, 8 bits a pixel, as a data URL. Undefined ones are 0."""
    grey = np.concatenate([np.rint(255 * np.nan_to_num(field)).astype(np.uint8) for field in fields])
    return "data:image/png;base64," + base64.b64encode(png(grey)).decode("ascii")


def estimate(samples: Sequence[NDArray[np.uint8]], count: int) -> int:
    """Bytes that `count` lossless pictures like these would take."""
    return round(count * float(np.mean([len(webp(sample, True)) for sample in samples])))

"""The images of the live view: those of the data set, and uploads, which stay in memory and are forgotten in turn."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..downsampling import DOWNSAMPLING, crop_to_multiple
from ..images import SUFFIXES, image_size, read_rgb
from ..types import UserError

MAX_BYTES = 20_000_000  # of an upload
MAX_SIDE = 256  # LR pixels: attribution takes time and memory with the size of the image
KEPT = 8  # uploads

Array = NDArray[np.uint8]


@dataclass(frozen=True)
class Shown:
    """An image that can be looked at. hr: (scale·h, scale·w, 3) uint8, or None where only the LR is known."""

    name: str
    hr: Array | None
    lr: Array
    scale: int


class Gallery:
    """Images by id: d<index> of the data set, u<number> an upload. Ids are looked up, never joined to a path."""

    def __init__(self, dataset: Any, scale: int) -> None:
        self.dataset, self.scale = dataset, scale
        self._uploads: OrderedDict[str, Shown] = OrderedDict()
        self._number = count(1)
        self._lock = Lock()

    def listed(self) -> list[dict[str, str]]:
        """id and name of every image, uploads first."""
        with self._lock:
            uploads = [{"id": key, "name": shown.name} for key, shown in reversed(self._uploads.items())]
        return uploads + [{"id": f"d{i}", "name": source.name} for i, source in enumerate(self.dataset.sources)]

    def get(self, key: str) -> Shown:
        """Raises UserError for an image that is not, or no longer, there, or cannot be used."""
        with self._lock:
            if key in self._uploads:
                return self._uploads[key]
        number = key.removeprefix("d")
        if key.startswith("d") and number.isdecimal() and len(number) < 10 and int(number) < len(self.dataset):
            source = self.dataset.sources[int(number)]
            return self._shown(source.name, source.read(), "hr", self.dataset.downsampling)
        raise UserError("That image is no longer here: choose it again.")

    def add(self, name: str, data: bytes, role: str) -> str:
        """Keep an uploaded file; its id. role: hr (it is downsampled) or lr (it is the networks' input).

        Raises UserError for what `images.read_rgb` refuses, and for an image that is too large.
        """
        if role not in ("hr", "lr"):
            raise UserError("An upload is the hr or the lr image.")
        factor = self.scale if role == "hr" else 1
        shown = self._shown(_short(name), _decoded(data, factor * MAX_SIDE), role, self.dataset.downsampling)
        with self._lock:
            key = f"u{next(self._number)}"
            self._uploads[key] = shown
            while len(self._uploads) > KEPT:
                self._uploads.popitem(last=False)
        return key

    def _shown(self, name: str, image: Array, role: str, downsampling: str) -> Shown:
        factor = self.scale if role == "hr" else 1
        h, w = (side // factor for side in image.shape[:2])
        if max(h, w) > MAX_SIDE:
            raise UserError(
                f"'{name}' is {w}×{h} in LR pixels; the live view takes up to {MAX_SIDE}×{MAX_SIDE}: crop it."
            )
        if min(h, w) < 16:
            raise UserError(f"'{name}' is {w}×{h} in LR pixels, too small: at least 16×16 are needed.")
        if role == "lr":
            return Shown(name, None, image, self.scale)
        hr = np.ascontiguousarray(crop_to_multiple(image, self.scale))
        return Shown(name, hr, DOWNSAMPLING[downsampling](hr, self.scale), self.scale)


def _decoded(data: bytes, most: int) -> Array:
    """The image in a file's bytes; read by the same rules as those of a folder, from a private temporary file.

    most: pixels a side; what is far larger is refused by its header.
    """
    if len(data) > MAX_BYTES:
        raise UserError(f"The file is larger than {MAX_BYTES // 10**6} MB.")
    with tempfile.TemporaryDirectory(prefix="lamscope-view-") as folder:
        path = Path(folder) / "upload"
        path.write_bytes(data)
        try:
            if max(size := image_size(path)) >= 2 * most:
                raise UserError(f"The file claims {size[1]}×{size[0]} pixels, far more than {most}×{most}: crop it.")
            return read_rgb(path)
        except UserError as error:  # the temporary path tells a person nothing
            raise UserError(str(error).replace(f"'{path}'", "The file").replace(str(path), "the file")) from error


def _short(name: str) -> str:
    """A file's name for display: no folders, no control characters, 60 characters at most."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(c for c in last if c.isprintable()).strip()
    return (kept[:57] + "…" if len(kept) > 58 else kept) or f"upload{SUFFIXES[0]}"

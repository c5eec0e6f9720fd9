"""The store: one HDF5 file per cell, written so that a torn file is impossible.

HDF5 itself is not crash safe, so no HDF5 file is ever written under its final name. While a cell runs, every finished
image becomes one small file in `<cell>.parts/`; at the end all are merged into `<cell>.h5` and removed. Both kinds are
written under a temporary name, synced to the disk and renamed: a reader sees a whole file or none, and a process killed
at any instant loses the images in flight only. `<cell>.lock` keeps two jobs from writing one cell, and
`<cell>.failed.json` says why a cell has no result. What the files hold is told in `cellfile`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import traceback
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from . import cellread
from .cellfile import SCHEMA_VERSION, Damaged, columns_of, merge, pack_part, read_part, to_json
from .durable import locked, replacing, reporting, temporary_of
from .printable import first_line
from .rows import checked_columns
from .scores import SCORES, score_file
from .types import NotApplicable, UserError
from .zips import DAMAGE

_log = logging.getLogger(__name__)


class CellWriter:
    """Writes one cell; the same call after a crash continues it.

    path: the final .h5 file. provenance: JSON-like, with the `digest` that identifies the cell. images: number of
    images, or their absolute indices. labels: columns that are the same in every row, also in that of a failed cell.
    As a context manager it holds the cell's lock. Raises UserError when another job holds it, when what lies there
    belongs to another digest, and, with nothing half-written left behind, when the disk refuses.
    """

    def __init__(
        self,
        path: str | Path,
        provenance: dict[str, Any],
        images: int | Iterable[int],
        labels: dict[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        self.digest = str(provenance["digest"])
        self.indices = frozenset(range(images) if isinstance(images, int) else images)
        self.labels = labels or {}
        self._provenance = json.loads(to_json(provenance))
        self._done: set[int] = set()
        self._held = ExitStack()

    def __enter__(self) -> CellWriter:
        with reporting(self.path), ExitStack() as stack:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(self.path, _lock(self.path)))
            self._done = self._recover()
            self._held = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def done(self) -> set[int]:
        """Indices of the images that are safely on the disk."""
        return set(self._done)

    def write(self, index: int, name: str, tensors: dict[str, np.ndarray], records: list[dict[str, Any]]) -> None:
        """Store one image: all of it or nothing. records: one dict of scalars per window, in the order of windows."""
        if index not in self.indices or not records:
            raise ValueError(f"image {index} is not one of this cell's, or has no records")
        arrays = {key: np.asarray(value) for key, value in tensors.items()}
        if wrong := [key for key, value in arrays.items() if value.dtype.kind not in "biuf" or value.size == 0]:
            raise TypeError(f"{wrong[0]} is not an array of numbers")
        same = {"index": index, "image": name}
        if "lr" in arrays:  # lets readers see that two runs met the same input
            same["lr_digest"] = hashlib.sha256(arrays["lr"].tobytes()).hexdigest()[:8]
        meta = {
            "index": index,
            "name": name,
            "records": [{**self.labels, **row, **same} for row in records],
            "tensors": {key: (value.dtype.str, value.shape) for key, value in arrays.items()},
            "provenance": self._provenance,
        }
        part = _part(self.path, index)
        with reporting(self.path):
            part.parent.mkdir(exist_ok=True)
        with replacing(part) as temporary:
            temporary.write_bytes(pack_part(meta, arrays))
        self._done.add(index)

    def finish(self) -> None:
        """Merge all images into the final file. Raises ValueError when images are missing."""
        if missing := self.indices - self._done:
            raise ValueError(f"images {sorted(missing)} are not written yet")
        if not self.path.exists():
            with replacing(self.path) as temporary:
                merge(temporary, self.digest, [_part(self.path, index) for index in sorted(self._done)])
        self._sweep()

    def fail(self, error: BaseException) -> None:
        """Record why the cell has no result, with the traceback; forgotten as soon as it has one."""
        defined = not isinstance(error, NotApplicable)
        message = " ".join(f"{type(error).__name__}: {error}".split() if defined else str(error).split())
        model = self.path.stem.rsplit("-", 1)[0]
        status = "failed" if defined else "not applicable"
        about = {
            "schema": SCHEMA_VERSION,
            "record": {"model": model, **self.labels, "digest": self.digest, "status": status, "message": message},
            "traceback": "".join(traceback.format_exception(error)),
            "provenance": self._provenance,
        }
        with replacing(_failed(self.path)) as temporary:
            temporary.write_text(json.dumps(json.loads(to_json(about)), indent=1) + "\n", encoding="utf-8")

    def _recover(self) -> set[int]:
        """Clean up what a killed job left; the indices that need not be computed again."""
        parts = _parts(self.path)
        for orphan in (temporary_of(self.path), temporary_of(_failed(self.path)), *parts.glob("*.tmp")):
            orphan.unlink(missing_ok=True)
        if self.path.exists():
            self._require_digest(read_provenance(self.path), self.path)
            found = {int(index) for index in read_columns(self.path)["index"]}
            if found == self.indices:
                self._sweep()
                return found
            raise UserError(f"{self.path} holds other images than this test set; move it away or remove it.")
        found = {index for part in sorted(parts.glob("*.npz")) if (index := self._sound(part)) is not None}
        if found <= self.indices:
            return found
        raise UserError(f"{parts} holds images that this test set does not have; remove that folder.")

    def _sound(self, part: Path) -> int | None:
        """The index of a part that is whole; a damaged one is removed."""
        try:
            meta, _ = read_part(part)
        except Damaged as damage:
            _log.warning("%s is damaged (%s); its image is computed again.", part, damage)
            part.unlink()
            return None
        self._require_digest(meta["provenance"], part)
        return int(meta["index"])

    def _require_digest(self, provenance: dict[str, Any], file: Path) -> None:
        if provenance.get("digest") != self.digest:
            raise UserError(f"{file} belongs to another computation (its digest differs); move it away or remove it.")

    def _sweep(self) -> None:
        """Remove what a finished file makes superfluous."""
        with reporting(self.path):
            _failed(self.path).unlink(missing_ok=True)
            if _parts(self.path).exists():
                shutil.rmtree(_parts(self.path))


def _parts(path: Path) -> Path:
    return path.with_suffix(".parts")


def _part(path: Path, index: int) -> Path:
    return _parts(path) / f"{index:05d}.npz"


def _failed(path: Path) -> Path:
    return path.with_suffix(".failed.json")


def _lock(path: Path) -> Path:
    return path.with_suffix(".lock")


def status(path: str | Path) -> str:
    """State of a cell: complete, failed (perhaps with images that are done), partial or absent."""
    path = Path(path)
    if path.exists():
        return "complete"
    if _failed(path).exists():
        return "failed"
    return "partial" if exists(path) else "absent"


def exists(path: str | Path) -> bool:
    """Whether any image of a cell is stored."""
    return Path(path).exists() or any(_parts(Path(path)).glob("*.npz"))


def remove(path: str | Path) -> None:
    """Forget a cell: its file, its parts, its failure, its added scores. Raises UserError when a job is writing it."""
    path = Path(path)
    if not path.parent.is_dir():
        return
    with reporting(path), locked(path, _lock(path)):
        added = [score_file(path, name) for name in SCORES]
        for file in (path, temporary_of(path), _failed(path), temporary_of(_failed(path)), *added):
            file.unlink(missing_ok=True)
        if _parts(path).exists():
            shutil.rmtree(_parts(path))


def cells(folder: str | Path) -> list[Path]:
    """The .h5 paths of all cells under a folder, sorted; also of those that failed or are not finished yet."""
    found = set()
    for root, folders, files in os.walk(folder):
        here = Path(root)
        found |= {here / name for name in files if name.endswith(".h5")}
        found |= {here / name.replace(".failed.json", ".h5") for name in files if name.endswith(".failed.json")}
        found |= {here / name.replace(".parts", ".h5") for name in folders if name.endswith(".parts")}
        folders[:] = [name for name in folders if not name.endswith(".parts")]
    return sorted(found)


def read_columns(path: str | Path, partial: bool = False) -> dict[str, np.ndarray]:
    """Records of one cell, column by column; text as objects of type str.

    A cell without a finished file gives its failure, if any, as one row and, with partial=True, the images it has.
    """
    path = Path(path)
    if not path.exists():
        try:
            columns = _columns_so_far(path, partial)
        except FileNotFoundError:  # merged and removed while we were looking
            columns = {}
        if not path.exists() and (_parts(path).exists() or _failed(path).exists()):
            return columns
    return cellread.columns(path)


def _columns_so_far(path: Path, partial: bool) -> dict[str, np.ndarray]:
    rows = []
    file = _failed(path)
    try:
        if file.exists():
            rows.append(dict(json.loads(file.read_text(encoding="utf-8"))["record"]))
        for file in sorted(_parts(path).glob("*.npz")) if partial else []:
            rows += read_part(file, whole=False)[0]["records"]
        return checked_columns(columns_of(rows))
    except FileNotFoundError:
        raise
    except (Damaged, *DAMAGE) as damage:
        raise UserError(f"{file} is damaged: {first_line(damage)}.") from damage


def read_tensors(path: str | Path, index: int, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Tensors of the image at absolute position `index` of a finished cell; all of them, or only those named.

    hr, sr: uint8 (H, W, 3). lr: uint8 (h, w, 3). map: float32 (windows, 3, h, w). Raises UserError when the file or the
    image is not there or fails its checksum.
    """
    return cellread.tensors(path, int(index), None if names is None else list(names))


def read_provenance(path: str | Path) -> dict[str, Any]:
    """How a finished cell was made. When several environments computed it, `also` lists the others."""
    first, *others = map(json.loads, cellread.provenances(path))
    return {**first, "also": others} if others else first

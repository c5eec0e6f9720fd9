"""What is wrong with a stored cell: all of it is read, counted, and held against its checksums and its own words.

A `Finding` names the place, the damage, and what to do. wrong: numbers are missing or cannot be trusted; otherwise it
is worth knowing. Nothing is changed, and torch is not needed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .cellfile import opened, text_of
from .hdf5 import member
from .metrics.concentration import diffusion_index
from .printable import first_line
from .shards import Shard, parse
from .types import UserError
from .watched import watched
from .zips import DAMAGE

TENSORS = ("hr", "lr", "sr", "map")
COLUMNS = (
    "model",
    "channels",
    "dataset",
    "attribution",
    "detector",
    "image",
    "index",
    "window_y",
    "window_x",
    "window_size",
    "lr_h",
    "lr_w",
    "lr_digest",
    "scale",
    "di",
    "score",
    "psnr_y",
    "status",
    "digest",
)
FINITE = ("di", "score", "psnr_y")  # where the status is ok; PSNR is infinite for an SR image without an error
AGAIN = "remove the file and run its command again: only this cell is computed"


@dataclass(frozen=True)
class Finding:
    """One line of a check."""

    place: str
    what: str
    advice: str
    wrong: bool = True


@dataclass(frozen=True)
class Cell:
    """What a sound enough file says of itself, for comparison with others. indices: of its images."""

    path: Path
    provenance: list[dict[str, Any]]
    indices: frozenset[int]

    @property
    def first(self) -> dict[str, Any]:
        return self.provenance[0] if self.provenance else {}

    @property
    def shard(self) -> Shard:
        return parse(self.first.get("shard"))


def examine_file(path: Path) -> tuple[Cell | None, list[Finding]]:
    """Read all of a finished file. The cell is None where nothing of it can be used."""
    here = str(path)
    try:
        provenance, indices, findings = _examined(path)
    except UserError as error:
        return None, [Finding(here, str(error).removeprefix(f"{here} ").removesuffix("."), AGAIN)]
    cell = Cell(path, [json.loads(row) for row in provenance], frozenset(indices))
    return cell, [Finding(*finding) for finding in findings]


@watched
def _examined(path: str | Path) -> list[Any]:
    """[provenance as JSON, indices of images, fields of the findings]"""
    with opened(Path(path)) as file:
        cell, findings = _Examination(file, Path(path)).all()
        return [[json.dumps(row) for row in cell.provenance], sorted(cell.indices), [astuple(f) for f in findings]]


class _Examination:
    def __init__(self, file: h5py.File, path: Path) -> None:
        self.file = file
        self.path = path
        self.findings: list[Finding] = []
        self.unguarded: set[str] = set()

    def all(self) -> tuple[Cell, list[Finding]]:
        provenance = self._provenance()
        columns = self._records()
        images = self._tensors(len(provenance))
        cell = Cell(self.path, provenance, frozenset(images))
        if columns is not None:
            self._count(cell, columns, images)
            self._values(columns, images)
        return cell, self.findings

    def _wrong(self, place: str, what: str, advice: str = AGAIN, wrong: bool = True) -> None:
        self.findings.append(Finding(f"{self.path}{f': {place}' if place else ''}", what, advice, wrong))

    def _group(self, group: h5py.Group, name: str) -> Any:
        """A group or data set, or None and a finding."""
        try:
            return member(group, name)
        except DAMAGE as damage:
            self._wrong(f"{group.name.rstrip('/')}/{name}".lstrip("/"), first_line(damage))
        return None

    def _read(self, dataset: h5py.Dataset, row: Any = ..., where: str = "") -> np.ndarray | None:
        """The values of a data set, or of one of its rows, or None and a finding."""
        name = str(dataset.name).lstrip("/")
        if not (dataset.fletcher32 or name in self.unguarded):
            self.unguarded.add(name)
            self._wrong(name, "it carries no checksum: lamscope did not write it")
        try:
            return text_of(np.asarray(dataset[row]))
        except DAMAGE as damage:
            self._wrong(f"{name}{where}", f"its bytes are damaged ({first_line(damage)})")
        return None

    def _provenance(self) -> list[dict[str, Any]]:
        dataset = self._group(self.file, "provenance")
        texts = None if dataset is None else self._read(dataset)
        if texts is None:
            return []
        try:
            rows = [dict(json.loads(text)) for text in texts]
        except (ValueError, TypeError) as damage:
            self._wrong("provenance", f"it is no JSON ({first_line(damage)})")
            return []
        for digest in {str(row.get("digest")) for row in rows} | {str(self.file.attrs.get("digest"))}:
            if digest[:10] not in self.path.name:
                self._wrong("provenance", f"its digest is {digest[:10]}, which is not the one in the file's name")
        for row in rows:
            made = hashlib.sha256(json.dumps(row.get("identity"), sort_keys=True).encode()).hexdigest()
            if made != row.get("digest"):
                self._wrong("provenance", "its settings do not give its digest: they were altered")
        if len(rows) > 1:
            differ = ", ".join(sorted(varied([row.get("environment", {}) for row in rows])))
            self._wrong(
                "provenance",
                f"{len(rows)} environments computed it (they differ in {differ or 'settings'})",
                "for numbers of one environment run its command with on_existing=redo",
                wrong=False,
            )
        return rows

    def _records(self) -> dict[str, np.ndarray] | None:
        group = self._group(self.file, "records")
        if group is None:
            return None
        columns = {}
        for name in sorted({*COLUMNS, *group}):
            dataset = self._group(group, name)
            if dataset is not None and (values := self._read(dataset)) is not None:
                columns[name] = values
        if lengths := {len(values) for values in columns.values()} - {len(columns.get("index", ()))}:
            self._wrong("records", f"columns of {len(columns.get('index', ()))} and {min(lengths)} rows")
            return None
        return columns if columns.keys() >= set(COLUMNS) else None

    def _tensors(self, n_environments: int) -> dict[int, dict[str, np.ndarray]]:
        """Per image what the checks need of it; every chunk is read, one image in memory at a time."""
        found: dict[int, dict[str, np.ndarray]] = {}
        tensors = self._group(self.file, "tensors")
        for size in [] if tensors is None else tensors:
            group = self._group(tensors, size)
            stacks = {name: self._group(group, name) for name in (*TENSORS, "index", "provenance")}
            index = None if stacks["index"] is None else self._read(stacks.pop("index"))
            if index is None:
                continue
            for name, stack in stacks.items():
                if stack is not None and len(stack) != len(index):
                    self._wrong(f"tensors/{size}/{name}", f"{len(stack)} images, the index has {len(index)}")
            for row, image in enumerate(map(int, index)):
                if image in found:
                    self._wrong(f"tensors/{size}", f"image {image} is there twice")
                of = f" of image {image}"
                read = {
                    name: self._read(stack, row, of)
                    for name, stack in stacks.items()
                    if stack is not None and row < len(stack)
                }
                environment = read.get("provenance")
                if environment is not None and not 0 <= int(environment) < max(n_environments, 1):
                    self._wrong(f"tensors/{size}/provenance{of}", f"there is no environment {int(environment)}")
                found[image] = self._digested(read)
        return found

    @staticmethod
    def _digested(read: dict[str, Any]) -> dict[str, Any]:
        """What `_values` asks of one image, instead of the tensors themselves."""
        about: dict[str, Any] = {}
        if (lr := read.get("lr")) is not None:
            about["lr_digest"] = hashlib.sha256(lr.tobytes()).hexdigest()[:8]
        if (maps := read.get("map")) is not None:
            about["finite"] = np.isfinite(maps).all(axis=tuple(range(1, maps.ndim)))
            about["di"] = [diffusion_index(one) for one in maps]
        return about

    def _count(self, cell: Cell, columns: dict[str, np.ndarray], images: dict[int, Any]) -> None:
        rows = {int(index) for index in columns["index"]}
        if rows != images.keys():
            odd = sorted(rows ^ images.keys())
            self._wrong("", f"records of {len(rows)} images and tensors of {len(images)}: {_some(odd)}")
        total = cell.first.get("n_images")
        expected = set(cell.shard.indices(total if isinstance(total, int) else max(rows, default=-1) + 1))
        if rows != expected:
            self._wrong("", f"{len(rows)} images where {len(expected)} belong: {_some(sorted(expected ^ rows))}")

    def _values(self, columns: dict[str, np.ndarray], images: dict[int, Any]) -> None:
        unusual = 0
        for image in sorted(images):
            rows, about = np.flatnonzero(columns["index"] == image), images[image]
            of = f"image {image}"
            if "lr_digest" in about and set(columns["lr_digest"][rows]) - {about["lr_digest"]}:
                self._wrong(of, "its LR image is not the one that the records name")
            if "di" in about and len(about["di"]) != len(rows):
                self._wrong(of, f"{len(about['di'])} maps and {len(rows)} records")
                continue
            for window, row in enumerate(rows):
                status = columns["status"][row]
                unusual += status != "ok"
                if status == "ok" and (bad := [c for c in FINITE if math.isnan(columns[c][row])]):
                    self._wrong(of, f"{', '.join(bad)} of window {window} is NaN though its status is ok")
                if "di" in about and status == "ok":
                    self._map(of, window, columns["di"][row], about)
        if unusual:
            advice = "the ranking leaves these out; the network's output or its gradient is not finite there"
            self._wrong(
                "", f"{unusual} of {len(columns['index'])} maps are not finite (status nan)", advice, wrong=False
            )

    def _map(self, of: str, window: int, di: float, about: dict[str, Any]) -> None:
        if not about["finite"][window]:
            self._wrong(of, f"the map of window {window} has NaN though its status is ok")
        elif not math.isclose(di, about["di"][window], rel_tol=1e-9, abs_tol=1e-12):
            self._wrong(
                of, f"the diffusion index {di:.6g} of window {window} is not that of its map, {about['di'][window]:.6g}"
            )


def varied(rows: list[dict[str, Any]], prefix: str = "") -> Iterator[str]:
    """Dotted names of what is not the same in all rows; times and hosts are left out."""
    for key in sorted({key for row in rows for key in row} - {"host"}):
        values = [row.get(key) for row in rows]
        if all(isinstance(value, dict) for value in values):
            yield from varied(values, f"{prefix}{key}.")  # type: ignore[arg-type]
        elif len({json.dumps(value, sort_keys=True) for value in values}) > 1:
            yield f"{prefix}{key}"


def _some(images: list[int]) -> str:
    shown = ", ".join(map(str, images[:4])) + (", …" if len(images) > 4 else "")
    return f"image{'s' if len(images) != 1 else ''} {shown}"

"""The files of a cell: their layout, and how they are read.

A finished cell, `<cell>.h5`:
    /provenance                      JSON text, one row per environment that computed a part of the cell
    /records/<column>                one dataset per column, one row per image × window, in the order of the images
    /tensors/<h>x<w>/hr, lr, sr, map images of one LR size stacked, one image a chunk; index: absolute image indices;
                                     provenance: row of /provenance. A folder of mixed sizes has one group per size.
Every dataset is compressed, carries a fletcher32 checksum and says in its attributes what it holds, in which unit.
The bytes depend on the content only: no time stamps, a fixed file format.

A part, `<cell>.parts/00012.npz`: the tensors of one image and, as JSON, its records and provenance; zip's CRC-32 guards
every byte that matters. Parts are plain and quick to write; only `store.CellWriter` makes them.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .durable import Sink
from .printable import first_line
from .types import UserError
from .zips import DAMAGE, array_of, require_stored

FORMAT = "lamscope cell"
SCHEMA_VERSION = 1
LIBVER = ("v110", "v110")  # metadata with checksums, readable by HDF5 1.10 and later

COLUMNS: dict[str, tuple[type, str, str]] = {  # kind, unit, description; also the order in which readers see them
    "model": (str, "", "network, as in conf/model; +key=value where a hyper-parameter is another"),
    "family": (str, "", "family of the network"),
    "net": (str, "", "class and hyper-parameters of the network, as JSON"),
    "n_parameters": (int, "1", "parameters of the network"),
    "channels": (str, "", "channels that the network computes: rgb or y"),
    "dataset": (str, "", "test set, as in conf/dataset"),
    "attribution": (str, "", "attribution method, as in conf/attribution"),
    "detector": (str, "", "channels that the detector looks at: rgb or y"),
    "seed": (int, "1", "seed of the cell"),
    "shard": (str, "", "k/n: these are the images at positions k−1, k−1+n, …; empty for a cell in one piece"),
    "image": (str, "", "name of the image"),
    "index": (int, "1", "absolute position of the image in the test set"),
    "window_y": (int, "SR pixel", "top row of the explained window"),
    "window_x": (int, "SR pixel", "left column of the explained window"),
    "window_size": (int, "SR pixel", "side of the explained window"),
    "lr_h": (int, "LR pixel", "height of the LR image"),
    "lr_w": (int, "LR pixel", "width of the LR image"),
    "lr_digest": (str, "", "first 8 hex digits of the SHA-256 of the LR image's bytes"),
    "scale": (int, "1", "SR pixels per LR pixel, along one axis"),
    "di": (float, "percent", "diffusion index (1 − Gini) · 100; comparable between LR images of one size only"),
    "gini": (float, "1", "Gini coefficient of |sum of the map over channels|"),
    "score": (float, "1", "detector on the SR image, D(F(I))"),
    "baseline_score": (float, "1", "detector on the SR image of the baseline, D(F(I')); NaN without a path"),
    "gap": (float, "1", "completeness gap: score − baseline_score − sum of the map; NaN without a path"),
    "error": (float, "1", "estimated relative L2 quadrature error of the map; NaN where there is no estimate"),
    "n_steps": (int, "1", "gradient evaluations"),
    "n_flat": (int, "1", "flat pixels met under the root of the detector, summed over steps"),
    "n_zeroed": (int, "1", "NaN gradient entries set to 0 (by the reference implementation only)"),
    "psnr_y": (float, "dB", "PSNR of luminance, whole image, border shaved"),
    "psnr_rgb": (float, "dB", "PSNR of RGB, whole image, border shaved"),
    "ssim_y": (float, "1", "SSIM of luminance, whole image, border shaved"),
    "window_psnr_y": (float, "dB", "PSNR of luminance inside the window"),
    "seconds": (float, "s", "wall time of the attribution and its share of the SR image"),
    "status": (str, "", "ok, nan (the map or its diffusion index is not finite), failed or not applicable"),
    "message": (str, "", "why a cell failed or its method is not defined for its network"),
    "file": (str, "", "file of the cell"),
    "digest": (str, "", "digest of everything that decides the numbers of the cell"),
}
TENSORS = {  # axes, unit, description
    "hr": ("image, row, column, RGB", "0..255", "ground truth"),
    "lr": ("image, row, column, RGB", "0..255", "input of the network, downsampled from hr"),
    "sr": ("image, row, column, RGB", "0..255", "output of the network, rounded and clipped"),
    "map": ("image, window, RGB, row, column", "detector score", "signed attribution in the LR frame"),
    "index": ("image", "1", "absolute position of the image in the test set"),
    "provenance": ("image", "1", "row of /provenance: the environment that computed this image"),
}
NO_IMAGES = ("failed", "not applicable")  # the status of a cell that is one row and has no images
# what may differ between two runs that agree: the machine, times, and settings that decide no number
VOLATILE_KEYS = ("host", "started", "command", "results", "on_existing", "progress", "shard")


class Damaged(Exception):
    """A part that is torn or altered. The message says how, without a full stop."""


def to_json(value: Any) -> str:
    """Compact JSON with sorted keys; NumPy scalars as numbers, paths as text. Raises TypeError for other objects."""
    return json.dumps(value, sort_keys=True, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be stored")


def lasting(value: Any) -> Any:
    """Provenance without what may differ between two runs that agree."""
    if isinstance(value, dict):
        return {key: lasting(item) for key, item in value.items() if key not in VOLATILE_KEYS}
    return [lasting(item) for item in value] if isinstance(value, list) else value


# ── parts ──


def pack_part(meta: dict[str, Any], tensors: dict[str, np.ndarray]) -> bytes:
    """The bytes of a part. meta: index, name, records, provenance, tensors (name → dtype, shape)."""
    buffer = io.BytesIO()
    text = np.frombuffer(to_json({"schema": SCHEMA_VERSION, **meta}).encode(), np.uint8)
    arrays: dict[str, Any] = {"meta": text, **{f"tensor_{name}": value for name, value in tensors.items()}}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def read_part(path: Path, whole: bool = True) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """meta and, when whole, the tensors of a part. Raises Damaged when any byte of what is read is wrong."""
    with path.open("rb") as file:
        source = io.BytesIO(file.read()) if whole else file
        try:
            with np.load(source, allow_pickle=False) as archive:
                require_stored(archive.zip)
                meta = json.loads(array_of(archive, "meta").tobytes())
                if meta["schema"] != SCHEMA_VERSION or path.name != f"{meta['index']:05d}.npz":
                    raise ValueError("not a part of this version, or of another image")
                return meta, {name: array_of(archive, f"tensor_{name}") for name in meta["tensors"]} if whole else {}
        except DAMAGE as damage:
            raise Damaged(first_line(damage)) from damage


def columns_of(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Rows of scalars as columns: int64, bool, float64 (missing: NaN) or objects of type str (missing: '')."""
    names = dict.fromkeys([name for name in COLUMNS if any(name in row for row in rows)])
    names |= dict.fromkeys(sorted({name for row in rows for name in row}))
    return {name: _column(name, [row.get(name) for row in rows]) for name in names}


def _column(name: str, values: list[Any]) -> np.ndarray:
    kinds = {type(value) for value in values if value is not None} or {COLUMNS.get(name, (float,))[0]}
    if kinds == {str}:
        return np.array(["" if value is None else value for value in values], object)
    if None not in values and kinds in ({int}, {bool}):
        return np.array(values, np.int64 if kinds == {int} else np.bool_)
    if kinds <= {int, float, bool}:
        return np.array([np.nan if value is None else value for value in values], np.float64)
    raise TypeError(f"column {name} mixes {', '.join(sorted(kind.__name__ for kind in kinds))}")


# ── the finished file ──


def merge(target: Path, digest: str, parts: list[Path]) -> None:
    """Write the finished file of a cell from its parts, which are in the order of their images.

    Raises OSError when the disk refuses; UserError for a part that went bad meanwhile, which is removed.
    """
    metas = [_read_or_remove(part, whole=False)[0] for part in parts]
    with Sink(target, "w+b") as raw:
        with h5py.File(raw, "w", libver=LIBVER) as file:
            file.attrs.update(format=FORMAT, schema=SCHEMA_VERSION, digest=digest)
            file.attrs["description"] = "lamscope results of one network on one test set with one attribution method"
            environments = _write_provenance(file, [meta["provenance"] for meta in metas])
            records = file.create_group("records")
            records.attrs["description"] = "one dataset per column, one row per image and window"
            for name, values in columns_of([row for meta in metas for row in meta["records"]]).items():
                _, unit, description = COLUMNS.get(name, (None, "", ""))
                _describe(_write_column(records, name, values), "row", unit, description)
            for part, (group, row), environment in zip(parts, _stacks(file, metas), environments, strict=True):
                meta, tensors = _read_or_remove(part, whole=True)
                for name, value in {**tensors, "index": meta["index"], "provenance": environment}.items():
                    group[name][row] = value
                raw.check()
        raw.check()


def _read_or_remove(part: Path, whole: bool) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        return read_part(part, whole)
    except Damaged as damage:
        part.unlink(missing_ok=True)
        raise UserError(f"{part} was damaged and is removed; the same command computes its image again.") from damage


def _write_provenance(file: h5py.File, provenances: list[dict[str, Any]]) -> list[int]:
    """Store each environment once; the row of each image's."""
    rows: dict[str, tuple[int, str]] = {}
    found = []
    for provenance in provenances:
        row, _ = rows.setdefault(to_json(lasting(provenance)), (len(rows), to_json(provenance)))
        found.append(row)
    texts = np.array([text for _, text in rows.values()], object)
    description = "JSON: configuration, code, weights and machine, one row per environment that computed images"
    _describe(_write_column(file, "provenance", texts), "environment", "", description)
    return found


def _write_column(group: h5py.Group, name: str, values: np.ndarray) -> h5py.Dataset:
    if values.dtype == object:  # text of fixed length: unlike variable length, it is under the checksum
        encoded = [value.encode("utf-8", "backslashreplace") for value in values]
        dtype = h5py.string_dtype("utf-8", max([1, *map(len, encoded)]))
        values = np.array(encoded, dtype.str).astype(dtype)
    dataset = _create(group, name, values.shape, values.dtype, chunk=values.shape)
    dataset[...] = values
    return dataset


def _stacks(file: h5py.File, metas: list[dict[str, Any]]) -> Iterator[tuple[h5py.Group, int]]:
    """Create the stacks, one per size; then, for each image, its stack and row."""
    signatures = [to_json(meta["tensors"]) for meta in metas]
    tensors = file.create_group("tensors")
    tensors.attrs["description"] = "one group per LR size (height x width); images are stacked along the first axis"
    groups: dict[str, h5py.Group] = {}
    for signature, meta in zip(signatures, metas, strict=True):
        if signature not in groups:
            size = "x".join(str(side) for side in meta["tensors"].get("lr", ("", ()))[1][:2]) or "other"
            twins = sum(name == size or name.startswith(f"{size}-") for name in tensors)
            group = groups[signature] = tensors.create_group(f"{size}-{twins + 1}" if twins else size)
            stacked = {**meta["tensors"], "index": ("<i8", ()), "provenance": ("<i8", ())}
            for name, (dtype, shape) in stacked.items():
                whole = (signatures.count(signature), *shape)
                chunk = (1, *shape) if shape else whole
                _describe(_create(group, name, whole, np.dtype(dtype), chunk), *TENSORS.get(name, ("image", "", "")))
    filled = dict.fromkeys(groups, 0)
    for signature in signatures:
        yield groups[signature], filled[signature]
        filled[signature] += 1


def _create(group: h5py.Group, name: str, shape: tuple, dtype: np.dtype, chunk: tuple) -> h5py.Dataset:
    return group.create_dataset(
        name,
        shape,
        dtype,
        chunks=chunk,
        compression="gzip",
        compression_opts=1,
        shuffle=dtype.kind in "if",
        fletcher32=True,
    )


def _describe(dataset: h5py.Dataset, axes: str, unit: str, description: str) -> None:
    for key, text in {"axes": axes, "unit": unit, "description": description}.items():
        if text:
            dataset.attrs[key] = text


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """A finished file, for reading. Raises UserError when it is missing, foreign, damaged or of another version."""
    try:
        with h5py.File(path, "r", locking=False) as file:  # finished files never change
            if file.attrs.get("format") != FORMAT:
                raise UserError(f"{path} is not a lamscope result.")
            require_schema(path, file.attrs["schema"])
            yield file
    except FileNotFoundError:
        raise UserError(f"There is no result {path}.") from None
    except (PermissionError, IsADirectoryError) as error:
        raise UserError(f"Cannot read {path}: {os.strerror(error.errno or 0)}.") from None
    except DAMAGE as damage:
        raise UserError(f"{path} is damaged or not a lamscope result: {first_line(damage)}.") from damage


def require_schema(path: Path, schema: Any) -> None:
    """Raises UserError, which says what to do, for a file of another version of lamscope."""
    if (found := int(schema)) > SCHEMA_VERSION:
        newer = f"schema {found}, this version reads up to {SCHEMA_VERSION}"
        raise UserError(f"{path} was written by a newer lamscope ({newer}); update lamscope.")
    if found < SCHEMA_VERSION:
        older = f"schema {found}, this version reads {SCHEMA_VERSION}"
        raise UserError(
            f"{path} was written by an older lamscope ({older}); run its command again, or read it with that version."
        )


def text_of(values: np.ndarray) -> np.ndarray:
    """Fixed-length UTF-8 bytes as objects of type str; other columns as they are."""
    return np.char.decode(values, "utf-8").astype(object) if values.dtype.kind == "S" else values

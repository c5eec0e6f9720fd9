"""lamscope data select: the hard set, built by a documented rule (`selection`), and rebuilt exactly from its manifest.

The manifest (JSON) holds the rule's settings and, of each crop, its name, source file, corner (y, x), hardness (mean
PSNR in dB) and SHA-256 of size and pixels. By bicubic the choice is the same on every machine; by networks their
rounding may differ between machines, so two labs share the manifest.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .config import compose, suggest
from .data import images_of, pixel_hash, unique_names
from .durable import replacing
from .images import read_rgb
from .printable import as_file_name
from .progress import track
from .selection import Crop, Errors, by_turns, candidates, grid_offset, without_overlap
from .types import UserError

Image = NDArray[np.uint8]

RULE = (
    "Crops on a grid (begun at (0, 0) for seed 0, else per image at SHA-256 of seed and file name), hardest first: "
    "lowest mean PSNR-RGB of SR on the whole image, from its MATLAB bicubic LR image. Of an image greedily without "
    "overlap. Source folders take turns, and within each its images, hardest first; with per_image, within each the "
    "hardest crops, at most so many of one image. An image that occurs twice counts once."
)


@dataclass(frozen=True)
class Settings:
    """The rule's settings. per_image: None lets images take turns. by: 'bicubic' or networks."""

    count: int = 150
    size: int = 256
    scale: int = 4
    grid: int = 16
    per_image: int | None = None
    seed: int = 0
    by: str = "bicubic"

    def __post_init__(self) -> None:
        for name in ("count", "size", "scale", "grid", "per_image"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} is a whole number, 1 or more, not {value}.")
        if self.size % self.scale:
            raise UserError(f"Crops of {self.size} pixels are no multiple of the scale {self.scale}.")


def select(arguments: list[str]) -> int:
    """lamscope data select FOLDER… out=FILE.h5 [settings] [machine.…=…]"""
    folders, own, others = _parted(arguments, {"out", *Settings.__dataclass_fields__}, ("machine.",))
    numbers = {key: _whole(key, value) for key, value in own.items() if key not in ("out", "by")}
    settings = Settings(**numbers, by=own.get("by", "bicubic"))
    out = _free(own.get("out", f"hard{settings.count}.h5"))
    _free(out.with_suffix(".json"), ".json")
    config = compose(others)
    errors, networks = (None, []) if settings.by == "bicubic" else _networks(settings, others)
    files, crops = choose([images_of(folder) for folder in folders], settings, errors, config.machine.progress)
    if len(crops) < settings.count:
        more = "" if settings.per_image is None else " or raise per_image"
        raise UserError(
            f"These folders have {len(crops)} crops of {settings.size}×{settings.size} pixels under this rule, fewer "
            f"than count={settings.count}: add a folder{more}."
        )
    pixels: dict[Crop, Image] = {}
    for name in dict.fromkeys(crop.image for crop in crops):
        image = read_rgb(files[name])
        pixels |= {c: _cut(image, c.y, c.x, settings.size) for c in crops if c.image == name}
    rows = [_row(crop, files[crop.image], pixels[crop]) for crop in crops]
    manifest = {"rule": RULE, "settings": asdict(settings), "networks": networks, "crops": rows}
    _write(out, manifest, [pixels[crop] for crop in crops])
    try:
        with replacing(out.with_suffix(".json")) as part:
            part.write_text(_text(manifest), encoding="utf-8")
    except BaseException:
        out.unlink()
        raise
    images = len({crop.image for crop in crops})
    print(f"{out}: {len(crops)} crops of {images} images, {crops[0].psnr:.2f} to {crops[-1].psnr:.2f} dB.")
    print(f"{out.with_suffix('.json')}: its manifest. lamscope run dataset=hdf5 dataset.path={out}")
    return 0


def rebuild(arguments: list[str]) -> int:
    """lamscope data rebuild MANIFEST FOLDER… out=FILE.h5: every crop is verified before anything is written."""
    paths, own, _ = _parted(arguments, {"out"})
    if len(paths) < 2:
        raise UserError("Name a manifest and the folders of its images: lamscope data rebuild hard150.json FOLDER.")
    out = _free(own.get("out", str(paths[0].with_suffix(".h5"))))
    manifest = read_manifest(paths[0])
    _write(out, manifest, recover(manifest, [images_of(folder) for folder in paths[1:]]))
    print(f"{out}: {len(manifest['crops'])} crops, each with the pixels of {paths[0]}.")
    return 0


def choose(
    sources: Sequence[Sequence[Path]], settings: Settings, errors: Errors | None = None, progress: str = "off"
) -> tuple[dict[str, Path], list[Crop]]:
    """The files of each source → (file of each image by its name, the chosen crops, hardest first)."""
    listed = [(i, file) for i, files in enumerate(sources) for file in files]
    names = unique_names([file for _, file in listed])
    found: list[list[list[Crop]]] = [[] for _ in sources]
    seen: set[str] = set()
    for name, (i, file) in track(zip(names, listed, strict=True), len(names), 0, "hard crops", progress):
        hr = read_rgb(file)
        digest = pixel_hash(hr)
        if digest in seen:
            continue
        seen.add(digest)
        offset = grid_offset(settings.seed, file.name, settings.grid)
        ranked = candidates(name, hr, settings.size, settings.grid, settings.scale, offset, errors)
        found[i].append(without_overlap(ranked, settings.size, settings.per_image or settings.count))
    crops = by_turns(found, settings.count, settings.per_image)
    return {name: file for name, (_, file) in zip(names, listed, strict=True)}, crops


def read_manifest(path: Path) -> dict[str, Any]:
    """A manifest that `select` wrote; raises UserError for anything else."""
    try:
        manifest = json.loads(path.read_text("utf-8"))
        settings, rows = Settings(**manifest["settings"]), manifest["crops"]
        whole = all(type(row[key]) is int for row in rows for key in ("y", "x"))
        named = all(type(row[key]) is str and row[key] for row in rows for key in ("name", "file", "sha256"))
        # else it is a path inside HDF5, or writes to a terminal
        plain = all(as_file_name(row["name"]) == row["name"] for row in rows)
        if not (whole and named and plain and len({row["name"] for row in rows}) == len(rows) == settings.count):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"'{path}' is no manifest of `lamscope data select`.") from error
    return manifest


def recover(manifest: dict[str, Any], sources: Sequence[Sequence[Path]]) -> list[Image]:
    """The crops of a manifest in its order; each has the pixels that it names, else UserError.

    Files are looked for by name; of several with one name, that one is taken whose pixels fit.
    """
    by_name: dict[str, list[Path]] = {}
    for file in (file for files in sources for file in files):
        by_name.setdefault(file.name, []).append(file)
    rows, size = manifest["crops"], manifest["settings"]["size"]
    absent = list(dict.fromkeys(row["file"] for row in rows if row["file"] not in by_name))
    if absent:
        more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
        raise UserError(f"Not in these folders, but in the manifest: {', '.join(absent[:3])}{more}.")
    found: dict[str, Image] = {}
    for name in dict.fromkeys(row["file"] for row in rows):
        wanted = [row for row in rows if row["file"] == name]
        for file in by_name[name]:
            image = read_rgb(file)
            for row in wanted:
                crop = _cut(image, row["y"], row["x"], size)
                if pixel_hash(crop) == row["sha256"]:
                    found[row["name"]] = crop
    wrong = [row for row in rows if row["name"] not in found]
    if wrong:
        raise UserError(
            f"'{wrong[0]['file']}' is another image than the manifest's: {len(wrong)} of {len(rows)} crops have other "
            "pixels (an edited or newly compressed copy, or another JPEG decoder)."
        )
    return [found[row["name"]] for row in rows]


def write_hdf5(path: Path, images: Iterable[tuple[str, Image]], attributes: dict[str, str]) -> None:
    """Images (name, uint8 (h, w, 3)) as `hr` of a file that HDF5Dataset reads, in this order; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, h5py.File(part, "w") as file:
        file.attrs.update(attributes)
        group = file.create_group("hr", track_order=True)
        for name, image in images:
            group.create_dataset(name, data=image, compression="gzip", shuffle=True, track_times=False)


def _write(out: Path, manifest: dict[str, Any], images: list[Image]) -> None:
    # the manifest itself would not fit: HDF5 keeps 64 KiB in an attribute
    digest = hashlib.sha256(_text(manifest).encode()).hexdigest()
    names = [row["name"] for row in manifest["crops"]]
    write_hdf5(out, zip(names, images, strict=True), {"manifest_sha256": digest})


def _text(manifest: dict[str, Any]) -> str:
    """JSON with one line a crop."""
    head = {key: value for key, value in manifest.items() if key != "crops"}
    rows = ",\n".join(f"    {json.dumps(row, ensure_ascii=False)}" for row in manifest["crops"])
    return f'{json.dumps(head, indent=2, ensure_ascii=False)[:-2]},\n  "crops": [\n{rows}\n  ]\n}}\n'


def _row(crop: Crop, file: Path, pixels: Image) -> dict[str, Any]:
    hardness = round(crop.psnr, 4) if math.isfinite(crop.psnr) else None  # None: SR is exact
    place = {"file": file.name, "y": crop.y, "x": crop.x}
    return {"name": f"{crop.image}_{crop.y}_{crop.x}", **place, "hardness": hardness, "sha256": pixel_hash(pixels)}


def _cut(image: Image, y: int, x: int, size: int) -> Image:
    return image[y : y + size, x : x + size].copy()


def _networks(settings: Settings, overrides: list[str]) -> tuple[Errors, list[dict[str, Any]]]:
    """The squared errors of the named networks, and what the manifest says of each."""
    from .zoo import load, prepare, weight_folders

    nets, rows = [], []
    for name in dict.fromkeys(filter(None, settings.by.split(","))):
        config = compose([f"model={name}", *overrides])
        if config.model.scale != settings.scale:
            raise UserError(f"'{name}' is a network for ×{config.model.scale}, not for scale={settings.scale}.")
        device, dtype = prepare(config)
        net, origin = load(config.model, weight_folders(config.machine.weights), device, dtype)
        nets.append(partial(_network_error, net, device, dtype))
        rows.append({"name": config.model.name, "weights_sha256": origin.sha256})
    if not nets:
        raise UserError("by is bicubic, or names of networks with commas between them.")
    return lambda hr, lr: [net(hr, lr) for net in nets], rows


def _network_error(net: Any, device: Any, dtype: Any, hr: Image, lr: Image) -> NDArray[np.int64]:
    import torch

    from .explain import image_tensor
    from .metrics.fidelity import to_image

    with torch.no_grad():
        sr = to_image(net(image_tensor(lr, device, dtype)[None])[0])
    return ((sr.astype(np.int64) - hr) ** 2).sum(2)


def _parted(
    arguments: list[str], known: set[str], passed_on: tuple[str, ...] = ()
) -> tuple[list[Path], dict[str, str], list[str]]:
    """Paths, own settings, and settings of conf/ that begin with one of `passed_on`."""
    paths = [Path(a).expanduser() for a in arguments if "=" not in a]
    others = [a for a in arguments if "=" in a and a.startswith(passed_on)] if passed_on else []
    own = dict(a.split("=", 1) for a in arguments if "=" in a and a not in others)
    for key in own:
        if key not in known:
            raise UserError(f"There is no setting '{key}' here.{suggest(key, sorted(known))}")
    if not paths:
        raise UserError("Name one or more folders of images: lamscope data select FOLDER out=hard150.h5.")
    return paths, own, others


def _whole(key: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise UserError(f"{key} is a whole number, not '{value}'.") from None


def _free(path: str | Path, *suffixes: str) -> Path:
    """A path to write that nothing lies at: a test set is not replaced by accident."""
    out = Path(path).expanduser()
    if out.suffix not in (suffixes or (".h5", ".hdf5")):
        raise UserError(f"A hard set is an HDF5 file: end the name '{path}' in .h5.")
    if out.exists():
        raise UserError(f"'{out}' exists already: name another file with out=, or remove it.")
    return out

"""experiment=stability: how the diffusion index moves when one choice that nobody reports is made otherwise.

One thing is changed at a time, on the same images: where the window lies, its size, the size of the LR image around it,
the downsampling, the blur of the baseline (σ), the kernel, and the number of steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from .attribution.lam import PathAttribution
from .config import Config, instantiate
from .data import Dataset
from .downsampling import DOWNSAMPLING
from .explain import lr_tensor
from .figures import stability as figure
from .figures import style
from .kept import kept, place
from .metrics.concentration import diffusion_index, effective_pixels
from .progress import track
from .report.paper import Column, PaperTable, write_table
from .types import Sample, UserError, Window
from .zoo import load, network_identity, precision, prepare, weight_folders

SHIFTS = (4, 8)  # SR pixels, each up, down, left and right
WINDOWS = (8, 16, 32, 64)
LR_SIDES = (32, 48, 64)
SIGMAS = (0.6, 1.2, 2.4)
KERNELS = (5, 9, 15)
STEPS = (7, 21, 63)
FACTORS = {
    "window position": "shift of the window in SR pixels, mean of four directions",
    "window size": "side of the window in SR pixels",
    "LR size": "side of the LR image around the same window, in pixels",
    "downsampling": "protocol of HR → LR",
    "σ": "blur of the baseline, in LR pixels",
    "kernel size": "side of the blur kernel, in LR pixels",
    "steps": "midpoints on the path",
}


def measure(config: Config) -> list[dict[str, Any]]:
    """One row per image × choice: model, image, factor, setting, di in percent, effective_pixels, lr (side).

    Kept in <results>/stability/<set>/<network>-<digest>.json, so that a stopped command goes on with the next network.
    """
    device, dtype = prepare(config)
    net, origin = load(config.model, weight_folders(config.machine.weights), device, dtype)
    dataset = instantiate(config.dataset)
    identity = {
        **network_identity(config.model, origin),
        "images": dataset.manifest()["sha256"],
        "dataset": {key: config.dataset[key] for key in ("downsampling", "window")},
        "attribution": config.attribution,
        "precision": config.machine.precision,
        "choices": [SHIFTS, WINDOWS, LR_SIDES, SIGMAS, KERNELS, STEPS],
    }
    file = place(Path(config.results) / "stability" / dataset.name, config.model.name, identity)
    return kept(file, config.on_existing, lambda: _rows(config, net, dataset, device, dtype))


def _rows(config: Config, net: nn.Module, dataset: Dataset, device: Any, dtype: Any) -> list[dict[str, Any]]:
    method: PathAttribution = instantiate(config.attribution)
    rows = []
    samples = dataset.samples(config.model.scale)
    for sample in track(samples, len(dataset), 0, f"stability of {config.model.name}", config.machine.progress):
        known: dict[Any, tuple[float, float]] = {}
        for factor, setting, other, window, way in choices(sample, method):
            key = (other.lr.tobytes(), window, way)  # the setting of the run itself comes up under every factor
            if key not in known:
                with precision(config.machine.precision, device):
                    found = way(net, lr_tensor(other, device, dtype), window).map
                known[key] = diffusion_index(found), effective_pixels(found)
            di, effective = known[key]
            row = {"model": config.model.name, "family": config.model.family, "image": sample.name, "factor": factor}
            rows.append(row | {"setting": setting, "di": di, "effective_pixels": effective, "lr": other.lr.shape[0]})
    return rows


def choices(sample: Sample, method: PathAttribution) -> Iterator[tuple[str, Any, Sample, Window, PathAttribution]]:
    """(factor, setting, sample, window, method): everything that is tried on one image, its own settings included.

    Raises UserError for an image that is smaller than the largest LR side, or not square.
    """
    window = sample.windows[0]
    side = sample.lr.shape[0]
    if sample.lr.shape[:2] != (LR_SIDES[-1], LR_SIDES[-1]):
        raise UserError(
            f"Stability is measured on LR images of 64×64 pixels; '{sample.name}' is {sample.lr.shape[:2]}."
        )
    edge = sample.scale * side - 1
    yield "window position", 0, sample, window, method
    for shift in SHIFTS:
        for dy, dx in ((-shift, 0), (shift, 0), (0, -shift), (0, shift)):
            y, x = (_inside(start + d, window.size, edge) for start, d in ((window.y, dy), (window.x, dx)))
            yield "window position", shift, sample, Window(y, x, window.size), method
    for size in WINDOWS:
        y, x = (_inside(start + (window.size - size) // 2, size, edge) for start in (window.y, window.x))
        yield "window size", size, sample, Window(y, x, size), method
    for lr_side in LR_SIDES:
        yield "LR size", lr_side, *_cut(sample, window, lr_side), method
    for name in sorted(DOWNSAMPLING):
        yield "downsampling", name, replace(sample, lr=DOWNSAMPLING[name](sample.hr, sample.scale)), window, method
    for sigma in SIGMAS:
        yield "σ", sigma, sample, window, replace(method, path=replace(method.path, sigma=sigma))  # type: ignore[type-var]
    for kernel in KERNELS:
        path = replace(method.path, kernel_size=kernel)  # type: ignore[type-var]
        yield "kernel size", kernel, sample, window, replace(method, path=path)
    for n in STEPS:
        yield "steps", n, sample, window, replace(method, n_steps=n, rtol=None)


def _inside(start: int, size: int, edge: int) -> int:
    """The nearest place where a window fits; the detector looks one pixel beyond it."""
    return min(max(start, 0), edge - size)


def _cut(sample: Sample, window: Window, side: int) -> tuple[Sample, Window]:
    """The square of LR pixels around the window, as a sample of its own, and the window's place in it."""
    scale = sample.scale
    top, left = (
        min(max((start + window.size // 2) // scale - side // 2, 0), whole - side)
        for start, whole in zip((window.y, window.x), sample.lr.shape[:2], strict=True)
    )
    part = np.ascontiguousarray(sample.lr[top : top + side, left : left + side])
    moved = Window(window.y - scale * top, window.x - scale * left, window.size)
    hr = sample.hr[scale * top : scale * (top + side), scale * left : scale * (left + side)]
    return replace(sample, hr=hr, lr=part, windows=(moved,)), moved


def conclude(config: Config, results: list[list[dict[str, Any]]]) -> None:
    """Tables <results>/tables/stability.* and the figure <results>/figures/stability.png and .pdf."""
    frame = pd.DataFrame([row for rows in results for row in rows])
    frame = _beside_own(frame)
    models = list(dict.fromkeys(frame["model"]))
    parts = []
    for factor, meaning in FACTORS.items():
        rows = frame[frame["factor"] == factor]
        parts.append((f"{factor}: {meaning}; DI in percent", _table(rows, "di", models)))
        if factor == "LR size":
            heading = f"{factor}: the same maps in effective pixels, which know no frame"
            parts.append((heading, _table(rows, "effective_pixels", models)))
    n = frame["image"].nunique()
    moves = (
        "moves by: mean |DI / DI of the run − 1| over images, networks and directions, in percent. order: images on "
        "which the networks rank as in the run."
    )
    frames = (
        "DI of two LR sizes must not be compared: 100·(1 − Gini) is a share of the frame, so the same pixels in a "
        "larger frame are a smaller share. Effective pixels, n·(1 − Gini), are a count."
    )
    notes = [f"Means over {n} images, one thing changed at a time.", moves, frames]
    columns = [Column("setting", "setting"), *(Column(m, style.label(m), ".2f") for m in models)]
    columns += [Column("moves", "moves by %", ".1f"), Column("order", "order")]
    command = "lamscope run experiment=stability machine.weights=FOLDER dataset.path=FOLDER"
    table = PaperTable("How the diffusion index moves when one choice changes", command, columns, parts, notes)
    write_table(table, Path(config.results) / "tables" / "stability")
    style.save(figure.draw(frame, list(FACTORS)), Path(config.results) / "figures" / "stability")


def _beside_own(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over the directions of a shift; for di and effective_pixels also <name>_ratio, to the run's own map of that
    network and image, <name>_moved, |ratio − 1| before the directions are averaged, and <name>_own."""
    keys = ["model", "image"]
    own = frame[(frame["factor"] == "window position") & (frame["setting"] == 0)].set_index(keys)
    place = pd.MultiIndex.from_frame(frame[keys])
    for name in ("di", "effective_pixels"):
        frame[f"{name}_own"] = own[name].reindex(place).array
        frame[f"{name}_ratio"] = frame[name] / frame[f"{name}_own"]
        frame[f"{name}_moved"] = (frame[f"{name}_ratio"] - 1).abs()
    frame["setting"] = frame["setting"].astype(str)
    return frame.groupby(["model", "family", "image", "factor", "setting", "lr"], sort=False).mean().reset_index()


def _table(rows: pd.DataFrame, value: str, models: list[str]) -> pd.DataFrame:
    """One row per setting: the networks' means, how far they moved from the run's own, and on how many images the
    networks kept their order."""
    found = []
    for setting, part in rows.groupby("setting", sort=False):
        here, own = (part.pivot(index="image", columns="model", values=v)[models] for v in (value, f"{value}_own"))
        kept = (here.rank(axis=1) == own.rank(axis=1)).all(axis=1)
        row = {"setting": setting, **here.mean(), "moves": 100 * part[f"{value}_moved"].mean()}
        found.append(row | {"order": f"{int(kept.sum())} of {len(kept)}"})
    return pd.DataFrame(found)

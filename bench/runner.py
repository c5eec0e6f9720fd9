"""One cell: model × data set × attribution × seed. Samples in, tensors and records out."""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import store
from .config import Config, instantiate
from .environment import describe
from .metrics import fidelity
from .metrics.concentration import diffusion_index, gini_paper
from .metrics.cost import n_parameters
from .progress import track
from .types import Attribution, Sample, UserError
from .zoo import Origin, load, prepare, weight_folders

# settings of a data set that the hash of its images makes superfluous
PLACES = ("path", "lr_path", "match", "root", "roots", "crops", "limit", "known", "strict")


def run_cell(config: Config) -> Path:
    """Compute what is missing of one cell and return its finished HDF5 file.

    Rerunning is resuming: images already stored are skipped (on_existing=skip), computed again (redo) or an error
    (fail). Raises UserError for anything the user can mend, before the first image where that is possible.
    """
    device, dtype = prepare(config)
    dataset = instantiate(config.dataset)
    method = instantiate(config.attribution)
    chunk = _chunk(config)
    dataset.check(config.model.scale, config.model.min_size)
    net, origin = load(config.model, weight_folders(config.machine.weights), device, dtype)
    identity = _identity(config, dataset.manifest()["sha256"], origin)
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    path = cell_path(config, dataset.name, digest)
    _apply_on_existing(path, config.on_existing)
    about = {
        "digest": digest,
        "identity": identity,
        "config": asdict(config),
        "weights_file": origin.file,
        "environment": describe(device, config.machine.precision),
    }
    with store.CellWriter(
        path, about, len(dataset), _labels(config, dataset.name, digest, n_parameters(net))
    ) as writer:
        try:
            done = writer.done()
            if len(done) < len(dataset):
                samples = dataset.samples(config.model.scale, skip=sorted(done))
                label = f"{config.model.name} on {dataset.name}"
                for sample in track(samples, len(dataset), len(done), label, config.machine.progress):
                    tensors, rows = attribute_sample(net, sample, method, chunk, device, dtype)
                    writer.write(sample.index, sample.name, tensors, rows)
            writer.finish()
        except UserError:
            raise
        except Exception as error:
            writer.fail(error)
            raise
    return path


def cell_path(config: Config, dataset: str, digest: str) -> Path:
    """<results>/runs/<dataset>/<attribution>/<model>-<digest>.h5: the same for the same computation, everywhere."""
    folder = Path(config.results) / "runs" / dataset / config.attribution["name"]
    return folder / f"{config.model.name}-{digest[:10]}.h5"


def attribute_sample(
    net: nn.Module, sample: Sample, method: Any, chunk: int | None, device: torch.device, dtype: torch.dtype
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Super-resolve one image and explain its windows: the tensors to store, and one row per window."""
    lr = lr_tensor(sample, device, dtype)
    with torch.no_grad():
        reconstructed = net(lr[None])[0]
    finite = bool(reconstructed.isfinite().all())  # otherwise the row's status is nan, and so is every score
    sr = fidelity.to_image(reconstructed.nan_to_num())
    image_scores = fidelity.fidelity(sr, sample.hr, shave=sample.scale)
    if not finite:
        image_scores = dict.fromkeys(image_scores, math.nan)
    maps, rows = [], []
    for window in sample.windows:
        begin = time.perf_counter()
        found: Attribution = method(net, lr, window, chunk=chunk)
        seconds = time.perf_counter() - begin
        attribution_map = found.map.float().cpu().numpy()
        maps.append(attribution_map)
        rows.append(
            {
                "lr_h": sample.lr.shape[0],
                "lr_w": sample.lr.shape[1],
                "scale": sample.scale,
                "window_y": window.y,
                "window_x": window.x,
                "window_size": window.size,
                **_values(found, attribution_map),
                **image_scores,
                "window_psnr_y": fidelity.window_psnr(sr, sample.hr, window) if finite else math.nan,
                "seconds": seconds,
            }
        )
    return {"hr": sample.hr, "lr": sample.lr, "sr": sr, "map": np.stack(maps)}, rows


def lr_tensor(sample: Sample, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The LR image as a network takes it: (3, h, w) RGB in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(sample.lr)).permute(2, 0, 1).to(device, dtype) / 255


def _values(found: Attribution, attribution_map: np.ndarray) -> dict[str, Any]:
    di = diffusion_index(attribution_map)
    return {
        "di": di,
        "gini": gini_paper(attribution_map),
        "score": found.score,
        "baseline_score": _number(found.baseline_score),
        "gap": _number(found.gap),
        "error": _number(found.error),
        "n_steps": found.n_steps,
        "n_flat": found.n_flat,
        "n_zeroed": found.n_zeroed,
        "status": "ok" if np.isfinite(attribution_map).all() and math.isfinite(di) else "nan",
    }


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _labels(config: Config, dataset: str, digest: str, counted: int) -> dict[str, Any]:
    model = config.model
    return {
        "model": model.name,
        "family": model.family,
        "n_parameters": model.n_parameters or counted,
        "channels": model.channels,
        "dataset": dataset,
        "attribution": config.attribution["name"],
        "detector": str(config.attribution.get("detector", {}).get("channels", "rgb")),
        "seed": config.seed,
        "digest": digest[:10],
    }


def _identity(config: Config, images: str, origin: Origin) -> dict[str, Any]:
    """Everything that decides the numbers; not the device, the chunk or the launcher."""
    model = config.model
    return {
        "schema": store.SCHEMA_VERSION,
        "net": model.net,
        "wrappers": model.wrappers,
        "scale": model.scale,
        "weights": origin.sha256,
        "source": origin.source_sha256,
        "images": images,
        "dataset": {k: v for k, v in config.dataset.items() if k not in PLACES},
        "attribution": config.attribution,
        "precision": config.machine.precision,
        "seed": config.seed,
    }


def _chunk(config: Config) -> int | None:
    if config.chunk == "auto":
        return None
    if not isinstance(config.chunk, int) or config.chunk < 1:
        raise UserError(f"chunk is a positive whole number or auto, not '{config.chunk}'.")
    return config.chunk


def _apply_on_existing(path: Path, policy: str) -> None:
    if policy not in ("skip", "redo", "fail"):
        raise UserError(f"on_existing is skip, redo or fail, not '{policy}'.")
    if policy == "redo":
        store.remove(path)
    elif policy == "fail" and store.exists(path):
        raise UserError(f"{path} exists already (on_existing=fail).")

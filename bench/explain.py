"""Samples in, maps and rows out: what is computed of the images of one cell."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .config import Config, instantiate
from .metrics import fidelity
from .metrics.concentration import diffusion_index, gini_paper
from .progress import track
from .types import Attribution, Sample
from .zoo import condition_of, conditioned


@dataclass(frozen=True)
class Explained:
    """sr: (3, H, W), not clamped, on the device. found: one per window. seconds: a window, SR image included."""

    sample: Sample
    sr: Tensor
    found: Sequence[Attribution]
    seconds: float


def walk(
    net: nn.Module, config: Config, device: torch.device, dtype: torch.dtype, what: str
) -> Iterator[tuple[Sample, nn.Module, Tensor]]:
    """(sample, network that takes an image alone, LR image (3, h, w)), one by one: for what is no map. what: of the
    progress bar. Raises UserError for conditions that the network does not read."""
    dataset = instantiate(config.dataset)
    dataset.check_conditions(config.model.name, config.model.scale, condition_of(net))
    samples = dataset.samples(config.model.scale)
    for sample in track(samples, len(dataset), 0, f"{what} of {config.model.name}", config.machine.progress):
        yield sample, conditioned(net, sample.condition), lr_tensor(sample, device, dtype)


def explain(
    net: nn.Module,
    samples: Iterable[Sample],
    method: Any,
    chunk: int | None,
    device: torch.device,
    dtype: torch.dtype,
) -> Iterator[Explained]:
    """Super-resolve images and explain their windows, in order. Several may be computed together (`method.stream`).

    A detector that needs HR gets each image's own, so these go one by one.
    """
    if getattr(getattr(method, "detector", None), "needs_hr", False):
        for sample in samples:
            hr = image_tensor(sample.hr, device, dtype)
            informed = replace(method, detector=method.detector.given(hr))
            yield from _explain(conditioned(net, sample.condition), iter([sample]), informed, chunk, device, dtype)
        return
    for given, group in _alike(samples):
        yield from _explain(conditioned(net, given), group, method, chunk, device, dtype)


def _alike(samples: Iterable[Sample]) -> Iterator[tuple[np.ndarray | None, Iterator[Sample]]]:
    """(condition, samples that share it): all in one where there are none, else one by one."""
    rest = iter(samples)
    first = next(rest, None)
    if first is None:
        return
    if first.condition is None:
        yield None, (sample for part in ([first], rest) for sample in part)
        return
    for sample in (s for part in ([first], rest) for s in part):
        yield sample.condition, iter([sample])


def _explain(
    net: nn.Module, samples: Iterator[Sample], method: Any, chunk: int | None, device: torch.device, dtype: torch.dtype
) -> Iterator[Explained]:
    waiting: deque[tuple[Sample, Tensor]] = deque()

    def requests() -> Iterator[tuple[Tensor, Sequence[Any]]]:
        for sample in samples:
            lr = lr_tensor(sample, device, dtype)
            with torch.no_grad():
                waiting.append((sample, net(lr[None])[0]))
            yield lr, sample.windows

    begin, n_ready, seconds = time.perf_counter(), 0, 0.0
    for found in method.stream(net, requests(), chunk=chunk):
        if n_ready == 0:  # a block is ready, and so are all that wait
            now = time.perf_counter()
            n_ready = len(waiting)
            seconds, begin = (now - begin) / sum(len(sample.windows) for sample, _ in waiting), now
        n_ready -= 1
        yield Explained(*waiting.popleft(), found, seconds)


def lr_tensor(sample: Sample, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The LR image as a network takes it: (3, h, w) RGB in [0, 1]."""
    return image_tensor(sample.lr, device, dtype)


def image_tensor(image: np.ndarray, device: torch.device, dtype: torch.dtype) -> Tensor:
    """uint8 (h, w, 3) → (3, h, w) in [0, 1]."""
    pixels = torch.from_numpy(np.ascontiguousarray(image))
    pixels = pixels.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else pixels
    return pixels.permute(2, 0, 1).to(dtype) / 255


def tensors_and_rows(explained: Explained) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """What is stored of one image: its tensors, and one row per window."""
    sample = explained.sample
    finite = bool(explained.sr.isfinite().all())  # otherwise the row's status is nan, and so is every score
    sr = fidelity.to_image(explained.sr.nan_to_num())
    scores = fidelity.fidelity(sr, sample.hr, shave=sample.scale)
    if not finite:
        scores = dict.fromkeys(scores, math.nan)
    maps, rows = [], []
    for window, found in zip(sample.windows, explained.found, strict=True):
        maps.append(found.map.float().cpu().numpy())
        rows.append(
            {
                "lr_h": sample.lr.shape[0],
                "lr_w": sample.lr.shape[1],
                "scale": sample.scale,
                "window_y": window.y,
                "window_x": window.x,
                "window_size": window.size,
                **_values(found, maps[-1]),
                **scores,
                "window_psnr_y": fidelity.window_psnr(sr, sample.hr, window) if finite else math.nan,
                "seconds": explained.seconds,
            }
        )
    return {"hr": sample.hr, "lr": sample.lr, "sr": sr, "map": np.stack(maps)}, rows


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

"""The benchmark: seconds a map for the reference's plain loop and for `lam`, in one process, and both map errors.

The plain loop is the reference as anyone would write it: 50 right-end-point steps, one at a time, the whole image,
the root of the whole gradient image, parameter gradients on.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from .attribution.lam import PathAttribution
from .attribution.quadrature import right
from .config import Config, compose, instantiate
from .environment import describe
from .explain import lr_tensor
from .metrics.concentration import diffusion_index
from .report.benchmark import publish
from .types import UserError, Window
from .zoo import load, prepare, weight_folders

LIMIT_STEPS = 400
PLAIN_STEPS = 50
TIMED_STEPS = 5  # of the plain loop, at least; its steps all cost the same
REPEATS = 3


def measure(config: Config) -> dict[str, Any]:
    """One row: seconds a map and map errors of one network on the data set's first image."""
    device, dtype = prepare(config)
    trained = True
    try:
        net, _ = load(config.model, weight_folders(config.machine.weights), device, dtype)
    except UserError:  # a speed needs no weights; the row says so, and has no errors
        trained = False
        net, _ = load(replace(config.model, weights=None), [], device, dtype)
    sample = next(instantiate(config.dataset).samples(config.model.scale))
    lr = lr_tensor(sample, device, dtype)
    window = sample.windows[0]
    lam: PathAttribution = instantiate(config.attribution)
    paper: PathAttribution = instantiate(compose(["attribution=lam_paper"]).attribution)

    plain_seconds, lam_seconds = _interleaved(
        lambda: plain_loop(net, lr, window, paper, TIMED_STEPS), lambda: lam(net, lr, window), device
    )
    plain_seconds *= PLAIN_STEPS / TIMED_STEPS
    row = {
        "network": config.model.name,
        "weights": "trained" if trained else "random",
        "lr": f"{sample.lr.shape[0]}×{sample.lr.shape[1]}",
        "plain_s": plain_seconds,
        "lam_s": lam_seconds,
        "ratio": plain_seconds / lam_seconds,
    }
    if trained:
        row |= _errors(net, lr, window, lam, paper)
    return row | {"device": describe(device, config.machine.precision)["device"], "threads": torch.get_num_threads()}


def conclude(config: Config, rows: list[dict[str, Any]]) -> None:
    """Print the table and write it to <results>/tables/speed.csv and .md."""
    frame = pd.DataFrame(rows)
    command = "lamscope run experiment=speed"
    publish(
        frame,
        "Seconds a map: the plain reference loop (50 steps) and lam",
        Path(config.results) / "tables" / "speed",
        command,
    )


def plain_loop(net: nn.Module, lr: Tensor, window: Window, paper: PathAttribution, n_steps: int) -> Tensor:
    """The first n_steps of the reference's loop; returns their gradients (n_steps, 3, h, w)."""
    net.requires_grad_(True)
    images = paper.path.points(lr, right(PLAIN_STEPS)[:n_steps]).to(lr.dtype)
    gradients = []
    for image in images:
        x = image[None].contiguous().requires_grad_(True)
        net.zero_grad()
        sr = net(x)
        dy, dx = sr[..., :-1, :-1] - sr[..., 1:, :-1], sr[..., :-1, :-1] - sr[..., :-1, 1:]
        magnitude = torch.sqrt(dx**2 + dy**2)
        magnitude[..., window.y : window.y + window.size, window.x : window.x + window.size].sum().backward()
        assert x.grad is not None
        gradients.append(x.grad[0])
    net.zero_grad(set_to_none=True)
    net.requires_grad_(False)
    return torch.stack(gradients)


def _interleaved(first: Callable[[], Any], second: Callable[[], Any], device: torch.device) -> tuple[float, float]:
    """Median seconds of two calls, measured in turns so that the machine's moods hit both."""
    for warm_up in (first, second):
        warm_up()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPEATS):
        for call, record in zip((first, second), seconds, strict=True):
            _wait(device)
            begin = time.perf_counter()
            call()
            _wait(device)
            record.append(time.perf_counter() - begin)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _errors(net: nn.Module, lr: Tensor, window: Window, lam: PathAttribution, paper: PathAttribution) -> dict[str, Any]:
    limit = replace(lam, n_steps=LIMIT_STEPS, rtol=None)(net, lr, window).map
    found = {"plain": paper(net, lr, window), "lam": lam(net, lr, window)}
    row: dict[str, Any] = {f"{name}_error": float((a.map - limit).norm() / limit.norm()) for name, a in found.items()}
    row |= {
        f"{name}_di_error": float(diffusion_index(a.map)) - float(diffusion_index(limit)) for name, a in found.items()
    }
    return row | {"lam_error_estimate": found["lam"].error}

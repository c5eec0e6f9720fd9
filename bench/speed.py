"""The benchmark: seconds a map of the reference's plain loop, of captum and of `lam`, in one process, and map errors.

Contenders take turns, so that the machine's moods hit all of them; what counts is the ratio. With machine.threads=1 a
CPU's own time is taken, which is the same on a busy machine. A row is kept in <results>/speed as soon as it is
measured: a stopped benchmark goes on where it stopped, unless the code or the settings are others (on_existing=redo:
anew in any case).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from .attribution.engine import Point, evaluate, frozen, view
from .attribution.lam import PathAttribution
from .attribution.memory import Chunking, Watch
from .attribution.quadrature import midpoint
from .attribution.savings import multiply_adds, spared
from .ceiling import matrix_flops, seconds
from .config import Config, compose, instantiate
from .environment import commit, describe
from .explain import lr_tensor
from .kept import kept, place
from .metrics.concentration import diffusion_index
from .report.benchmark import publish
from .rivals import PLAIN_STEPS, captum_gradients, plain_loop
from .runner import run_cell
from .types import UserError, Window
from .zoo import conditioned, load, prepare, weight_folders

LIMIT_STEPS = 400
FEW_STEPS = 12  # by then the map is as close to its limit as the reference's with 50; the table says whether it is
PATIENCE = 2.0  # seconds of one step of the plain loop from which a map is timed by a few of its steps
LARGE = 256  # LR pixels a side: where a local network gains most
QUICK_MAP = 3.0  # seconds of a map up to which a whole run is measured, and of a plain one up to which a large image is


def measure(config: Config) -> list[dict[str, Any]]:
    """One row, or two for quick networks, on the data set's first image. Networks without weights have no errors."""
    device, _ = prepare(config)
    about = describe(device, config.machine.precision)
    name = f"{config.model.name}-{about['device']}-{config.machine.precision}".replace(" ", "_").replace("/", "_")
    made_of = {"commit": commit(), "attribution": config.attribution, "dataset": config.dataset}
    file = place(Path(config.results) / "speed", name, made_of)
    return kept(file, config.on_existing, lambda: _rows(config, about))


def _rows(config: Config, about: dict[str, Any]) -> list[dict[str, Any]]:
    device, dtype = prepare(config)
    trained = True
    try:
        net, _ = load(config.model, weight_folders(config.machine.weights), device, dtype)
    except UserError:  # a speed needs no weights; the row says so
        trained = False
        config = replace(config, model=replace(config.model, weights=None))
        net, _ = load(config.model, [], device, dtype)
    sample = next(iter(instantiate(config.dataset).samples(config.model.scale)))
    net, lr = conditioned(net, sample.condition), lr_tensor(sample, device, dtype)
    lam: PathAttribution = instantiate(config.attribution)
    window = sample.windows[0]
    rows = [_row(config, net, lr, window, lam)]
    if trained:
        rows[0] |= _errors(net, lr, window, lam)
    if rows[0]["lam_s"] <= QUICK_MAP:
        rows[0]["rest"] = _rest(config, net, lam, device, dtype)
    if rows[0]["plain_s"] <= QUICK_MAP:
        tiled = lr.repeat(1, -(-LARGE // lr.shape[1]), -(-LARGE // lr.shape[2]))[:, :LARGE, :LARGE].contiguous()
        at = (LARGE * config.model.scale - window.size) // 2
        rows.append(_row(config, net, tiled, Window(at, at, window.size), lam))
    labels = {"network": config.model.name, "weights": "trained" if trained else "random"}
    where = {"device": about["device"], "precision": config.machine.precision, "threads": torch.get_num_threads()}
    return [labels | row | where for row in rows]


def conclude(config: Config, results: list[list[dict[str, Any]]]) -> None:
    """Print the table, write it to <results>/tables/speed.csv and .md, and draw it."""
    from .figures import speed, style

    frame = pd.DataFrame([row for rows in results for row in rows])
    title = f"Seconds a map: the plain reference loop ({PLAIN_STEPS} steps), captum, and lam"
    publish(frame, title, Path(config.results) / "tables" / "speed", "lamscope run experiment=speed", digits=3)
    style.save(style.page(speed.draw(frame)), Path(config.results) / "figures" / "speed")


def _row(config: Config, net: nn.Module, lr: Tensor, window: Window, lam: PathAttribution) -> dict[str, Any]:
    """Seconds a map of all contenders, and what follows from them."""
    device, scale = lr.device, config.model.scale
    paper = _paper()
    n_steps = int(lam.n_steps)
    slow = seconds(lambda: plain_loop(net, lr, window, paper, 1), device) > PATIENCE
    n_timed, repeats = (6, 1) if slow else (n_steps, 5)
    contenders: dict[str, tuple[Callable[[], Any], float]] = {
        "plain_s": (lambda: plain_loop(net, lr, window, paper, 5), PLAIN_STEPS / 5),
        "captum_s": (lambda: captum_gradients(net, lr, window, lam.path, n_timed, 3), n_steps / n_timed),
        # a map is n steps and two ends without a gradient, which cost about half a step each
        "lam_s": (lambda: lam_with(lam, n_timed)(net, lr, window), (n_steps + 1) / (n_timed + 1)),
        "few_s": (
            lambda: lam_with(lam, min(n_timed, FEW_STEPS))(net, lr, window),
            (FEW_STEPS + 1) / (min(n_timed, FEW_STEPS) + 1),
        ),
    }
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, (call, factor) in contenders.items():
            taken[name].append(factor * seconds(call, device))
    row: dict[str, Any] = {"lr": f"{lr.shape[1]}×{lr.shape[2]}"}
    row |= {name: statistics.median(values) for name, values in taken.items()}
    row["ratio"] = row["plain_s"] / row["lam_s"]
    row["few_ratio"] = row["plain_s"] / row.pop("few_s")
    row["captum_ratio"] = row["captum_s"] / row["lam_s"]
    size = (lr.shape[1], lr.shape[2])
    work = multiply_adds(net, size, window, lam.detector, scale)
    row["spared"] = spared(net, size, window, lam.detector, scale)
    row["gflops"] = 2 * work * (n_steps + 1) / row["lam_s"] / 1e9
    row["of_ceiling"] = row["gflops"] * 1e9 / matrix_flops(device, lr.dtype)
    row["mib_a_point"] = _memory(net, lr, window, lam, scale)
    return row


def _memory(net: nn.Module, lr: Tensor, window: Window, lam: PathAttribution, scale: int) -> float:
    """MiB that one path point takes; see `Watch`."""
    seen = view(net, lr, window, lam.detector, scale)
    image = lam.path.points(lr, np.ones(1), seen.domain(lr))[0].to(lr.dtype)
    with frozen(net), Watch(lr.device) as watch:
        evaluate(net, [Point(image, (seen,))], lam.detector, Chunking(lr.device, 1), gradients=True)
    return watch.bytes / 2**20


def lam_with(lam: PathAttribution, n_steps: int) -> PathAttribution:
    """The same method with another number of steps."""
    return replace(lam, n_steps=n_steps, rtol=None)


def _paper() -> PathAttribution:
    return instantiate(compose(["attribution=lam_paper"]).attribution)


def _rest(config: Config, net: nn.Module, lam: PathAttribution, device: torch.device, dtype: torch.dtype) -> float:
    """The share of a run that is no network pass: images, blur, detector, Gini, fidelity, HDF5. In [0, 1].

    What all images but the first add to a run, against nothing but the passes of the same path points.
    """

    def run(limit: int | None) -> None:
        with TemporaryDirectory() as folder:
            machine = replace(config.machine, progress="off")
            run_cell(replace(config, results=folder, machine=machine, dataset={**config.dataset, "limit": limit}))

    bare, scale, n_steps = _Sum(), config.model.scale, int(lam.n_steps)
    samples = list(instantiate(config.dataset).samples(scale))[1:]
    lrs = [lr_tensor(sample, device, dtype) for sample in samples]
    points = []
    for lr, sample in zip(lrs, samples, strict=True):
        for window in sample.windows:
            seen = view(net, lr, window, bare, scale)
            images = lam.path.points(lr, midpoint(n_steps), seen.domain(lr)).to(dtype)
            points.append([Point(image, (seen,)) for image in images])

    def passes() -> None:
        chunking = Chunking(device)
        with frozen(net), torch.no_grad():
            for lr, some in zip(lrs, points, strict=True):
                net(lr[None])
                evaluate(net, some, bare, chunking, gradients=True)
                evaluate(net, some[:2], bare, chunking, gradients=False)  # the path's ends

    one, all_of_them, alone = (
        statistics.median(seconds(call, device) for _ in range(3))
        for call in (lambda: run(1), lambda: run(config.dataset.get("limit")), passes)
    )
    return max(0.0, 1 - alone / (all_of_them - one))


class _Sum:
    """The least a detector can do."""

    margin = 1
    whole = False

    def __call__(self, sr: Tensor, window: Window) -> tuple[Tensor, Tensor]:
        patch = sr[..., window.y : window.y + window.size, window.x : window.x + window.size]
        return patch.sum((1, 2, 3)), torch.zeros(len(sr), device=sr.device)


def _errors(net: nn.Module, lr: Tensor, window: Window, lam: PathAttribution) -> dict[str, Any]:
    """Relative L2 errors of the maps, and errors of DI in percentage points, against the limit of many steps."""
    limit = lam_with(lam, LIMIT_STEPS)(net, lr, window).map
    found = {
        "plain": _paper()(net, lr, window),
        "lam": lam(net, lr, window),
        "few": lam_with(lam, FEW_STEPS)(net, lr, window),
    }
    row: dict[str, Any] = {f"{name}_error": float((a.map - limit).norm() / limit.norm()) for name, a in found.items()}
    row |= {f"{name}_di_error": diffusion_index(a.map) - diffusion_index(limit) for name, a in found.items()}
    return row | {"lam_error_estimate": found["lam"].error}

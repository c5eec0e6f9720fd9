"""What each precision costs: errors of map and DI against float64, and seconds a map, per network and device."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from .ceiling import seconds
from .config import Config, instantiate
from .environment import describe
from .explain import lr_tensor
from .metrics.concentration import diffusion_index
from .progress import track
from .report.benchmark import publish
from .zoo import load, precision, prepare, weight_folders

CANDIDATES = ("fp32", "tf32", "bf16", "fp16")
TOLERATED = 0.005  # of DI's value: a precision that changes it by more is no default


def measure(config: Config) -> list[dict[str, Any]]:
    """One row per precision that this device has: means over the data set's windows."""
    device, dtype = prepare(config)
    net, _ = load(config.model, weight_folders(config.machine.weights), device, dtype)
    exact = deepcopy(net).double()
    method = instantiate(config.attribution)
    samples = list(instantiate(config.dataset).samples(config.model.scale))
    names = [name for name in CANDIDATES if _available(name, device)]
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    for sample in track(samples, len(samples), 0, f"rounding of {config.model.name}", config.machine.progress):
        for window in sample.windows:
            truth = method(exact, lr_tensor(sample, device, torch.float64), window).map
            lr = lr_tensor(sample, device, dtype)
            for name in names:
                prepare(replace(config, machine=replace(config.machine, precision=name)))
                with precision(name, device):
                    mine = method(net, lr, window).map.double()
                    taken = seconds(lambda: method(net, lr, window), device)  # noqa: B023 (called at once)
                error = float((mine - truth).norm() / truth.norm())
                found[name].append((error, abs(diffusion_index(mine) / diffusion_index(truth) - 1), taken))
    prepare(config)
    return [_row(config.model.name, name, values, describe(device, name)["device"]) for name, values in found.items()]


def _row(network: str, name: str, values: list[tuple[float, float, float]], device: str) -> dict[str, Any]:
    errors, changes, times = (list(column) for column in zip(*values, strict=True))
    return {
        "network": network,
        "precision": name,
        "maps": len(values),
        "map_error": sum(errors) / len(errors),
        "largest_map_error": max(errors),
        "ΔDI_%_of_DI": 100 * sum(changes) / len(changes),
        "largest_ΔDI_%_of_DI": 100 * max(changes),
        "tolerated": "yes" if max(changes) < TOLERATED else "no",
        "s_a_map": sum(times) / len(times),
        "device": device,
    }


def _available(name: str, device: torch.device) -> bool:
    return device.type == "cuda" or name not in ("tf32", "fp16")  # CPUs compute fp16 one number at a time


def conclude(config: Config, results: list[list[dict[str, Any]]]) -> None:
    """Print the table and write it to <results>/tables/precision.csv and .md."""
    frame = pd.DataFrame([row for rows in results for row in rows])
    publish(
        frame,
        f"Precision: error of the map and change of DI against float64; tolerated below {TOLERATED:.1%} of DI",
        Path(config.results) / "tables" / "precision",
        "lamscope run experiment=precision machine.weights=FOLDER dataset.path=FOLDER",
    )

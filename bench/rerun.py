"""lamscope rerun: compute a stored cell again from its file alone, and say how far the numbers agree.

The file holds the images, the windows and the resolved configuration; the weights are looked for by name and must have
the sha256 that the file states. Nothing is written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .agreement import distance
from .arguments import own_settings
from .config import Config, instantiate, restore
from .store import read_columns, read_provenance, read_tensors
from .trusted import require_trusted
from .types import Sample, UserError, Window

HELP = """\
lamscope rerun FILE [images=0,3] [rtol=1e-5] [machine.weights=…] [machine.…=…] [chunk=…] [allow=PACKAGE]

Computes a stored cell, or some of its images, again and compares every tensor and number. Images, windows and settings
come from the file; weights must have the sha256 that it states. A file may build what lamscope's own conf/ builds only:
allow=my_package lets it build what is in another package. Exit code 0: the same within rtol; 2: not.
"""
RTOL = 1e-5  # relative L2 of a map, beyond which two runs do not agree: what another batch size may change
CHANGEABLE = ("machine.", "model.weights", "chunk", "dataset.conditions")
TIMES = ("seconds",)


@dataclass
class Verdict:
    """The largest distance met of each tensor, and the image where it was; texts: of records that are others."""

    n_images: int = 0
    worst: dict[str, tuple[float, str]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)

    def met(self, name: str, value: float, image: str) -> None:
        known, _ = self.worst.get(name, (-1.0, ""))
        if not value <= known:  # a NaN is the worst
            self.worst[name] = (value, image)

    @property
    def identical(self) -> bool:
        return not self.texts and all(value == 0 for value, _ in self.worst.values())

    def agrees(self, rtol: float) -> bool:
        """Maps within rtol, SR within that share of 255 levels or one (.5 rounds either way); all else equal."""
        limits = {"map": rtol, "sr": max(1.0, 255 * rtol)}
        found = {name: value for name, (value, _) in self.worst.items() if name != "records"}  # they follow the tensors
        return not self.texts and all(value <= limits.get(name, 0.0) for name, value in found.items())


def main(arguments: list[str]) -> int:
    """The verb; returns 0 when the numbers agree, else 2."""
    own, rest = own_settings(arguments, {"images", "rtol", "allow"})
    files, settings = [a for a in rest if "=" not in a], [a for a in rest if "=" in a]
    if len(files) != 1 or files[0].startswith("-"):
        raise UserError("Name one file: lamscope rerun results/runs/…/NETWORK-DIGEST.h5")
    if odd := [one for one in settings if not one.startswith(CHANGEABLE)]:
        names = ", ".join(name.rstrip(".") for name in CHANGEABLE)
        raise UserError(f"A rerun has the settings of its file, but for {names}: not '{odd[0].partition('=')[0]}'.")
    try:
        rtol = float(own.get("rtol", RTOL))
    except ValueError:
        rtol = math.nan
    if not rtol >= 0:
        raise UserError(f"rtol is a number, 0 or more, not '{own['rtol']}'.")
    allow = [name for name in own.get("allow", "").split(",") if name]
    verdict = rerun(Path(files[0]), settings, own.get("images"), allow)
    return _tell(verdict, rtol)


def rerun(path: Path, settings: list[str], images: str | None = None, allow: list[str] | None = None) -> Verdict:
    """Compute a finished cell, or some of its images ('0,3'), again; prints what is compared with what.

    Raises UserError when the file's configuration is not to be trusted, or its weights are not here.
    """
    stored = read_provenance(path)
    columns = read_columns(path)
    chosen = _chosen(images, sorted({int(i) for i in columns["index"]}))
    given = stored.get("config")
    if not isinstance(given, dict):
        raise UserError(f"{path} holds no configuration.")
    require_trusted(given, path, allow or [])
    config = restore(given, [*_threads(stored), *settings])
    from . import explain
    from .zoo import load, precision, prepare, weight_folders

    device, dtype = prepare(config)
    net, origin = load(config.model, weight_folders(config.machine.weights), device, dtype)
    _require_same_network(path, stored.get("identity") or {}, origin)
    _announce(path, stored, config, str(device), len(chosen))
    samples = (_sample(path, config, columns, index) for index in chosen)
    chunk = None if config.chunk == "auto" else int(config.chunk)
    verdict = Verdict()
    with precision(config.machine.precision, device):
        for again in explain.explain(net, samples, instantiate(config.attribution), chunk, device, dtype):
            tensors, rows = explain.tensors_and_rows(again)
            _regenerate(again.sample, config, verdict)
            _compare(path, columns, again.sample, tensors, rows, verdict)
    return verdict


def _threads(stored: dict[str, Any]) -> list[str]:
    """The number of threads that the file was computed with: another one may round otherwise."""
    environment = stored.get("environment") or {}
    threads = environment.get("threads") if environment.get("device_type") == "cpu" else None
    return [f"machine.threads={threads}"] if isinstance(threads, int) and threads > 0 else []


def _chosen(images: str | None, known: list[int]) -> list[int]:
    if images is None:
        return known
    wanted = [one.strip() for one in images.split(",")]
    if odd := [one for one in wanted if not one.isdecimal() or int(one) not in known]:
        raise UserError(f"images are positions in the test set, as in images=0,3; this file has no '{odd[0]}'.")
    return sorted({int(one) for one in wanted})


def _require_same_network(path: Path, identity: dict[str, Any], origin: Any) -> None:
    for here, there, what, way in (
        (origin.sha256, identity.get("weights"), "weights", "name the file with model.weights=FILE"),
        (origin.source_sha256, identity.get("source"), "source file of the network", "use the one of then"),
    ):
        if here != there:
            raise UserError(
                f"{path} was made with another {what} (sha256 {str(there)[:16]}, here {str(here)[:16]}): {way}."
            )


def _announce(path: Path, stored: dict[str, Any], config: Config, device: str, n_images: int) -> None:
    environment = stored.get("environment") or {}
    torch = (environment.get("packages") or {}).get("torch")
    chunk = (stored.get("config") or {}).get("chunk")
    print(f"{config.model.name}, {config.attribution.get('name')}: {n_images} images of {path}")
    print(
        f"  made by lamscope {environment.get('lamscope')} ({environment.get('commit')}) with torch {torch} on "
        f"{environment.get('device')}, {environment.get('precision')}, chunk={chunk}"
    )
    import torch as here

    print(f"  again with torch {here.__version__} on {device}, {config.machine.precision}, chunk={config.chunk}")
    if others := len(stored.get("also", [])):
        print(f"  {others} more environments computed a part of it; the settings are those of the first")


def _sample(path: Path, config: Config, columns: dict[str, np.ndarray], index: int) -> Sample:
    """An image as it is stored, with the windows of its records."""
    tensors = read_tensors(path, index, ["hr", "lr"])
    rows = np.flatnonzero(columns["index"] == index)
    windows = tuple(Window(*(int(columns[f"window_{key}"][row]) for key in ("y", "x", "size"))) for row in rows)
    name, condition = str(columns["image"][rows[0]]), None
    if file := config.dataset.get("conditions"):
        from .conditions import Conditions

        condition = Conditions(Path(str(file)).expanduser()).read(name)
    return Sample(index, name, tensors["hr"], tensors["lr"], config.model.scale, windows, condition)


def _regenerate(sample: Sample, config: Config, verdict: Verdict) -> None:
    """LR and windows from HR, as the test set made them."""
    from .downsampling import DOWNSAMPLING

    protocol = str(config.dataset.get("downsampling", "matlab"))
    if protocol in DOWNSAMPLING:  # otherwise LR images came with the HR ones
        verdict.met("lr", distance(sample.lr, DOWNSAMPLING[protocol](sample.hr, sample.scale)), sample.name)
    windows = instantiate(config.dataset["window"]).choose(sample.hr, sample.lr, sample.scale)
    verdict.met("windows", 0.0 if tuple(windows) == sample.windows else math.inf, sample.name)


def _compare(
    path: Path,
    columns: dict[str, np.ndarray],
    sample: Sample,
    tensors: dict[str, np.ndarray],
    rows: list[dict[str, Any]],
    verdict: Verdict,
) -> None:
    verdict.n_images += 1
    stored = read_tensors(path, sample.index, ["sr", "map"])
    for name, value in stored.items():
        verdict.met(name, distance(value, tensors[name]), sample.name)
    places = np.flatnonzero(columns["index"] == sample.index)
    for place, row in zip(places, rows, strict=True):
        for name, text, value in _differences(columns, int(place), row):
            if text:
                verdict.texts.append(f"{name} of {sample.name}: {text}")
            verdict.met("records", value, f"{name} of {sample.name}")


def _differences(columns: dict[str, np.ndarray], place: int, row: dict[str, Any]) -> Iterator[tuple[str, str, float]]:
    """Per column: name, what differs of a text, relative difference of a number."""
    for name in sorted(row.keys() & columns.keys() - set(TIMES)):
        was, now = columns[name][place], row[name]
        if isinstance(now, str):
            yield name, "" if was == now else f"'{was}' was stored, it is '{now}' now", 0.0
        elif was == now or (math.isnan(was) and math.isnan(now)):
            yield name, "", 0.0
        else:
            yield name, "", float(abs(was - now) / max(abs(was), abs(now)))


def _tell(verdict: Verdict, rtol: float) -> int:
    for name, (value, image) in verdict.worst.items():
        if value == 0:
            said = "identical"
        elif name == "sr" and math.isfinite(value):
            said = f"up to {value:.0f} of 255 levels apart ({image})"
        else:
            said = f"up to {value:.2g} apart, relative{' L2' if name == 'map' else ''} ({image})"
        print(f"  {name:8} {said}")
    for text in verdict.texts[:5]:
        print(f"  {text}")
    means = f"relative L2 of a map, and {max(1, int(255 * rtol))} of 255 levels of SR"
    if verdict.identical:
        print(f"identical: every tensor and number of {verdict.n_images} images, to the bit")
    elif verdict.agrees(rtol):
        print(f"the same within rtol={rtol:g}: {means}")
    else:
        print(f"NOT the same within rtol={rtol:g}: {means}")
    return 0 if verdict.agrees(rtol) else 2

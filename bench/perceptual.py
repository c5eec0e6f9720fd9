"""LPIPS of a run's images, by weights of the user's: a classifier's as torchvision publishes it, and the five linear
layers of the lpips package or of a file. Nothing is downloaded.

The SR images are those that PSNR was measured on, rounded to 8 bits and whole: nothing is shaved, as is usual.
"""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .config import Config, MetricConfig
from .metrics.lpips import BACKBONES, Lpips
from .progress import track
from .scores import read_score, write_score
from .store import read_columns, read_provenance, read_tensors
from .types import UserError
from .weights import load_into, read, sha256_of
from .zoo import prepare

# the files that torchvision publishes: its name for them ends in the first digits of the sha256
PUBLISHED = {"alex": ("7be5be79", "4df8aa71"), "vgg": ("397923af",)}
FILES = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}


@dataclass(frozen=True)
class Perceptual:
    """score: lpips_alex or lpips_vgg. about: sha256 of both files of weights."""

    score: str
    net: Lpips
    about: dict[str, str]

    def __call__(self, sr: np.ndarray, hr: np.ndarray) -> float:
        """uint8 (h, w, 3) of one size each → their distance; NaN where the backbone needs a larger image."""
        if min(hr.shape[:2]) < self.net.min_size:
            return float("nan")
        with torch.no_grad():
            return float(self.net(self._tensor(sr), self._tensor(hr))[0])

    def _tensor(self, image: np.ndarray) -> Tensor:
        weight = next(self.net.parameters())
        return torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None].to(weight.device)


def asked(config: Config) -> Perceptual | None:
    """The distance that conf's `metric` asks for, on the run's device; None where it asks for none."""
    if config.metric.lpips_weights:
        return distance(config.metric, prepare(config)[0])
    if config.metric.lpips_linear:
        raise UserError("metric.lpips_linear needs a classifier too: add metric.lpips_weights=FILE.")
    return None


def distance(metric: MetricConfig, device: torch.device) -> Perceptual:
    """LPIPS by the user's files. Raises UserError for files that are missing, damaged or of another network."""
    path = Path(str(metric.lpips_weights)).expanduser()
    if not path.is_file():
        raise UserError(f"There is no file '{path}' for metric.lpips_weights: {_where()}.")
    state = {key: value for key, value in read(path).items() if key.startswith("features.")}
    backbone = _backbone(state, path)
    linear = _linear(metric, backbone)
    net = Lpips(backbone)
    layers = {key: value for key, value in read(linear).items() if key.startswith("lin")}
    load_into(net, state | layers, f"{path} with {linear}", f"LPIPS ({backbone})")
    about = {"backbone": sha256_of(path), "linear": sha256_of(linear)}
    if not about["backbone"].startswith(PUBLISHED[backbone]):
        said = f"{path} is not torchvision's {FILES[backbone]}: LPIPS by it is not the published one."
        warnings.warn(said, stacklevel=2)
    return Perceptual(f"lpips_{backbone}", net.to(device).eval().requires_grad_(False), about)


def _backbone(state: dict[str, Tensor], path: Path) -> str:
    """Which classifier a state dict is of, by its convolutions."""
    for name in BACKBONES:
        own = {key: value.shape for key, value in Lpips(name).state_dict().items() if key.startswith("features.")}
        if {key: value.shape for key, value in state.items()} == own:
            return name
    raise UserError(f"{path} is neither AlexNet nor VGG16 for metric.lpips_weights: {_where()}.")


def _linear(metric: MetricConfig, backbone: str) -> Path:
    """The file of the linear layers: the user's, or that of the installed lpips package, which is not imported."""
    if metric.lpips_linear:
        path = Path(metric.lpips_linear).expanduser()
        if not path.is_file():
            raise UserError(f"There is no file '{path}' for metric.lpips_linear.")
        return path
    package = importlib.util.find_spec("lpips")
    folders = package.submodule_search_locations if package else None
    found = [Path(folder) / "weights" / "v0.1" / f"{backbone}.pth" for folder in folders or []]
    if not any(path.is_file() for path in found):
        raise UserError(
            "LPIPS needs its linear layers: pip install 'lamscope[lpips]', or name weights/v0.1/"
            f"{backbone}.pth of the lpips package with metric.lpips_linear=FILE."
        )
    return next(path for path in found if path.is_file())


def _where() -> str:
    return f"it is {FILES['alex']} or {FILES['vgg']}, from download.pytorch.org/models"


def score(config: Config, cell: Path, by: Perceptual) -> None:
    """Add a distance to a finished cell, where it is not there yet."""
    digest = read_provenance(cell)["digest"]
    known = read_score(cell, by.score)
    if known is not None and known[0] == {**by.about, "digest": digest} and config.on_existing == "skip":
        return
    indices = sorted({int(index) for index in read_columns(cell)["index"]})
    values = {}
    label = f"{by.score} of {config.model.name}"
    for index in track(indices, len(indices), 0, label, config.machine.progress):
        image = read_tensors(cell, index, ["sr", "hr"])
        values[index] = by(image["sr"], image["hr"])
    write_score(cell, by.score, digest, by.about, values)

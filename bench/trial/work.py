"""One network before the trial: maps first, then criterion by criterion, each stored as soon as it is known."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..config import Config, compose, instantiate
from ..durable import replacing
from ..explain import lr_tensor
from ..metrics.faithfulness import average_precision, strength
from ..types import Attribution, Sample, UserError
from ..zoo import load, prepare, weight_folders
from .controls import CONTROLS
from .criteria import CRITERIA, Scene
from .planted import planted_networks
from .settings import Trial

COLUMNS = ("model", "method", "image", "criterion", "x", "value", "status", "reason")


def measure(config: Config) -> list[Path]:
    """The files of one network's rows; what is there already is not computed again."""
    device, dtype = prepare(config)
    trial: Trial = instantiate(config.trial)
    unknown = set(trial.criteria) - set(CRITERIA) - {"planted"}
    if unknown:
        raise UserError(f"There is no criterion '{sorted(unknown)[0]}'; there are {', '.join([*CRITERIA, 'planted'])}.")
    net, origin = load(config.model, weight_folders(config.machine.weights), device, dtype)
    dataset = instantiate(config.dataset)
    samples = list(dataset.samples(config.model.scale))
    lrs = [lr_tensor(sample, device, dtype) for sample in samples]
    nodes = {name: _node(name, trial, config.seed) for name in trial.methods}
    methods: dict[str, Any] = {name: instantiate(node) for name, node in nodes.items()} | CONTROLS
    about = {k: v for k, v in asdict(trial).items() if k not in ("methods", "criteria", "overrides", "references")}
    about |= {"references": config.trial["references"], "images": dataset.manifest()["sha256"], "seed": config.seed}
    about |= {"dataset": {k: v for k, v in config.dataset.items() if k in ("downsampling", "window")}}
    about |= {"precision": config.machine.precision}
    files: list[Path] = []
    shared: dict[Any, np.ndarray] = {}
    for name, method in methods.items():
        node = nodes.get(name, name)
        network = {"net": config.model.net, "weights": origin.sha256, "source": origin.source_sha256}
        folder = _folder(config, config.model.name, name, [about, node, network])
        maps = _Maps(folder / "maps.npz", net, method, list(zip(samples, lrs, strict=True)), shared)
        for criterion in ("cost", *(c for c in trial.criteria if c != "planted")):
            files.append(folder / f"{criterion}.csv")
            if not files[-1].exists():
                begin = time.perf_counter()
                rows = maps.rows(criterion, trial)
                _store(files[-1], config.model.name, name, rows)
                print(f"{config.model.name} {name} {criterion}: {time.perf_counter() - begin:.1f} s", file=sys.stderr)
        if "planted" in trial.criteria:
            files.append(_folder(config, "planted", name, [about, node]) / "planted.csv")
            if not files[-1].exists():
                _store(files[-1], "planted", name, _planted(method, samples, lrs))
    return files


def _node(name: str, trial: Trial, seed: int) -> dict[str, Any]:
    return compose([f"attribution={name}", f"seed={seed}", *trial.overrides.get(name, [])]).attribution


def _folder(config: Config, model: str, method: str, identity: Any) -> Path:
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:10]
    name = f"{method.replace(': ', '_')}-{digest}"
    return Path(config.results) / "runs" / "methods" / model / name


def _store(path: Path, model: str, method: str, rows: list[dict[str, Any]]) -> None:
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).assign(model=model, method=method)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        frame.to_csv(part, index=False)


def _row(image: str, criterion: str, x: float, value: float) -> dict[str, Any]:
    status = "ok" if np.isfinite(value) else "nan"
    return {"image": image, "criterion": criterion, "x": x, "value": value, "status": status, "reason": ""}


def _refused(image: str, criterion: str, error: UserError) -> dict[str, Any]:
    return _row(image, criterion, np.nan, np.nan) | {"status": "not applicable", "reason": str(error)}


class _Maps:
    """A method's maps of all images of the trial, computed once and stored."""

    def __init__(
        self,
        path: Path,
        net: Any,
        method: Any,
        scenes: list[tuple[Sample, torch.Tensor]],
        shared: dict[Any, np.ndarray],
    ) -> None:
        self.path, self.net, self.method, self.scenes = path, net, method, scenes
        self.shared = shared
        self._found: list[tuple[Attribution, float]] | None = None

    def rows(self, criterion: str, trial: Trial) -> list[dict[str, Any]]:
        """One criterion on every image."""
        try:
            found = self.found()
        except UserError as error:
            return [_refused(sample.name, criterion, error) for sample, _ in self.scenes]
        rows = []
        for i, ((sample, lr), (one, seconds)) in enumerate(zip(self.scenes, found, strict=True)):
            if criterion == "cost":
                answers = iter([("seconds", np.nan, seconds), ("evaluations", np.nan, float(one.n_steps))])
            else:
                scene = Scene(
                    self.net, lr, sample.windows[0], self.method, one, i, trial, trial.references, self.shared
                )
                answers = CRITERIA[criterion](scene)
            rows += [_row(sample.name, *answer) for answer in answers]
        return rows

    def found(self) -> list[tuple[Attribution, float]]:
        if self._found is None:
            self._found = self._read() if self.path.exists() else self._compute()
        return self._found

    def _compute(self) -> list[tuple[Attribution, float]]:
        found = []
        for sample, lr in self.scenes:
            begin = time.perf_counter()
            one = self.method(self.net, lr, sample.windows[0])
            found.append((one, time.perf_counter() - begin))
        numbers = [
            [np.nan if v is None else v for v in (a.score, a.baseline_score, a.gap, a.n_steps, a.n_flat, seconds)]
            for a, seconds in found
        ]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as part, part.open("wb") as file:
            np.savez(file, maps=np.stack([a.map.double().cpu().numpy() for a, _ in found]), numbers=np.array(numbers))
        return found

    def _read(self) -> list[tuple[Attribution, float]]:
        with np.load(self.path, allow_pickle=False) as stored:
            maps, numbers = stored["maps"], stored["numbers"]
        found = []
        for values, (score, baseline, gap, n_steps, n_flat, seconds) in zip(maps, numbers, strict=True):
            ends = (None, None) if np.isnan(gap) else (float(baseline), float(gap))
            one = Attribution(torch.from_numpy(values), float(score), *ends, None, int(n_steps), int(n_flat))
            found.append((one, float(seconds)))
        return found


def _planted(method: Any, samples: list[Sample], lrs: list[torch.Tensor]) -> list[dict[str, Any]]:
    """Average precision with which a map finds the pixels that the window is known to depend on."""
    return [row for name, net in planted_networks().items() for row in _on_planted(method, samples, lrs, name, net)]


def _on_planted(
    method: Any, samples: list[Sample], lrs: list[torch.Tensor], name: str, net: Any
) -> Iterator[dict[str, Any]]:
    for sample, lr in zip(samples, lrs, strict=True):
        window = sample.windows[0]
        truth = net.truth(tuple(lr.shape[-2:]), window)
        try:
            value = average_precision(strength(method(net, lr, window).map), truth)
        except UserError as error:
            yield _refused(sample.name, f"planted {name}", error)
        else:
            yield _row(sample.name, f"planted {name}", np.nan, value)

"""One network before the trial: image by image, method by method, every answer stored as soon as it is known."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..attribution.engine import upscaling, view
from ..config import Config, compose, instantiate
from ..explain import lr_tensor
from ..metrics.faithfulness import average_precision, strength
from ..types import Attribution, NotApplicable, Sample, UserError
from ..zoo import condition_of, conditioned, load, prepare, weight_folders
from .cell import Cell
from .controls import CONTROLS
from .criteria import ANSWERS, CRITERIA, DETECTOR, Row, Scene
from .planted import planted_networks
from .settings import Trial

SCHEMA = 2  # of what the criteria measure: a number of another version is not reused


def measure(config: Config) -> list[Path]:
    """The files of one network's rows, one per image and method; what is there already is not computed again."""
    device, dtype = prepare(config)
    trial: Trial = instantiate(config.trial)
    unknown = set(trial.criteria) - set(CRITERIA) - {"planted"}
    if unknown:
        raise UserError(f"There is no criterion '{sorted(unknown)[0]}'; there are {', '.join([*CRITERIA, 'planted'])}.")
    import captum.attr  # noqa: F401 (its first import would be counted as some method's cost)

    plain, origin = load(config.model, weight_folders(config.machine.weights), device, dtype)
    dataset = instantiate(config.dataset)
    dataset.check(config.model.scale, config.model.min_size)
    dataset.check_conditions(config.model.name, config.model.scale, condition_of(plain))
    nodes = {name: _node(name, trial, config.seed) for name in trial.methods}
    methods: dict[str, Any] = {name: instantiate(node) for name, node in nodes.items()} | CONTROLS
    about = {k: v for k, v in asdict(trial).items() if k not in ("methods", "criteria", "overrides", "references")}
    about |= {"references": config.trial["references"], "seed": config.seed, "schema": SCHEMA}
    about |= {"precision": config.machine.precision}
    network = {"net": config.model.net, "weights": origin.sha256, "source": origin.source_sha256}
    files: list[Path] = []
    for sample in dataset.samples(config.model.scale):
        lr, net = lr_tensor(sample, device, dtype), conditioned(plain, sample.condition)
        shared: dict[Any, np.ndarray] = {}
        for name, method in methods.items():
            identity = [about, nodes.get(name, name), _image(sample)]
            work = _Work(net, method, sample, lr, trial, shared)
            if criteria := [c for c in trial.criteria if c != "planted"]:
                cell = _cell(config, config.model.name, name, sample, [*identity, network])
                _fill(cell, work, ["cost", *criteria])
                files.append(cell.file)
            if "planted" in trial.criteria:  # no matter which network the trial is about
                cell = _cell(config, "planted", name, sample, identity)
                _fill(cell, work, [asked for asked in ANSWERS if asked.startswith("planted ")])
                files.append(cell.file)
    return files


def _node(name: str, trial: Trial, seed: int) -> dict[str, Any]:
    return compose([f"attribution={name}", f"seed={seed}", *trial.overrides.get(name, [])]).attribution


def _image(sample: Sample) -> list[Any]:
    """Everything of a sample that decides numbers: its position too, from which random numbers are drawn."""
    given = None if sample.condition is None else hashlib.sha256(sample.condition.tobytes()).hexdigest()
    return [sample.index, hashlib.sha256(sample.lr.tobytes()).hexdigest(), asdict(sample.windows[0]), given]


def _cell(config: Config, model: str, method: str, sample: Sample, identity: Any) -> Cell:
    """In <results>/runs/methods/<model>/<method>/."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:10]
    folder = Path(config.results) / "runs" / "methods" / model / method.replace(": ", "_")
    return Cell(folder / f"{sample.index:05d}-{digest}", model, method, sample.name)


def _fill(cell: Cell, work: _Work, questions: list[str]) -> None:
    if missing := cell.missing(questions):
        begin = time.perf_counter()
        for asked in missing:
            cell.store(asked, lambda asked=asked: work.answers(asked, cell))
        print(f"{' '.join(cell.labels.values())}: {time.perf_counter() - begin:.1f} s", file=sys.stderr, flush=True)


@dataclass
class _Work:
    """One method on one image of one network. shared: what the methods have in common."""

    net: Any
    method: Any
    sample: Sample
    lr: torch.Tensor
    trial: Trial
    shared: dict[Any, np.ndarray]
    refused: NotApplicable | None = None

    def answers(self, asked: str, cell: Cell) -> Iterator[Row]:
        """Raises NotApplicable where the method, or the question, is not defined."""
        window = self.sample.windows[0]
        if asked.startswith("planted "):
            net = planted_networks()[asked.removeprefix("planted ")]
            truth = net.truth((self.lr.shape[-2], self.lr.shape[-1]), window)
            yield asked, np.nan, average_precision(strength(self.method(net, self.lr, window).map), truth)
            return
        found, seconds = self._found(cell)
        if asked == "cost":
            yield "seconds", np.nan, seconds
            yield "evaluations", np.nan, float(found.n_steps)
            return
        yield from CRITERIA[asked](
            Scene(self.net, self.lr, window, self.method, found, self.sample.index, self.trial,
                  self.trial.references, self.shared)
        )  # fmt: skip

    def _found(self, cell: Cell) -> tuple[Attribution, float]:
        """The map, computed once and stored, and the seconds that it took."""
        if self.refused is not None:
            raise self.refused
        if not cell.map_file.exists():
            try:
                cell.keep(*self._timed())
            except NotApplicable as error:
                self.refused = error
                raise
        return cell.kept()

    def _timed(self) -> tuple[Attribution, float]:
        """On a CPU, seconds of its time, whatever else the machine does."""
        window = self.sample.windows[0]
        view(self.net, self.lr, window, DETECTOR, upscaling(self.net, self.lr))  # what the network remembers of itself
        clock = time.process_time if self.lr.device.type == "cpu" else time.perf_counter
        begin = clock()
        found = self.method(self.net, self.lr, window)
        float(found.map.sum())  # a GPU has finished when it tells a number
        return found, clock() - begin

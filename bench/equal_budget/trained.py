"""Which weights stand for a network trained by the recipe with a seed: those that ship, or a run's."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import weights as weight_files
from ..config import Config, ModelConfig, instantiate
from ..runner import run_cell
from ..types import UserError
from .settings import EqualBudget


@dataclass(frozen=True)
class Trained:
    """A finished training. file: its weights; said: their header. run: the folder of the training, where it is here."""

    file: Path
    said: dict[str, str]
    run: Path | None


def settings_of(config: Config) -> EqualBudget:
    """config.trial, checked. Raises UserError for a folder of runs that is not there."""
    settings = instantiate(config.trial)
    if settings.runs is not None and not Path(settings.runs).expanduser().is_dir():
        raise UserError(f"There is no folder of training runs '{settings.runs}'.")
    return settings


def run_folder(model: ModelConfig, seed: int, settings: EqualBudget) -> Path | None:
    """Where `lamscope train` keeps this training; None when it was not even begun."""
    if settings.runs is None:
        return None
    run = Path(settings.runs).expanduser() / f"{model.name}-{settings.recipe}-seed{seed}"
    return run if run.is_dir() else None


def find(model: ModelConfig, seed: int, settings: EqualBudget) -> Trained | None:
    """The weights of this seed, those that ship first; None where there are none. The header must agree."""
    run = run_folder(model, seed, settings)
    places = []
    if model.checkpoint.shipped and model.checkpoint.file is not None:
        places.append(weight_files.shipped_folder() / model.checkpoint.file)
    if run is not None:
        places.append(run / f"{model.name}.safetensors")
    for file in places:
        said = weight_files.metadata(file) if file.is_file() else {}
        if said and (json.loads(said["recipe"])["name"], said["seed"]) == (settings.recipe, str(seed)):
            if said["updates"] != str(json.loads(said["recipe"])["updates"]):
                continue  # of a run that was stopped
            return Trained(file, said, run)
    return None


def measure(config: Config) -> list[dict[str, Any]]:
    """A row a seed: `file` is its finished cell, or None where it is not trained."""
    settings, model, rows = settings_of(config), config.model, []
    for seed in settings.seeds:
        trained = find(model, seed, settings)
        file = None if trained is None else run_cell(with_weights(config, trained, seed))
        rows.append({"model": model.name, "seed": seed, "file": file})
    return rows


def with_weights(config: Config, trained: Trained, seed: int) -> Config:
    """The configuration of one training's network."""
    return replace(config, model=replace(config.model, weights=str(trained.file)), seed=seed)

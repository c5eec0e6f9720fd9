"""What a run is made of: its patches, its settings as they are stored, and the same as BasicSR's option tree."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

from .. import environment
from .. import weights as weight_files
from ..config import Config
from ..types import UserError
from . import patches as patch_files
from .checkpoint import newest
from .patches import Patches
from .recipe import AUTOCAST, Recipe
from .team import Team

# what may change between a run and its continuation without changing its weights
_FREE = ("images", "patches", "manifest", "start", "workers", "print_every", "minutes")


def patches_file(recipe: Recipe, root: Path, scale: int) -> Path:
    """The HDF5 file to train on, built from the recipe's images where it is missing. root: results/train."""
    images = None if recipe.images is None else Path(recipe.images).expanduser()
    if recipe.patches is not None:
        file = Path(recipe.patches).expanduser()
    elif images is not None:
        file = root / "patches" / f"{images.name.split('.')[0]}_x{scale}.h5"
    else:
        raise UserError("Name the images to train on with train.images=FOLDER or train.images=FILE.tar.")
    manifest = None if recipe.manifest is None else Path(recipe.manifest).expanduser()
    return patch_files.ensure(images, file, scale, manifest)


def describe_run(config: Config, recipe: Recipe, data: Patches) -> dict[str, Any]:
    """Everything the weights depend on, and where they come from, as JSON."""
    model = asdict(config.model)
    settings = {
        "model": {key: model[key] for key in ("name", "family", "scale", "channels", "net", "wrappers")},
        "recipe": asdict(recipe),
        "seed": config.seed,
        "dataset": {key: getattr(data.description, key) for key in ("dataset", "sha256", "sources")},
        "start": _start(recipe),
        "commit": environment.commit() or "unknown",
        "torch": torch.__version__,
    }
    return json.loads(json.dumps(settings))


def _start(recipe: Recipe) -> dict[str, Any] | None:
    """What the weights began with: the file's name, its sha256 and what it says of its own origin."""
    if recipe.start is None:
        return None
    file = Path(recipe.start).expanduser()
    if not file.is_file():
        raise UserError(f"There is no weights file '{file}'.")
    return {"file": file.name, "sha256": weight_files.sha256_of(file), "origin": weight_files.metadata(file)}


def check_same_run(run: Path, settings: dict[str, Any]) -> None:
    """Raises UserError when the folder holds a run whose weights these settings would not give."""
    if not newest(run):
        return
    try:
        before = json.loads((run / "settings.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"'{run}' has checkpoints but no readable settings.json; remove the folder.") from error
    recipe = {f.name: f.default for f in fields(Recipe)} | before["recipe"]  # which may be older than a setting
    changed = [f"train.{k}" for k, v in settings["recipe"].items() if k not in _FREE and recipe[k] != v]
    changed += [key for key in ("model", "seed") if before[key] != settings[key]]
    began = [(s["start"] or {}).get("sha256") for s in (before, settings)]
    changed += ["train.start"] if began[0] != began[1] else []
    changed += ["the images"] if before["dataset"]["sha256"] != settings["dataset"]["sha256"] else []
    if changed:
        raise UserError(
            f"'{run}' holds a run with other settings ({', '.join(changed)}): "
            "give this one a name of its own with train.name=NAME, or remove the folder."
        )


def options(config: Config, recipe: Recipe, run: Path, device: torch.device, team: Team) -> dict[str, Any]:
    """BasicSR's option tree. Raises UserError for a batch that the processes cannot share evenly, and for a GPU that
    they would have to share."""
    if recipe.batch % team.size:
        raise UserError(f"train.batch={recipe.batch} cannot be shared evenly by {team.size} processes.")
    if device.type == "cuda" and device.index is not None:  # BasicSR knows the current GPU only; its launcher picks it
        if team.size > 1:
            raise UserError(f"machine.device={device} is one GPU for {team.size} processes: say machine.device=cuda.")
        torch.cuda.set_device(device)
    psnr = {"type": "calculate_psnr", "crop_border": config.model.scale, "test_y_channel": True}
    return {
        "name": run.name,
        "model_type": "LamscopeModel",
        "scale": config.model.scale,
        "num_gpu": int(device.type == "cuda"),
        "manual_seed": config.seed,
        "dist": team.size > 1,
        "rank": team.rank,
        "world_size": team.size,
        "find_unused_parameters": bool(config.model.unused_parameters),
        "is_train": True,
        "autocast": AUTOCAST[recipe.autocast],
        "channels_last": recipe.channels_last,
        "lr_factors": recipe.lr_factors,
        "network_g": {"type": "LamscopeNetwork", "model": config.model},
        "path": {
            "experiments_root": str(run),
            "models": str(run / "models"),
            "training_states": str(run / "training_states"),
            "strict_load_g": True,
        },
        "train": {
            "total_iter": recipe.updates,
            "warmup_iter": recipe.warmup,
            "ema_decay": recipe.ema,
            "optim_g": {"type": "Adam", "lr": recipe.lr, "betas": tuple(recipe.betas)},
            "scheduler": recipe.scheduler(),
            "pixel_opt": {"type": recipe.loss, "loss_weight": 1.0, "reduction": "mean"},
        },
        "val": {"metrics": {"psnr_y": psnr}},
        "logger": {
            "print_freq": recipe.print_every,
            "use_tb_logger": importlib.util.find_spec("tensorboard") is not None,
        },
    }

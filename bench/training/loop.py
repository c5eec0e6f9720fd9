"""`lamscope train`: one network, one recipe, one folder of results; killed at any moment, the same command continues."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import os
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from .. import weights as weight_files
from .. import zoo
from ..config import Config, instantiate
from ..types import UserError
from . import patches as patch_files
from . import pipeline
from .checkpoint import export, newest
from .patches import Patches
from .recipe import Recipe

CURVE = ("iteration", "loss", "lr", "psnr_y", "seconds")
# what may change between a run and its continuation without changing its weights
_FREE = ("images", "patches", "manifest", "workers", "print_every")


def train(config: Config) -> Path:
    """Train config.model by the recipe config.train; returns the run's folder, with <model>.safetensors in it.

    The folder is results/train/<model>-<recipe>-seed<k>: settings.json, curve.csv (iteration, mean L1 or other loss on
    [0, 1] since the last row, learning rate, Y-PSNR on the images kept out, seconds since the last row), BasicSR's log,
    TensorBoard events where tensorboard is installed, models/ and training_states/. A finished run returns at once.
    Raises UserError for settings that cannot be trained, and for a folder that holds a run with other settings.
    """
    recipe = instantiate(config.train) if config.train.get("_target_") else None
    if not isinstance(recipe, Recipe):
        raise UserError("There is no training recipe: choose one of conf/train with train=NAME.")
    device, _ = zoo.prepare(config)
    root = Path(config.results) / "train"
    run = root / f"{config.model.name}-{recipe.name}-seed{config.seed}"
    data = Patches(_patches_file(recipe, root, config.model.scale), recipe.n_validation, recipe.patch)
    settings = _settings(config, recipe, data)
    _check_same_run(run, settings)
    try:
        parts = pipeline.load()
    except ImportError as error:
        raise UserError(f"Training needs BasicSR. {error}") from error
    if recipe.loss not in parts.losses:
        raise UserError(f"BasicSR has no loss '{recipe.loss}'; it has {', '.join(sorted(parts.losses.keys()))}.")
    for folder in (run, run / "models", run / "training_states"):
        folder.mkdir(parents=True, exist_ok=True)
    if not (run / "settings.json").exists():
        (run / "settings.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
    _loop(parts, _options(config, recipe, run, device), recipe, run, data)
    export(run, run / f"{config.model.name}.safetensors")
    return run


def _patches_file(recipe: Recipe, root: Path, scale: int) -> Path:
    images = None if recipe.images is None else Path(recipe.images).expanduser()
    if recipe.patches is not None:
        file = Path(recipe.patches).expanduser()
    elif images is not None:
        file = root / "patches" / f"{images.name.split('.')[0]}_x{scale}.h5"
    else:
        raise UserError("Name the images to train on with train.images=FOLDER or train.images=FILE.tar.")
    manifest = None if recipe.manifest is None else Path(recipe.manifest).expanduser()
    return patch_files.ensure(images, file, scale, manifest)


def _settings(config: Config, recipe: Recipe, data: Patches) -> dict[str, Any]:
    """Everything the weights depend on, and where they come from, as JSON."""
    model = asdict(config.model)
    settings = {
        "model": {key: model[key] for key in ("name", "family", "scale", "channels", "net", "wrappers")},
        "recipe": asdict(recipe),
        "seed": config.seed,
        "dataset": {key: getattr(data.description, key) for key in ("dataset", "sha256", "sources")},
        "commit": _commit(),
        "torch": torch.__version__,
    }
    return json.loads(json.dumps(settings))


def _commit() -> str:
    """The commit of the code, with '-dirty' for changes on top; 'unknown' outside a repository."""
    command = ["git", "-C", str(Path(__file__).resolve().parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _check_same_run(run: Path, settings: dict[str, Any]) -> None:
    if not (run / "settings.json").exists():
        return
    before = json.loads((run / "settings.json").read_text(encoding="utf-8"))
    changed = [f"train.{k}" for k, v in settings["recipe"].items() if k not in _FREE and before["recipe"].get(k) != v]
    changed += [key for key in ("model", "seed") if before[key] != settings[key]]
    changed += ["the images"] if before["dataset"]["sha256"] != settings["dataset"]["sha256"] else []
    if changed:
        raise UserError(
            f"'{run}' holds a run with other settings ({', '.join(changed)}): "
            "give this one a name of its own with train.name=NAME, or remove the folder."
        )


def _options(config: Config, recipe: Recipe, run: Path, device: torch.device) -> dict[str, Any]:
    """BasicSR's option tree."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    psnr = {"type": "calculate_psnr", "crop_border": config.model.scale, "test_y_channel": True}
    return {
        "name": run.name,
        "model_type": "LamscopeModel",
        "scale": config.model.scale,
        "num_gpu": int(device.type == "cuda"),
        "manual_seed": config.seed,
        "dist": False,
        "rank": 0,
        "world_size": 1,
        "is_train": True,
        "autocast": recipe.autocast,
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


def _loop(parts: Any, opt: dict[str, Any], recipe: Recipe, run: Path, data: Patches) -> None:
    first = newest(run)
    if first == recipe.updates:
        return
    seed = opt["manual_seed"]
    torch.manual_seed(seed)
    log_file = run / f"train_{parts.utils.get_time_str()}.log"
    logger = parts.utils.get_root_logger(log_file=str(log_file))
    tensorboard = parts.utils.init_tb_logger(log_dir=str(run / "tensorboard")) if opt["logger"]["use_tb_logger"] else None
    try:
        if first:
            opt["path"]["pretrain_network_g"] = str(run / "models" / f"net_g_{first}.pth")
        model = parts.models.build_model(opt)
        if first:
            state = torch.load(run / "training_states" / f"{first}.state", map_location=model.device, weights_only=True)
            model.resume_training(state)
            logger.info(f"Continuing after update {first}.")
        elif recipe.start:
            _start_from(model, Path(recipe.start).expanduser(), opt["network_g"]["model"].name)
        curve = _Curve(run / "curve.csv", first)
        message = parts.utils.MessageLogger(opt, first + 1, tensorboard)
        timer = parts.utils.AvgTimer()
        loaders = _loaders(parts, opt, recipe, data, first)
        for iteration, batch in enumerate(loaders[0], first + 1):
            waited = time.time() - timer.tic
            model.update_learning_rate(iteration, warmup_iter=recipe.warmup)
            model.feed_data(batch)
            model.optimize_parameters(iteration)
            timer.record()
            curve.add(model.get_current_log()["l_pix"], run)
            if iteration % recipe.print_every == 0:
                times = {"time": timer.get_avg_time(), "data_time": waited}
                rates = {"epoch": 0, "iter": iteration, "lrs": model.get_current_learning_rate()}
                message({**rates, **times, **model.get_current_log()})
            if iteration % recipe.save_every == 0 or iteration == recipe.updates:
                model.validation(loaders[1], iteration, tensorboard, save_img=False)
                # the row before the checkpoint: a continued run rewrites rows after its checkpoint, but cannot invent one
                curve.row(iteration, model.get_current_learning_rate()[-1], model.metric_results["psnr_y"])
                model.save(0, iteration)
                _remove_old(run, keep=2)
                timer.start()
    finally:
        if tensorboard is not None:
            tensorboard.close()
        for handler in list(logger.handlers):  # BasicSR would write the next run of this process into this log
            logger.removeHandler(handler)
            handler.close()
        parts.logger.initialized_logger.pop("basicsr", None)


def _loaders(parts: Any, opt: dict[str, Any], recipe: Recipe, data: Patches, first: int) -> tuple[Any, Any]:
    shared = {"patches": data, "seed": opt["manual_seed"]}
    train = {
        **shared, "name": data.description.dataset, "type": "PatchDataset", "phase": "train",
        "batch_size_per_gpu": recipe.batch, "num_worker_per_gpu": recipe.workers, "pin_memory": bool(opt["num_gpu"]),
    }  # fmt: skip
    val = {**shared, "name": "kept_out", "type": "WholeImageDataset", "phase": "val"}
    sampler = pipeline.IterationSampler(first, recipe.updates, recipe.batch)
    build_dataset, build_loader = parts.data.build_dataset, parts.data.build_dataloader
    train_loader = build_loader(
        build_dataset(train), train, num_gpu=opt["num_gpu"], sampler=sampler, seed=opt["manual_seed"]
    )
    return train_loader, build_loader(build_dataset(val), val)


def _start_from(model: Any, file: Path, name: str) -> None:
    """Begin with the weights of a file, in the averaged copy too."""
    if not file.is_file():
        raise UserError(f"There is no weights file '{file}'.")
    state = weight_files.read(file)
    for net in (model.net_g, getattr(model, "net_g_ema", None)):
        if net is not None:
            weight_files.load_into(model.get_bare_model(net).core, state, str(file), name)


class _Curve:
    """curve.csv: one row a checkpoint."""

    def __init__(self, file: Path, first: int) -> None:
        """Keeps the rows up to the update that the run continues after."""
        self.file, self.losses, self.since = file, [], time.time()
        rows = []
        if file.exists():
            with file.open(newline="", encoding="utf-8") as stream:
                rows = [row for row in csv.reader(stream) if row[0].isdigit() and int(row[0]) <= first]
        partial = file.with_suffix(".partial")
        with partial.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([CURVE, *rows])
        os.replace(partial, file)

    def add(self, loss: float, run: Path) -> None:
        """Raises UserError when the loss is no number any more: what follows would be wasted time."""
        if not math.isfinite(loss):
            raise UserError(f"The training of '{run.name}' diverged; lower train.lr or train with train.autocast=false.")
        self.losses.append(loss)

    def row(self, iteration: int, lr: float, psnr_y: float) -> None:
        loss, seconds = sum(self.losses) / len(self.losses), time.time() - self.since
        with self.file.open("a", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerow([iteration, f"{loss:.6f}", f"{lr:.3e}", f"{psnr_y:.4f}", f"{seconds:.1f}"])
        self.losses, self.since = [], time.time()


def _remove_old(run: Path, keep: int) -> None:
    states = sorted((run / "training_states").glob("*.state"), key=lambda p: int(p.stem))
    for state in states[:-keep]:
        state.unlink()
        (run / "models" / f"net_g_{state.stem}.pth").unlink(missing_ok=True)

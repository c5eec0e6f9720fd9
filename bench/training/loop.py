"""`lamscope train`: one network, one recipe, one folder. Killed at any moment, the same command continues."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import weights as weight_files
from .. import zoo
from ..config import Config, instantiate
from ..durable import locked, replacing
from ..types import UserError
from . import pipeline
from .carry import carry_image
from .checkpoint import export, newest
from .curve import Curve
from .patches import Patches
from .recipe import Recipe
from .settings import check_same_run, describe_run, options, patches_file
from .team import Team, gathered


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
    try:
        parts = pipeline.load()
    except ImportError as error:
        raise UserError(f"Training needs BasicSR. {error}") from error
    if recipe.loss not in parts.losses:
        raise UserError(f"BasicSR has no loss '{recipe.loss}'; it has {', '.join(sorted(parts.losses.keys()))}.")
    root = Path(config.results) / "train"
    run = root / f"{config.model.name}-{recipe.name}-seed{config.seed}"
    with gathered(device, parts.dist) as team:
        with team.leader_first():
            data = Patches(patches_file(recipe, root, config.model.scale), recipe.n_validation, recipe.patch)
        settings = describe_run(config, recipe, data)
        check_same_run(run, settings)
        opt = options(config, recipe, run, device, team)
        with locked_by(team, run):
            if team.leads and not newest(run):  # what a run without a checkpoint was to be does not bind this one
                with replacing(run / "settings.json") as partial:
                    partial.write_text(json.dumps(settings, indent=1), encoding="utf-8")
            reached = _loop(parts, opt, recipe, run, data, team)
            if team.leads and reached == recipe.updates:
                export(run, run / f"{config.model.name}.safetensors")
            elif team.leads:
                print(f"{run.name}: {reached} of {recipe.updates} updates; the same command continues.", flush=True)
    return run


@contextmanager
def locked_by(team: Team, run: Path) -> Iterator[None]:
    """The run's folders, made and held by the process that leads. It alone writes there."""
    if not team.leads:
        yield
        return
    for name in ("models", "training_states"):
        (run / name).mkdir(parents=True, exist_ok=True)
    with locked(run, run / "lock"):
        yield


def _loop(parts: Any, opt: dict[str, Any], recipe: Recipe, run: Path, data: Patches, team: Team) -> int:
    """Train to the last update, or as far as recipe.minutes reach; returns the update of the last checkpoint."""
    team.wait()  # until the folder is the leader's
    first = newest(run)
    team.wait()  # until all have read how far it is
    if first == recipe.updates:
        return first
    began = time.monotonic()
    torch.manual_seed(opt["manual_seed"])
    logger = parts.utils.get_root_logger(log_file=str(run / f"train_{parts.utils.get_time_str()}.log"))
    events = str(run / "tensorboard")
    tensorboard = parts.utils.init_tb_logger(log_dir=events) if opt["logger"]["use_tb_logger"] else None
    try:
        model = _model(parts, opt, recipe, run, first, logger)
        curve = Curve(run / "curve.csv", first) if team.leads else None
        message = parts.utils.MessageLogger(opt, first + 1, tensorboard)
        timer = parts.utils.AvgTimer()
        loaders = _loaders(parts, opt, recipe, data, first, team)
        for iteration, batch in enumerate(loaders[0], first + 1):
            waited = time.time() - timer.tic
            _seed(opt["manual_seed"], iteration, team.rank)
            model.update_learning_rate(iteration, warmup_iter=recipe.warmup)
            model.feed_data(batch)
            model.optimize_parameters(iteration)
            timer.record()
            rate = model.get_current_learning_rate()
            if curve is not None:
                curve.add(iteration, rate[-1], model.get_current_log()["l_pix"])
                if iteration % recipe.print_every == 0:
                    times = {"time": timer.get_avg_time(), "data_time": waited}
                    message({"epoch": 0, "iter": iteration, "lrs": rate, **times, **model.get_current_log()})
            late = recipe.minutes is not None and time.monotonic() - began >= 60 * recipe.minutes
            paused = team.agreed(late, model.device) if recipe.minutes is not None else False
            row = iteration % recipe.save_every == 0 or iteration == recipe.updates
            if curve is not None and (row or paused):
                if row:
                    model.validation(loaders[1], iteration, tensorboard, save_img=False)
                    # the row first: a continued run rewrites the rows after its checkpoint, but cannot invent one
                    curve.row(iteration, rate[-1], model.metric_results["psnr_y"])
                else:
                    curve.pause(iteration)
                model.save(0, iteration)
                _remove_old(run, keep=2)
                timer.start()
            if paused:
                return iteration
        return recipe.updates
    finally:
        if tensorboard is not None:
            tensorboard.close()
        for handler in list(logger.handlers):  # BasicSR would write the next run of this process into this log
            logger.removeHandler(handler)
            handler.close()
        parts.logger.initialized_logger.pop("basicsr", None)


def _seed(seed: int, iteration: int, rank: int) -> None:
    """What a network draws while it trains (SwinIR's stochastic depth) is a function of seed and update, as patches
    are, so that a continued run draws what the dead one would have."""
    torch.manual_seed(int(np.random.SeedSequence((seed, iteration, rank)).generate_state(1)[0]))


def _model(parts: Any, opt: dict[str, Any], recipe: Recipe, run: Path, first: int, logger: Any) -> Any:
    """BasicSR's model as it was after update `first`, or at its beginning."""
    if not first:
        model = parts.models.build_model(opt)
        _begin(model, recipe, opt["network_g"]["model"].name)
        return model
    opt["path"]["pretrain_network_g"] = str(run / "models" / f"net_g_{first}.pth")
    model = parts.models.build_model(opt)
    state = torch.load(run / "training_states" / f"{first}.state", map_location=model.device, weights_only=True)
    model.resume_training(state)
    logger.info(f"Continuing after update {first}.")
    return model


def _loaders(parts: Any, opt: dict[str, Any], recipe: Recipe, data: Patches, first: int, team: Team) -> tuple[Any, Any]:
    shared = {"patches": data, "seed": opt["manual_seed"]}
    train = {
        **shared, "name": data.description.dataset, "type": "PatchDataset", "phase": "train",
        "batch_size_per_gpu": recipe.batch // team.size, "num_worker_per_gpu": recipe.workers,
        "pin_memory": bool(opt["num_gpu"]),
    }  # fmt: skip
    val = {**shared, "name": "kept_out", "type": "WholeImageDataset", "phase": "val"}
    sampler = pipeline.IterationSampler(first, recipe.updates, recipe.batch, team)
    build_dataset, build_loader = parts.data.build_dataset, parts.data.build_dataloader
    train_loader = build_loader(
        build_dataset(train),
        train,
        num_gpu=opt["num_gpu"],
        sampler=sampler,
        seed=opt["manual_seed"],
        dist=opt["dist"],
    )
    return train_loader, build_loader(build_dataset(val), val)


def _begin(model: Any, recipe: Recipe, name: str) -> None:
    """Give the network, and its averaged copy, the weights that the recipe starts from."""
    for net in (model.net_g, getattr(model, "net_g_ema", None)):
        if net is not None:
            core = model.get_bare_model(net).core
            if recipe.start is not None:
                file = Path(recipe.start).expanduser()
                weight_files.load_into(core, weight_files.read(file), str(file), name)
            if recipe.carry_image:
                carry_image(core)
    if hasattr(model, "net_g_ema"):
        model.model_ema(0)


def _remove_old(run: Path, keep: int) -> None:
    states = sorted((run / "training_states").glob("*.state"), key=lambda p: int(p.stem))
    for state in states[:-keep]:
        state.unlink()
        (run / "models" / f"net_g_{state.stem}.pth").unlink(missing_ok=True)

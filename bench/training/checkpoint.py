"""From a training run to one .safetensors file that says where its weights come from."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import torch
from safetensors.torch import save

from .. import weights as weight_files
from .. import zoo
from ..config import ModelConfig
from ..durable import replacing
from ..types import UserError
from ..version import __version__
from .curve import read_curve

# settings of a recipe that say where and how long, not what; and `start`, which has an entry of its own
NOT_OF_THE_WEIGHTS = ("images", "patches", "manifest", "start", "minutes")


def newest(run: Path) -> int:
    """The last update that the run can be continued from, or its last of all, which needs no state; 0 for none."""
    models = {int(p.stem.removeprefix("net_g_")) for p in (run / "models").glob("net_g_*.pth") if p.stem[6:].isdigit()}
    states = {int(p.stem) for p in (run / "training_states").glob("*.state") if p.stem.isdigit()}
    return max((n for n in models if n in states or n == last_update(run)), default=0)


def last_update(run: Path) -> int | None:
    """The update that ends the run, by its settings; None where it has none that can be read."""
    try:
        return int(json.loads((run / "settings.json").read_text(encoding="utf-8"))["recipe"]["updates"])
    except (OSError, ValueError, KeyError):
        return None


def export(run: Path, out: Path, half: bool = False) -> Path:
    """The newest checkpoint's official network (`net.core`; averaged weights where there are some) as .safetensors.

    half: store float16. The file's header holds strings: model, net, recipe (JSON), updates, batch, patch, seed,
    dataset, dataset_sha256, sources (JSON), commit, torch, lamscope, validation_psnr_y (dB, on the images kept out of
    training), seconds (by the clock, all of the training), date (of the checkpoint: the same run gives the same bytes).
    Returns `out`. Raises UserError for a folder without a checkpoint.
    """
    update = newest(run)
    if not update or not (run / "settings.json").is_file():
        raise UserError(f"'{run}' holds no training run with a checkpoint.")
    settings = json.loads((run / "settings.json").read_text(encoding="utf-8"))
    net = zoo.build(ModelConfig(**settings["model"]))
    checkpoint = run / "models" / f"net_g_{update}.pth"
    net.load_state_dict(weight_files.read(checkpoint))
    dtype = torch.float16 if half else torch.float32
    core: torch.nn.Module = net.core  # pyright: ignore[reportAssignmentType]
    state = {name: tensor.detach().to(dtype).contiguous() for name, tensor in core.state_dict().items()}
    recipe, dataset, rows = settings["recipe"], settings["dataset"], read_curve(run / "curve.csv")
    metadata = {
        "model": settings["model"]["name"],
        "net": json.dumps({key: settings["model"][key] for key in ("net", "wrappers", "scale")}),
        "recipe": json.dumps({k: v for k, v in recipe.items() if k not in NOT_OF_THE_WEIGHTS}),
        "updates": str(update),
        "batch": str(recipe["batch"]),
        "patch": str(recipe["patch"]),
        "seed": str(settings["seed"]),
        "dataset": dataset["dataset"],
        "dataset_sha256": dataset["sha256"],
        "sources": dataset["sources"],
        "commit": settings["commit"],
        "torch": settings["torch"],
        "lamscope": __version__,
        "validation_psnr_y": _psnr(rows, update),
        "seconds": f"{sum(float(row['seconds']) for row in rows):.0f}",
        "date": datetime.fromtimestamp(checkpoint.stat().st_mtime, UTC).strftime("%Y-%m-%d"),
    }
    start = settings["start"]
    if start is not None:  # of the weights it began with, only what differs
        start = {**start, "origin": {k: v for k, v in start["origin"].items() if metadata.get(k) != v}}
    metadata["start"] = json.dumps(start)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as partial:
        partial.write_bytes(save(state, metadata))  # safetensors' own save_file makes it readable by its owner only
    return out


def _psnr(rows: list[dict[str, str]], update: int) -> str:
    return next((row["psnr_y"] for row in rows if int(row["iteration"]) == update), "unknown")

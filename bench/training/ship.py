"""`lamscope weights ship RUN…`: finished trainings become weights that come with the package, in its YAML too."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

from .. import weights as weight_files
from ..config import compose, options, read_model
from ..durable import replacing
from ..types import UserError
from .checkpoint import export, newest

LIMIT = 20_000_000  # bytes of all weights that come with the package
LICENCE = "MIT"
CREDITS = "CREDITS.md"


def ship(runs: list[Path]) -> list[Path]:
    """Each run's last weights as float16 in models/weights, its sha256 in conf/model, the credits beside them.

    The network must be one of conf/model as it stands there, and the run at its recipe's end. What is shipped already
    under that name is replaced. Returns the files. Raises UserError, with nothing changed, for a run that is not
    finished or of another network, and when all weights together would exceed `LIMIT`.
    """
    folder = weight_files.shipped_folder()
    with TemporaryDirectory() as made_in:
        made: dict[str, Path] = {}
        for run in runs:
            name = _checked(run)
            if name in made:
                raise UserError(f"Two of these runs are of '{name}': one seed of a network ships.")
            made[name] = export(run, Path(made_in) / f"{name}.safetensors", half=True)
            weight_files.read(made[name])  # refuses what float16 could not hold
        others = [file for file in folder.glob("*.safetensors") if file.stem not in made]
        total = sum(file.stat().st_size for file in [*others, *made.values()])
        if total > LIMIT:
            raise UserError(f"With these, the weights would be {total / 1e6:.1f} MB; {LIMIT / 1e6:.0f} MB may ship.")
        shipped = []
        for name, file in made.items():
            place = folder / file.name
            with replacing(place) as partial:
                partial.write_bytes(file.read_bytes())
            _write_yaml(name, place)
            shipped.append(place)
    with replacing(folder / CREDITS) as partial:
        partial.write_text(credits(sorted(folder.glob("*.safetensors"))), encoding="utf-8")
    return shipped


def _checked(run: Path) -> str:
    """The name of the network that a run has trained to its end."""
    file = run / "settings.json"
    if not file.is_file():
        raise UserError(f"'{run}' is no training run: it has no settings.json.")
    settings = json.loads(file.read_text(encoding="utf-8"))
    name, updates = settings["model"]["name"], settings["recipe"]["updates"]
    if newest(run) != updates:
        raise UserError(f"'{run}' is at update {newest(run)} of {updates}: the same training command continues it.")
    if name not in options("model"):
        raise UserError(f"'{run}' trained '{name}', which is no network of conf/model: its weights cannot ship.")
    if compose([f"model={name}"]).model.net != settings["model"]["net"]:
        raise UserError(f"'{run}' trained '{name}' with other hyper-parameters than conf/model/{name}.yaml has now.")
    return name


def conf_file(name: str) -> Path:
    """The file that says what a network is."""
    return Path(str(resources.files("lamscope.conf"))) / "model" / f"{name}.yaml"


def _write_yaml(name: str, weights: Path) -> None:
    """The checkpoint's part of conf/model/<name>.yaml, in place of the one it had."""
    file = conf_file(name)
    said, known = weight_files.metadata(weights), read_model(name).checkpoint
    if known.file is not None and not known.shipped:
        raise UserError(f"conf/model/{name}.yaml names its authors' weights; a network of another name can ship ours.")
    kept, inside = [], False
    for line in file.read_text(encoding="utf-8").splitlines():
        inside = line.startswith("checkpoint:") or (inside and line.startswith((" ", "#")))
        kept += [] if inside else [line]
    recipe = json.loads(said["recipe"])["name"]
    kept += [
        f"checkpoint:  # train={recipe}, seed {said['seed']}; written by `lamscope weights ship`",
        f"  file: {weights.name}",
        "  shipped: true",
        f"  sha256: {weight_files.sha256_of(weights)}",
        f"  licence: {LICENCE}",
        f"  training_set: {said['dataset']}",
    ]
    with replacing(file) as partial:
        partial.write_text("\n".join(kept) + "\n", encoding="utf-8")


def credits(files: list[Path]) -> str:
    """Markdown: what the weights were trained on, from their own headers, one table a training set."""
    sets: dict[tuple[str, str, str], list[str]] = {}
    for file in files:
        said = weight_files.metadata(file)
        key = (said.get("dataset", "unknown"), said.get("dataset_sha256", ""), said.get("sources", "[]"))
        sets.setdefault(key, []).append(file.name)
    lines = [
        "# Credits",
        "",
        "The weights here are ours (MIT). The photographs that they were trained on are not here;",
    ]
    lines += ["they are by the contributors of these collections, on these terms.", ""]
    for (dataset, sha256, sources), names in sets.items():
        lines += [f"## {dataset}", "", f"sha256 of its pixels: `{sha256}`. Trained on it: {', '.join(names)}.", ""]
        lines += ["| source | terms | crops |", "| :-- | :-- | --: |"]
        lines += [f"| {s['source']} | {s['terms']} | {s['images']} |" for s in json.loads(sources)]
        lines.append("")
    return "\n".join(lines)

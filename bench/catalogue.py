"""The collection as a table: what is known of every network, counted, and measured on this device.

Facts come from conf/model/. Counts (multiply-adds, activations, the paper's receptive field) take a second or less a
network, measurements (`gauge`) minutes to hours: both are kept in <results>/zoo/<model>-<digest>.json, the digest over
the network, versions and device, so that nothing is done twice and a stopped measurement goes on.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from .config import Config, ModelConfig, compose, options, read_model
from .durable import replacing, reporting
from .gauge import KINDS, LR, gauge
from .report.terminal import terminal
from .report.zoo import SETS, print_table
from .types import UserError
from .weights import find, metadata, shipped_folder
from .zoo import build, prepare, source_hash, weight_folders

COUNTS = ("multiply_adds", "activations", "receptive_field")
MEASURED = [column for columns in KINDS.values() for column in columns]


def models(chosen: str | None = None, own: str | None = None) -> list[ModelConfig]:
    """'edsr,mine' → these, checked; None → all of conf/model. own: a user's folder, whose networks come after those."""
    theirs = _own_models(Path(own).expanduser()) if own else {}
    names = [*options("model"), *theirs] if chosen is None else [name for name in chosen.split(",") if name]
    return [theirs[name] if name in theirs else read_model(name) for name in names]


def _own_models(folder: Path) -> dict[str, ModelConfig]:
    """The networks of a user's --config-dir, by the name of their YAML; one named as a network of conf/model is that
    one, as it is for `run`. Raises UserError for a missing folder and for a YAML that the schema refuses."""
    if not folder.is_dir():
        raise UserError(f"There is no folder '{folder}' for --config-dir.")
    names = sorted({file.stem for file in folder.glob("model/*.yaml")} - set(options("model")))
    return {name: compose([f"model={name}"], folder).model for name in names}


def facts(chosen: list[ModelConfig], folders: list[str | Path]) -> pd.DataFrame:
    """One row per network: what its YAML says, and whether its weights are here. None where it is unknown."""
    return pd.DataFrame([_facts(model, folders) for model in chosen]).astype({"year": "Int64"})


def catalogue(
    config: Config, chosen: list[ModelConfig], measure: bool = False, redo: str | None = None
) -> pd.DataFrame:
    """`facts` with counts and with what was measured on this device; measure: whatever is missing of that, now.

    redo: forget one kind of measurement (of `gauge.KINDS`) first. What fails, or needs a package that is not
    here, is told on standard error and stays unknown; the others go on.
    """
    if redo is not None and redo not in KINDS:
        raise UserError(f"What can be done again is one of {', '.join(KINDS)}, not '{redo}'.")
    import torch

    from .environment import describe

    device, _ = prepare(config)
    about = describe(device, config.machine.precision)
    here = {key: about[key] for key in ("lamscope", "device", "threads", "precision")} | {"torch": torch.__version__}
    rows = []
    for model in chosen:
        found = _Found(Path(config.results) / "zoo", model, here)
        if redo:
            found.forget(KINDS[redo])
        try:
            _complete(found, config, measure)
        except UserError as error:
            print(f"lamscope: {error}", file=sys.stderr, flush=True)
        parameters = found.values.get("parameters", model.n_parameters)
        rows.append({"parameters": parameters, **{key: found.values.get(key) for key in (*COUNTS, *MEASURED)}})
    frame = facts(chosen, weight_folders(config.machine.weights)).assign(**pd.DataFrame(rows, dtype=object))
    frame["lr"] = f"{LR[0]}×{LR[1]}"
    return frame.assign(device=here["device"], threads=here["threads"], precision=here["precision"])


def print_weights(config: Config) -> None:
    """Which weights are here and where they come from; below, the provenance that shipped files carry."""
    folders = weight_folders(config.machine.weights)
    print_table(
        facts(models(), folders), ["network", "file", "here", "trained on", "licence"], ["licence", "trained on"]
    )
    console = terminal()
    for model in models():
        with suppress(UserError):
            path = find(replace(model, weights="auto"), folders)
            for i, (key, value) in enumerate(sorted(metadata(path).items() if path else [])):
                if i == 0:
                    console.print(f"\n[bold]{model.name}[/bold]")
                console.print(f"  {key}: {_short(value)}", soft_wrap=True, highlight=False, markup=False)


def _short(value: str, limit: int = 400) -> str:
    """A metadata string on one line; JSON without its braces' clutter, long credits cut."""
    with suppress(ValueError):
        value = json.dumps(json.loads(value), ensure_ascii=False)
    return value if len(value) <= limit else f"{value[:limit]}… ({len(value)} characters)"


def _facts(model: ModelConfig, folders: list[str | Path]) -> dict[str, Any]:
    checkpoint = model.checkpoint
    scores = {s: model.published.get(s) or (None, None) for s in SETS}
    return {
        "name": model.name,
        "title": model.title,
        "authors": model.authors,
        "venue": model.venue,
        "year": model.year,
        "family": model.family,
        "scale": model.scale,
        "channels": model.channels,
        "parameters": model.n_parameters,
        "paper": model.paper,
        "code": model.code,
        "weights_here": _here(model, folders),
        "weights_file": checkpoint.file,
        "weights_url": checkpoint.url,
        "weights_page": checkpoint.page,
        "sha256": checkpoint.sha256,
        "licence": checkpoint.licence,
        "training_set": checkpoint.training_set,
        **{f"{s}_{what}": scores[s][i] for s in SETS for i, what in enumerate(("psnr_y", "ssim_y"))},
    }


def _here(model: ModelConfig, folders: list[str | Path]) -> str:
    """shipped | yes | no | wrong sha256: of the file that weights=auto stands for, or that a YAML of the user's names;
    random where that is null."""
    try:
        path = find(model, folders)
    except UserError as error:
        return "wrong sha256" if "sha256" in str(error) else "no"
    if path is None:
        return "random"
    return "shipped" if model.checkpoint.shipped and path.parent == shipped_folder() else "yes"


def _count(model: ModelConfig) -> dict[str, Any]:
    """COUNTS, and the parameters of a network of the user's, whose YAML need not know them."""
    import torch

    from .checkpoints import first_line
    from .metrics.cost import cost, n_parameters

    try:
        with torch.device("meta"):
            net = build(model)
        found = asdict(cost(net, LR))
    except UserError:
        raise
    except Exception as error:  # a network of the user's, which may do anything where there are no data
        raise UserError(f"'{model.name}' cannot be counted without data: {first_line(error)}") from error
    return found if model.name in options("model") else found | {"parameters": n_parameters(net)}


def _complete(found: _Found, config: Config, measure: bool) -> None:
    """Count, and measure one kind after the other, what is missing, and keep it at once."""
    if not found.values.keys() >= set(COUNTS):
        found.add(_count(found.model))
    for kind, columns in KINDS.items():
        if not measure or columns[0] in found.values:
            continue
        begin = time.perf_counter()
        found.add(gauge(kind, found.model, config.machine, found.values))
        values = ", ".join(f"{c} {found.values[c]}" for c in columns)
        line = f"{found.model.name}: {values} ({time.perf_counter() - begin:.0f} s)"
        print(line, file=sys.stderr, flush=True)


class _Found:
    """What was counted and measured of one network, and its file."""

    def __init__(self, folder: Path, model: ModelConfig, here: dict[str, Any]) -> None:
        self.model = model
        identity = {"net": model.net, "wrappers": model.wrappers, "scale": model.scale, "lr": LR, **here}
        with suppress(Exception):  # of a module that cannot be imported; building the network tells it
            identity |= {"source": source} if (source := source_hash(model)) else {}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        self.file = folder / f"{model.name}-{digest[:10]}.json"
        self.identity = identity
        self.values: dict[str, Any] = {}
        if self.file.exists():
            self.values = json.loads(self.file.read_text("utf-8"))["found"]

    def forget(self, columns: Iterable[str]) -> None:
        self.values = {key: value for key, value in self.values.items() if key not in columns}

    def add(self, values: dict[str, Any]) -> None:
        self.values |= values
        with reporting(self.file):
            self.file.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"identity": self.identity, "found": self.values}, indent=1, ensure_ascii=False)
        with replacing(self.file) as part:
            part.write_text(content + "\n", encoding="utf-8")

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

from .config import Config, ModelConfig, options, read_model
from .durable import replacing, reporting
from .gauge import KINDS, LR, gauge
from .report.terminal import terminal
from .report.zoo import SETS, print_table
from .types import UserError
from .weights import find, metadata
from .zoo import build, prepare, weight_folders

COUNTS = ("multiply_adds", "activations", "receptive_field")
MEASURED = [column for columns in KINDS.values() for column in columns]


def names(chosen: str | None) -> list[str]:
    """'edsr,rcan' → these, checked; None → all of conf/model."""
    return options("model") if chosen is None else [read_model(name).name for name in chosen.split(",") if name]


def facts(chosen: list[str], folders: list[str | Path]) -> pd.DataFrame:
    """One row per network: what its YAML says, and whether its weights are here. None where it is unknown."""
    return pd.DataFrame([_facts(read_model(name), folders) for name in chosen])


def catalogue(config: Config, chosen: list[str], measure: bool = False, redo: str | None = None) -> pd.DataFrame:
    """`facts` with counts and with what was measured on this device; measure: whatever is missing of that, now.

    redo: forget one kind of measurement (passes, lam or support) first. A measurement that fails is told on
    standard error and stays unknown; the others go on.
    """
    if redo is not None and redo not in KINDS:
        raise UserError(f"What can be done again is one of {', '.join(KINDS)}, not '{redo}'.")
    import torch

    from .environment import describe

    device, _ = prepare(config)
    about = describe(device, config.machine.precision)
    here = {key: about[key] for key in ("lamscope", "device", "threads", "precision")} | {"torch": torch.__version__}
    rows = []
    for name in chosen:
        model = read_model(name)
        found = _Found(Path(config.results) / "zoo", model, here)
        if redo:
            found.forget(KINDS[redo])
        if not found.values.keys() >= set(COUNTS):
            found.add(_count(model))
        if measure:
            _measure(found, config)
        measured = {key: found.values.get(key) for key in MEASURED}
        rows.append({"name": name, **{key: found.values[key] for key in COUNTS}, **measured})
    frame = facts(chosen, weight_folders(config.machine.weights)).merge(pd.DataFrame(rows, dtype=object), on="name")
    frame["lr"] = f"{LR[0]}×{LR[1]}"
    return frame.assign(device=here["device"], threads=here["threads"], precision=here["precision"])


def print_weights(config: Config) -> None:
    """Which weights are here and where they come from; below, the provenance that shipped files carry."""
    folders = weight_folders(config.machine.weights)
    print_table(facts(names(None), folders), ["network", "file", "here", "trained on", "licence"])
    console = terminal()
    for name in names(None):
        with suppress(UserError):
            path = find(replace(read_model(name), weights="auto"), folders)
            for i, (key, value) in enumerate(sorted(metadata(path).items() if path else [])):
                if i == 0:
                    console.print(f"\n[bold]{name}[/bold]")
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
    """shipped | yes | no | wrong sha256: of the file that weights=auto stands for."""
    try:
        find(replace(model, weights="auto"), folders)
    except UserError as error:
        return "wrong sha256" if "sha256" in str(error) else "no"
    return "shipped" if model.checkpoint.shipped else "yes"


def _count(model: ModelConfig) -> dict[str, Any]:
    import torch

    from .metrics.cost import cost

    with torch.device("meta"):
        net = build(model)
    return asdict(cost(net, LR))


def _measure(found: _Found, config: Config) -> None:
    """Measure what is missing, one kind after the other, and keep it at once."""
    for kind, columns in KINDS.items():
        if columns[0] in found.values:
            continue
        begin = time.perf_counter()
        try:
            found.add(gauge(kind, found.model, config.machine, found.values))
        except UserError as error:
            print(f"lamscope: {error}", file=sys.stderr, flush=True)
            return
        values = ", ".join(f"{c} {found.values[c]}" for c in columns)
        line = f"{found.model.name}: {values} ({time.perf_counter() - begin:.0f} s)"
        print(line, file=sys.stderr, flush=True)


class _Found:
    """What was counted and measured of one network, and its file."""

    def __init__(self, folder: Path, model: ModelConfig, here: dict[str, Any]) -> None:
        self.model = model
        identity = {"net": model.net, "wrappers": model.wrappers, "scale": model.scale, "lr": LR, **here}
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

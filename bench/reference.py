"""Stored reference results: the records of several networks and the protocol they were made under, in one small file.

Line 1: `# ` and the protocol as JSON. Below it: a CSV with the columns KEPT, one row per network × image × window.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from .cellfile import COLUMNS
from .durable import replacing
from .store import read_provenance
from .table import ONE_OF, PLACE, common, missing_shards, read_records
from .types import UserError

SUFFIX = "_lam.csv"
FACTS = ["model", "family", "n_parameters", "channels", "dataset", "attribution", "detector", "seed"]
WHERE = [*PLACE, "window_size", "lr_h", "lr_w", "lr_digest", "scale"]
KEPT = [*FACTS, *WHERE, "di", "psnr_y", "psnr_rgb", "ssim_y", "status", "digest"]


@dataclass(frozen=True)
class Reference:
    """records: finished rows with the columns KEPT. protocol: attribution, dataset (downsampling, window) and
    precision, as configurations have them. file: where they were read."""

    records: pd.DataFrame
    protocol: dict[str, Any]
    file: Path

    @property
    def models(self) -> list[str]:
        return sorted(self.records["model"].unique())


def shipped(name: str = "shipped") -> Path:
    """Reference results that come with the package, or with the checkout it is run from: <name>_lam.csv."""
    names = []
    for package in ("lamscope.stored", "lamscope"):
        try:
            folder = Path(str(resources.files(package)))
        except ModuleNotFoundError:
            continue
        folder = folder if package != "lamscope" else folder / ".." / "results" / "reference"
        if (found := folder / f"{name}{SUFFIX}").is_file():
            return found.resolve()
        names += [file.name.removesuffix(SUFFIX) for file in sorted(folder.glob(f"*{SUFFIX}"))]
    known = f"lamscope brings {', '.join(dict.fromkeys(names))}" if names else "lamscope's own are not installed"
    raise UserError(f"There is no reference '{name}': {known}; a file of yours is named with reference=FILE.csv.")


def protocol(attribution: dict[str, Any], dataset: dict[str, Any], precision: str) -> dict[str, Any]:
    """What two runs must share, images apart: those are compared by name, LR digest and window."""
    return {
        "attribution": attribution,
        "dataset": {key: dataset.get(key) for key in ("downsampling", "window")},
        "precision": precision,
    }


def store(runs: list[Path], file: Path) -> Reference:
    """Write the records of finished cells as a reference. Raises UserError where they are not of one protocol."""
    records = read_records(runs)
    shared, notes = common(records)
    if notes := [*notes, *missing_shards([frame for _, frame in records.groupby("file")])]:
        raise UserError(f"A reference needs whole runs: {notes[0]}")
    shared = shared.sort_values(["model", *PLACE], kind="stable")
    identities = {path: read_provenance(path)["identity"] for path in sorted(shared["file"].unique())}
    protocols = {p: protocol(i["attribution"], i["dataset"], i["precision"]) for p, i in identities.items()}
    (first, agreed), *others = protocols.items()
    for path, other in others:
        if difference := differs(other, agreed):
            name, here, there = difference
            raise UserError(f"{path} and {first} differ in {name}: {here} and {there}.")
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as part:
        header = "# " + json.dumps(agreed, sort_keys=True)
        part.write_text(f"{header}\n{shared[KEPT].to_csv(index=False, lineterminator=chr(10))}", encoding="utf-8")
    return read(file)


def read(file: Path) -> Reference:
    """Raises UserError for a missing file and for one that `store` did not write."""
    if not file.is_file():
        raise UserError(f"There is no reference {file}.")
    try:
        with file.open(encoding="utf-8") as lines:
            agreed = json.loads(next(lines).removeprefix("# "))
            kinds = {name: COLUMNS[name][0] for name in KEPT}
            records = pd.read_csv(lines, dtype=kinds, keep_default_na=False, na_values={"di": [""], "psnr_y": [""]})
        if list(records) != KEPT or records.empty or set(agreed) != {"attribution", "dataset", "precision"}:
            raise ValueError
    except (ValueError, StopIteration, AttributeError, TypeError) as error:
        raise UserError(f"{file} is no reference; `lamscope compare store RUNS reference=FILE` makes one.") from error
    return Reference(records, agreed, file)


def differs(one: Any, other: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """The first setting that two protocols do not share: its dotted name and both values."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return None if one == other else (name, one, other)
    for key in sorted(one.keys() | other.keys()):
        inner = f"{name}.{key}" if name else key
        if found := differs(one.get(key), other.get(key), inner):
            return found
    return None


def require_protocol(reference: Reference, here: dict[str, Any]) -> None:
    """Refuse a run whose settings are not the reference's; raises UserError."""
    if difference := differs(here, reference.protocol):
        name, ours, theirs = difference
        raise UserError(
            f"{name} is {_shown(ours)} in this run and {_shown(theirs)} in {reference.file.name}; "
            "results of different protocols are not comparable."
        )


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)


def require_same_images(reference: Reference, fresh: pd.DataFrame) -> None:
    """Refuse records of other images, LR images, windows or detectors than the reference's; raises UserError."""
    theirs = reference.records[reference.records["model"] == reference.models[0]]
    file = reference.file.name
    for column, what in ONE_OF.items():
        ours = set(fresh[column])
        if ours != (those := set(theirs[column])):
            raise UserError(f"This run and {file} have different {what}: {_list(ours)} here, {_list(those)} there.")
    if missing := set(theirs["image"]) - set(fresh["image"]):
        raise UserError(f"This run lacks {len(missing)} images of {file}: {_list(missing)}.")
    if extra := set(fresh["image"]) - set(theirs["image"]):
        raise UserError(f"This run has {len(extra)} images that are not in {file}: {_list(extra)}.")
    digests = theirs.groupby("image")["lr_digest"].first()
    mine = fresh.groupby("image")["lr_digest"].first()
    if len(other := digests.index[digests != mine.loc[digests.index]]):
        raise UserError(f"The LR image of {other[0]} is not that of {file}: another image file or downsampling.")
    places = [set(frame[PLACE].itertuples(index=False, name=None)) for frame in (fresh, theirs)]
    if places[0] != places[1]:
        _, image, y, x = sorted(places[0] ^ places[1])[0]
        raise UserError(f"Windows are not those of {file}: only one of the two has {image} at row {y}, column {x}.")


def _list(values: set[Any]) -> str:
    shown = [str(value) for value in sorted(values)]
    return ", ".join(shown[:3]) + (", …" if len(shown) > 3 else "")

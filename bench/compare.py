"""Where does a new network land? One run under the protocol of stored results, and its place among them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from .comparison import against
from .config import Config, instantiate, refuse_lpips
from .figures import newcomer as figure
from .figures import style
from .printable import as_file_name
from .reference import Reference, protocol, read, require_protocol, require_same_images, shipped, store
from .report.newcomer import markdown, print_place
from .report.tables import csv_text, write_text
from .report.terminal import terminal
from .shards import beside
from .table import ranking, read_records
from .types import UserError


def reference_of(named: str | None) -> Reference:
    """The stored results to compare with: a file, one of those that ship by its name, or the first of those."""
    if named and (Path(named).suffix or Path(named).exists()):
        return read(Path(named).expanduser())
    return read(shipped(named or "shipped"))


def make_reference(runs: list[str], file: str | None) -> int:
    """`lamscope compare store RUNS… reference=FILE`; returns the exit code."""
    if not runs or not file:
        raise UserError("Name runs and a file: lamscope compare store results/runs/shipped/lam reference=FILE.")
    made = store([Path(run) for run in runs], Path(file))
    images = made.records["image"].nunique()
    terminal().print(f"{len(made.models)} networks on {images} images in {file}", markup=False, soft_wrap=True)
    return 0


def measure(config: Config, reference: Reference) -> tuple[Path, str]:
    """Run one network as the reference was run; its cell and name. What cannot be compared is refused beforehand."""
    refuse_lpips(config, "lamscope compare")
    require_protocol(reference, protocol(config.attribution, config.dataset, config.machine.precision))
    name = config.model.name
    if name in reference.models:
        raise UserError(
            f"{reference.file.name} holds a {name} already: call this one otherwise, as in model.name=mine."
        )
    if (scale := config.model.scale) not in (scales := set(reference.records["scale"])):
        raise UserError(f"{name} is ×{scale}, the networks of {reference.file.name} are ×{min(scales)}.")
    first = reference.records.iloc[0]
    if first["detector"] == "rgb" and (config.model.channels == "y") != (first["channels"] == "y"):
        raise UserError(
            f"{name} computes {config.model.channels}, the networks of {reference.file.name} {first['channels']}: "
            "an RGB detector would see the bicubic colour of those on luminance only."
        )
    dataset, images = instantiate(config.dataset), reference.records["image"].nunique()
    if dataset.name != (theirs := reference.records["dataset"].iloc[0]):
        raise UserError(f"The test set is {dataset.name} in this run and {theirs} in {reference.file.name}.")
    if len(dataset) != images:
        raise UserError(f"This test set has {len(dataset)} images, {reference.file.name} has {images}; all are needed.")
    from .runner import run_cell

    return run_cell(config), name


def conclude(config: Config, runs: list[tuple[Path, str]], reference: Reference) -> None:
    """Each newcomer's place: printed, and as tables and a figure in <results>/compare/<model>/<reference>."""
    for name, file in {name: file for file, name in runs}.items():  # of the shards of a network one names all
        records = together(reference, read_records(beside([file])))
        table, differences = ranking(records), against(records, name)
        title = f"{name} among {len(reference.models)} networks of {reference.file.name}"
        folder = Path(config.results) / "compare" / as_file_name(name) / reference.file.stem
        print_place(table, differences, name, title)
        write_text(folder / "ranking.csv", csv_text(table))
        write_text(folder / "differences.csv", csv_text(differences))
        write_text(folder / "compare.md", markdown(table, differences, name, title))
        style.save(style.page(figure.draw(records, newcomer=name)), folder / "ranking")
        terminal().print(f"tables and a figure (PNG and PDF) in {folder}", markup=False, soft_wrap=True)


def together(reference: Reference, fresh: pd.DataFrame) -> pd.DataFrame:
    """The reference's records and those of one new network, which must be whole; raises UserError otherwise."""
    if not (fresh["status"] == "ok").all():
        bad = fresh[fresh["status"] != "ok"].iloc[0]
        raise UserError(f"{bad['model']} has no finite result on {bad['image'] or 'this test set'}: nothing to rank.")
    require_same_images(reference, fresh)
    return pd.concat([reference.records, fresh[reference.records.columns]], ignore_index=True)

"""lamscope data: which test sets are on this machine, what is wrong with them, and where to get the rest."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from .arguments import take_step
from .config import compose, options, suggest
from .data import images_of
from .standard import Known, complaint, find_folder, folder_list, hr_files
from .types import UserError

HELP = """\
lamscope data [list] [machine.data=FOLDER]      which published test sets are here, and where to get the rest
lamscope data verify NAME [FOLDER]              hold one copy against what is known of the set
lamscope data select FOLDER… [out=hard150.h5]   cut the hardest crops of these images, without overlap, into one file
    [count=150] [size=256] [scale=4] [grid=16] [per_image=N] [seed=0] [by=bicubic | by=imdn,carn_m machine.weights=…]
    and a manifest beside it. by: hard for bicubic, or for these networks on average. Folders take turns, and so do the
    images of each; per_image: instead the hardest, at most so many of one image. seed: moves each image's grid; 0: not.
lamscope data rebuild MANIFEST FOLDER… [out=F]  the same file again from its manifest and the images, verified
"""


def main(arguments: list[str]) -> int:
    """The verb; returns the exit code: 2 when a copy is not what it should be."""
    steps = {"list": show, "verify": verify, "select": _select, "rebuild": _rebuild}
    return take_step("data", steps, HELP, arguments)


def _select(arguments: list[str]) -> int:
    from .hardset import select

    return select(arguments)


def _rebuild(arguments: list[str]) -> int:
    from .hardset import rebuild

    return rebuild(arguments)


def known_sets() -> dict[str, Known]:
    """The published sets of conf/dataset by name, in the order of their names. Imports no torch and no Hydra."""
    return {name: known for name in options("dataset") if (known := read_known(name)) is not None}


def look_for(roots: list[Path]) -> Iterator[tuple[str, Known, Path | None, str | None]]:
    """(name, what is known, its folder below `roots` or None, what is wrong with that or None) of every known set."""
    for name, known in known_sets().items():
        folder = find_folder(known.folders, roots)
        yield name, known, folder, None if folder is None else complaint(known, hr_files(images_of(folder)))


def read_known(name: str) -> Known | None:
    """What conf/dataset/<name>.yaml knows of a published set; None for a set of the user's own."""
    import yaml

    file = resources.files("lamscope.conf") / "dataset" / f"{name}.yaml"
    if not file.is_file():
        raise UserError(f"Unknown data set '{name}'.{suggest(name, options('dataset'))} See conf/dataset/.")
    node: dict[str, Any] = yaml.safe_load(file.read_text("utf-8")).get("known") or {}
    return Known(**{key: value for key, value in node.items() if key != "_target_"}) if node else None


def show(arguments: list[str]) -> int:
    """One row per published set; below, where to get what is not here."""
    roots = folder_list(compose(arguments).machine.data)
    table = Table("data set", "images", "state", "folder", box=SIMPLE)
    table.columns[3].overflow = "fold"
    missing: list[Known] = []
    for name, known, folder, wrong in look_for(roots):
        if folder is None:
            missing.append(known)
        state = "not here" if folder is None else wrong.partition(": ")[2] if wrong else "complete"
        table.add_row(name, str(known.count), state, str(folder or "–"))
    table.add_row("shipped", "12", "complete", "inside scikit-image")
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(table)
    if not roots:
        print("No folder of data sets is named: add machine.data=FOLDER (the folder in which Set5, Urban100, … lie).")
    for known in missing:
        print(f"{known.title}: {known.page} ({known.terms})")
    print(
        "Your own: dataset=folder, dataset=pairs (HR and LR) or dataset=hdf5, with dataset.path. Nothing is downloaded."
    )
    return 0


def verify(arguments: list[str]) -> int:
    """Hold a copy against what is known, and say what was checked."""
    names = [a for a in arguments if "=" not in a]
    if not 1 <= len(names) <= 2:
        raise UserError(
            "Name one data set, and its folder if it is not in machine.data: lamscope data verify set5 FOLDER."
        )
    known = read_known(names[0])
    if known is None:
        raise UserError(f"'{names[0]}' is a data set of your own: nothing is known of it that could be verified.")
    roots = folder_list(compose([a for a in arguments if "=" in a]).machine.data)
    folder = Path(names[1]).expanduser() if len(names) == 2 else find_folder(known.folders, roots)
    if folder is None:
        raise UserError(f"{known.title} is not here: name its folder, or machine.data=FOLDER. It is at {known.page}.")
    files = hr_files(images_of(folder))
    wrong = complaint(known, files)
    if wrong:
        raise UserError(f"{wrong}. It lies in {folder}.")
    checked = ("names" if known.names else "number") + (" and sizes" if known.any_size or known.sizes else "")
    unchecked = f"; not known and not checked: {known.unchecked}" if known.unchecked else ""
    print(f"{known.title} in {folder}: {len(files)} of {known.count} images, {checked} as published{unchecked}.")
    return 0

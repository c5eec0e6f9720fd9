"""The cells of a run held against each other: what is missing, left over, twice, or not made alike."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .cellfile import NO_IMAGES
from .durable import is_held
from .examine import Cell, Finding, examine_file, varied
from .shards import missing, whole_name
from .store import cells, read_columns, status
from .types import UserError

ALIKE = ("images", "dataset")  # of an identity: without these two, two cells are not of one test set
SETTINGS = ("attribution", "precision", "seed")  # what a sweep may vary, and a ranking wants to be told
VERSIONS = ("lamscope", "commit", "python", "packages", "device", "device_type", "precision")
CONTINUE = "the same command continues it"


@dataclass(frozen=True)
class Census:
    """findings: the worst first. cells, images, bytes: of finished files."""

    findings: list[Finding]
    cells: int
    images: int
    bytes: int


def census(source: Path) -> Census:
    """Examine one .h5 file, or every cell below a folder. Raises UserError when there is nothing of that name."""
    if not source.exists():
        raise UserError(f"There are no results in {source}: no such file or folder.")
    paths = cells(source) if source.is_dir() else [source]
    findings, sound = [], []
    for path in paths:
        if not path.exists():
            findings += _unfinished(path)
            continue
        cell, found = examine_file(path)
        findings += found
        sound += [cell] if cell is not None and cell.provenance else []
    if source.is_dir():
        findings += _leftovers(source)
    folders: dict[Path, list[Cell]] = defaultdict(list)
    for cell in sound:
        folders[cell.path.parent].append(cell)
    for folder, members in folders.items():
        findings += _shards(members) if source.is_dir() else []
        findings += _mixtures(folder, members)
    findings.sort(key=lambda finding: not finding.wrong)
    size = sum(path.stat().st_size for path in paths if path.exists())
    return Census(findings, sum(map(Path.exists, paths)), sum(len(cell.indices) for cell in sound), size)


def _unfinished(path: Path) -> list[Finding]:
    try:
        rows = read_columns(path, partial=True)
    except UserError as error:
        return [Finding(str(path), str(error).removesuffix("."), "remove that file and run its command again")]
    n = len(set(rows["index"][~np.isin(rows["status"], NO_IMAGES)])) if "index" in rows else 0
    if status(path) == "failed":
        why, message = next((s, m) for s, m in zip(rows["status"], rows["message"], strict=True) if s in NO_IMAGES)
        if why != "failed":
            return [Finding(str(path), f"{why}: {message}", "rankings leave it out", wrong=False)]
        return [Finding(str(path), f"it failed: {message}", f"{n} images are kept; {CONTINUE} once that is mended")]
    if is_held(path.with_suffix(".lock")):
        return [Finding(str(path), f"a job is computing it, {n} images are stored", "wait", wrong=False)]
    return [Finding(str(path), f"it is not finished, {n} images are stored", CONTINUE)]


def _leftovers(folder: Path) -> list[Finding]:
    """Files that a killed job could not remove. The next run of its command does."""
    found = []
    for root, folders, files in os.walk(folder):
        here = Path(root)
        for name in files:
            lock = here / name if name.endswith(".lock") else _lock_of(here, name)
            if name.endswith((".tmp", ".lock")) and not is_held(lock):
                found.append(
                    Finding(
                        str(here / name), "a killed job left it", f"harmless; {CONTINUE} and removes it", wrong=False
                    )
                )
        found += [
            Finding(
                str(here / name), "its cell is finished without it", "harmless; its command removes it", wrong=False
            )
            for name in folders
            if name.endswith(".parts") and (here / name).with_suffix(".h5").exists()
        ]
    return found


def _lock_of(folder: Path, name: str) -> Path:
    """The lock under which a temporary file is written: of its cell, which may be the folder's own name."""
    if folder.suffix == ".parts":
        return folder.with_suffix(".lock")
    return folder / re.sub(r"(\.h5|\.failed\.json)\.tmp$", ".lock", name)


def _shards(members: list[Cell]) -> list[Finding]:
    found = []
    groups: dict[str, list[Cell]] = defaultdict(list)
    for cell in members:
        groups[whole_name(cell.path)].append(cell)
    for name, parts in groups.items():
        place = str(parts[0].path.parent / name)
        if len({part.shard.n for part in parts}) > 1:
            what = f"its images are stored more than once: {', '.join(sorted(part.path.name for part in parts))}"
            found.append(Finding(place, what, "keep one division and remove the others"))
        elif lacking := ",".join(missing(part.shard.name for part in parts)):
            found.append(Finding(place, f"shards {lacking} are missing", f"run its command with -m shard={lacking}"))
    return found


def _mixtures(folder: Path, members: list[Cell]) -> list[Finding]:
    """Whether cells that lie beside each other were made alike."""
    found = []
    identities = [cell.first.get("identity") or {} for cell in members]
    for key in ALIKE:
        if len(kinds := _kinds(identities, key)) > 1:
            odd = min(kinds.values(), key=len)
            names = ", ".join(sorted(members[i].path.name for i in odd)[:3])
            what = "images" if key == "images" else "settings of the test set"
            found.append(
                Finding(
                    str(folder),
                    f"{len(kinds)} different {what} ({names} are the fewest)",
                    "such results are not comparable: move one kind into a folder of its own",
                )
            )
    settings = [{key: one.get(key) for key in SETTINGS} for one in identities]
    if names := sorted(varied(settings)):
        found.append(
            Finding(
                str(folder),
                f"its cells differ in {', '.join(names[:4])}",
                "meant as a sweep, that is fine; otherwise rank them apart",
                wrong=False,
            )
        )
    made = [
        {key: one.get(key) for key in VERSIONS}
        for cell in members
        for one in [row.get("environment") or {} for row in cell.provenance]
    ]
    if names := sorted(varied(made)):
        found.append(
            Finding(
                str(folder),
                f"computed in several environments: they differ in {', '.join(names[:6])}",
                "`lamscope rerun FILE` says whether and how far its numbers depend on that",
                wrong=False,
            )
        )
    return found


def _kinds(identities: Iterable[dict[str, Any]], key: str) -> dict[str, list[int]]:
    kinds: dict[str, list[int]] = defaultdict(list)
    for i, identity in enumerate(identities):
        kinds[json.dumps(identity.get(key), sort_keys=True)].append(i)
    return kinds

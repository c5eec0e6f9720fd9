"""The field's published test sets: what is known of each, where its folder may lie, and what is wrong with a copy.

Copies of these sets go about that are half as large, cut to multiples of 12, or incomplete; a score on one looks like
a score. So a folder is held against what is known, from file names and headers alone, and complaints are precise.
What could not be established of a set (a size, say) is not in its YAML, and not checked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .data import FolderDataset
from .images import image_size, list_images
from .types import UserError

INNER = ("", "hr", "original", "gtmod12", "image_srf_4", "image_srf_2")  # where distributions keep the HR images
SHOWN = 5  # names in one complaint


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a published set.

    count: images. names: their names without suffix, or a pattern like 'img_{:03d}' counted from `first`; empty when
    not established. sizes: name → [width, height]. at_least: name → [width, height] that a crop of the image proves.
    any_size: [[width, height], …] that every image has one of. folders: names of its folder, any case. page: where
    it is published. terms: for what it may be used. bicubic: scale → [PSNR-Y, SSIM-Y] of MATLAB's bicubic as papers
    print it. bicubic_note: why ours may differ. unchecked: what is not known, for the message.
    """

    title: str
    count: int
    folders: Sequence[str]
    page: str
    terms: str
    names: Sequence[str] | str = ()
    first: int = 1
    sizes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    at_least: Mapping[str, Sequence[int]] = field(default_factory=dict)
    any_size: Sequence[Sequence[int]] = ()
    bicubic: Mapping[str, Sequence[float]] = field(default_factory=dict)
    bicubic_note: str | None = None
    unchecked: str | None = None

    def expected(self) -> list[str]:
        """The names in order, count of them; empty when not established."""
        if isinstance(self.names, str):
            return [self.names.format(i) for i in range(self.first, self.first + self.count)]
        return [str(name) for name in self.names]


@dataclass(frozen=True, kw_only=True)
class StandardSet(FolderDataset):
    """A published set in a folder of the user's. path: that folder; otherwise looked for below `roots`.

    strict: refuse a copy that is not what is known. Nothing is ever downloaded.
    """

    known: Known
    roots: Any = None
    strict: bool = True

    def __post_init__(self) -> None:
        if not self.path:
            object.__setattr__(self, "path", find_folder(self.known.folders, folder_list(self.roots)))
        if not self.path:
            raise UserError(
                f"{self.known.title} is not here: get it from {self.known.page} ({self.known.terms}) and name its "
                "folder with dataset.path=FOLDER, or the folder that it lies in with machine.data=FOLDER."
            )
        super().__post_init__()

    def _files(self) -> list[Path]:
        files = hr_files(super()._files())
        wrong = complaint(self.known, files) if self.strict else None
        if wrong:
            raise UserError(f"{wrong}. It lies in {self.folder}; dataset.strict=false uses it all the same.")
        return files


def folder_list(setting: Any) -> list[Path]:
    """machine.data as a list of folders."""
    if not setting:
        return []
    folders = [setting] if isinstance(setting, str | Path) else list(setting)
    return [Path(str(folder)).expanduser() for folder in folders]


def find_folder(names: Sequence[str], roots: Sequence[Path], depth: int = 2) -> Path | None:
    """The first folder at most `depth` below a root that has one of these names and, in it or inside it, images."""
    wanted = {name.casefold() for name in names}
    for root in roots:
        if not root.is_dir():
            raise UserError(f"The folder '{root}' of machine.data does not exist.")
        for folder in _folders(root, depth):
            if folder.name.casefold() in wanted:
                inside = next(filter(None, (_inner(folder, name) for name in INNER)), None)
                if inside is not None:
                    return inside
    return None


def _folders(root: Path, depth: int) -> Iterator[Path]:
    """The folders below root, the nearest first, in the order of their names."""
    level = [root]
    for _ in range(depth):
        level = [
            Path(entry.path)
            for folder in level
            for entry in sorted(os.scandir(folder), key=lambda entry: entry.name)
            if entry.is_dir() and not entry.name.startswith(".")
        ]
        yield from level


def _inner(folder: Path, name: str) -> Path | None:
    places = [folder] if not name else [p for p in sorted(folder.iterdir()) if p.name.casefold() == name and p.is_dir()]
    return next((place for place in places if list_images(place)), None)


def hr_files(files: list[Path]) -> list[Path]:
    """Without the LR images that some distributions keep beside the HR ones (…_SRF_4_HR.png, …_SRF_4_LR.png)."""
    marked = [file for file in files if file.stem.casefold().endswith("_hr")]
    return marked if any(file.stem.casefold().endswith("_lr") for file in files) else files


def canonical(name: str) -> str:
    """A name without what distributions add to it: img_1_SRF_4_HR, IMG_001 and img_001_GT are one image."""
    name = re.sub(r"(_srf_\d)?_(hr|gt)$|_000$", "", name.casefold().replace("'", ""))
    return re.sub(r"\d+", lambda digits: str(int(digits.group())), name)


def complaint(known: Known, files: Sequence[Path]) -> str | None:
    """What distinguishes these image files from the published set, in one sentence without its full stop; or None."""
    wanted = {canonical(name): name for name in known.expected()}
    found = {canonical(file.stem): file for file in files}
    parts = []
    lacking = [name for key, name in wanted.items() if key not in found]
    if len(files) != known.count or lacking:
        parts.append(f"{len(files) if not wanted else len(wanted) - len(lacking)} of {known.count} images")
    if lacking and files:
        suffix = max((file.suffix for file in files), key=[file.suffix for file in files].count)
        parts[-1] += f", missing {_some([name + suffix for name in lacking])}"
    if wanted and (strange := [file.name for key, file in found.items() if key not in wanted]):
        lr = all(canonical(re.sub(r"x[234]$", "", Path(name).stem)) in wanted for name in strange)
        parts.append(f"{_some(strange)} {'does' if len(strange) == 1 else 'do'} not belong to it")
        parts[-1] += " (LR images: name the folder of the HR ones)" if lr else ""
    parts += _wrong_sizes(known, {wanted[key]: file for key, file in found.items() if key in wanted})
    return f"{known.title}: {'; '.join(parts)}" if parts else None


def _wrong_sizes(known: Known, files: Mapping[str, Path]) -> list[str]:
    """One part for each kind of wrong size: its first images, and how many more there are."""
    kinds: dict[str, list[str]] = {}
    sizes = {name: image_size(file) for name, file in files.items()}
    small = {name: size for name, size in sizes.items() if not _enough(known, name, *size)}
    halved = "the half-size copy" if all(_enough(known, n, 2 * h + 1, 2 * w + 1) for n, (h, w) in small.items()) else ""
    for name, file in files.items():
        height, width = sizes[name]
        kind, expected = _judge(known, name, width, height) if name not in small else (halved, _bound(known, name))
        if kind is not None:
            kinds.setdefault(kind, []).append(f"{file.name} is {width}×{height}, expected {expected}")
    parts = []
    for kind, images in kinds.items():
        more = f" (and {len(images) - 1} more)" if len(images) > 1 else ""
        parts.append(f"{images[0]}{more}{f': this is {kind}' if kind else ''}")
    return parts


def _enough(known: Known, name: str, height: int, width: int) -> bool:
    w, h = known.at_least.get(name, (0, 0))
    return width >= w and height >= h


def _bound(known: Known, name: str) -> str:
    w, h = known.at_least[name]
    return f"at least {w}×{h}"


def _judge(known: Known, name: str, width: int, height: int) -> tuple[str | None, str]:
    """What kind of copy has this size ('' when none that we know, None when it is right), and what was expected."""
    if name in known.sizes:
        full = [tuple(known.sizes[name])]
    elif known.any_size:
        full = [tuple(size) for size in known.any_size]
    else:
        return None, ""
    if (width, height) in full:
        return None, ""
    kind = next((found for w, h in full if (found := _shrunk(width, height, int(w), int(h)))), "")
    return kind, " or ".join(f"{w}×{h}" for w, h in full)


def _shrunk(width: int, height: int, w: int, h: int) -> str:
    for factor, word in {2: "the half-size copy", 3: "the copy shrunk to a third", 4: "the quarter-size copy"}.items():
        if abs(width - w / factor) < 1 and abs(height - h / factor) < 1:
            return word
    for multiple in (12, 8, 6, 4, 3, 2):
        if (width, height) == (w - w % multiple, h - h % multiple):
            return f"the copy cut to multiples of {multiple}"
    return "turned by 90°" if (width, height) == (h, w) else ""


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more

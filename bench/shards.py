"""A cell in n pieces: each computes every n-th image into a file of its own, beside the others.

`shard=k/n`, k from 1 to n, takes the images at positions k − 1, k − 1 + n, … of the test set, so that pieces are alike
in size where images of one kind lie together. Readers see a folder's files together, so nothing has to be copied; which
pieces are missing is told by the number in their names and records.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .store import cells, exists, remove, status
from .types import UserError

PIECE = re.compile(r"\.\d+of\d+$")


@dataclass(frozen=True)
class Shard:
    """Piece k of n; 1 of 1 is the whole."""

    k: int
    n: int

    @property
    def name(self) -> str:
        """k/n, or '' for the whole."""
        return f"{self.k}/{self.n}" if self.n > 1 else ""

    def indices(self, total: int) -> range:
        """The images that are its own, of so many."""
        return range(self.k - 1, total, self.n)

    def path(self, whole: Path) -> Path:
        """net-0123456789.h5 → net-0123456789.2of4.h5"""
        return whole.with_name(f"{whole.stem}.{self.k}of{self.n}{whole.suffix}") if self.n > 1 else whole


def parse(setting: Any, total: int | None = None) -> Shard:
    """'k/n' or None. Raises UserError for anything else, and when there are more pieces than images."""
    if setting in (None, ""):
        return Shard(1, 1)
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", str(setting).replace(" ", ""))
    if not found or int(found[1]) > int(found[2]):
        raise UserError(f"shard is k/n with k from 1 to n, as in shard=1/4, not '{setting}'.")
    shard = Shard(int(found[1]), int(found[2]))
    if total is not None and shard.n > total:
        raise UserError(f"shard={setting} makes {shard.n} pieces of {total} images: some would be empty.")
    return shard


def whole_name(path: Path) -> str:
    """What the pieces of one cell share: the name without its number and suffix."""
    return PIECE.sub("", path.stem)


def missing(shards: Iterable[str]) -> list[str]:
    """'1/4', '4/4' → '2/4', '3/4'. Of the whole ('') nothing is missing."""
    here = {parse(one) for one in shards}
    return [
        Shard(k, n).name for n in sorted({one.n for one in here}) for k in range(1, n + 1) if Shard(k, n) not in here
    ]


def beside(files: Iterable[Path]) -> list[Path]:
    """These files, and the finished shards of the same cells that lie beside them."""
    found: dict[Path, None] = {}
    for file in files:
        here = (
            [file] if not PIECE.search(file.stem) else sorted(file.parent.glob(f"{glob.escape(whole_name(file))}.*.h5"))
        )
        found |= dict.fromkeys(here)
    return list(found)


def place(whole: Path, shard: Shard, redo: bool) -> tuple[Path, Shard]:
    """The file to compute, and its piece: the whole where that is finished already, since it holds every image.

    redo: forget what lies there, and every other division of this cell. Raises UserError when images would be stored
    twice.
    """
    path = shard.path(whole)
    pieces = [other for other in cells(whole.parent) if other != whole and whole_name(other) == whole.stem]
    others = [other for other in [whole, *pieces] if other != path and not other.name.endswith(f"of{shard.n}.h5")]
    if redo:
        for other in (path, *others):
            remove(other)
        return path, shard
    if shard.n > 1 and status(whole) == "complete":
        return whole, Shard(1, 1)
    if begun := [other for other in others if exists(other)]:
        divided = begun[0] != whole
        how = f"in pieces ({begun[0].name}, …): say shard=k/n as then" if divided else "in one piece: leave out shard"
        raise UserError(f"{whole} was begun {how}, or compute it again with on_existing=redo.")
    return path, shard

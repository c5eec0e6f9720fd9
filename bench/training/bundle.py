"""The state of many trainings in one file to carry, for machines that are lent in slices."""

from __future__ import annotations

import re
import tarfile
from collections import defaultdict
from pathlib import Path
from typing import IO

from ..durable import locked, replacing
from ..types import UserError
from .checkpoint import last_update, newest

LIMIT = 64 * 2**20  # bytes: what a machine lent in slices may hand back
MAX_FILE = 2**28  # of a file inside: a larger one is no checkpoint of a lite network
# the state last: while it is missing, what lies beside it is no checkpoint yet
PARTS = (
    r"settings\.json",
    r"curve\.csv",
    r"pending\.json",
    r"tensorboard/events\.[\w.-]+",
    r"models/net_g_\d+\.pth",
    r"training_states/\d+\.state",
)
MEMBER = re.compile(rf"([\w+=,\[\]-][\w.+=,\[\]-]*)/({'|'.join(PARTS)})")


def pack(root: Path, file: Path, limit: int = LIMIT) -> list[str]:
    """Every run below root (results/train) that has a checkpoint, as a tar; returns a line a run.

    Of a finished run its weights, of another also the state that it continues from, both newest only; settings, curve
    and TensorBoard events of each. Raises UserError when a job is writing one of them, when there is none, and when the
    file would exceed `limit` bytes; then it is not written.
    """
    runs = sorted(path for path in root.glob("*") if newest(path))
    if not runs:
        raise UserError(f"There are no trainings with a checkpoint in '{root}'.")
    said = []
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as partial:
        with tarfile.open(partial, "w:gz", compresslevel=6) as tar:
            for run in runs:
                with locked(run, run / "lock"):
                    update = newest(run)
                    for path in _files(run, update):
                        tar.add(path, f"{run.name}/{path.relative_to(run).as_posix()}", recursive=False)
                said.append(f"{run.name}: update {update}")
        size = partial.stat().st_size
        if size > limit:
            raise UserError(
                f"These {len(runs)} trainings take {size / 2**20:.0f} MiB, more than {limit / 2**20:.0f}: let some "
                "finish first, since a finished one takes a third, or pack a folder with fewer."
            )
    return said


def _files(run: Path, update: int) -> list[Path]:
    wanted = [run / "settings.json", run / "curve.csv", run / "pending.json", *sorted(run.glob("tensorboard/events.*"))]
    wanted += [run / "models" / f"net_g_{update}.pth"]
    wanted += [run / "training_states" / f"{update}.state"] if update != last_update(run) else []
    return [path for path in wanted if path.is_file()]


def unpack(file: Path, root: Path) -> list[str]:
    """Put every run of the file where it is not further already; returns a line a run.

    Nothing in the file is executed: members other than a training's files, links and paths that leave the folder are
    refused before anything is written. Raises UserError for such a file and for one that is damaged.
    """
    try:
        with tarfile.open(file, "r:*") as tar:
            runs: dict[str, list[tuple[int, int, tarfile.TarInfo]]] = defaultdict(list)
            for member in tar.getmembers():
                run, part, kind = _allowed(file, member)
                update = int("0" + "".join(re.findall(r"\d+", part))) if kind >= 4 else 0
                runs[run].append((kind, update, member))
            return [_place(tar, root / run, sorted(parts, key=lambda p: p[:2])) for run, parts in sorted(runs.items())]
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"'{file}' is not a readable file of trainings: {str(error).splitlines()[0]}.") from error


def _allowed(file: Path, member: tarfile.TarInfo) -> tuple[str, str, int]:
    """(run, path inside it, which of PARTS)."""
    match = MEMBER.fullmatch(member.name)
    if match is None or not member.isfile() or member.size > MAX_FILE:
        raise UserError(f"'{file}' is refused: '{member.name}' is no file of a training.")
    kind = next(i for i, part in enumerate(PARTS) if re.fullmatch(part, match[2]))
    return match[1], match[2], kind


def _place(tar: tarfile.TarFile, run: Path, parts: list[tuple[int, int, tarfile.TarInfo]]) -> str:
    packed, here = max(update for _, update, _ in parts), newest(run)
    if here >= packed:
        return f"{run.name}: is here at update {here} already, {packed} in the file"
    run.mkdir(parents=True, exist_ok=True)
    with locked(run, run / "lock"):
        for _, _, member in parts:
            place = run.parent / member.name
            place.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            with replacing(place) as partial:
                partial.write_bytes(_read(content))
    return f"{run.name}: update {packed}"


def _read(content: IO[bytes] | None) -> bytes:
    return b"" if content is None else content.read()

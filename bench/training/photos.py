"""Training images, one at a time, from a folder or a tar that nobody vouched for. Nothing is extracted to disk."""

from __future__ import annotations

import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from ..images import SUFFIXES, read_rgb
from ..types import UserError

LABELS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
MAX_LABEL = 2**16  # bytes of such a header
MAX_PACKED = 100  # times its size that an archive may unpack to: photographs are packed already
MAX_FILE = 2**28  # bytes: a larger "image" in a tar is a mistake or an attack
MAX_MEMBERS = 1_000_000
MAX_TOTAL_PIXELS = 2**36  # of all images: twenty-five times DIV2K


@dataclass(frozen=True)
class Photo:
    """One training image. name: its path inside the folder or tar. pixels: uint8 (h, w, 3) RGB."""

    name: str
    pixels: np.ndarray


def photos(source: Path) -> Iterator[Photo]:
    """Every image of a folder (with sub-folders, by name) or of a tar (in its order).

    Raises UserError for a missing source, one without images, a file that `read_rgb` refuses, and a tar with links,
    paths that leave it, or sizes that no photograph has.
    """
    if not source.exists():
        raise UserError(f"There are no training images at '{source}'.")
    n, total = 0, 0
    for photo in _photos_of_tar(source) if source.is_file() else _photos_of_folder(source):
        n, total = n + 1, total + photo.pixels.shape[0] * photo.pixels.shape[1]
        if total > MAX_TOTAL_PIXELS:
            raise UserError(f"'{source}' holds more than {MAX_TOTAL_PIXELS:.1e} pixels; that is no set of photographs.")
        yield photo
    if n == 0:
        raise UserError(f"'{source}' holds no images ({', '.join(SUFFIXES)}).")


def _photos_of_folder(folder: Path) -> Iterator[Photo]:
    for path in sorted(p for p in folder.rglob("*") if _is_image(p.name) and p.is_file()):
        yield Photo(path.relative_to(folder).as_posix(), read_rgb(path))


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


class _Member(io.BytesIO):
    """The bytes of a tar's member, in the place of the file that `read_rgb` reads and names."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.description = name

    def __str__(self) -> str:
        return self.description

    def is_file(self) -> bool:
        return True

    def open(self, _: str) -> io.BytesIO:
        return io.BytesIO(self.getvalue())


def _photos_of_tar(file: Path) -> Iterator[Photo]:
    try:
        # a stream: members are read where they lie, never all at once
        with tarfile.open(file, "r|*", tarinfo=_Header) as tar:
            total, most = 0, MAX_FILE + MAX_PACKED * file.stat().st_size
            for n, member in enumerate(tar):
                tar.members.clear()  # type: ignore[attr-defined] (else all headers are kept)
                total += member.size
                if n >= MAX_MEMBERS:
                    raise UserError(f"'{file}' has more than {MAX_MEMBERS} members; that is no set of photographs.")
                if total > most:
                    raise UserError(f"'{file}' is refused: it unpacks to more than {MAX_PACKED} times its size.")
                _refuse_unsafe(member, file)
                stream = tar.extractfile(member) if _is_image(member.name) else None
                if stream is not None:
                    content = stream.read(MAX_FILE)
                    if len(content) != member.size:
                        raise UserError(f"'{file}' ends in the middle of '{member.name}'.")
                    pixels = read_rgb(_Member(content, f"{file}:{member.name}"))  # pyright: ignore[reportArgumentType]
                    yield Photo(member.name, pixels)
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError, ValueError, OverflowError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(f"'{file}' is not a readable tar of images: {reason}.") from error


class _Header(tarfile.TarInfo):
    """A header looked at before tarfile acts on it: some are followed by a name or labels of any length."""

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> tarfile.TarInfo:
        header = super().frombuf(buf, encoding, errors)
        if header.type not in (*tarfile.SUPPORTED_TYPES, *LABELS) or header.size < 0:
            raise tarfile.ReadError(f"it has a member of an unknown kind, {header.type!r}")
        if header.type in LABELS and header.size > MAX_LABEL:
            raise tarfile.ReadError(f"a name or label in it claims {header.size} bytes")
        return header


def _refuse_unsafe(member: tarfile.TarInfo, file: Path) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"'{file}' is refused: its member '{member.name}' points outside the archive.")
    if not (member.isfile() or member.isdir()):
        raise UserError(f"'{file}' is refused: its member '{member.name}' is a link or a device, not an image.")
    if member.size > MAX_FILE or member.sparse is not None:
        raise UserError(f"'{file}' is refused: its member '{member.name}' claims {member.size} bytes.")

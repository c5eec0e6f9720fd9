"""Images for training, one at a time, from a folder or a tar that nobody has vouched for. Nothing is extracted to disk."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from ..types import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
MAX_FILE = 2**28  # bytes: a larger "image" in a tar is a mistake or an attack
MAX_FILES = 1_000_000
MAX_PIXELS = 2**27  # of one image, looked up in its header before it is decoded
MAX_TOTAL_PIXELS = 2**36  # of all images: twenty-five times DIV2K


@dataclass(frozen=True)
class Photo:
    """One training image. name: its path inside the folder or tar. pixels: uint8 (h, w, 3) RGB."""

    name: str
    pixels: np.ndarray


def photos(source: Path) -> Iterator[Photo]:
    """Every image of a folder (with sub-folders, by name) or of a tar (in its order).

    Raises UserError for a missing source, one without images, a file that is no image, and a tar with links, paths
    that leave it, or sizes that no photograph has.
    """
    if not source.exists():
        raise UserError(f"There are no training images at '{source}'.")
    n, total = 0, 0
    for name, content in _files_of_tar(source) if source.is_file() else _files_of_folder(source):
        photo = Photo(name, _decode(content, f"'{name}' of '{source}'"))
        n, total = n + 1, total + photo.pixels.shape[0] * photo.pixels.shape[1]
        if total > MAX_TOTAL_PIXELS:
            raise UserError(f"'{source}' holds more than {MAX_TOTAL_PIXELS:.1e} pixels; that is no set of photographs.")
        yield photo
    if n == 0:
        raise UserError(f"'{source}' holds no images ({', '.join(SUFFIXES)}).")


def _files_of_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()):
        yield path.relative_to(folder).as_posix(), path.read_bytes()


def _files_of_tar(file: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(file, "r|*") as tar:  # a stream: members are read where they lie, never all at once
            for n, member in enumerate(tar):
                if n >= MAX_FILES:
                    raise UserError(f"'{file}' has more than {MAX_FILES} members; that is no set of photographs.")
                _refuse_unsafe(member, file)
                if member.isfile() and PurePosixPath(member.name).suffix.lower() in SUFFIXES:
                    stream = tar.extractfile(member)
                    assert stream is not None
                    content = stream.read(MAX_FILE + 1)
                    if len(content) != member.size:
                        raise UserError(f"'{file}' ends in the middle of '{member.name}'.")
                    yield member.name, content
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"'{file}' is not a readable tar of images: {str(error).splitlines()[0]}.") from error


def _refuse_unsafe(member: tarfile.TarInfo, file: Path) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"'{file}' is refused: its member '{member.name}' points outside the archive.")
    if not (member.isfile() or member.isdir()):
        raise UserError(f"'{file}' is refused: its member '{member.name}' is a link or a device, not an image.")
    if member.size > MAX_FILE or member.sparse is not None:
        raise UserError(f"'{file}' is refused: its member '{member.name}' claims {member.size} bytes.")


def _decode(content: bytes, what: str) -> np.ndarray:
    """Bytes of an image file → uint8 (h, w, 3) RGB. Transparent pixels lie on white; 16-bit images are refused."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UserError(f"{what} is refused: it claims {width}x{height} pixels.")
            if image.mode.startswith(("I", "F")):
                raise UserError(f"{what} has {image.mode} pixels; training images have 8 bits a channel.")
            if image.has_transparency_data:
                rgba = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{what} is not a readable image: {(str(error).splitlines() or ['no data'])[0]}.") from error

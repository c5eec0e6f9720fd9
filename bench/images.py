"""An image file → uint8 (h, w, 3) RGB, or one sentence about why not.

Read: PNG, JPEG, BMP, TIFF; grey and palette become RGB, 16-bit grey is scaled to 8 bits, an opaque alpha channel is
dropped, EXIF orientation is applied, colour profiles are ignored (the stored values count). Refused: real transparency,
16-bit colour (Pillow would cut it), CMYK and other colour spaces, several pages, more than 89 million pixels or than
the file can hold, anything broken. Every refusal is a `UserError` that names the file, from the header if that tells.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from .types import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF")
MAX_PIXELS = 89_478_485  # where Pillow starts to warn of a decompression bomb
MAX_PACKED = 4096  # pixels a byte of the file: white pages have a thousand; a decoder would make up what is missing
SMALL = 1 << 20  # pixels that nobody minds

_ORIENTATION = 0x0112  # EXIF: 5 to 8 swap height and width
_COLOUR = ("1", "L", "P", "RGB", "RGBX", "LA", "PA", "RGBA", "YCbCr")


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder (by suffix, hidden ones and subfolders not) in natural order: 2.png before 10.png."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    return sorted((p for p in found if not p.is_dir()), key=natural_key)


def natural_key(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key: runs of digits count as numbers, case does not; the exact name decides between equals."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p.casefold()) for p in parts], path.name


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) as `read_rgb` will return it, from the header alone."""
    with _opened(path) as image:
        h, w = image.height, image.width
        if isinstance(image, TiffImageFile):  # as stored: whether Pillow has turned it already depends on its version
            h, w = (int(image.tag_v2[tag]) for tag in (257, 256))
        return (w, h) if image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8) else (h, w)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """uint8 (h, w, 3) RGB, a copy that owns its memory."""
    with _opened(path) as image:
        image.load()
        is_grey16 = _is_grey16(image)  # asked here, since a turned image no longer knows its file's format
        ImageOps.exif_transpose(image, in_place=True)
        if is_grey16:
            grey = (np.asarray(image).astype(np.uint32) * 255 + 32767) // 65535  # rounds to the nearest
            return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
        if "A" in image.mode or "transparency" in image.info:
            image = image.convert("RGBA")
            if np.asarray(image)[..., 3].min() < 255:
                raise UserError(f"'{path}' is partly transparent: flatten it onto a background first.")
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An open image whose header is acceptable. Whatever Pillow raises inside becomes a UserError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata and of bombs; the latter are refused below
            if not path.is_file():  # a pipe would never end
                raise UserError(f"'{path}' {'is no file' if path.exists() else 'does not exist'}.")
            with path.open("rb") as stream, Image.open(stream, formats=FORMATS) as image:
                _refuse(path, image, stream.seek(0, os.SEEK_END))
                yield image
    except UserError:
        raise
    except Image.DecompressionBombError:
        raise UserError(f"'{path}' claims more than {MAX_PIXELS // 10**6} million pixels and is not read.") from None
    except Image.UnidentifiedImageError:
        raise UserError(f"'{path}' is not a readable PNG, JPEG, BMP or TIFF image.") from None
    except Exception as error:  # Pillow's decoders meet broken files with many kinds of exception
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise UserError(f"'{path}' cannot be read as an image: {reason}.") from error


def _refuse(path: Path, image: Image.Image, n_bytes: int) -> None:
    """Raises for what a header already tells to be unfit."""
    if (pixels := image.width * image.height) > MAX_PIXELS:
        raise UserError(f"'{path}' claims more than {MAX_PIXELS // 10**6} million pixels and is not read.")
    if pixels > max(SMALL, MAX_PACKED * n_bytes):
        raise UserError(f"'{path}' claims {pixels} pixels in {n_bytes} bytes and is not read.")
    # MPO is a phone's JPEG with a second, hidden picture
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise UserError(f"'{path}' has several pages: save one image a file.")
    if _bits(path, image) > 8 and not _is_grey16(image):
        raise UserError(f"'{path}' has more than 8 bits a colour: convert it to 8 bits first.")
    if image.mode not in _COLOUR and not _is_grey16(image):
        raise UserError(f"'{path}' has the colour mode {image.mode}: convert it to RGB first.")


def _bits(path: Path, image: Image.Image) -> int:
    """Bits a channel in the file. Pillow opens 16-bit colour as 8-bit and drops the rest silently."""
    if image.format == "PNG":
        with path.open("rb") as stream:
            return stream.read(25)[24]  # signature, length, 'IHDR', width, height, then the bit depth
    if isinstance(image, TiffImageFile):
        return max(image.tag_v2.get(258, (1,)))
    return 8


def _is_grey16(image: Image.Image) -> bool:
    """Unsigned 16-bit grey; older Pillows open such a PNG in mode I."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")

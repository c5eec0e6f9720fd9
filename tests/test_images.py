"""Image files in every shape that people have them in, and the ones that must be refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lamscope.images import image_size, list_images, read_rgb
from lamscope.types import UserError

RGB = np.random.default_rng(0).integers(0, 256, (12, 8, 3), dtype=np.uint8)


def saved(path: Path, image: Image.Image, **options) -> Path:
    image.save(path, **options)
    return path


def png(path: Path, depth: int, colour: int, size: tuple[int, int], rows: bytes) -> Path:
    """A PNG written by hand, for what Pillow does not write. size: (width, height)."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".TIFF"])
def test_colour_is_read_exactly(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a{suffix}", Image.fromarray(RGB))
    np.testing.assert_array_equal(read_rgb(path), RGB)
    assert image_size(path) == (12, 8)


def test_jpeg_is_what_pillow_decodes(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.JPG", Image.fromarray(RGB), quality=95)
    np.testing.assert_array_equal(read_rgb(path), np.asarray(Image.open(path)))


def test_grey_palette_and_bilevel_become_rgb(tmp_path: Path) -> None:
    grey = Image.fromarray(RGB[..., 0])
    for image in (grey, grey.quantize(16), grey.convert("1")):
        got = read_rgb(saved(tmp_path / "a.png", image))
        np.testing.assert_array_equal(got, np.asarray(image.convert("RGB")))


def test_16_bit_grey_is_scaled_to_8(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 257], [32767, 32768, 65406, 65535]], dtype=np.uint16)
    for suffix in (".png", ".tif"):
        got = read_rgb(saved(tmp_path / f"a{suffix}", Image.fromarray(values)))
        np.testing.assert_array_equal(got[..., 1], np.round(values / 257))


def test_opaque_alpha_is_dropped_and_transparency_refused(tmp_path: Path) -> None:
    alpha = np.full((12, 8, 1), 255, np.uint8)
    opaque = saved(tmp_path / "opaque.png", Image.fromarray(np.dstack([RGB, alpha])))
    np.testing.assert_array_equal(read_rgb(opaque), RGB)
    alpha[3, 3] = 254
    clear = saved(tmp_path / "clear.png", Image.fromarray(np.dstack([RGB, alpha])))
    keyed = saved(tmp_path / "keyed.png", Image.fromarray(RGB), transparency=tuple(int(v) for v in RGB[0, 0]))
    for path in (clear, keyed):
        with pytest.raises(UserError, match=rf"{path.name}' is partly transparent"):
            read_rgb(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_orientation(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"a{suffix}", Image.fromarray(RGB), exif=exif)
    plain = read_rgb(saved(tmp_path / f"plain{suffix}", Image.fromarray(RGB)))
    turns = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]  # quarter turns, anticlockwise
    got = read_rgb(path)
    np.testing.assert_array_equal(got, np.rot90(plain, turns))
    assert image_size(path) == got.shape[:2]


def test_refused_headers(tmp_path: Path) -> None:
    frames = [Image.fromarray(RGB)] * 2
    pages = saved(tmp_path / "pages.tif", frames[0], save_all=True, append_images=frames[1:])
    cases = {
        png(tmp_path / "rgb16.png", 16, 2, (1, 1), bytes(7)): "more than 8 bits",
        png(tmp_path / "bomb.png", 8, 2, (60000, 60000), b""): "million pixels",
        png(tmp_path / "large.png", 8, 2, (10000, 9000), b""): "million pixels",
        saved(tmp_path / "cmyk.jpg", Image.fromarray(RGB).convert("CMYK")): "colour mode CMYK",
        saved(tmp_path / "float.tif", Image.fromarray(RGB[..., 0].astype(np.float32))): "more than 8 bits",
        pages: "several pages",
    }
    for path, reason in cases.items():
        for read in (image_size, read_rgb):
            with pytest.raises(UserError, match=rf"{path.name}' .*{reason}.*\.$"):
                read(path)


def test_broken_files_are_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    for suffix in (".png", ".jpg", ".bmp", ".tif"):
        path = saved(tmp_path / f"cut{suffix}", Image.fromarray(noise))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(UserError, match=rf"cut\{suffix}'"):
            read_rgb(path)
    text = tmp_path / "text.png"
    text.write_text("not an image")
    empty = tmp_path / "empty.jpg"
    empty.touch()
    for path in (text, empty):
        with pytest.raises(UserError, match=rf"{path.name}' is not a readable PNG"):
            image_size(path)
    with pytest.raises(UserError, match="does not exist"):
        read_rgb(tmp_path / "absent.png")


def test_list_is_natural_and_skips_what_is_no_image(tmp_path: Path) -> None:
    for name in ("img10.png", "img2.png", "IMG1.JPG", ".hidden.png", "Thumbs.db", "notes.txt", "a.bmp"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in list_images(tmp_path)] == ["a.bmp", "IMG1.JPG", "img2.png", "img10.png"]

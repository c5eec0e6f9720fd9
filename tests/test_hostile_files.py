"""Strangers' archives, images, manifests and names: refused before memory is taken, written nowhere, shown as text."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_images import png

from lamscope.conditions import Conditions
from lamscope.hardset import read_manifest
from lamscope.images import image_size, read_rgb
from lamscope.printable import as_file_name, printable
from lamscope.report.tables import csv_text
from lamscope.store import CellWriter
from lamscope.training.photos import photos
from lamscope.types import UserError

RGB = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def image() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "PNG")
    return buffer.getvalue()


def refused(tar: Path) -> str:
    with pytest.raises(UserError) as caught:
        list(photos(tar))
    assert "\n" not in str(caught.value) and tar.name in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_long_label_is_not_unpacked(tmp_path, kind):
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, 1 << 33
    with gzip.open(tmp_path / "a.tar.gz", "wb") as tar:
        tar.write(member.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))
    assert "claims 8589934592 bytes" in refused(tmp_path / "a.tar.gz")


def test_an_archive_that_unpacks_to_far_more_than_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("lamscope.training.photos.MAX_FILE", 1 << 20)
    member = tarfile.TarInfo("x.bin")
    member.size = 1 << 20
    (tmp_path / "a.tgz").write_bytes(gzip.compress((member.tobuf() + bytes(1 << 20)) * 8))
    assert "more than 100 times its size" in refused(tmp_path / "a.tgz")


def test_members_of_unknown_kinds_and_sizes_that_lie(tmp_path):
    for change, said in {
        "unknown kind": lambda m: setattr(m, "type", b"Z"),
        "a link or a device": lambda m: setattr(m, "type", tarfile.FIFOTYPE),
        "ends in the middle|unexpected end|readable": lambda m: setattr(m, "size", 1 << 20),
        "points outside": lambda m: setattr(m, "name", "a/../../b.png"),
    }.items():
        member = tarfile.TarInfo("a.png")
        member.size = len(image())
        said(member)
        (tmp_path / "a.tar").write_bytes(member.tobuf() + image().ljust(1024, b"\0"))
        assert any(part in refused(tmp_path / "a.tar") for part in change.split("|")), change


@pytest.mark.parametrize("packer", ["gz", "bz2", "xz"])
def test_damaged_packing_is_one_line(tmp_path, packer):
    tar = tmp_path / f"a.tar.{packer}"
    with tarfile.open(tar, f"w:{packer}") as archive:
        for i in range(4):
            member = tarfile.TarInfo(f"{i}.png")
            member.size = len(image())
            archive.addfile(member, io.BytesIO(image()))
    whole = tar.read_bytes()
    assert len(list(photos(tar))) == 4
    for at in range(12, len(whole), len(whole) // 40):
        tar.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        with suppress(UserError):  # bytes that are only padding may change unnoticed
            list(photos(tar))


def test_a_tar_with_long_names_and_other_alphabets_is_read(tmp_path):
    for layout in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        with tarfile.open(tmp_path / "a.tar", "w", format=layout) as tar:
            member = tarfile.TarInfo("图/" + "x" * 200 + ".png")
            member.size = len(image())
            tar.addfile(member, io.BytesIO(image()))
        assert next(iter(photos(tmp_path / "a.tar"))).name == member.name


def test_pixels_that_a_file_cannot_hold(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(RGB).save(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = (9000).to_bytes(2, "big") * 2
    path.write_bytes(data)
    for read in (image_size, read_rgb):
        with pytest.raises(UserError, match="claims 81000000 pixels in .* bytes"):
            read(path)
    white = png(tmp_path / "white.png", 1, 0, (8000, 8000), (b"\0" + b"\xff" * 1000) * 8000)
    assert image_size(white) == (8000, 8000)  # a blank page is no bomb


def test_compressed_text_in_a_png_is_not_unpacked(tmp_path):
    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    bomb = zlib.compress(bytes(1 << 26), 9)
    whole = image()
    for kind, head in {b"zTXt": b"a\0\0", b"iCCP": b"a\0\0", b"iTXt": b"a\0\1\0\0\0"}.items():
        (tmp_path / "a.png").write_bytes(whole[:33] + chunk(kind, head + bomb) + whole[33:])
        with pytest.raises(UserError, match="too large"):
            read_rgb(tmp_path / "a.png")


def test_a_pipe_among_the_images_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    for read in (image_size, read_rgb):
        with pytest.raises(UserError, match="is no file"):
            read(tmp_path / "a.png")


def test_conditions_are_no_bomb_and_no_code(tmp_path):
    file = tmp_path / "c.npz"
    np.savez(file, a=np.array([{}], dtype=object))
    with pytest.raises(UserError, match="no NumPy file of conditions"):
        Conditions(file).read("a")
    head = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d,)}"
    for n in (1 << 26, 1 << 60):
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as out:
            out.write((head % n).ljust(127) + b"\n")
            for _ in range(300 if n < 1 << 30 else 1):
                out.write(bytes(1 << 20))
        with pytest.raises(UserError, match="is larger than|no NumPy file"):
            Conditions(file).read("a")


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "{}", '{"settings": {}, "crops": 3}', "\ufeff\0"])
def test_manifests_of_strangers(tmp_path, text):
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(UserError, match="is no manifest"):
        read_manifest(tmp_path / "m.json")


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a\0b", "a\x1b[2J", "..", ".hidden", "x" * 300])
def test_names_in_a_manifest_are_no_paths(tmp_path, name):
    row = {"name": name, "file": "a.png", "y": 0, "x": 0, "hardness": 1.0, "sha256": "0"}
    manifest = {"settings": {"count": 1}, "crops": [row]}
    (tmp_path / "m.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="is no manifest"):
        read_manifest(tmp_path / "m.json")
    (tmp_path / "m.json").write_text(json.dumps({**manifest, "crops": [{**row, "name": "a_0_0"}]}))
    assert read_manifest(tmp_path / "m.json")["crops"][0]["file"] == "a.png"


def test_what_cannot_be_printed_is_written_out():
    assert printable("grün – 图.png 100 %") == "grün – 图.png 100 %"
    assert printable("a\x1b[2J\x07\u202e\r\n\ud800") == "a\\x1b[2J\\x07\\u202e\\r\\n\\ud800"
    assert printable(printable("\x9b1m")) == printable("\x9b1m") == "\\x9b1m"
    assert as_file_name("fsrcnn+depth=2[x]") == "fsrcnn+depth=2[x]"
    assert [as_file_name(n) for n in ("../../x", "/etc", "..", "", "C:\\x")] == ["_.._x", "_etc", "_", "_", "C_x"]


def test_a_complaint_cannot_write_to_a_terminal(capsys, tmp_path):
    from lamscope.cli import main

    assert main(["report", str(tmp_path / "\x1b]0;owned\x07")]) == 2
    said = capsys.readouterr().err
    assert "\\x1b]0;owned\\x07" in said and "\x1b" not in said and said.count("\n") == 1


def test_a_spreadsheet_computes_nothing():
    frame = pd.DataFrame({"image": ["=1+1", "+x", "-x", "@x", "a=b", None], "di": [-1.5, 2, 3, 4, 5, 6]})
    back = pd.read_csv(io.StringIO(csv_text(frame)))
    assert back["image"].tolist()[:5] == ["'=1+1", "'+x", "'-x", "'@x", "a=b"] and back["di"].tolist()[0] == -1.5
    assert frame["image"][0] == "=1+1"  # the frame is as it was


def test_a_report_stays_in_its_folder(tmp_path):
    from lamscope.report import report

    tensors = {
        "hr": RGB,
        "lr": RGB[:8, :8],
        "sr": RGB,
        "map": np.random.default_rng(0).random((1, 3, 8, 8), np.float32),
    }
    for model in ("a|<b>", "c"):
        row = {"di": 1.0 if model == "c" else 2.0, "status": "ok", "psnr_y": 30.0, "psnr_rgb": 30.0, "ssim_y": 0.9,
               "lr_h": 8, "lr_w": 8, "scale": 2, "window_y": 2, "window_x": 2, "window_size": 4}  # fmt: skip
        labels = {"model": model, "dataset": "../../escaped", "attribution": "..", "detector": "../rgb"}
        labels |= {"family": "plain", "channels": "rgb", "n_parameters": 1}
        with CellWriter(tmp_path / "runs" / f"{as_file_name(model)}.h5", {"digest": model}, 1, labels) as writer:
            writer.write(0, "../../up", tensors, [row])
            writer.finish()
    out = tmp_path / "deep" / "out"
    report([tmp_path / "runs"], out, ["di_per_image"], page=True)
    written = {p for p in tmp_path.rglob("*") if p.is_file() and not p.is_relative_to(tmp_path / "runs")}
    assert written and all(p.is_relative_to(out) for p in written)
    (ranking,) = out.rglob("ranking.md")
    assert "a\\|&lt;b>" in ranking.read_text()

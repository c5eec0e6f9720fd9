"""Strangers' HDF5 files: nothing outside them is read, no plug-in is loaded, no shape is believed before its bytes."""

from __future__ import annotations

import json
import struct
import zipfile

import h5py
import numpy as np
import pytest

from lamscope import hdf5
from lamscope.pairs import HDF5Dataset
from lamscope.store import CellWriter, read_columns, read_provenance, read_tensors
from lamscope.table import read_records
from lamscope.training.patches import describe
from lamscope.types import UserError

PLUGIN = 32013  # zfp's number: a filter that HDF5 would look for in its plug-in folder


def tensors():
    image = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    return {"hr": image, "lr": image, "sr": image, "map": np.ones((1, 3, 8, 8), np.float32)}


@pytest.fixture
def cell(tmp_path):
    with CellWriter(tmp_path / "net.h5", {"digest": "0"}, 1, {"model": "net"}) as writer:
        writer.write(0, "a", tensors(), [{"di": 1.0, "status": "ok", "lr_h": 8}])
        writer.finish()
    return tmp_path / "net.h5"


def replaced(path, name, make):
    """Put another object in a member's place."""
    with h5py.File(path, "r+") as file:
        group, _, last = name.rpartition("/")
        old = file[name][()] if isinstance(file[name], h5py.Dataset) else None
        del file[name]
        make(file[group] if group else file, last, old)


def external_link(group, name, old):
    with h5py.File(f"{group.file.filename}.other", "w") as other:
        other["x"] = old
    group[name] = h5py.ExternalLink(f"{group.file.filename}.other", "/x")


def soft_link(group, name, old):
    group["elsewhere"] = old
    group[name] = h5py.SoftLink(f"{group.name}/elsewhere")


def stored_outside(group, name, old):
    with open(f"{group.file.filename}.raw", "wb") as raw:
        raw.write(np.asarray(old).tobytes())
    group.create_dataset(name, old.shape, old.dtype, external=[(f"{group.file.filename}.raw", 0, old.nbytes)])


def virtual(group, name, old):
    layout = h5py.VirtualLayout(old.shape, old.dtype)
    layout[...] = h5py.VirtualSource(f"{group.file.filename}.other", "x", old.shape)
    group.create_virtual_dataset(name, layout)


def plugin(group, name, old):
    how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    how.set_chunk(old.shape)
    how.set_filter(PLUGIN, h5py.h5z.FLAG_OPTIONAL, ())
    space, kind = h5py.h5s.create_simple(old.shape), h5py.h5t.py_create(old.dtype, logical=True)
    made = h5py.h5d.create(group.id, name.encode(), kind, space, how)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(old))


def twice_packed(group, name, old):
    how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    how.set_chunk(old.shape)
    how.set_deflate(9)
    how.set_deflate(9)
    space, kind = h5py.h5s.create_simple(old.shape), h5py.h5t.py_create(old.dtype, logical=True)
    h5py.h5d.create(group.id, name.encode(), kind, space, how)


def huge(group, name, old):
    group.create_dataset(name, (1 << 40, *old.shape[1:]), old.dtype, chunks=(1, *old.shape[1:]))


def huge_chunk(group, name, old):
    group.create_dataset(name, old.shape, old.dtype, chunks=old.shape, maxshape=(None,) * old.ndim)
    del group[name]
    group.create_dataset(name, old.shape, old.dtype, chunks=(1 << 28, *old.shape[1:]), maxshape=(None,) * old.ndim,
                         compression="gzip")  # fmt: skip


def objects(group, name, old):
    group.create_dataset(name, old.shape, h5py.string_dtype())


def references(group, name, old):
    group.create_dataset(name, old.shape, h5py.ref_dtype)


def compound(group, name, old):
    group.create_dataset(name, old.shape, [("a", "f4"), ("b", "i4")])


def a_group(group, name, old):
    group.create_group(name)


def null(group, name, old):
    group[name] = h5py.Empty("f4")


def scalar(group, name, old):
    group[name] = 1.5


WAYS = {
    external_link: "missing or a link",
    soft_link: "missing or a link",
    stored_outside: "stored elsewhere",
    virtual: "stored elsewhere",
    plugin: f"filter {PLUGIN}",
    twice_packed: "packed twice",
    huge: "claims .* bytes",
    huge_chunk: "claims .* bytes",
    objects: "neither numbers nor text|claims",
    references: "neither numbers nor text|claims",
    compound: "neither numbers nor text|claims",
    a_group: "no array",
    null: "is empty",
    scalar: "no array",
}


@pytest.mark.parametrize("make", WAYS)
def test_a_cell_is_read_from_itself_alone(cell, make):
    whole = cell.read_bytes()
    for name, read in {
        "records/di": lambda: read_records(cell),
        "provenance": lambda: read_provenance(cell),
        "tensors/8x8/index": lambda: read_tensors(cell, 0),
        "tensors/8x8/map": lambda: read_tensors(cell, 0),
    }.items():
        cell.write_bytes(whole)
        read()
        replaced(cell, name, make)
        with pytest.raises(UserError, match=rf"net\.h5 is damaged or not a lamscope result: .*({WAYS[make]})"):
            read()


@pytest.mark.parametrize("make", WAYS)
@pytest.mark.parametrize("layout", ["groups", "arrays"])
def test_a_data_set_is_read_from_itself_alone(tmp_path, make, layout):
    file, image = tmp_path / "set.h5", np.zeros((16, 16, 3), np.uint8)
    with h5py.File(file, "w") as f:
        f["hr" if layout == "arrays" else "hr/a"] = image[None] if layout == "arrays" else image
    replaced(file, "hr" if layout == "arrays" else "hr/a", make)
    with pytest.raises(UserError, match=r"set\.h5"):
        [source.read() for source in HDF5Dataset(path=file).sources]


def test_groups_may_be_links_too(cell, tmp_path):
    replaced(cell, "records", lambda group, name, old: group.__setitem__(name, h5py.SoftLink("/tensors")))
    with pytest.raises(UserError, match="records is missing or a link"):
        read_columns(cell)
    with h5py.File(cell, "r+") as file:
        del file["records"]
        file["records"] = file["/"]  # a hard link in a circle
    with pytest.raises(UserError, match="damaged"):
        read_columns(cell)


@pytest.mark.parametrize("make", [external_link, stored_outside, virtual, plugin, huge])
def test_training_patches_are_read_from_themselves_alone(tmp_path, make):
    file = tmp_path / "patches.h5"
    with h5py.File(file, "w") as f:
        f.attrs.update(schema=1, scale=2, dataset="x", sha256="0", sources="[]")
        for name, side in (("lr", 8), ("hr", 16)):
            made = f.create_group(name).create_dataset("000000", data=np.zeros((side, side, 3), np.uint8))
            made.attrs["name"] = "../../evil\x1b[2J.png"
    assert describe(file).names == ["evil\\x1b[2J.png"]
    replaced(file, "hr/000000", make)
    with pytest.raises(UserError, match=r"patches\.h5' is damaged or no patches file"):
        describe(file)


def test_one_long_text_is_not_multiplied(tmp_path):
    with h5py.File(tmp_path / "names.h5", "w") as file:
        file["names"] = ["x" * 5000, "y"]
        file["good"] = ["x\x1b]0;title\x07", "y"]
    with h5py.File(tmp_path / "names.h5") as file:
        with pytest.raises(ValueError, match="5000 characters"):
            hdf5.names(file, "names")
        assert hdf5.names(file, "good") == ["x\\x1b]0;title\\x07", "y"]


def test_absurd_numbers_of_images_are_refused(tmp_path):
    with h5py.File(tmp_path / "set.h5", "w") as file:
        file.create_dataset("hr", (1 << 50, 0, 0, 3), np.uint8)
    with pytest.raises(UserError, match="claims 1125899906842624 images"):
        len(HDF5Dataset(path=tmp_path / "set.h5"))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("di", np.array([b"=cmd()"]), "the column di"),
        ("di", np.zeros(3), "kind and length"),
        ("di", np.zeros((1, 1)), "the column di"),
        ("model", np.zeros(1), "the column model"),
        ("model", np.array([b"\xff\xfe"]), "utf-8"),
        ("lr_h", np.array([1e18]), "no place or size"),
        ("lr_h", np.array([-1]), "no place or size"),
        ("lr_h", np.array([np.inf]), "no place or size"),
    ],
)
def test_rows_that_the_rest_could_not_read(cell, name, values, message):
    replaced(cell, f"records/{name}", lambda group, last, old: group.__setitem__(last, values))
    with pytest.raises(UserError, match=rf"net\.h5 is damaged .*{message}"):
        read_records(cell)


@pytest.mark.parametrize("name", ["hr", "map"])
@pytest.mark.parametrize("values", [np.zeros((1, 8, 8), np.uint8), np.zeros((1, 8, 8, 3), np.float64)])
def test_tensors_of_other_shapes(cell, name, values):
    replaced(cell, f"tensors/8x8/{name}", lambda group, last, old: group.__setitem__(last, values))
    with pytest.raises(UserError, match=rf"net\.h5 is damaged .*{name} is "):
        read_tensors(cell, 0)


def test_names_cannot_write_to_a_terminal(tmp_path):
    evil = "\x1b]0;owned\x07\x1b[2Jnet\u202e\ud800"
    with CellWriter(tmp_path / "net.h5", {"digest": "0"}, 1, {"model": evil.replace("\ud800", "")}) as writer:
        writer.write(0, "<script>alert(1)</script>\n", tensors(), [{"di": 1.0, "status": "ok"}])
        writer.finish()
    records = read_records(tmp_path)
    assert records["model"][0] == "\\x1b]0;owned\\x07\\x1b[2Jnet\\u202e"
    assert records["image"][0] == "<script>alert(1)</script>\\n"  # the page shows text as text: tests/test_page.py


@pytest.mark.parametrize(
    "record",
    [[1], 3, {"model": ["x"]}, {"model": 3}, {"di": 10**400}, {"lr_h": -3}, {"x": {"y": 1}}, {"di": "text"}],
)
def test_failures_and_parts_of_strangers(tmp_path, record):
    (tmp_path / "net.failed.json").write_text(json.dumps({"record": record}))
    with pytest.raises(UserError, match=r"net\.failed\.json is damaged"):
        read_records(tmp_path)
    (tmp_path / "net.failed.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"net\.failed\.json is damaged"):
        read_records(tmp_path)


def test_a_part_is_no_zip_bomb(tmp_path, cell):
    parts = tmp_path / "bomb.parts"
    parts.mkdir()
    header = (
        b"\x93NUMPY\x01\x00"
        + struct.pack("<H", 118)
        + b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999,)}".ljust(117)
        + b"\n"
    )
    for packed in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        with zipfile.ZipFile(parts / "00000.npz", "w", packed) as archive:
            archive.writestr("meta.npy", header + bytes(1 << 24 if packed else 100))
        with pytest.raises(UserError, match=r"00000\.npz is damaged"):
            read_records(tmp_path, partial=True)

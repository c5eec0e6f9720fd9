"""Test sets: what is in them, in which order, under which names, and what is said when something is wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from lamscope.data import CropDataset, FolderDataset, skimage_folder, unique_names
from lamscope.images import read_rgb
from lamscope.pairs import HDF5Dataset, PairDataset
from lamscope.selection import hard_crops
from lamscope.types import UserError
from lamscope.windows import WindowChoice

CONF = Path(__file__).parents[1] / "conf" / "dataset"
CLASSES = {"shipped": CropDataset, "folder": FolderDataset, "pairs": PairDataset, "hdf5": HDF5Dataset}
SMALL = WindowChoice("centre", 4)


def shipped(**changes) -> CropDataset:
    """The data set as its YAML builds it."""
    node = yaml.safe_load((CONF / "shipped.yaml").read_text(encoding="utf-8"))
    window = node.pop("window")
    assert node.pop("_target_") == "lamscope.data.CropDataset"
    assert window.pop("_target_") == "lamscope.windows.WindowChoice"
    return CropDataset(**(node | {"window": WindowChoice(**window)} | changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, size in {"b10.png": (21, 18), "b9.png": (16, 16), "a.bmp": (12, 30)}.items():
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "Thumbs.db").write_bytes(b"\0")
    return tmp_path


def test_samples_are_pairs_with_windows(folder: Path) -> None:
    data = FolderDataset(path=folder, window=SMALL)
    samples = list(data.samples(4))
    assert len(data) == 3
    assert data.name == folder.name
    assert [(s.index, s.name) for s in samples] == [(0, "a"), (1, "b9"), (2, "b10")]
    for sample in samples:
        assert sample.hr.dtype == sample.lr.dtype == np.uint8
        assert sample.hr.shape == (*(4 * n for n in sample.lr.shape[:2]), 3)
        assert [w.size for w in sample.windows] == [4]
    np.testing.assert_array_equal(samples[2].hr, read_rgb(folder / "b10.png")[:20, :16])  # cropped at the top left


def test_limit_and_skip_keep_the_index(folder: Path) -> None:
    data = FolderDataset(path=folder, window=SMALL, limit=2)
    assert len(data) == len(data.manifest()["images"]) == 2
    assert [s.index for s in data.samples(4, skip=[0])] == [1]


def test_images_are_read_when_their_turn_comes(folder: Path) -> None:
    samples = FolderDataset(path=folder, window=SMALL).samples(4)
    next(samples)
    (folder / "b9.png").unlink()
    with pytest.raises(UserError, match=r"b9\.png' does not exist"):
        next(samples)


def test_sizes_are_checked_before_anything_is_read(folder: Path) -> None:
    with pytest.raises(UserError, match="Image 'a' is 28×12 in SR pixels"):
        FolderDataset(path=folder, window=WindowChoice("centre", 12)).samples(4)
    with pytest.raises(UserError, match="Image 'a' is 7×3 in LR pixels, the network needs at least 4×4"):
        FolderDataset(path=folder, window=SMALL).check(4, min_size=4)


def test_manifest_is_of_pixels_names_and_protocol(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    first = FolderDataset(path=folder, window=SMALL, name="x").manifest()
    json.dumps(first)
    copy = tmp_path_factory.mktemp("copy")
    for file in folder.glob("*.png"):
        Image.open(file).save(copy / file.with_suffix(".tif").name)
    shutil.copy(folder / "a.bmp", copy)
    assert FolderDataset(path=copy, window=SMALL, name="x").manifest()["sha256"] == first["sha256"]
    pixels = read_rgb(folder / "b9.png")
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(folder / "b9.png")
    changed = FolderDataset(path=folder, window=SMALL, name="x").manifest()
    assert changed["sha256"] != first["sha256"]
    differs = [a["sha256"] != b["sha256"] for a, b in zip(first["images"], changed["images"], strict=True)]
    assert differs == [False, True, False]
    other = FolderDataset(path=folder, window=WindowChoice("list", 4, [[1, 2]]), downsampling="pil").manifest()
    assert other["window"] == {"mode": "list", "size": 4, "positions": [[1, 2]], "count": 1}
    assert other["downsampling"] == "pil"


def test_a_broken_image_is_found_by_the_manifest(folder: Path) -> None:
    whole = (folder / "b9.png").read_bytes()
    (folder / "b9.png").write_bytes(whole[:-100])
    with pytest.raises(UserError, match=r"b9\.png"):
        FolderDataset(path=folder).manifest()


def test_names_are_unique() -> None:
    files = [Path(n) for n in ("a.png", "A.jpg", "b.png", "b.png.tif", "c.png.bmp", "c.bmp", "c.png")]
    names = unique_names(files)
    assert names == ["a.png", "A.jpg", "b", "b.png", "c.png", "c.bmp", "c.png-2"]
    assert len({n.casefold() for n in names}) == len(files)


def test_wrong_folders_and_settings(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("empty")
    (empty / "notes.txt").touch()
    for path, sentence in {
        folder / "absent": "does not exist",
        folder / "a.bmp": "is a file",
        empty: "has no images",
    }.items():
        with pytest.raises(UserError, match=sentence):
            FolderDataset(path=path).samples(4)
    for settings, sentence in (
        ({}, "add dataset.path"),
        ({"path": folder, "downsampling": "bicubic"}, "Unknown downsampling 'bicubic'"),
        ({"path": folder, "limit": 0}, "1 or more, not 0"),
        ({"path": folder, "limit": "all"}, "1 or more, not all"),
    ):
        with pytest.raises(UserError, match=sentence):
            FolderDataset(**settings)


def test_shipped_crops_are_what_the_rule_selects() -> None:
    photos = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
    textures = ("brick.png", "grass.png", "gravel.png")
    images = ((name, read_rgb(skimage_folder() / name)) for name in (*photos, *textures))
    selected = hard_crops(images, count=12, per_image=2)
    assert [[c.image, c.y, c.x] for c in selected] == shipped().crops
    assert [c.psnr for c in selected] == sorted(c.psnr for c in selected)


def test_shipped_is_twelve_images_of_one_size() -> None:
    samples = list(shipped().samples(4))
    assert {(s.hr.shape, s.lr.shape) for s in samples} == {((256, 256, 3), (64, 64, 3))}
    assert len({s.name for s in samples}) == 12
    np.testing.assert_array_equal(samples[4].hr, read_rgb(skimage_folder() / "astronaut.png")[240:496, 128:384])
    png_only = shipped(crops=[c for c in shipped().crops if c[0].endswith(".png")])  # JPEG decoders may differ
    assert png_only.manifest()["sha256"].startswith("2b7dd682")


def test_crops_outside_an_image_and_missing_files() -> None:
    with pytest.raises(UserError, match=r"y=300, x=0 of 256 pixels is not inside '.*brick\.png', 512×512"):
        shipped(crops=[["brick.png", 300, 0]]).check(4)
    with pytest.raises(UserError, match=r"nothing\.png' does not exist"):
        shipped(crops=[["nothing.png", 0, 0]]).check(4)
    with pytest.raises(UserError, match=r"is \[file, y, x\]"):
        shipped(crops=[["brick.png", 0]]).check(4)


def test_listing_imports_neither_torch_nor_skimage() -> None:
    code = (
        "import sys; from lamscope.data import FolderDataset, skimage_folder; "
        "FolderDataset(path=skimage_folder(), limit=3).check(4); "
        "print('torch' in sys.modules, 'skimage' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


def test_conf_and_classes_have_the_same_fields() -> None:
    for file, kind in CLASSES.items():
        node = yaml.safe_load((CONF / f"{file}.yaml").read_text(encoding="utf-8"))
        assert set(node) - {"_target_"} == set(kind.__dataclass_fields__)
        assert set(node["window"]) - {"_target_"} == set(WindowChoice.__dataclass_fields__)


@pytest.mark.shared
def test_sixty_urban_crops(shared: Path) -> None:
    data = FolderDataset(path=shared / "data/urban256")
    assert data.name == "urban256"
    assert sum(1 for _ in data.samples(4)) == len(data) == 60

"""The hard set: chosen by one rule, rebuilt bit for bit from its manifest, refused where an image is another."""

import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lamscope.cli import main
from lamscope.data import images_of, pixel_hash
from lamscope.downsampling import bicubic_sr, matlab
from lamscope.hardset import Settings, choose, read_manifest, recover
from lamscope.metrics.fidelity import to_image
from lamscope.pairs import HDF5Dataset
from lamscope.selection import Crop, by_turns, candidates, grid_offset
from lamscope.types import UserError
from lamscope.zoo import load_model

SMALL = ["size=32", "grid=8", "count=6"]


def save(folder, seeds, size=(80, 72)):
    """Noise whose contrast differs from place to place and from image to image, so that hardness does."""
    folder.mkdir()
    for seed in seeds:
        generator = np.random.default_rng(seed)
        ramp = np.linspace(0.1, 1, size[0])[:, None, None] * (0.3 + 0.1 * seed)
        pixels = 128 + ramp * generator.uniform(-127, 127, (*size, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"img_{seed}.png")
    return folder


@pytest.fixture
def folder(tmp_path):
    return save(tmp_path / "images", range(4))


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def overlaps(crops, size):
    pairs = itertools.combinations(crops, 2)
    return [(a, b) for a, b in pairs if a.image == b.image and abs(a.y - b.y) < size and abs(a.x - b.x) < size]


@pytest.mark.parametrize("seed", [0, 3])
def test_the_choice_is_deterministic_without_overlap_and_spread(folder, seed):
    settings = Settings(count=6, size=32, grid=8, seed=seed)
    _, crops = choose([images_of(folder)], settings)
    assert choose([images_of(folder)], settings)[1] == crops
    assert len(crops) == 6 and not overlaps(crops, 32)
    assert [c.psnr for c in crops] == sorted(c.psnr for c in crops)
    assert sorted(sum(c.image == f"img_{i}" for c in crops) for i in range(4)) == [1, 1, 2, 2]
    for crop in crops:
        y, x = grid_offset(seed, f"{crop.image}.png", 8)
        assert (crop.y - y) % 8 == (crop.x - x) % 8 == 0


def test_the_seed_moves_each_grid():
    assert grid_offset(0, "a.png", 16) == (0, 0)
    offsets = {grid_offset(seed, file, 16) for seed in range(1, 5) for file in ("a.png", "b.png")}
    assert len(offsets) > 4 and all(0 <= o < 16 for pair in offsets for o in pair)
    assert grid_offset(1, "a.png", 16) == grid_offset(1, "a.png", 16)


def test_per_image_is_a_limit(folder):
    files = images_of(folder)
    _, free = choose([files], Settings(count=4, size=32, grid=8, per_image=4))
    assert len({c.image for c in free}) < 4  # the hardest crops lie in the images of most contrast
    _, one = choose([files], Settings(count=6, size=32, grid=8, per_image=1))
    assert len(one) == len({c.image for c in one}) == 4


def test_sources_take_turns_and_an_image_counts_once(tmp_path, folder):
    weak = save(tmp_path / "weak", range(4, 6))
    for file in images_of(weak):  # far easier than any crop of the other folder
        Image.fromarray(np.asarray(Image.open(file)) // 16).save(file)
    (weak / "copy.png").write_bytes((folder / "img_3.png").read_bytes())
    _, crops = choose([images_of(folder), images_of(weak)], Settings(count=6, size=32, grid=8, per_image=2))
    names = [c.image for c in crops]
    assert sum(n in ("img_4", "img_5") for n in names) == 3 and "copy" not in names


@given(
    st.lists(st.lists(st.lists(st.floats(1, 60), max_size=4), max_size=4), min_size=1, max_size=3),
    st.integers(1, 12),
)
def test_turns_take_as_many_as_there_are_and_spread_them(psnrs, count):
    sources = [
        [[Crop(f"{i}_{j}", k, 0, p) for k, p in enumerate(sorted(image))] for j, image in enumerate(images)]
        for i, images in enumerate(psnrs)
    ]
    crops = by_turns(sources, count)
    assert len(crops) == len(set(crops)) == min(count, sum(len(image) for images in sources for image in images))
    assert [c.psnr for c in crops] == sorted(c.psnr for c in crops)
    taken = [[sum(c in image for c in crops) for image in images] for images in sources]
    sizes = [[len(image) for image in images] for images in sources]
    for given_by, had in [*zip(taken, sizes, strict=True), (list(map(sum, taken)), list(map(sum, sizes)))]:
        # who gave less than another, by more than one, had no more to give
        assert all(n in (m, *range(max(given_by) - 1, count + 1)) for n, m in zip(given_by, had, strict=True))


def test_hardness_by_several_errors_is_their_mean_psnr():
    hr = np.random.default_rng(0).integers(0, 256, (48, 40, 3), np.uint8)
    maps = [np.random.default_rng(i).integers(1, 9000, (48, 40)) for i in (1, 2)]
    for crop in candidates("a", hr, 16, 8, 4, (3, 5), lambda *_: maps):
        parts = [m[crop.y : crop.y + 16, crop.x : crop.x + 16].mean() / 3 for m in maps]
        assert crop.psnr == pytest.approx(np.mean([10 * np.log10(255**2 / p) for p in parts]))
        assert crop.y % 8 == 3 and crop.x % 8 == 5


def test_select_rebuild_and_run(tmp_path, folder, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "data", "select", folder, "out=sets/a.h5", *SMALL)
    assert code == 0, err
    assert "6 crops of 4 images" in out
    manifest = json.loads((tmp_path / "sets" / "a.json").read_text())
    data = HDF5Dataset(path="sets/a.h5")
    assert [s.name for s in data.sources] == [row["name"] for row in manifest["crops"]]
    for source, row in zip(data.sources, manifest["crops"], strict=True):
        whole = np.asarray(Image.open(folder / row["file"]))
        assert np.array_equal(source.read(), whole[row["y"] : row["y"] + 32, row["x"] : row["x"] + 32])
        assert pixel_hash(source.read()) == row["sha256"]
    again = run(capsys, "data", "select", folder, "out=sets/b.h5", *SMALL)
    assert again[0] == 0 and (tmp_path / "sets" / "b.json").read_text() == (tmp_path / "sets" / "a.json").read_text()
    code, out, err = run(capsys, "data", "rebuild", "sets/a.json", folder, "out=c.h5")
    assert code == 0 and "6 crops" in out, err
    assert (tmp_path / "c.h5").read_bytes() == (tmp_path / "sets" / "a.h5").read_bytes()
    code, _, err = run(capsys, "data", "select", folder, "out=sets/a.h5", *SMALL)
    assert code == 2 and "exists already" in err
    short = ["attribution.n_steps=2", "attribution.rtol=null", "dataset.limit=1", "dataset.window.size=8"]
    code, out, err = run(capsys, "run", "model=fsrcnn", "dataset=hdf5", "dataset.path=c.h5", *short)
    assert code == 0, err


def test_rebuilding_finds_the_right_one_of_two_names_and_refuses_others(tmp_path, folder, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "data", "select", folder, "out=a.h5", *SMALL)[0] == 0
    manifest = read_manifest(tmp_path / "a.json")
    other = save(tmp_path / "other", [])
    for file in images_of(folder):
        Image.fromarray(255 - np.asarray(Image.open(file))).save(other / file.name)
    for order in ([other, folder], [folder, other]):
        found = recover(manifest, [images_of(f) for f in order])
        assert [pixel_hash(image) for image in found] == [row["sha256"] for row in manifest["crops"]]
    row = manifest["crops"][0]
    file = folder / row["file"]
    pixels = np.array(Image.open(file))
    pixels[row["y"] + 31, row["x"] + 31, 2] ^= 1  # one bit of one crop's last pixel
    Image.fromarray(pixels).save(file)
    code, _, err = run(capsys, "data", "rebuild", "a.json", folder, "out=c.h5")
    assert code == 2 and f"'{row['file']}' is another image" in err and "1 of 6 crops" in err
    file.unlink()
    code, _, err = run(capsys, "data", "rebuild", "a.json", folder, "out=c.h5")
    assert code == 2 and f"in the manifest: {row['file']}." in err
    assert not list(tmp_path.glob("c.h5*"))


def test_networks_as_hardness(folder, tmp_path, capsys):
    by = ["by=fsrcnn,edsr_lite", "machine.device=cpu"]
    code, _, err = run(capsys, "data", "select", folder, f"out={tmp_path / 'n.h5'}", "per_image=2", *SMALL, *by)
    assert code == 0, err
    manifest = json.loads((tmp_path / "n.json").read_text())
    assert [n["name"] for n in manifest["networks"]] == ["fsrcnn", "edsr_lite"]
    assert all(len(n["weights_sha256"]) == 64 for n in manifest["networks"])
    row = manifest["crops"][0]
    hr = np.asarray(Image.open(folder / row["file"]))
    lr = matlab(hr, 4)
    psnrs = []
    for name in ("fsrcnn", "edsr_lite"):
        with torch.no_grad():
            sr = to_image(load_model(name, device="cpu")(torch.from_numpy(lr).permute(2, 0, 1)[None].float() / 255)[0])
        inside = np.s_[row["y"] : row["y"] + 32, row["x"] : row["x"] + 32]
        psnrs.append(10 * np.log10(255**2 / np.mean((sr[inside].astype(float) - hr[inside]) ** 2)))
    assert row["hardness"] == pytest.approx(np.mean(psnrs), abs=1e-3)
    bicubic = 10 * np.log10(255**2 / np.mean((bicubic_sr(lr, 4)[inside].astype(float) - hr[inside]) ** 2))
    assert abs(row["hardness"] - bicubic) > 0.01


MISTAKES = [
    (["select"], "one or more folders"),
    (["select", "nowhere"], "nowhere"),
    (["select", "images", "cuont=3"], "Did you mean 'count'"),
    (["select", "images", "count=many"], "whole number, not 'many'"),
    (["select", "images", "count=0"], "1 or more, not 0"),
    (["select", "images", "size=30"], "no multiple of the scale 4"),
    (["select", "images", "out=set.zip"], "end the name 'set.zip' in .h5"),
    (["select", "images", "size=32", "by=fsrnn"], "Did you mean 'fsrcnn'"),
    (["select", "images", "size=32", "scale=2", "by=edsr_lite"], "for ×4, not for scale=2"),
    (["select", "images", "size=32", "count=500"], "fewer than count=500"),
    (
        ["select", "images", "size=32", "per_image=1"],
        "4 crops of 32×32 pixels under this rule, fewer than count=150: add",
    ),
    (["select", "images"], "0 crops of 256×256"),
    (["rebuild", "images"], "Name a manifest"),
    (["rebuild", "nowhere.json", "images"], "nowhere.json"),
    (["rebuild", "text.json", "images"], "no manifest of"),
    (["rebuild", "empty.json", "images"], "no manifest of"),
    (["selct"], "Did you mean 'select'"),
]


@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES)
def test_mistakes(tmp_path, folder, capsys, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.json").write_text("no")
    (tmp_path / "empty.json").write_text('{"settings": {}, "crops": []}')
    code, _, err = run(capsys, "data", *arguments)
    assert code == 2 and sentence in err and "Traceback" not in err
    assert not list(tmp_path.glob("*.h5*"))


def test_settings_refuse_what_the_rule_cannot_do():
    with pytest.raises(UserError, match="grid is a whole number"):
        Settings(grid=0)

from __future__ import annotations

import csv
import importlib.util
import io
import json
import tarfile
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from killed import train_and_kill
from PIL import Image

from lamscope import weights, zoo
from lamscope.config import Config, compose, options, read_model
from lamscope.downsampling import matlab
from lamscope.durable import locked
from lamscope.training import export, loop, patches, photos, train
from lamscope.training.carry import carry_image
from lamscope.training.patches import Patches
from lamscope.training.recipe import Recipe
from lamscope.training.ship import LIMIT, credits
from lamscope.types import UserError

needs_basicsr = pytest.mark.skipif(importlib.util.find_spec("basicsr") is None, reason="BasicSR is not installed")


NOISE = np.random.default_rng(0).integers(0, 255, (99, 99, 3), np.uint8)


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


def map_of_positions(n_rows: int, n_columns: int) -> np.ndarray:
    """HR image whose red is the LR row and whose green is the LR column, times 4: LR and HR patches can be matched."""
    y, x = np.mgrid[:n_rows, :n_columns].repeat(4, 1).repeat(4, 2) * 4
    return np.stack([y, x, np.zeros_like(x)], -1).astype(np.uint8)


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for n, name in enumerate(["a.png", "b.png", "more/c.png", "more/d.png"]):
        (folder / name).write_bytes(png(map_of_positions(16, 20 + n)))
    (folder / "notes.txt").write_text("no image")
    return folder


def tar_of(file: Path, members: dict[str, bytes], **changes: object) -> Path:
    with tarfile.open(file, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in changes.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(content))
    return file


def test_a_folder_and_a_tar_of_it_give_the_same_file(photo_folder: Path, tmp_path: Path):
    names = sorted(p.relative_to(photo_folder).as_posix() for p in photo_folder.rglob("*.*"))
    tar = tar_of(tmp_path / "photos.tar", {name: (photo_folder / name).read_bytes() for name in names})
    one = patches.describe(patches.build(photo_folder, tmp_path / "one.h5", 4))
    two = patches.describe(patches.build(tar, tmp_path / "two.h5", 4))
    assert one.names == ["a.png", "b.png", "c.png", "d.png"]
    assert (one.names, one.sha256, one.dataset) == (two.names, two.sha256, two.dataset)
    with h5py.File(tmp_path / "one.h5") as f:
        hr, lr = f["hr/000002"][()], f["lr/000002"][()]
    assert np.array_equal(hr, np.asarray(Image.open(photo_folder / "more/c.png")))
    assert np.array_equal(lr, matlab(hr, 4))


def test_an_image_is_cut_to_whole_lr_pixels(tmp_path: Path):
    (tmp_path / "in").mkdir()
    Image.fromarray(np.zeros((18, 23), np.uint8)).save(tmp_path / "in/gray.png")
    patches.build(tmp_path / "in", tmp_path / "x.h5", 4)
    with h5py.File(tmp_path / "x.h5") as f:
        assert (f["hr/000000"].shape, f["lr/000000"].shape) == ((16, 20, 3), (4, 5, 3))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize(
    ("members", "changes", "message"),
    [
        ({"../a.png": b"x"}, {}, "points outside"),
        ({"/etc/a.png": b"x"}, {}, "points outside"),
        ({"a.png": b""}, {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "is a link"),
        ({"a.png": b""}, {"type": tarfile.CHRTYPE}, "is a link or a device"),
        ({"a.png": b"no image"}, {}, "cannot be read|not a readable"),
        ({"a.png": png(NOISE)[:2000]}, {}, "cannot be read|not a readable"),
        ({"a.tiff": b"II*\0" + b"\xff" * 40}, {}, "cannot be read|not a readable"),
        ({"a.txt": b"x"}, {}, "holds no images"),
        ({"a.png": png(np.zeros((8, 8, 4), np.uint8))}, {}, "partly transparent"),
        ({"a.png": png(np.zeros((3, 9, 3), np.uint8))}, {}, "smaller than 4x4"),
    ],
)
def test_a_tar_that_cannot_be_trusted_or_used_is_refused_in_one_line(tmp_path: Path, members, changes, message):
    tar = tar_of(tmp_path / "bad.tar", members, **changes)
    with pytest.raises(UserError, match=message) as error:
        patches.build(tar, tmp_path / "x.h5", 4)
    assert "\n" not in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.tar"]  # nothing half-written, nothing extracted


def test_sizes_that_no_photograph_has_are_refused_before_they_are_read(tmp_path: Path, monkeypatch):
    tar = tar_of(tmp_path / "a.tar", {"a.png": png(np.zeros((40, 40, 3), np.uint8))})
    monkeypatch.setattr("lamscope.images.MAX_PIXELS", 1000)
    with pytest.raises(UserError, match="a.tar:a.png' claims more than"):
        next(photos.photos(tar))
    monkeypatch.setattr("lamscope.images.MAX_PIXELS", 10_000)
    monkeypatch.setattr(photos, "MAX_TOTAL_PIXELS", 1000)
    with pytest.raises(UserError, match="no set of photographs"):
        next(photos.photos(tar))
    monkeypatch.setattr(photos, "MAX_FILE", 50)
    with pytest.raises(UserError, match="claims [0-9]+ bytes"):
        next(photos.photos(tar))


@pytest.mark.parametrize("content", [b"no tar at all" * 100, None])
def test_a_file_that_is_no_whole_tar_is_named(tmp_path: Path, content: bytes | None):
    tar = tar_of(tmp_path / "a.tar", {"a.png": png(NOISE)})
    tar.write_bytes(content or tar.read_bytes()[:9000])
    with pytest.raises(UserError, match=r"a\.tar"):
        list(photos.photos(tar))


def test_the_credits_of_a_manifest_are_stored_condensed(photo_folder: Path, tmp_path: Path):
    manifest = tmp_path / "m.csv"
    manifest.write_text("crop,source,terms\na.png,here,CC0\nb.png,there,CC BY\nc.png,here,CC0\n")
    file = patches.ensure(photo_folder, tmp_path / "x.h5", 4)
    sources = json.loads(patches.describe(patches.ensure(photo_folder, file, 4, manifest)).sources)
    assert sources == [
        {"source": "here", "terms": "CC0", "images": 2},
        {"source": "there", "terms": "CC BY", "images": 1},
    ]


def test_lr_and_hr_patches_show_the_same_place_in_all_eight_orientations(photo_folder: Path, tmp_path: Path):
    data = Patches(patches.build(photo_folder, tmp_path / "x.h5", 4), n_validation=1, size=6)
    orientations = set()
    for k in range(60):
        lr, hr = (p.astype(int) for p in data.patch(0, 1, k))
        assert lr.shape == (6, 6, 3) and hr.shape == (24, 24, 3)
        inner = np.s_[1:-1, 1:-1, :2]  # bicubic keeps a linear slope except where the image ends
        blocks = hr.reshape(6, 4, 6, 4, 3).mean((1, 3))
        assert np.abs(blocks[inner] - lr[inner]).max() <= 6
        down, right = np.sign(hr[20, 4] - hr[4, 4])[:2], np.sign(hr[4, 20] - hr[4, 4])[:2]
        orientations.add((*down, *right))
    assert len(orientations) == 8


def test_patch_k_depends_on_seed_iteration_and_index_only(photo_folder: Path, tmp_path: Path):
    file = patches.build(photo_folder, tmp_path / "x.h5", 4)
    one, two = Patches(file, 1, 5), Patches(file, 1, 5)
    keys = [(s, i, k) for s in range(2) for i in range(3) for k in range(3)]
    expected = {key: one.patch(*key)[1].tobytes() for key in keys}
    assert {key: two.patch(*key)[1].tobytes() for key in reversed(keys)} == expected
    assert len(set(expected.values())) > len(keys) - 3


def test_images_kept_out_are_never_trained_on(photo_folder: Path, tmp_path: Path):
    data = Patches(patches.build(photo_folder, tmp_path / "x.h5", 4), n_validation=1, size=5)
    assert [data.description.names[i] for i in data.validation_images] == ["d.png"]
    assert {data.description.names[i] for i in data.train_images} == {"a.png", "b.png", "c.png"}
    with pytest.raises(UserError, match="no training image"):
        Patches(data.file, n_validation=4, size=5)
    with pytest.raises(UserError, match="no training image of 400x400"):
        Patches(data.file, n_validation=1, size=100)


def test_a_patches_file_follows_its_source(photo_folder: Path, tmp_path: Path):
    file = patches.ensure(photo_folder, tmp_path / "x.h5", 4)
    built = file.stat().st_mtime_ns
    assert patches.ensure(photo_folder, file, 4).stat().st_mtime_ns == built
    with pytest.raises(UserError, match="x4, the network is x2"):
        patches.ensure(photo_folder, file, 2)
    (photo_folder / "a.png").unlink()
    assert len(patches.describe(patches.ensure(photo_folder, file, 4)).names) == 3
    (tmp_path / "no.h5").write_bytes(b"no HDF5")
    with pytest.raises(UserError, match="damaged or no patches file"):
        patches.ensure(None, tmp_path / "no.h5", 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch": 0}, "train.patch is 0"),
        ({"schedule": "linear"}, "multistep, cosine"),
        ({"ema": 1.0}, r"train.ema is 1.0"),
        ({"n_validation": 0}, "n_validation"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(change: dict, message: str):
    recipe = Recipe(name="x", patch=4, batch=1, updates=1, lr=0.1, schedule="cosine")
    with pytest.raises(UserError, match=message):
        replace(recipe, **change)


TINY = ["model=fsrcnn", "model.name=tiny", "model.net.width=4", "model.net.shrunk=2", "model.net.depth=1"]
SHORT = [
    "train=short",
    "train.updates=6",
    "train.save_every=2",
    "train.batch=2",
    "train.patch=5",
    "train.n_validation=1",
]


def settings(photo_folder: Path, results: Path, *overrides: str) -> list[str]:
    places = [f"train.images={photo_folder}", f"results={results}", "machine.device=cpu", "machine.threads=1"]
    return [*TINY, *SHORT, "train.ema=0.5", "train.warmup=3", *places, *overrides]


def config(photo_folder: Path, results: Path, *overrides: str) -> Config:
    return compose(settings(photo_folder, results, *overrides))


def curve(run: Path) -> list[tuple[str, str, str, str]]:
    with (run / "curve.csv").open(newline="") as stream:
        return [(r["iteration"], r["loss"], r["lr"], r["psnr_y"]) for r in csv.DictReader(stream)]


@needs_basicsr
@pytest.mark.slow
def test_a_killed_training_continues_to_the_same_weights(photo_folder: Path, tmp_path: Path):
    arguments = settings(photo_folder, tmp_path / "killed")
    run = tmp_path / "killed/train/tiny-short-seed0"
    train_and_kill(arguments, run)
    (run / "models/partial").mkdir(exist_ok=True)
    (run / "models/partial/net_g_4.pth").write_bytes(b"torn")
    with (run / "curve.csv").open("a") as stream:
        stream.write("4,0.1,1e-3,9")  # a row whose checkpoint was never written, torn

    assert train(compose(arguments)) == run
    whole = train(config(photo_folder, tmp_path / "whole"))
    assert curve(run) == curve(whole) and [row[0] for row in curve(run)] == ["2", "4", "6"]
    for name in ("net_g_4.pth", "net_g_6.pth"):
        one, two = (torch.load(r / "models" / name, weights_only=True) for r in (run, whole))
        assert one.keys() == two.keys() == {"params", "params_ema"}
        assert all(torch.equal(one[p][k], two[p][k]) for p in one for k in one[p])
    assert any(not torch.equal(one["params"][k], one["params_ema"][k]) for k in one["params"])
    exported = [weights.read(r / "tiny.safetensors") for r in (run, whole)]
    assert all(torch.equal(exported[0][k], exported[1][k]) for k in exported[1])
    assert len(list((whole / "training_states").iterdir())) == 2  # older checkpoints are removed


@needs_basicsr
def test_a_run_is_finished_once_exported_with_its_origin_and_never_mixed(photo_folder: Path, tmp_path: Path):
    small = ("train.updates=2", "train.ema=0")
    run = train(config(photo_folder, tmp_path, *small))
    before = sorted((p.name, p.stat().st_mtime_ns) for p in run.rglob("*") if p.suffix in (".log", ".pth", ".csv"))
    assert train(config(photo_folder, tmp_path, *small)) == run
    after = sorted((p.name, p.stat().st_mtime_ns) for p in run.rglob("*") if p.suffix in (".log", ".pth", ".csv"))
    assert after == before

    said = weights.metadata(run / "tiny.safetensors")
    assert (said["model"], said["updates"], said["batch"], said["patch"], said["seed"]) == ("tiny", "2", "2", "5", "0")
    assert said["dataset"] == "photos" and len(said["dataset_sha256"]) == 64
    assert said["validation_psnr_y"] == curve(run)[-1][3]
    assert json.loads(said["net"])["net"]["width"] == 4
    assert (run / "tiny.safetensors").stat().st_mode == (run / "curve.csv").stat().st_mode
    assert str(tmp_path) not in json.dumps(said)  # no private paths in a file that is shipped
    half = weights.read(export(run, tmp_path / "half.safetensors", half=True))
    full = weights.read(run / "tiny.safetensors")
    assert {v.dtype for v in half.values()} == {torch.float16}
    assert all(torch.equal(full[k].half(), half[k]) for k in full)
    net = zoo.build(config(photo_folder, tmp_path).model)
    weights.load_into(net.core, full, "file", "tiny")

    with pytest.raises(UserError, match=r"other settings \(train.lr\)"):
        train(config(photo_folder, tmp_path, *small, "train.lr=0.1"))


@needs_basicsr
def test_autocast_parts_with_their_own_rate_and_a_given_start(photo_folder: Path, tmp_path: Path):
    one_update = ("train.updates=1", "train.ema=0", "train.warmup=-1")
    first = train(config(photo_folder, tmp_path, *one_update, "train.name=first"))
    start = f"train.start={first / 'tiny.safetensors'}"
    plain = train(config(photo_folder, tmp_path, *one_update, start, "+train.lr_factors.last_part=0", "seed=1"))
    mixed = train(
        config(photo_folder, tmp_path, *one_update, start, "train.autocast=true", "train.name=mixed", "seed=1")
    )
    begun, fixed, cast = (weights.read(run / "tiny.safetensors") for run in (first, plain, mixed))
    origin = json.loads(weights.metadata(plain / "tiny.safetensors")["start"])
    assert origin["sha256"] == weights.sha256_of(first / "tiny.safetensors")
    assert origin["origin"]["seed"] == "0" and "net" not in origin["origin"]  # only what differs
    moved = {k for k in begun if not torch.equal(begun[k], fixed[k])}
    assert moved and not any(k.startswith("last_part") for k in moved)
    assert {v.dtype for v in cast.values()} == {torch.float32}
    steps = [(cast[k] - begun[k]).abs().max() for k in begun]
    assert 0 < max(steps) < 2 * 8e-4  # one step of Adam is about lr in size


@needs_basicsr
def test_divergence_and_an_unknown_loss_end_in_one_line(photo_folder: Path, tmp_path: Path):
    with pytest.raises(UserError, match="diverged"):
        train(config(photo_folder, tmp_path, "train.lr=1e30", "train.warmup=-1"))
    mended = train(config(photo_folder, tmp_path, "train.updates=1"))  # the same folder, as nothing was trained yet
    assert weights.metadata(mended / "tiny.safetensors")["updates"] == "1"
    with pytest.raises(UserError, match="no loss 'L3Loss'; it has .*L1Loss"):
        train(config(photo_folder, tmp_path, "train.loss=L3Loss", "train.name=other"))


@needs_basicsr
def test_a_checkpoint_that_cannot_be_written_ends_the_run_and_leaves_the_last_one(photo_folder, tmp_path, monkeypatch):
    def full(content, path):
        if "4" in Path(path).name:
            Path(path).write_bytes(b"PK torn")
            raise OSError(28, "No space left on device")
        save(content, path)

    save = torch.save
    monkeypatch.setattr(torch, "save", full)
    monkeypatch.setattr(time, "sleep", lambda _: None)  # BasicSR waits between its attempts
    with pytest.raises(UserError, match="checkpoint of update 4 cannot be written"):
        train(config(photo_folder, tmp_path))
    run = tmp_path / "train/tiny-short-seed0"
    assert [p.name for p in (run / "training_states").glob("*.state")] == ["2.state"]
    monkeypatch.undo()
    assert curve(train(config(photo_folder, tmp_path)))[-1][0] == "6"


@needs_basicsr
@pytest.mark.parametrize("model", ["fsrcnn_y", "pan", "edsr_lite"])
def test_networks_of_every_convention_train(photo_folder: Path, tmp_path: Path, model: str):
    places = [f"train.images={photo_folder}", f"results={tmp_path}", "machine.device=cpu", "machine.threads=1"]
    run = train(compose([f"model={model}", *SHORT, *places, "train.updates=1"]))
    assert float(curve(run)[0][3]) > 0 and curve(run)[0][1] != "nan"
    assert weights.metadata(run / f"{model}.safetensors")["model"] == model


@needs_basicsr
def test_two_processes_never_share_a_run(photo_folder: Path, tmp_path: Path):
    run = tmp_path / "train/tiny-short-seed0"
    run.mkdir(parents=True)
    with locked(run, run / "lock"), pytest.raises(UserError, match="Another job"):
        train(config(photo_folder, tmp_path))


def test_training_without_images_or_recipe_says_what_to_give(tmp_path: Path):
    with pytest.raises(UserError, match="train.images=FOLDER"):
        train(compose([*TINY, *SHORT, f"results={tmp_path}"]))
    with pytest.raises(UserError, match="no training images at"):
        train(compose([*TINY, *SHORT, f"results={tmp_path}", f"train.images={tmp_path / 'none'}"]))
    with pytest.raises(UserError, match="train=NAME"):
        loop.train(replace(compose(TINY), train={}))
    assert not list(tmp_path.iterdir())


def test_fsrcnn_begins_as_an_interpolation():
    net = zoo.build(compose(["model=fsrcnn"]).model)
    carry_image(net.core)
    lr = torch.arange(12.0).view(-1, 1).expand(3, 12, 12)
    sr = net(lr[None] / 12)[0].detach() * 12
    rows = (torch.arange(48.0).view(-1, 1) + 0.5) / 4 - 0.5  # of SR pixels, in LR pixels
    inner = np.s_[:, 8:-8, 8:-8]
    assert (sr - rows.expand(3, 48, 48))[inner].abs().max() < 0.2  # one phase in four is the nearest pixel
    with pytest.raises(UserError, match="carry_image is for FSRCNN; EDSR"):
        carry_image(zoo.build(compose(["model=edsr_lite"]).model).core)


SHIPPED = [name for name in options("model") if read_model(name).checkpoint.shipped]
lite_recipe = cache(lambda: compose(["train=lite"]).train)


@pytest.mark.parametrize("model", SHIPPED)
def test_shipped_weights_say_where_they_come_from(model: str):
    file = weights.find(read_model(model))
    assert file is not None and file.parent == weights.shipped_folder()
    said = weights.metadata(file)
    assert said["model"] == model and said["dataset"] == "photos_crops480"
    assert all(json.loads(said["sources"])[0][key] for key in ("source", "terms", "images"))
    assert json.loads(said["net"])["net"] == read_model(model).net
    assert int(said["updates"]) >= json.loads(said["recipe"])["save_every"]
    if model.endswith("_lite"):  # the equal-budget zoo: one recipe, to its end
        recipe = lite_recipe()
        told = json.loads(said["recipe"])
        assert {key: told[key] for key in ("batch", "patch", "updates", "lr", "schedule", "loss", "ema")} == {
            key: recipe[key] for key in ("batch", "patch", "updates", "lr", "schedule", "loss", "ema")
        }
        assert (said["updates"], said["seed"], said["start"]) == (str(recipe["updates"]), "0", "null")


def test_what_ships_is_small_and_credited():
    folder = weights.shipped_folder()
    files = sorted(folder.glob("*.safetensors"))
    assert {file.stem for file in files} == set(SHIPPED) and sum(file.stat().st_size for file in files) <= LIMIT
    assert (folder / "CREDITS.md").read_text(encoding="utf-8") == credits(files)


def test_the_papers_recipe_is_the_supplements():
    recipe = compose(["train=paper"]).train
    assert (recipe["lr"], recipe["betas"], recipe["batch"], recipe["patch"]) == (1e-4, [0.9, 0.999], 16, 64)
    assert recipe["milestones"] == list(range(200_000, recipe["updates"], 200_000))

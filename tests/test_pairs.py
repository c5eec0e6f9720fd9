"""Test sets that bring their LR images along."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from PIL import Image
from test_data import SMALL

from lamscope.data import FolderDataset
from lamscope.downsampling import matlab
from lamscope.hardset import write_hdf5
from lamscope.pairs import HDF5Dataset, PairDataset
from lamscope.types import UserError

HR = {n: np.random.default_rng(i).integers(0, 256, (24, 20, 3), np.uint8) for i, n in enumerate(("b", "a10", "a9"))}


def save(folder, images):
    folder.mkdir(exist_ok=True)
    for name, image in images.items():
        Image.fromarray(image).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def hr(tmp_path):
    return save(tmp_path / "hr", HR)


@pytest.mark.parametrize("ending", ["", "x4", "_x4", "_LR"])
def test_given_lr_images_are_used(tmp_path, hr, ending):
    lr = save(tmp_path / "lr", {n + ending: 255 - matlab(image, 4) for n, image in HR.items()})
    data = PairDataset(path=hr, lr_path=lr, window=SMALL)
    assert [s.name for s in data.samples(4)] == ["a9", "a10", "b"]
    for sample in data.samples(4):
        np.testing.assert_array_equal(sample.lr, 255 - matlab(HR[sample.name], 4))
        np.testing.assert_array_equal(sample.hr, HR[sample.name])


def test_pairs_by_order(tmp_path, hr):
    lr = save(tmp_path / "lr", {f"img_{i}": matlab(HR[n], 4) for i, n in enumerate(("a9", "a10", "b"))})
    with pytest.raises(UserError, match=r"no LR image for 'a9.png'.*match=order"):
        len(PairDataset(path=hr, lr_path=lr))
    first = next(PairDataset(path=hr, lr_path=lr, match="order", window=SMALL).samples(4))
    np.testing.assert_array_equal(first.lr, matlab(HR["a9"], 4))
    (lr / "img_2.png").unlink()
    with pytest.raises(UserError, match="3 HR images and 2 LR images"):
        len(PairDataset(path=hr, lr_path=lr, match="order"))


def test_a_pair_of_wrong_sizes_is_refused(tmp_path, hr):
    lr = save(tmp_path / "lr", {n: matlab(image, 2) for n, image in HR.items()})
    with pytest.raises(UserError, match="The LR image of 'a9' is 10×12; at ×4 its HR image, 20×24, needs 5×6"):
        next(PairDataset(path=hr, lr_path=lr, window=SMALL).samples(4))


def test_the_lr_images_are_part_of_the_hash(tmp_path, hr):
    lr = save(tmp_path / "lr", {n: matlab(image, 4) for n, image in HR.items()})
    first = PairDataset(path=hr, lr_path=lr, window=SMALL).manifest()["sha256"]
    assert first != FolderDataset(path=hr, window=SMALL).manifest()["sha256"]
    save(lr, {"b": 255 - matlab(HR["b"], 4)})
    assert PairDataset(path=hr, lr_path=lr, window=SMALL).manifest()["sha256"] != first


def test_wrong_settings(tmp_path, hr):
    for settings, sentence in (
        ({}, "dataset.lr_path"),
        ({"lr_path": hr, "match": "size"}, "name or order, not 'size'"),
        ({"lr_path": hr, "downsampling": "pil"}, "Choose one of given"),
    ):
        with pytest.raises(UserError, match=sentence):
            PairDataset(path=hr, **settings)


def test_hdf5_keeps_order_pixels_and_hash(tmp_path, hr):
    write_hdf5(tmp_path / "set.h5", HR.items(), {"manifest": "{}"})
    data = HDF5Dataset(path=tmp_path / "set.h5", window=SMALL)
    assert data.name == "set" and [s.name for s in data.sources] == list(HR)
    for sample in data.samples(4):
        np.testing.assert_array_equal(sample.hr, HR[sample.name])
        np.testing.assert_array_equal(sample.lr, matlab(HR[sample.name], 4))
    folder = FolderDataset(path=hr).manifest()["images"]
    assert {i["name"]: i["sha256"] for i in data.manifest()["images"]} == {i["name"]: i["sha256"] for i in folder}


def test_hdf5_with_its_own_lr_images_and_as_arrays(tmp_path):
    small = {n: 255 - matlab(image, 4) for n, image in HR.items()}
    with h5py.File(tmp_path / "groups.h5", "w") as file:
        for n, image in HR.items():
            file[f"hr/{n}"], file[f"lr/{n}"] = image, small[n]
    with h5py.File(tmp_path / "arrays.h5", "w") as file:
        order = ["a9", "a10", "b"]
        file["hr"], file["lr"] = np.stack([HR[n] for n in order]), np.stack([small[n] for n in order])
        file["names"] = order
    for name in ("groups", "arrays"):
        data = HDF5Dataset(path=tmp_path / f"{name}.h5", downsampling="given", window=SMALL)
        assert [s.name for s in data.samples(4)] == ["a9", "a10", "b"]
        assert all((s.lr == small[s.name]).all() and (s.hr == HR[s.name]).all() for s in data.samples(4))


def test_wrong_hdf5_files(tmp_path):
    with pytest.raises(UserError, match="dataset.path"):
        HDF5Dataset()
    (tmp_path / "text.h5").write_text("no")
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["images"] = 1
    with h5py.File(tmp_path / "float.h5", "w") as file:
        file["hr"] = np.zeros((2, 24, 24, 3))
    write_hdf5(tmp_path / "alone.h5", HR.items(), {})
    for file, settings, sentence in (
        ("absent", {}, "There is no file"),
        ("text", {}, "not a readable HDF5 file"),
        ("empty", {}, "no images under 'hr'"),
        ("float", {}, "images are uint8"),
        ("alone", {"downsampling": "given"}, "No LR image comes with 'b'"),
    ):
        with pytest.raises(UserError, match=sentence):
            next(HDF5Dataset(path=tmp_path / f"{file}.h5", window=SMALL, **settings).samples(4))


@pytest.mark.shared
def test_the_distributed_pairs_of_set5_and_set14(shared):
    """Set5's LR images are what MATLAB's bicubic gives; Set14's are matched by order."""
    data = PairDataset(path=shared / "data/set5/hr", lr_path=shared / "data/set5/lr_x4")
    for sample in data.samples(4):
        np.testing.assert_array_equal(sample.lr, matlab(sample.hr, 4))
    assert (
        sum(
            1
            for _ in PairDataset(
                path=shared / "data/set14/hr", lr_path=shared / "data/set14/lr_x4", match="order"
            ).samples(4)
        )
        == 14
    )

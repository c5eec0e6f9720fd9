"""Conditions from a file, through data set, forward and attribution, to the stored cell."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from test_cli import save_image

from lamscope.cli import main
from lamscope.conditions import Conditions
from lamscope.config import compose, instantiate
from lamscope.explain import explain, tensors_and_rows
from lamscope.store import read_provenance, read_tensors
from lamscope.types import UserError
from lamscope.zoo import build, condition_of, conditioned
from oracle import model_config

SMALL = {
    "sftmd": ["model.net.width=8", "model.net.n_blocks=2"],
    "sftgan": ["model.net.width=8", "model.net.n_blocks=2", "model.net.condition_width=4"],
}
NUMBERS = {"sftmd": 10, "sftgan": 8}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two images of 20×16 LR pixels, and the working folder."""
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate(("a", "b")):
        save_image(tmp_path / "images" / f"{name}.png", (64, 80), seed=i)
    return tmp_path


def run(model, *settings):
    return main(
        [
            *("run", f"model={model}", *SMALL[model], "model.weights=null", "dataset=folder", "dataset.path=images"),
            *("dataset.window.size=8", "attribution.n_steps=3", "figures=[]", "machine.precision=fp64", *settings),
        ]
    )


def cells(folder, model):
    return sorted(folder.rglob(f"{model}*.h5"))


@pytest.mark.parametrize("model", NUMBERS)
def test_a_condition_reaches_forward_and_attribution(folder, model, capsys):
    k = NUMBERS[model]
    g = np.random.default_rng(0)
    vectors = {"a": g.random(k), "b": g.random(k)}
    stride = condition_of(build(model_config(model)))[1]
    maps = {n: np.broadcast_to(v[:, None, None], (k, 16 * stride, 20 * stride)).copy() for n, v in vectors.items()}
    np.savez("vectors.npz", **vectors)
    np.savez("maps.npz", **maps)
    assert run(model) == 0
    assert run(model, "dataset.conditions=vectors.npz") == 0
    assert run(model, "dataset.conditions=maps.npz") == 0
    found = {}
    for file in cells(folder, model):
        conditions = json.loads(json.dumps(read_provenance(file)["config"]["dataset"]["conditions"]))
        found[conditions] = read_tensors(file, 1)
    assert len(found) == 3  # three cells: what was computed with another condition is another cell
    plain, vector, over_map = found[None], found["vectors.npz"], found["maps.npz"]
    assert not np.array_equal(plain["map"], vector["map"])
    np.testing.assert_allclose(over_map["map"], vector["map"], rtol=1e-5, atol=1e-9)
    # the same by hand, for the second image
    config = compose([f"model={model}", *SMALL[model], "attribution.n_steps=3"])
    torch.manual_seed(0)
    net = build(config.model).double().eval().requires_grad_(False)
    dataset = instantiate(compose(["dataset=folder", "dataset.path=images", "dataset.window.size=8"]).dataset)
    sample = list(dataset.samples(4))[1]
    method, device = instantiate(config.attribution), torch.device("cpu")
    (explained,) = explain(conditioned(net, vectors["b"]), [sample], method, None, device, torch.float64)
    mine, _ = tensors_and_rows(explained)
    np.testing.assert_allclose(mine["map"], vector["map"], rtol=1e-4, atol=1e-8)
    np.testing.assert_array_equal(mine["sr"], vector["sr"])


def test_the_same_values_from_another_file_are_the_same_cell(folder, capsys):
    values = {"a": np.zeros(10, np.float32), "b": np.ones(10)}
    np.savez("one.npz", **values)
    np.savez_compressed("other.npz", **values, unused=np.ones(3))
    assert run("sftmd", "dataset.conditions=one.npz") == 0
    assert run("sftmd", "dataset.conditions=other.npz", "on_existing=fail") == 2
    assert len(cells(folder, "sftmd")) == 1
    np.savez("one.npz", **{**values, "b": np.zeros(10)})
    assert run("sftmd", "dataset.conditions=one.npz") == 0
    assert len(cells(folder, "sftmd")) == 2


def broken(kind):
    good = {"a": np.zeros(10), "b": np.zeros(10)}
    if kind == "absent":
        return
    if kind == "text":
        Path("c.npz").write_text("text")
    elif kind == "code":
        np.savez("c.npz", **good | {"b": np.array([print], object)})
    elif kind == "array":
        np.save("c.npy", np.zeros(10))
        Path("c.npy").rename("c.npz")
    else:
        changed = {
            "missing": {"a": np.zeros(10)},
            "short": good | {"b": np.zeros(9)},
            "map": good | {"b": np.zeros((10, 4, 4))},
            "nan": good | {"b": np.full(10, np.nan)},
        }
        np.savez("c.npz", **changed[kind])


@pytest.mark.parametrize(
    ("kind", "fragment"),
    [
        ("absent", "no file 'c.npz'"),
        pytest.param("text", "no NumPy file", marks=pytest.mark.slow),
        ("code", "no NumPy file"),
        pytest.param("array", "no NumPy file", marks=pytest.mark.slow),
        ("missing", "no condition for the image 'b'"),
        ("short", "the shape (9,); the network takes (10,) or (10, 16, 20)"),
        pytest.param("map", "the shape (10, 4, 4)", marks=pytest.mark.slow),
        ("nan", "all finite numbers"),
    ],
)
def test_what_does_not_fit_is_named_before_the_first_image(folder, capsys, kind, fragment):
    broken(kind)
    assert run("sftmd", "dataset.conditions=c.npz") == 2
    shown = capsys.readouterr()
    assert fragment in shown.err.replace("warning", "") and "Traceback" not in shown.err
    assert not list(folder.rglob("*.h5")) and not list(folder.rglob("*.part*"))


def test_a_network_without_a_condition_says_so(folder, capsys):
    np.savez("c.npz", a=np.zeros(10), b=np.zeros(10))
    arguments = ["run", "dataset=folder", "dataset.path=images", "dataset.window.size=8", "dataset.conditions=c.npz"]
    assert main(arguments) == 2
    assert "'edsr_lite' reads no condition" in capsys.readouterr().err


def test_the_manifest_of_a_set_without_conditions_is_as_before(folder):
    save = {name: np.zeros(10) for name in ("a", "b")}
    np.savez("c.npz", **save)
    plain = instantiate(compose(["dataset=folder", "dataset.path=images"]).dataset).manifest()
    given = instantiate(
        compose(["dataset=folder", "dataset.path=images", "dataset.conditions=c.npz"]).dataset
    ).manifest()
    assert plain["sha256"] != given["sha256"] and "condition_sha256" not in plain["images"][0]
    assert given["images"][0]["condition_sha256"] == given["images"][1]["condition_sha256"]
    with pytest.raises(UserError, match="'c'"):
        Conditions(folder / "c.npz").read("c")

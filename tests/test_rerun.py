"""A stored cell again from its file alone; and files that want to run other people's code."""

import json
import shutil
import sys
from pathlib import Path

import h5py
import pytest
from test_cli import save_image
from test_doctor import changed, edit_provenance
from tiers import tiered

from lamscope.cli import main

RUN = ["run", "model=fsrcnn", "dataset=folder", "dataset.path=images", "figures=[]"]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Results of three images, which are gone: their file has all that is needed."""
    return make(tmp_path_factory.mktemp("stored"), "chunk=2", "attribution.n_steps=3")


def make(folder, *settings):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for i in range(3):
            save_image(folder / "images" / f"{i}.png", seed=i)
        assert main([*RUN, *settings]) == 0
    shutil.rmtree(folder / "images")
    (file,) = folder.rglob("*.h5")
    return file


@pytest.fixture
def file(stored, tmp_path, monkeypatch):
    """A copy, to be altered."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copy(stored, tmp_path))


def again(capsys, *arguments):
    capsys.readouterr()
    code = main(["rerun", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_file_gives_the_same_numbers_again(file, capsys):
    code, out, err = again(capsys, file)
    assert code == 0 and err == ""
    assert out.splitlines()[-1] == "identical: every tensor and number of 3 images, to the bit"
    for name in ("lr", "windows", "sr", "map", "records"):
        assert f"  {name:8} identical\n" in out
    code, out, _ = again(capsys, file, "images=2", "chunk=1", "rtol=1e-5")
    assert code == 0 and "1 images of" in out and "chunk=1" in out
    code, out, _ = again(capsys, file, "machine.precision=fp64", "rtol=1e-3")
    assert code == 0 and "the same within rtol=0.001" in out and "map      up to" in out, out
    code, out, _ = again(capsys, file, "machine.precision=bf16")
    assert code == 2 and "NOT the same within rtol=1e-05" in out
    code, out, _ = again(capsys, file, "machine.precision=bf16", "rtol=0.2")
    assert code == 0 and "the same within rtol=0.2" in out


def test_a_shard_and_a_method_with_a_seed(tmp_path, capsys):
    file = make(tmp_path, "shard=2/2", "attribution=smoothgrad", "attribution.n_samples=2")
    code, out, _ = again(capsys, file)
    assert code == 0 and "identical: every tensor and number of 1 images" in out


@pytest.mark.parametrize("what", tiered(["map", "sr", "lr", "status", "window"], ["sr", "lr", "status"]))
def test_altered_numbers_are_found(file, capsys, what):
    with h5py.File(file, "a") as stored:
        if what == "status":
            stored["records/status"][1] = b"xx"
        elif what == "window":
            stored["records/window_y"][1] += 1
        else:
            stored[f"tensors/16x16/{what}"][1, 0, 0] += 3
    code, out, _ = again(capsys, file)
    assert code == 2 and "NOT the same" in out
    expected = {
        "map": "map      up to",
        "sr": "sr       up to 3 of 255 levels apart (1)",
        "lr": "lr       up to 3 apart",
        "status": "status of 1: 'xx' was stored, it is 'ok' now",
        "window": "windows  up to inf",
    }
    assert expected[what] in out
    assert again(capsys, file, "images=0,2")[0] == 0


def with_config(change):
    def edit(provenance, _):
        change(provenance["config"])
        return provenance

    return lambda file: edit_provenance(file, edit)


ATTACKS = {
    "os": lambda c: c["dataset"].update(_target_="os.system", command="touch executed"),
    "through a module of ours": lambda c: c["model"]["net"].update(_target_="lamscope.environment.subprocess.run"),
    "nested": lambda c: c["attribution"].update(path={"_target_": "pathlib.Path"}),
    "in a list": lambda c: c["model"].update(wrappers=[{"_target_": "builtins.exec"}]),
    "a function of ours": lambda c: c["dataset"]["window"].update(_target_="lamscope.store.remove"),
    "no text": lambda c: c["dataset"]["window"].update(_target_=["os.system"]),
    "interpolation": lambda c: c["model"].update(title="${oc.env:HOME}"),
    "interpolated target": lambda c: c["model"]["net"].update(_target_="${model.title}"),
}


@pytest.mark.parametrize("kind", ATTACKS)
def test_a_file_cannot_name_other_code(file, capsys, monkeypatch, kind):
    changed(file, with_config(ATTACKS[kind]))
    called = []
    monkeypatch.setattr("lamscope.config.instantiate", lambda *a, **k: called.append(a))
    code, out, err = again(capsys, file)
    assert code == 2 and err.count("\n") == 1 and file.name in err and out == ""
    assert ("with an interpolation" if kind.startswith("interpolat") else "wants to call") in err
    assert not called and not Path("executed").exists()


def test_what_the_user_allows(file, tmp_path, capsys, monkeypatch):
    package = tmp_path / "my_nets"
    package.mkdir()
    (package / "__init__.py").write_text("from lamscope.models.fsrcnn import FSRCNN as Net\n")
    monkeypatch.syspath_prepend(tmp_path)
    changed(file, with_config(lambda c: c["model"]["net"].update(_target_="my_nets.Net")))
    code, _, err = again(capsys, file)
    assert code == 2 and "wants to call my_nets.Net at model.net" in err
    code, _, err = again(capsys, file, "allow=my_nets")
    assert code == 2 and "another source file of the network" in err  # trusted, but not what it was made with
    sys.modules.pop("my_nets", None)


def test_mistakes_are_one_line(file, capsys):
    for arguments, expected in [
        ([], "Name one file"),
        ([file, file], "Name one file"),
        (["nowhere.h5"], "no result nowhere.h5"),
        ([file, "images=7"], "no '7'"),
        ([file, "rtol=much"], "rtol is a number"),
        ([file, "attribution.n_steps=5"], "has the settings of its file"),
        ([file, "machine.devise=cpu"], "machine.devise"),
        ([file, "model.weights=null"], "another weights"),
    ]:
        code, out, err = again(capsys, *arguments)
        assert code == 2 and expected in err and err.splitlines()[-1].startswith("lamscope: ") and out == "", err
    changed(file, lambda f: edit_provenance(f, lambda p, _: json.loads("{}")))
    code, _, err = again(capsys, file)
    assert code == 2 and "holds no configuration" in err
    changed(file, lambda f: edit_provenance(f, lambda p, _: {"config": {"modle": 1}}))
    code, _, err = again(capsys, file)
    assert code == 2 and "not those of this version" in err and err.count("\n") == 1

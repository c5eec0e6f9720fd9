"""The command line as a user meets it: one line for a mistake, exit code 2, nothing half-written."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from lamscope.cli import main


@pytest.fixture
def lamscope(tmp_path, monkeypatch, capsys):
    """Runs the command line in an empty folder; returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = main(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def save_image(path, size=(64, 64), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


MISTAKES = [
    (["runn"], "Did you mean 'run'"),
    (["run", "model=edrs"], "Did you mean 'edsr'"),
    (["model=edrs"], "Did you mean 'edsr'"),
    (["run", "modle=edsr"], "Did you mean 'model'"),
    (["run", "machine.devise=cpu"], "Did you mean 'machine.device'"),
    (["run", "attribution.n_stps=3"], "attribution.n_steps"),
    (["run", "experiment=quickstrt"], "Did you mean 'quickstart'"),
    (["run", "model.scale=four"], "four"),
    (["run", "model=[edsr"], "edsr"),
    (["run", "model.net.depth=3"], "model.net.depth"),
    pytest.param(["run", "machine.device=tpu"], "tpu", marks=pytest.mark.slow),
    pytest.param(["run", "machine.precision=fp8"], "fp32", marks=pytest.mark.slow),
    pytest.param(["run", "chunk=0"], "chunk", marks=pytest.mark.slow),
    (["run", "on_existing=maybe"], "on_existing"),
    pytest.param(["run", "attribution.n_steps=0"], "n_steps", marks=pytest.mark.slow),
    (["run", "dataset=folder"], "dataset.path"),
    (["run", "dataset=folder", "dataset.path=nowhere"], "nowhere"),
    pytest.param(["run", "dataset.window.mode=cente"], "centre", marks=pytest.mark.slow),
    (["run", "dataset.window.size=400"], "too small"),
    (["run", "model=imdn"], "IMDN_x4.pth"),
    pytest.param(["run", "model.weights=nowhere.pth"], "nowhere.pth", marks=pytest.mark.slow),
    (["report", "nowhere"], "nowhere"),
    (["report", "outt=x"], "out=DIR"),
    (["options", "modle"], "modle"),
    (["weights", "machine.wieghts=x"], "machine.weights"),
    (["zoo", "format=cvs"], "csv, md or json"),
    (["zoo", "model=edrs"], "Did you mean 'edsr'"),
    (["zoo", "measure=maybe"], "true or false"),
    (["zoo", "redo=all"], "memory, passes, lam, support"),
    (["zoo", "machine.wieghts=x"], "machine.weights"),
    (["data", "verfy"], "Did you mean 'verify'"),
    (["data", "verify", "urban10"], "Did you mean 'urban100'"),
    (["data", "verify", "set5"], "SelfExSR"),
    (["data", "verify", "folder"], "of your own"),
    (["data", "machine.data=nowhere"], "nowhere"),
    (["run", "dataset=set14"], "machine.data=FOLDER"),
    (["run", "dataset=hdf5"], "dataset.path"),
    (["weights", "ftch"], "Did you mean 'fetch'"),
    (["weights", "fetch"], "imdn"),
    (["weights", "fetch", "idmn"], "Did you mean 'imdn'"),
    (["weights", "fetch", "rcan"], "github.com/yulunzhang/RCAN"),
    (["weights", "fetch", "swinir"], "no sha256"),
    (["weights", "verify", "rcan"], "not here"),
    (["train", "train=shrt"], "Did you mean 'short'"),
]


@pytest.mark.parametrize(("arguments", "fragment"), MISTAKES, ids=lambda value: " ".join(value)[:40])
def test_a_mistake_is_one_line_and_exit_code_2(lamscope, tmp_path, arguments, fragment):
    code, out, err = lamscope(*arguments)
    assert code == 2
    assert fragment in err and err.count("\n") == 1 and "Traceback" not in err
    assert out == ""
    assert not list(tmp_path.rglob("*.h5")) and not list(tmp_path.rglob("*.pdf"))


@pytest.mark.parametrize("broken", ["empty", "text", "truncated", "small", "transparent"])
def test_bad_images_are_named(lamscope, tmp_path, broken):
    file = tmp_path / "images" / "bad.png"
    save_image(file, (12, 12) if broken == "small" else (64, 64))
    if broken == "empty":
        file.unlink()
    elif broken == "text":
        file.write_text("not an image")
    elif broken == "truncated":
        file.write_bytes(file.read_bytes()[:300])
    elif broken == "transparent":
        Image.fromarray(np.full((64, 64, 4), 100, np.uint8)).save(file)
    code, _, err = lamscope("run", "dataset=folder", "dataset.path=images")
    assert code == 2 and err.count("\n") == 1
    assert ("images" if broken == "empty" else "bad") in err
    assert not list(tmp_path.rglob("*.h5"))


def test_an_image_too_small_for_the_network_is_named(lamscope, tmp_path):
    """RFDN's attention pools 7×7 after a stride of 2: 15 pixels at least."""
    save_image(tmp_path / "images" / "good.png", (64, 64))
    save_image(tmp_path / "images" / "small.png", (60, 56))
    settings = ["dataset=folder", "dataset.path=images", "dataset.window.size=8", "model.weights=null"]
    code, out, err = lamscope("run", "model=rfdn", *settings)
    assert code == 2 and err.count("\n") == 1 and out == ""
    assert "'small' is 14×15" in err and "15×15" in err and not list(tmp_path.rglob("*.h5"))


@pytest.mark.parametrize("broken", ["other network", "truncated", "code", "nan"])
def test_bad_checkpoints_are_refused(lamscope, tmp_path, tiny_net, broken):
    save_image(tmp_path / "images" / "a.png")
    state = tiny_net.core.state_dict()
    if broken == "code":
        state["head.0.bias"] = Bomb()
    if broken == "nan":
        state["head.0.bias"] = torch.full((8,), torch.nan)
    torch.save(state, tmp_path / "net.pth")
    if broken == "truncated":
        (tmp_path / "net.pth").write_bytes((tmp_path / "net.pth").read_bytes()[:500])
    code, _, err = lamscope("run", "model.weights=net.pth", "dataset=folder", "dataset.path=images")
    assert code == 2 and err.count("\n") == 1 and "net.pth" in err
    assert not (tmp_path / "executed").exists() and not list(tmp_path.rglob("*.h5"))


class Bomb:
    def __reduce__(self):
        return open, ("executed", "w")


def test_a_failing_job_does_not_stop_the_others(lamscope, tmp_path):
    save_image(tmp_path / "images" / "a.png")
    code, out, err = lamscope(
        "-m", "model=imdn,fsrcnn", "dataset=folder", "dataset.path=images", "attribution.n_steps=3", "figures=[]"
    )
    assert code == 2 and "IMDN_x4.pth" in err
    assert "fsrcnn" in out and len(list(tmp_path.rglob("fsrcnn-*.h5"))) == 1


def test_help_is_quick_because_nothing_heavy_is_imported():
    probe = "import sys; from lamscope.cli import main; main(['--help']); print({'torch', 'hydra'} & {*sys.modules})"
    shown = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout
    assert shown.startswith("lamscope:") and shown.endswith("set()\n")


@pytest.mark.parametrize("verb", ["report", "weights", "zoo", "cost", "options"])
def test_every_verb_tells_its_use(lamscope, verb):
    code, out, err = lamscope(verb, "--help")
    assert code == 0 and out.startswith(f"lamscope {verb} ") and err == ""


def test_options_lists_names(lamscope):
    code, out, _ = lamscope("options", "attribution")
    assert code == 0 and {"lam", "lam_paper"} <= set(out.split())

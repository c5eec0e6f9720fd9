"""Sweeps elsewhere: the same records from every launcher, one GPU a worker, and a lost worker costs its job only."""

import importlib.util
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pandas.testing import assert_frame_equal
from test_cli import save_image
from test_end_to_end import start

from lamscope import read_records
from lamscope.agreement import differences
from lamscope.cli import main
from lamscope.config import Config, compose, options
from lamscope.launch.apart import Children
from lamscope.launch.machine import cores, places_of, visible_gpus
from lamscope.launch.work import Work
from lamscope.store import read_tensors
from lamscope.types import UserError

PACKAGES = {"joblib": "joblib", "submitit_local": "submitit", "submitit_slurm": "submitit", "ray": "ray"}
SWEEP = ("-m", "model=fsrcnn,edsr_lite", "dataset=folder", "dataset.path=images", "attribution.n_steps=3")
FIXED = ("chunk=1", "machine.threads=1", "figures=[]")


def require(launcher):
    if importlib.util.find_spec(PACKAGES[launcher]) is None:
        pytest.skip(f"{PACKAGES[launcher]} is not installed")


def ended(process):
    out, err = process.communicate(timeout=500)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def basic(tmp_path_factory):
    """A folder with images, and the cells of a sweep by Hydra's basic launcher."""
    folder = tmp_path_factory.mktemp("launch")
    for i in range(2):
        save_image(folder / "images" / f"{i}.png", (64, 64), seed=i)
    code, _, err = ended(start(*SWEEP, *FIXED, "results=basic", cwd=folder))
    assert code == 0, err
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
def test_every_launcher_gives_the_same_records(basic, launcher):
    require(launcher)
    code, out, err = ended(start(*SWEEP, *FIXED, f"hydra/launcher={launcher}", f"results={launcher}", cwd=basic))
    assert code == 0, err
    assert "fsrcnn" in out and "edsr_lite" in out  # the ranking, by the command that launched
    cells = sorted((basic / "basic" / "runs").rglob("*.h5"))
    assert len(cells) == 2
    for cell in cells:
        assert differences(cell, basic / launcher / cell.relative_to(basic / "basic")) == []


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
def test_pieces_by_every_launcher_are_the_whole(basic, launcher):
    require(launcher)
    settings = ["model=fsrcnn", "shard=1/2,2/2", f"hydra/launcher={launcher}", f"results={launcher}-cut"]
    code, _, err = ended(start("-m", *SWEEP[2:], *FIXED, *settings, cwd=basic))
    assert code == 0, err
    (whole,) = (basic / "basic" / "runs").rglob("fsrcnn-*.h5")
    cut = read_records(basic / f"{launcher}-cut" / "runs").sort_values("index", ignore_index=True)
    assert set(cut["shard"]) == {"1/2", "2/2"}
    free = ["seconds", "file", "shard"]
    assert_frame_equal(cut.drop(columns=free), read_records(whole).drop(columns=free), check_exact=True)
    for row in cut.to_dict("records"):
        for name, tensor in read_tensors(whole, row["index"]).items():
            np.testing.assert_array_equal(tensor, read_tensors(row["file"], row["index"])[name], strict=True)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
def test_a_job_that_is_killed_or_mistaken_costs_no_other(basic, launcher):
    require(launcher)
    (basic / "deadly.py").write_text(
        "import os, torch\n\n\nclass Net(torch.nn.Module):\n    def __init__(self):\n        os.kill(os.getpid(), 9)\n"
    )
    (basic / "mine" / "model").mkdir(parents=True, exist_ok=True)
    (basic / "mine" / "model" / "deadly.yaml").write_text("name: deadly\nnet: {_target_: deadly.Net}\nweights: null\n")
    sweep = ("-m", "--config-dir", "mine", "model=imdn,deadly,fsrcnn", *SWEEP[2:], *FIXED)
    settings = [f"hydra/launcher={launcher}", f"results={launcher}-killed"]
    settings += ["hydra.launcher.max_retries=0"] if launcher == "ray" else []
    code, out, err = ended(start(*sweep, *settings, cwd=basic))
    assert code == 1, err
    assert "IMDN_x4.pth" in err and "this job failed" in err and "fsrcnn" in out
    (done,) = (basic / f"{launcher}-killed" / "runs").rglob("*.h5")
    (same,) = (basic / "basic" / "runs").rglob("fsrcnn-*.h5")
    assert differences(same, done) == []


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_of_joblib_end_with_the_command(basic, stop):
    """Whatever ends the command, no orphan goes on and holds a cell that the next try wants."""
    require("joblib")
    (basic / "slow.py").write_text(
        "import os, time, torch\n\n\nclass Net(torch.nn.Module):\n    def __init__(self):\n"
        "        open(f'here-{os.getpid()}', 'w').close()\n        time.sleep(300)\n"
    )
    (basic / "mine" / "model").mkdir(parents=True, exist_ok=True)
    (basic / "mine" / "model" / "slow.yaml").write_text("name: slow\nnet: {_target_: slow.Net}\nweights: null\n")
    settings = ["hydra/launcher=joblib", "hydra.launcher.workers=2", "results=stopped", "seed=0,1"]
    process = start("-m", "--config-dir", "mine", "model=slow", *SWEEP[2:], *FIXED, *settings, cwd=basic)
    while len(here := list(basic.glob("here-*"))) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(stop)
    process.communicate(timeout=60)
    workers = [int(file.name.partition("-")[2]) for file in here]
    for file in here:
        file.unlink()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]


def test_the_presets_are_the_ones_that_the_readme_names():
    assert options("hydra/launcher") == sorted(PACKAGES)


def test_a_plugin_of_the_same_name_does_not_hide_a_preset(tmp_path, monkeypatch, capsys):
    """hydra-joblib-launcher and its like store a `joblib` of their own; whoever has them installed still gets ours."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    for name in PACKAGES:
        store.store(group="hydra/launcher", name=name, node={"_target_": "theirs", "n_jobs": 3}, provider="theirs")
    try:
        monkeypatch.chdir(tmp_path)
        for name in PACKAGES:
            assert main(["run", f"hydra/launcher={name}", "--cfg", "hydra"]) == 0
            shown = capsys.readouterr().out
            assert "_target_: hydra_plugins.lamscope.Engine" in shown and "theirs" not in shown
    finally:
        for name in PACKAGES:
            del store.repo["hydra"]["launcher"][f"{name}.yaml"]


def test_an_engine_that_is_not_installed_is_named_with_its_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for launcher, package in PACKAGES.items():
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            code = main(["-m", "model=fsrcnn", f"hydra/launcher={launcher}"])
        err = capsys.readouterr().err
        extra = "slurm" if package == "submitit" else package
        assert code == 2 and err.count("\n") == 1 and package in err and f"lamscope[{extra}]" in err
    assert not list(tmp_path.rglob("*.h5"))


def test_a_launcher_without_a_sweep_is_refused_not_ignored(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "model=fsrcnn", "hydra/launcher=joblib"]) == 2
    assert "add -m" in capsys.readouterr().err
    assert main(["-m", "model=fsrcnn", "hydra/launcher=jobli"]) == 2
    assert "Did you mean 'joblib'" in capsys.readouterr().err


def test_every_worker_has_a_gpu_of_its_own():
    assert places_of(3, []) == [{}, {}, {}]
    assert [place["CUDA_VISIBLE_DEVICES"] for place in places_of(2, ["0", "1"])] == ["0", "1"]
    assert [place["CUDA_VISIBLE_DEVICES"] for place in places_of(4, ["GPU-a", "3"])] == ["GPU-a", "3", "GPU-a", "3"]


def test_the_gpus_are_those_that_the_user_left_visible(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 5")
    assert visible_gpus() == ["2", "5"]


def told(config: Config):
    """What a worker sees; pickle finds it by name."""
    if config.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if config.seed == 2:
        raise UserError("It has to be mended.")
    return os.environ.get("CUDA_VISIBLE_DEVICES"), os.getcwd(), config.machine.threads


@pytest.mark.slow
def test_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    children = Children()

    def outcome(seed):
        work = Work(compose([f"seed={seed}", "machine.threads=1"]), told, str(tmp_path))
        return children.run(work, {"CUDA_VISIBLE_DEVICES": "7"})

    assert outcome(0).result == ("7", str(tmp_path), 1)
    assert "SIGKILL" in outcome(1).failure and "memory" in outcome(1).failure
    assert outcome(2).mistake == "It has to be mended."
    children.stop()
    assert "stopped" in outcome(0).failure


def test_the_cores_are_divided_only_where_nobody_said_otherwise(monkeypatch):
    work = Work(compose([]), told, ".")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert work.with_threads(3).config.machine.threads == 3
    assert Work(compose(["machine.threads=2"]), told, ".").with_threads(3).config.machine.threads == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert work.with_threads(3) is work
    assert 1 <= cores() <= (os.cpu_count() or 1)

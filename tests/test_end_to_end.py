"""The real command, from images to figures: results, resuming, and a kill at any moment."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from test_cli import save_image

from lamscope import read_records
from lamscope.agreement import differences
from lamscope.cli import main

COMMAND = [sys.executable, "-m", "lamscope"]


def start(*arguments, cwd):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*COMMAND, *arguments], cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def lamscope(*arguments, cwd):
    process = start(*arguments, cwd=cwd)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def test_a_sweep_leaves_records_a_ranking_and_figures_and_resumes(tmp_path, monkeypatch):
    """The real command; then the same in this process, to which every file must be what it looks for."""
    sweep = ("-m", "model=fsrcnn,edsr_lite", "dataset.limit=2", "attribution.n_steps=3", "results=out")
    out = lamscope(*sweep, cwd=tmp_path)
    assert "fsrcnn" in out and "edsr_lite" in out
    records = read_records(tmp_path / "out" / "runs")
    assert len(records) == 4 and set(records.model) == {"fsrcnn", "edsr_lite"}
    assert (records.status == "ok").all() and records.di.between(0, 100).all() and (records.n_steps == 3).all()
    assert (records.psnr_y > 15).all() and records.gap.notna().all() and (records.n_flat >= 0).all()
    for figure in ("psnr_vs_di", "di_per_image"):
        for suffix in ("png", "pdf"):
            assert len(list((tmp_path / "out").rglob(f"{figure}*.{suffix}"))) == 1
    assert list((tmp_path / "out").rglob("lam_grid*.png"))
    files = {f: (f.stat().st_mtime_ns, f.read_bytes()) for f in (tmp_path / "out" / "runs").rglob("*.h5")}
    monkeypatch.chdir(tmp_path)
    assert main([*sweep, "figures=[]"]) == 0
    assert {f: (f.stat().st_mtime_ns, f.read_bytes()) for f in (tmp_path / "out" / "runs").rglob("*.h5")} == files


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_as_an_undisturbed_one(tmp_path):
    for i in range(8):
        save_image(tmp_path / "images" / f"{i}.png", (96, 96), seed=i)
    run = ("run", "model=fsrcnn", "dataset=folder", "dataset.path=images", "chunk=1", "figures=[]")
    begin = time.monotonic()
    lamscope(*run, "results=whole", cwd=tmp_path)
    duration = time.monotonic() - begin
    moments = random.Random(0)
    killed = 0
    for _ in range(6):
        process = start(*run, "results=torn", cwd=tmp_path)
        time.sleep(duration * moments.uniform(0.5, 0.95))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed >= 2
    lamscope(*run, "results=torn", cwd=tmp_path)
    (whole,) = (tmp_path / "whole" / "runs").rglob("*.h5")
    (torn,) = (tmp_path / "torn" / "runs").rglob("*.h5")
    assert whole.name == torn.name
    assert differences(whole, torn) == []
    leftovers = [f for f in (tmp_path / "torn" / "runs").rglob("*") if f.is_file() and f.suffix not in (".h5", ".lock")]
    assert not leftovers

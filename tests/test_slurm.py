"""The SLURM preset against a real SLURM on this machine: an array job that is queued again, preempted, cut off, lost.

Needs munged, slurmctld and slurmd (Debian: slurm-wlm and munge) and submitit; skipped, with the reason, without them.
"""

import getpass
import importlib.util
import re
import tempfile
import time
from pathlib import Path

import pytest
from slurm import Cluster, missing
from test_cli import save_image
from test_end_to_end import start

from lamscope.agreement import differences

pytestmark = pytest.mark.slow
SWEEP = ("-m", "--config-dir", "mine", "model=slow", "seed=0,1", "dataset=folder", "dataset.path=images")
SWEEP += ("dataset.window.size=8", "attribution.n_steps=3", "chunk=1", "machine.threads=1", "figures=[]")
NET = """
import os, time, torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Conv2d(3, 48, 5, padding=2), torch.nn.PixelShuffle(4))

    def forward(self, lr):
        time.sleep(float(os.environ.get("SLOW", 0.1)))
        return self.body(lr)
"""
IMAGES = 12  # each takes about half a second


@pytest.fixture(scope="module")
def cluster():
    if lacking := missing():
        pytest.skip(f"no SLURM to start here: {', '.join(lacking)} not installed")
    if importlib.util.find_spec("submitit") is None:
        pytest.skip("submitit is not installed")
    # a socket's path is short
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder, Cluster(Path(folder) / "c") as started:
        yield started


@pytest.fixture(scope="module")
def basic(tmp_path_factory):
    """A folder with images and a slow network, and the cells of the sweep as Hydra's basic launcher gives them."""
    folder = tmp_path_factory.mktemp("slurm")
    for i in range(IMAGES):
        save_image(folder / "images" / f"{i}.png", (64, 64), seed=i)
    (folder / "slow_net.py").write_text(NET)
    (folder / "mine" / "model").mkdir(parents=True)
    (folder / "mine" / "model" / "slow.yaml").write_text("name: slow\nnet: {_target_: slow_net.Net}\nweights: null\n")
    process = start(*SWEEP, "results=basic", cwd=folder)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return folder


@pytest.fixture
def launched(cluster, basic, monkeypatch, request):
    """Starts the sweep on SLURM; returns its process and its results folder."""
    for key in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(key, cluster.environment[key])
    results = basic / request.node.name.replace("[", "-").replace("]", "")
    processes = []

    def launch(*settings):
        processes.append(
            start(*SWEEP, f"results={results.name}", "hydra/launcher=submitit_slurm", *settings, cwd=basic)
        )
        return processes[-1], results

    yield launch
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.communicate()
    cluster.call("scancel", "--user", getpass.getuser(), check=False)


def until(there, process, seconds=240):
    deadline = time.monotonic() + seconds
    while not (found := there()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def parts_of_each(results):
    """Images that both jobs have stored so far, the fewer."""
    folders = list(results.rglob("*.parts"))
    return min(len(list(folder.glob("*.npz"))) for folder in folders) if len(folders) == 2 else 0


def assert_equal_records(results, basic):
    cells = sorted((basic / "basic" / "runs").rglob("*.h5"))
    assert len(cells) == 2
    for cell in cells:
        assert differences(cell, results / cell.relative_to(basic / "basic")) == []


def restarts(cluster, results):
    """How often SLURM started each element of the array anew."""
    (name,) = {file.name.partition("_")[0] for file in (results / "submitit").glob("*_submission.sh")}
    shown = cluster.call("scontrol", "show", "job", name)
    return [int(n) for n in re.findall(r"Restarts=(\d+)", shown)]


def test_an_array_job_that_is_queued_again_midway_ends_with_equal_records(cluster, basic, launched):
    process, results = launched()
    until(lambda: parts_of_each(results) >= 2, process)
    elements = cluster.call("squeue", "-h", "-r", "-t", "RUNNING", "-o", "%i %P %l %b %C %m").splitlines()
    assert len(elements) == 2  # at once, as the preset's partition, time limit, GPU, cores and memory
    assert all(line.split()[1:] == ["gpu", "12:00:00", "gres:gpu:1", "4", "32G"] for line in elements)
    cluster.call("scontrol", "requeue", elements[0].split()[0])
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "submitted 2 jobs to SLURM" in err and "slow" in out
    assert sorted(restarts(cluster, results)) == [0, 1]
    assert_equal_records(results, basic)


def test_a_job_that_is_preempted_goes_on_later(cluster, basic, launched):
    process, results = launched()
    until(lambda: parts_of_each(results) >= 2, process)
    cluster.call("sbatch", "--partition=urgent", "--gres=gpu:2", "--output=/dev/null", "--wrap", "sleep 3")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert restarts(cluster, results) == [1, 1]
    assert_equal_records(results, basic)


def test_a_job_that_meets_its_time_limit_goes_back_into_the_queue(cluster, basic, launched):
    """SLURM's signal before the limit, sent by hand: its own comes half a minute too early or late."""
    process, results = launched("hydra.launcher.timeout_min=5")
    until(lambda: parts_of_each(results) >= 2, process)
    for element in cluster.call("squeue", "-h", "-r", "-t", "RUNNING", "-o", "%i").split():
        cluster.call("scancel", "--signal=USR2", element)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert restarts(cluster, results) == [1, 1]
    assert_equal_records(results, basic)


def test_a_lost_element_is_told_and_the_other_is_kept(cluster, basic, launched):
    process, results = launched()
    until(lambda: parts_of_each(results) >= 1, process)
    first = cluster.call("squeue", "-h", "-r", "-t", "RUNNING", "-o", "%i").split()[0]
    cluster.call("scancel", first)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert f"job {first} was lost (CANCELLED)" in err and "_log.err" in err
    assert "slow" in out  # the ranking of what is there
    (cell,) = results.rglob("*.h5")
    assert differences(basic / "basic" / cell.relative_to(results), cell) == []


def test_what_slurm_refuses_is_one_line(cluster, launched):
    process, results = launched("hydra.launcher.partition=nosuch")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 2 and out == "" and "Traceback" not in err
    (ours,) = [line for line in err.splitlines() if line.startswith("lamscope:")]  # beside sbatch's own
    assert "were not submitted" in ours and "invalid partition" in ours
    assert not list(results.rglob("*.h5"))

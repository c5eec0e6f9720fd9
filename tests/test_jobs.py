"""A sweep with failing jobs, and signals: who is told what, and with which exit code."""

import os
import signal
import subprocess
import sys
import time

import pytest
from test_cli import save_image

from lamscope import read_records
from lamscope.arguments import flags_and_settings
from lamscope.cli import main
from lamscope.interruption import Stopped, orderly, undisturbed
from lamscope.jobs import Failure, Jobs, commands, hydras
from lamscope.launch.work import Outcome


def failure(*settings, reason="no", mistake=True):
    return Failure(settings, reason, mistake)


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([("model=a", "seed=1")], ["go model=a seed=1"]),
        ([("model=a", "seed=1"), ("model=b", "seed=1")], ["go -m model=a,b seed=1"]),
        ([("model=a", "seed=1"), ("model=b", "seed=2")], ["go model=a seed=1", "go model=b seed=2"]),
        ([(f"model={m}", f"seed={s}") for m in "ab" for s in "12"], ["go -m model=a,b seed=1,2"]),
        ([("model=a",), ("model=b", "+x=1")], ["go model=a", "go model=b +x=1"]),
        ([("model=a", "dataset.path=my images")], ["go model=a 'dataset.path=my images'"]),
        ([("~figures", "seed=1"), ("~figures", "seed=2")], ["go -m '~figures' seed=1,2"]),
    ],
)
def test_the_command_names_just_the_jobs(jobs, expected):
    assert commands(["go"], [], jobs) == expected


def test_what_is_hydras_goes_along():
    given = ["-m", "--config-dir", "my/conf", "model=a,b", "hydra/launcher=joblib", "hydra.mode=MULTIRUN", "-cn=x"]
    assert hydras(given) == ["--config-dir", "my/conf", "-cn=x", "hydra/launcher=joblib"]
    assert commands(["go"], hydras(given), [("model=a",), ("model=b",)]) == [
        "go -m --config-dir my/conf -cn=x hydra/launcher=joblib model=a,b"
    ]
    assert flags_and_settings(["a=1", "-m", "b=2"]) == (["-m"], ["a=1", "b=2"])


def test_exit_codes_and_summary():
    jobs = Jobs(results=[1])
    assert jobs.exit_code == 0 and jobs.summary(["run"], []) == []
    jobs.failures.append(failure("model=a", "seed=0", reason="weights are not here."))
    assert jobs.exit_code == 2
    jobs.failures.append(failure("model=b", "seed=0", reason="MemoryError: full", mistake=False))
    assert jobs.exit_code == 1
    assert jobs.summary(["run"], ["-m", "model=a,b,c", "seed=0"]) == [
        "2 of 3 jobs failed:",
        "  model=a: weights are not here.",
        "  model=b: MemoryError: full",
        "To run just these again:",
        "  lamscope run -m model=a,b seed=0",
    ]
    assert Jobs(failures=[failure("model=a")]).summary(["run"], []) == []  # one job has said it all


def test_one_mistake_that_stops_all_jobs_is_one_line(capsys):
    """So is it told once of several, which the last lines then name."""
    assert main(["run", "-m", "model=fsrcnn,espcn", "task=speed", "metric.lpips_weights=alexnet.pth"]) == 2
    assert (told := capsys.readouterr().err).count("\n") == 1 and "'speed' measures no LPIPS" in told
    jobs = Jobs(results=[1])
    assert [jobs.take([f"model={m}"], None, Outcome(mistake="no")) for m in "ab"] == [failure("model=a"), None]
    assert jobs.summary(["run"], [])[:3] == ["2 of 3 jobs failed:", "  model=a: no", "  model=b: no"]
    broken = Jobs()
    assert all(broken.take([f"model={m}"], None, Outcome(failure="died")) for m in "ab")
    assert broken.summary(["run"], [])[0] == "2 of 2 jobs failed:"


def test_a_sweep_says_what_failed_and_its_command_repeats_that(tmp_path, monkeypatch, capsys):
    """Weights that are not here, and memory that runs out: the third network is computed, and so is its ranking."""
    from lamscope import explain

    monkeypatch.chdir(tmp_path)
    save_image(tmp_path / "images" / "a.png")
    common = ["dataset=folder", "dataset.path=images", "attribution.n_steps=3", "figures=[]", "chunk=1"]
    whole, out_of_memory = explain.lr_tensor, []

    def full(*arguments):
        if not out_of_memory:
            out_of_memory.append(True)
            raise MemoryError("the host has none left")
        return whole(*arguments)

    monkeypatch.setattr(explain, "lr_tensor", full)
    assert main(["run", "-m", "model=edsr_lite,imdn,fsrcnn", *common]) == 1
    out, err = capsys.readouterr()
    assert "fsrcnn" in out and "Traceback" in err
    told = err.splitlines()[-5:]
    assert told[0] == "2 of 3 jobs failed:" and told[1] == "  model=edsr_lite: MemoryError: the host has none left"
    assert told[2].startswith("  model=imdn: The weights of 'imdn' are not here: get IMDN_x4.pth")
    assert told[4] == f"  lamscope run -m model=edsr_lite,imdn {' '.join(common)}".replace("figures=[]", "'figures=[]'")
    records = read_records("results/runs").set_index("model")
    assert records.loc["edsr_lite", "message"] == "MemoryError: the host has none left"
    assert records.loc["fsrcnn", "status"] == "ok"
    assert main(["run", "-m", "model=edsr_lite,imdn", *common]) == 2  # now only the weights are missing
    assert set(read_records("results/runs").status) == {"ok"}
    assert "1 of 2 jobs failed:" in capsys.readouterr().err


def test_a_preset_that_sweeps_can_be_told_one_job(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    job = ["run", "experiment=quickstart", "model=fsrcnn", "dataset.limit=1", "attribution.n_steps=3", "figures=[]"]
    assert main(job) == 0
    assert [path.name.split("-")[0] for path in tmp_path.rglob("*.h5")] == ["fsrcnn"]


def test_a_pattern_leaves_out_what_nobody_has_trained(tmp_path, monkeypatch, capsys):
    """espcn_y and espcn stand for those: their authors published nothing. Asked for by name they are a mistake."""
    monkeypatch.chdir(tmp_path)
    save_image(tmp_path / "images" / "a.png")
    common = ["dataset=folder", "dataset.path=images", "attribution.n_steps=3", "figures=[]"]
    assert main(["-m", "model=glob(espcn*,exclude=*_lite)", *common]) == 2  # nothing is left
    err = capsys.readouterr().err
    assert err.splitlines()[-2] == "Left out, without weights yet (2): espcn, espcn_y."
    assert "lamscope: espcn_y is left out: it has no weights yet.\n" in err
    assert main(["-m", "model=glob([espcn,fsrcnn])", *common]) == 0
    out, err = capsys.readouterr()
    assert "fsrcnn" in out and err.splitlines()[-2] == "Left out, without weights yet (1): espcn."
    assert main(["-m", "model=espcn,fsrcnn", *common]) == 2
    err = capsys.readouterr().err
    assert "There are no weights of 'espcn' yet: give a file with model.weights=FILE" in err and "1 of 2 jobs" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_waits_for_what_must_not_be_torn(number):
    known = signal.signal(number, signal.SIG_DFL)  # a test run in the background ignores some of them
    try:
        _waits(number)
    finally:
        signal.signal(number, known)


def _waits(number):
    before = signal.getsignal(number)
    done = []

    def work():
        with orderly(), undisturbed():
            with undisturbed():
                signal.raise_signal(number)
                done.append("inner")
            done.append("outer")
        done.append("never")

    with pytest.raises(Stopped) as stopped:
        work()
    assert done == ["inner", "outer"] and stopped.value.exit_code == 128 + number
    with pytest.raises(Stopped), orderly():
        signal.raise_signal(number)
    assert signal.getsignal(number) == before


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with orderly():
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_keeps_what_it_finished(tmp_path, number):
    for i in range(30):
        save_image(tmp_path / "images" / f"{i}.png", seed=i)
    command = [sys.executable, "-m", "lamscope", "run", "model=fsrcnn", "dataset=folder", "dataset.path=images"]
    command += ["chunk=1", "figures=[]", "attribution.n_steps=63"]
    process = subprocess.Popen(
        command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
    )
    while len(list(tmp_path.rglob("*.npz"))) < 3:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    word = "interrupted" if number == signal.SIGINT else "terminated"
    assert process.returncode == 128 + number and out == ""
    assert err.splitlines()[-1] == (
        f"lamscope: {word}; what was finished is kept, and the same command continues where it stopped."
    )
    assert "Traceback" not in err
    kept = {path.name for path in tmp_path.rglob("*.npz")}
    assert 3 <= len(kept) < 30
    assert not [path for path in (tmp_path / "results").rglob("*") if path.suffix in (".lock", ".tmp", ".h5")]
    assert len(read_records(tmp_path / "results" / "runs", partial=True)) == len(kept)

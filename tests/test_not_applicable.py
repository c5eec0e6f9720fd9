"""A method that is not defined for a network is a result of a run: a row with a status and a reason."""

import pytest

from lamscope.cli import main
from lamscope.table import read_records

REASON = "Guided backpropagation is defined for ReLU, LeakyReLU and PReLU; this network has GELU."
TRANSFORMER = ["model.net.depths=[1]", "model.net.n_heads=[2]", "model.net.width=8", "model.net.mlp_ratio=1"]
SMALL = ["attribution=guided_backprop", "model.weights=null", "dataset.limit=1", "figures=[]"]


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """The command in an empty folder: its exit code and what it said."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        code = main([*arguments, *SMALL, "results=out"])
        said = capfd.readouterr()
        return code, said.out, said.err

    return command


@pytest.mark.slow
def test_a_run_stores_a_row_that_says_why_and_no_map(run, tmp_path):
    code, _, said = run("run", "model=swinir_light", *TRANSFORMER)
    assert code == 2 and f"not applicable: {REASON}" in said and "Traceback" not in said
    (row,) = read_records("out/runs").to_dict("records")
    assert (row["status"], row["message"], row["attribution"]) == ("not applicable", REASON, "guided_backprop")
    assert not list(tmp_path.rglob("*.h5"))


def test_a_sweep_ranks_the_others_and_says_who_is_left_out(run):
    code, out, _ = run("-m", "model=swinir_light,edsr_lite")
    assert code == 0 and f"left out, not applicable: {REASON}" in out
    assert sorted(read_records("out/runs")["status"]) == ["not applicable", "ok"]

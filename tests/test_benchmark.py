"""The benchmarks: their tables, and that the plain loop they compare with is the reference rule."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lamscope.cli import main
from lamscope.config import compose, instantiate
from lamscope.report.benchmark import markdown_table, publish
from lamscope.rivals import PLAIN_STEPS, captum_gradients, plain_loop
from lamscope.types import Window


def test_the_plain_loop_is_the_reference_rule(tiny_net, tiny_image):
    paper = instantiate(compose(["attribution=lam_paper"]).attribution)
    window = Window(40, 32, 16)
    gradients = plain_loop(tiny_net, tiny_image, window, paper, PLAIN_STEPS)
    moves = paper.path.increments(tiny_image, torch.linspace(0, 1, PLAIN_STEPS + 1).double().numpy())
    expected = paper(tiny_net, tiny_image, window).map
    assert ((gradients * moves).sum(0) - expected).norm() <= 1e-5 * expected.norm()
    assert not any(p.requires_grad for p in tiny_net.parameters()) or all(p.grad is None for p in tiny_net.parameters())


def test_tables_are_written_with_their_command(tmp_path, capsys):
    frame = pd.DataFrame({"network": ["a", "b"], "lam_s": [0.123456, None]})
    files = publish(frame, "Seconds", tmp_path / "tables" / "speed", "lamscope run experiment=speed")
    assert [f.name for f in files] == ["speed.csv", "speed.md"]
    text = files[1].read_text()
    assert "`lamscope run experiment=speed`" in text and "| a | 0.123 |" in text and "| b | – |" in text
    assert pd.read_csv(files[0]).lam_s[0] == pytest.approx(0.123456)
    assert "| a | 0.123 |" in capsys.readouterr().out
    assert markdown_table(frame).splitlines()[1] == "| :-- | --: |"


def test_captum_integrates_the_straight_path(tiny_net, tiny_image):
    lam = instantiate(compose(["attribution=lam"]).attribution)
    window, n = Window(40, 32, 16), 5
    found = captum_gradients(tiny_net, tiny_image, window, lam.path, n, 2)
    blurred = lam.path.points(tiny_image, np.zeros(1))[0].float()
    expected = torch.zeros_like(tiny_image)
    for alpha in (np.arange(n) + 0.5) / n:
        x = (blurred + float(alpha) * (tiny_image - blurred))[None].requires_grad_()
        expected += torch.autograd.grad(lam.detector(tiny_net(x), window)[0].sum(), x)[0][0]
    expected *= (tiny_image - blurred) / n
    assert (found - expected).norm() <= 1e-4 * expected.norm()


SMALL_SPEED = ["run", "experiment=speed", "model=fsrcnn", "dataset.limit=2", "machine.progress=off"]


@pytest.mark.slow
def test_the_speed_benchmark_measures_and_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(SMALL_SPEED) == 0
    frame = pd.read_csv("results/tables/speed.csv")
    assert list(frame["lr"]) == ["64×64", "256×256"]
    assert (frame["ratio"] > 1).all() and (frame["spared"] > 0.9).all()
    first = frame.iloc[0]
    assert first["lam_error"] < first["plain_error"]
    assert 0 <= first["rest"] < 1 and first["mib_a_point"] > 0 and first["gflops"] > 0
    assert (tmp_path / "results/figures/speed.png").stat().st_size > 5000
    (kept,) = (tmp_path / "results/speed").glob("fsrcnn-*.json")
    rows = json.loads(kept.read_text())
    rows[0]["plain_s"] = 1234.0
    kept.write_text(json.dumps(rows))
    assert main(SMALL_SPEED) == 0
    assert pd.read_csv("results/tables/speed.csv")["plain_s"][0] == 1234.0


@pytest.mark.slow
def test_accuracy_and_precision_run_on_a_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    Image.fromarray(rng.integers(0, 256, (80, 96, 3), dtype=np.uint8)).save("images/a.png")
    common = ["model=fsrcnn", "dataset.path=images", "machine.progress=off"]
    assert main(["run", "experiment=accuracy", *common]) == 0
    accuracy = pd.read_csv("results/tables/accuracy.csv").iloc[0]
    assert accuracy["lam63"] < accuracy["lam21"] < accuracy["lam7"] and accuracy["auto_steps"] in (7, 21, 63)
    covered = pd.read_csv("results/tables/coverage.csv")
    assert set(covered["network"]) == {"fsrcnn", "all"} and (covered["below_2×"] >= covered["below_1×"]).all()
    assert main(["run", "experiment=precision", *common]) == 0
    rows = pd.read_csv("results/tables/precision.csv").set_index("precision")
    assert rows["map_error"]["fp32"] < 1e-3 < rows["map_error"]["bf16"]

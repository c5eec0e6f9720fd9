"""The benchmarks: their tables, and that the plain loop they compare with is the reference rule."""

import pandas as pd
import pytest
import torch

from lamscope.config import compose, instantiate
from lamscope.report.benchmark import markdown_table, publish
from lamscope.speed import PLAIN_STEPS, plain_loop
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

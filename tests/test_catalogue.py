"""`lamscope zoo`: what is known, counted and measured of the networks."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest
import torch

from lamscope.catalogue import catalogue, facts
from lamscope.cli import main
from lamscope.config import compose, options
from lamscope.metrics.cost import cost
from lamscope.metrics.support import extent, gradient_support
from lamscope.report.zoo import UNKNOWN, markdown
from lamscope.types import UserError
from lamscope.zoo import build
from oracle import model_config


@pytest.mark.parametrize(
    ("name", "receptive_field"),
    [("fsrcnn_56_48_6", 17), ("carn", 45), ("edsr_baseline", 75), ("msrn", 107), ("rrdbnet", 703)],
)
def test_the_receptive_field_is_that_of_the_papers_table(name, receptive_field):
    with torch.device("meta"):
        net = build(model_config(name))
    assert cost(net, (64, 64)).receptive_field == receptive_field


@pytest.mark.parametrize(
    ("name", "columns", "support"),
    [
        ("fsrcnn_56_48_6", 32, 19),  # 17 at LR, and the deconvolution's three
        ("edsr_baseline", 96, 72),  # 69 at LR, and the upsampler's
        ("fsrcnn_y", 32, 15),  # colour through bicubic sees less
        ("srcnn", 32, 8),  # 17 SR pixels, and bicubic's taps
        ("imdn", 48, 48),  # contrast-aware attention pools the whole image
    ],
)
def test_the_support_is_what_a_pixel_depends_on(name, columns, support):
    torch.manual_seed(0)
    net = build(model_config(name)).double().eval().requires_grad_(False)
    lr = torch.rand(3, 8, columns, dtype=torch.float64)
    mask = gradient_support(net, lr, 4)
    assert mask.shape == (8, columns) and extent(mask) == support
    assert not any(m._forward_pre_hooks for m in net.modules())
    # nothing outside the support matters
    if support < columns:
        elsewhere = torch.where(mask, lr, torch.rand(3, 8, columns, dtype=torch.float64))
        with torch.no_grad():
            pixels = [net(x[None])[0, :, 16, 2 * columns] for x in (lr, elsewhere)]
        torch.testing.assert_close(*pixels, rtol=0, atol=1e-14)


def test_the_support_does_not_fade_with_depth():
    """A product of hundreds of small weights underflows; its sign does not."""
    layers = [torch.nn.Conv2d(3 if i == 0 else 1, 1, 3, padding=1, bias=False) for i in range(300)]
    net = torch.nn.Sequential(*layers).double()
    for layer in layers:
        torch.nn.init.constant_(layer.weight, 1e-3)
    assert extent(gradient_support(net, torch.rand(3, 3, 640, dtype=torch.float64), 1)) == 601


def test_facts_are_complete_and_unknown_is_unknown():
    frame = facts(options("model"), [])
    assert list(frame.name) == options("model")
    assert frame[["title", "authors", "venue", "year", "family", "parameters", "paper", "code"]].notna().all().all()
    rows = frame.set_index("name")
    assert rows.weights_here["fsrcnn"] == "shipped" and rows.weights_here["edsr"] == "no"
    assert rows.set5_psnr_y["edsr"] == 32.46 and rows.manga109_ssim_y["edsr"] == 0.9148
    assert pd.isna(rows.set5_psnr_y["fsrcnn"])


def test_weights_are_looked_for_in_the_folders(tmp_path):
    (tmp_path / "IMDN_x4.pth").write_bytes(b"something else")
    assert facts(["imdn"], [tmp_path]).weights_here[0] == "wrong sha256"


def test_counts_are_kept_and_measurements_of_another_device_are_not_shown(tmp_path):
    config = compose([f"results={tmp_path}"])
    row = catalogue(config, ["espcn"]).iloc[0]
    assert (row.multiply_adds, row.activations) == (64 * 64 * (3 * 64 * 25 + 64 * 32 * 9 + 32 * 48 * 9), 4096 * 144)
    assert row.forward_s is None
    (file,) = (tmp_path / "zoo").iterdir()
    kept = json.loads(file.read_text())
    kept["found"] |= {"forward_s": 1.5, "activations": 7}
    file.write_text(json.dumps(kept))
    again = catalogue(config, ["espcn"]).iloc[0]
    assert (again.forward_s, again.activations) == (1.5, 7)
    config.machine.precision = "fp64"
    assert catalogue(config, ["espcn"]).iloc[0].forward_s is None
    with pytest.raises(UserError, match="passes, lam, support"):
        catalogue(config, ["espcn"], redo="everything")


def zoo(capsys, *arguments):
    assert main(["zoo", *arguments]) == 0
    return capsys.readouterr().out


def test_the_table_in_every_format(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    chosen = "model=espcn,edsr_lite"
    table = zoo(capsys, chosen)
    assert "edsr_lite" in table and "shipped" in table and UNKNOWN in table and "nan" not in table
    for arguments in (["format=csv"], ["--format", "csv"], ["--format=csv"]):
        frame = pd.read_csv(io.StringIO(zoo(capsys, chosen, *arguments)))
        assert list(frame.name) == ["espcn", "edsr_lite"] and frame.multiply_adds[1] == 1_456_865_280
    rows = json.loads(zoo(capsys, chosen, "format=json"))
    assert rows[0]["training_set"] is None and rows[1]["parameters"] == 232_963 and rows[0]["support"] is None
    page = zoo(capsys, chosen, "format=md")
    assert "| edsr_lite | residual | 233 K | 1.46 G | 5.18 M | 43 | ? |" in page and "nan" not in page


@pytest.mark.slow
def test_one_network_is_measured_in_processes_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (row,) = json.loads(zoo(capsys, "model=fsrcnn", "--measure", "format=json", "machine.threads=1"))
    assert row["support"] == 15 and row["support_frame"] == "8×64" and row["lam_how"] == "timed"
    assert 0 < row["forward_s"] < row["lam_s"] and 1 < row["forward_peak_mib"] < row["gradient_peak_mib"] < 1000
    assert "fsrcnn: support 15" not in zoo(capsys, "model=fsrcnn", "measure=true", "machine.threads=1")  # not again


def test_the_page_names_its_command_and_device(tmp_path):
    page = markdown(catalogue(compose([f"results={tmp_path}", "machine.threads=1"]), ["espcn"]))
    assert "`lamscope zoo measure=true machine.threads=1 format=md`" in page and "1 thread," in page

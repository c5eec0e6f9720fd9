"""`lamscope zoo`: what is known, counted and measured of the networks."""

from __future__ import annotations

import importlib
import io
import json
import sys

import pandas as pd
import pytest
import torch
from rich.console import Console

from lamscope.catalogue import catalogue, facts, models
from lamscope.cli import main
from lamscope.config import compose, options
from lamscope.metrics.cost import cost
from lamscope.metrics.support import extent, gradient_support
from lamscope.report.zoo import UNKNOWN, markdown, show
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
    frame = facts(models(), [])
    assert list(frame.name) == options("model")
    assert frame[["title", "authors", "venue", "year", "family", "parameters", "paper", "code"]].notna().all().all()
    rows = frame.set_index("name")
    assert rows.weights_here["fsrcnn"] == "shipped" and rows.weights_here["edsr"] == "no"
    assert rows.set5_psnr_y["edsr"] == 32.46 and rows.manga109_ssim_y["edsr"] == 0.9148
    assert pd.isna(rows.set5_psnr_y["fsrcnn"])


def test_weights_are_looked_for_in_the_folders(tmp_path):
    (tmp_path / "IMDN_x4.pth").write_bytes(b"something else")
    assert facts(models("imdn"), [tmp_path]).weights_here[0] == "wrong sha256"


def test_counts_are_kept_and_measurements_of_another_device_are_not_shown(tmp_path):
    config = compose([f"results={tmp_path}"])
    row = catalogue(config, models("espcn")).iloc[0]
    assert (row.multiply_adds, row.activations) == (64 * 64 * (3 * 64 * 25 + 64 * 32 * 9 + 32 * 48 * 9), 4096 * 144)
    assert row.forward_s is None
    (file,) = (tmp_path / "zoo").iterdir()
    kept = json.loads(file.read_text())
    kept["found"] |= {"forward_s": 1.5, "activations": 7}
    file.write_text(json.dumps(kept))
    again = catalogue(config, models("espcn")).iloc[0]
    assert (again.forward_s, again.activations) == (1.5, 7)
    config.machine.precision = "fp64"
    assert catalogue(config, models("espcn")).iloc[0].forward_s is None
    with pytest.raises(UserError, match="memory, passes, lam, support"):
        catalogue(config, models("espcn"), redo="everything")


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
    assert "| edsr_lite | residual | 233 K | 1.46 G | 5.18 M | 43 | ? | ? |" in page and "nan" not in page


OWN = {
    "mine": "name: mine\nnet: {_target_: my_net.Net}\nweights: mine.pth\n",
    "deeper": "defaults: [edsr_lite]\nname: deeper\nnet: {n_blocks: 20}\nweights: null\n",
    "absent": "name: absent\nnet: {_target_: nowhere.Net}\n",
    "looking": "name: looking\nnet: {_target_: my_net.Looking}\n",
    "fsrcnn": "name: hidden\nnet: {_target_: my_net.Net}\n",  # the collection's own comes first, as in a run
}
CODE = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self): super().__init__(nn.Conv2d(3, 48, SIZE, padding="same"), nn.PixelShuffle(4))
class Looking(Net):
    def forward(self, x): return super().forward(x) if x.mean() > 0 else x
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with a user's networks, in which the command is given; its configuration folder has an awkward name."""
    folder = tmp_path / "it's [my], conf" / "model"
    folder.mkdir(parents=True)
    for name, text in OWN.items():
        (folder / f"{name}.yaml").write_text(text)
    (tmp_path / "my_net.py").write_text(CODE.replace("SIZE", "5"))
    (tmp_path / "mine.pth").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    yield folder.parent.name
    sys.modules.pop("my_net", None)


def test_a_users_networks_come_after_the_collection(own, capsys):
    assert [model.name for model in models(None, own)] == [*options("model"), "absent", "deeper", "looking", "mine"]
    chosen = "model=mine,deeper,absent,looking,fsrcnn"
    assert main(["zoo", "--config-dir", own, chosen, "format=json"]) == 0
    said = capsys.readouterr()
    mine, deeper, absent, looking, known = json.loads(said.out)
    assert (mine["parameters"], mine["receptive_field"], mine["weights_here"]) == (3 * 48 * 25 + 48, 5, "yes")
    assert deeper["parameters"] == 454_915 and deeper["weights_here"] == "random" and deeper["year"] == 2017
    assert known["name"] == "fsrcnn" and known["weights_here"] == "shipped"
    assert absent["multiply_adds"] is looking["multiply_adds"] is None and absent["year"] is None
    told = said.err.splitlines()
    assert len(told) == 2 and "nowhere.Net" in told[0] and "'looking' cannot be counted without data" in told[1]
    page = zoo(capsys, f"--config-dir={own}", "model=mine", "format=md")
    assert "| mine | plain | 3.65 K | 14.7 M | 197 K | 5 |" in page and "None" not in page and "nan" not in page


def test_the_count_of_a_network_whose_code_changed_is_made_again(own, capsys, tmp_path):
    for size in (5, 3):
        (tmp_path / "my_net.py").write_text(CODE.replace("SIZE", str(size)))
        importlib.invalidate_caches()
        sys.modules.pop("my_net", None)
        (row,) = json.loads(zoo(capsys, "--config-dir", own, "model=mine", "format=json"))
        assert row["receptive_field"] == size


def test_what_is_wrong_with_a_users_folder_is_one_sentence(own, capsys, tmp_path):
    (tmp_path / own / "model" / "mine.yaml").write_text("nmae: mine\n")
    for folder, message in (("nowhere", "no folder 'nowhere' for --config-dir"), (own, "no setting 'model.nmae'")):
        assert main(["zoo", f"--config-dir={folder}"]) == 2
        said = capsys.readouterr()
        assert message in said.err and said.out == "" and len(said.err.splitlines()) == 1


@pytest.mark.slow
def test_one_network_is_measured_in_processes_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (row,) = json.loads(zoo(capsys, "model=fsrcnn", "--measure", "format=json", "machine.threads=1"))
    assert row["support"] == 15 and row["support_frame"] == "8×64" and row["lam_how"] == "timed"
    assert 2 < row["forward_mib"] < row["gradient_mib"] < row["gradient_peak_mib"]
    assert 0 < row["forward_s"] < row["lam_s"] and 1 < row["forward_peak_mib"] < row["gradient_peak_mib"] < 1000
    assert "fsrcnn: support 15" not in zoo(capsys, "model=fsrcnn", "measure=true", "machine.threads=1")  # not again


def test_the_page_names_its_command_and_device(tmp_path):
    page = markdown(catalogue(compose([f"results={tmp_path}", "machine.threads=1"]), models("espcn")))
    assert "`lamscope zoo measure=true machine.threads=1 format=md`" in page and "1 thread," in page


def test_a_narrow_terminal_leaves_out_columns_and_cuts_no_number(monkeypatch):
    found = {"multiply_adds": [1.5e9, None], "receptive_field": 43, "support": "global", "gradient_mib": 1234.5}
    frame = facts(models("edsr_lite,rcan_lite"), []).assign(**found, lam_s=0.1, lam_how="timed")
    shown = {}
    for width in (60, 80, 200):
        console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
        monkeypatch.setattr("lamscope.report.zoo.terminal", lambda console=console: console)
        show(frame, None)
        shown[width] = console.file.getvalue()
        assert "…" not in shown[width] and max(map(len, shown[width].splitlines())) <= width
    assert "channel attention" in shown[200] and "channel attention" not in shown[80]
    assert all("1234" in text and "global" in text and "shipped" in text for text in shown.values())

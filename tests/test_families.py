"""Width and depth families: plain overrides, each member a network of its own in files and records."""

from __future__ import annotations

import json
from importlib import resources

import pytest
import torch
import yaml

from lamscope.cli import main
from lamscope.config import compose
from lamscope.table import read_records
from lamscope.zoo import build

FAMILIES = {  # Gu & Dong 2021, figure 7c, and the list of its authors' networks
    "fig7c_fsrcnn": {(s, 6) for s in range(16, 129, 16)} | {(48, m) for m in range(2, 17, 2)},
    "fig7c_edsr": {(64, n) for n in range(10, 25, 2)} | {(w, 16) for w in range(32, 257, 32)},
}


@pytest.mark.parametrize("experiment", FAMILIES)
def test_the_sweep_is_the_papers_list(experiment):
    file = resources.files("lamscope.conf") / "experiment" / f"{experiment}.yaml"
    node = yaml.safe_load(file.read_text("utf-8"))
    members = yaml.safe_load(f"[{node['hydra']['sweeper']['params']['model.net'].replace(':', ': ')}]")
    assert {tuple(member.values()) for member in members} == FAMILIES[experiment]
    assert len(members) == len(FAMILIES[experiment])
    model = next(line.split(": ")[1] for line in file.read_text("utf-8").splitlines() if "override /model" in line)
    for member in members[:2]:
        with torch.device("meta"):
            build(compose([f"model={model}", *(f"model.net.{key}={value}" for key, value in member.items())]).model)


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["model=fsrcnn"], "fsrcnn"),
        (["model=fsrcnn", "model.net.depth=4"], "fsrcnn"),  # as it is anyway
        (["model=fsrcnn", "model.scale=2"], "fsrcnn"),  # records have the scale in a column of its own
        (["model=fsrcnn", "model.net.depth=2"], "fsrcnn+depth=2"),
        (["model=edsr", "model.net={width:32,n_blocks:8}"], "edsr+n_blocks=8+width=32"),
        (["model=srcnn", "model.net.kernels=[9,1,5]"], "srcnn+kernels=[9,1,5]"),
        (["model=fsrcnn", "model.net.depth=2", "model.name=mine"], "mine"),
    ],
)
def test_a_member_is_named_by_what_is_different(overrides, name):
    assert compose(overrides).model.name == name


def test_members_with_weights_of_their_own_keep_apart(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for s in (8, 16):
        config = compose(["model=fsrcnn_56_48_6", f"model.net.shrunk={s}", "model.net.depth=2"])
        torch.save(build(config.model).core.state_dict(), f"FSRCNN-{s}-2.pth")
    arguments = [
        *("experiment=fig7c_fsrcnn", "model.net={shrunk:8,depth:2},{shrunk:16,depth:2}", "dataset.limit=1"),
        *("model.weights='FSRCNN-${model.net.shrunk}-${model.net.depth}.pth'", "attribution.n_steps=3", "figures=[]"),
    ]
    assert main(["run", *arguments]) == 0
    shown = capsys.readouterr()
    assert "random" not in shown.err and "fsrcnn_8_2" in shown.out
    records = read_records("results/runs").set_index("model")
    assert sorted(records.index) == ["fsrcnn_16_2", "fsrcnn_8_2"]
    widths = {model: json.loads(net)["shrunk"] for model, net in records["net"].items()}
    assert widths == {"fsrcnn_16_2": 16, "fsrcnn_8_2": 8}
    assert records["n_parameters"].nunique() == 2  # counted, not what the YAML says of the network as published

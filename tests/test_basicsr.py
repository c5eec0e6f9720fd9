from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from lamscope.cli import main
from lamscope.config import ModelConfig, compose
from lamscope.models import basicsr
from lamscope.types import Window
from lamscope.zoo import attribute, load

needs_basicsr = pytest.mark.skipif(importlib.util.find_spec("basicsr") is None, reason="BasicSR is not installed")
OLD_NAME = "torchvision.transforms.functional_tensor"


@pytest.fixture
def torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that puts a torchvision of our making on the path: contents of its modules by path."""
    for name in [n for n in sys.modules if n == "torchvision" or n.startswith("torchvision.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(**modules: str) -> None:
        for name, code in modules.items():
            path = tmp_path / "torchvision" / f"{name.replace('__', '/', 1) if name != '__init__' else name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code)
        importlib.invalidate_caches()

    yield write
    for name in [n for n in sys.modules if n == "torchvision" or n.startswith("torchvision.")]:
        del sys.modules[name]


def test_an_old_torchvision_is_taken_as_it_is(torchvision):
    torchvision(__init__="", transforms____init__="", transforms__functional_tensor="origin = 'old'")
    with basicsr._torchvision():
        assert importlib.import_module(OLD_NAME).origin == "old"
    assert OLD_NAME in sys.modules  # torchvision's own module, not ours to remove


def test_a_renamed_module_is_found_under_its_old_name_and_only_during_the_import(torchvision):
    torchvision(__init__="", transforms____init__="", transforms___functional_tensor="origin = 'new'")
    with basicsr._torchvision():
        assert importlib.import_module(OLD_NAME).origin == "new"
    assert OLD_NAME not in sys.modules
    assert "torchvision" in sys.modules


def test_a_torchvision_that_cannot_load_is_replaced_and_the_replacement_removed(torchvision):
    torchvision(
        __init__="import torchvision.half\nraise RuntimeError('operator torchvision::nms does not exist')", half=""
    )
    with basicsr._torchvision():
        functional = importlib.import_module("torchvision.transforms.functional")
        image = torch.rand(3, 4, 5)
        expected = (image - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor([0.5, 1.0, 2.0]).view(3, 1, 1)
        assert torch.equal(functional.normalize(image, [0.1, 0.2, 0.3], [0.5, 1.0, 2.0]), expected)
        with pytest.raises(ImportError, match="torchvision"):
            importlib.import_module("torchvision.utils").make_grid(image)
    assert not [name for name in sys.modules if name.startswith("torchvision")]


@needs_basicsr
def test_basicsr_imports_here_and_leaves_no_stand_in():
    assert basicsr.load("basicsr.models").build_model
    ours = [n for n, m in sys.modules.items() if n.startswith("torchvision") and getattr(m, "__file__", None) is None]
    assert not ours


@needs_basicsr
def test_a_network_of_its_registry_runs_and_an_unknown_name_lists_what_there_is():
    net = basicsr.build_network(name="MSRResNet", num_in_ch=3, num_out_ch=3, num_feat=4, num_block=1, upscale=4)
    assert net(torch.rand(1, 3, 6, 5)).shape == (1, 3, 24, 20)
    with pytest.raises(ValueError, match="no network 'MSRResNot'; it has .*MSRResNet"):
        basicsr.build_network(name="MSRResNot")


@needs_basicsr
def test_a_network_of_its_registry_is_a_model_with_its_own_checkpoint(tmp_path: Path):
    """As a user's YAML names it: run whole, under BasicSR's own parameter names, and attributed."""
    options = {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 4, "num_block": 1, "upscale": 2}
    official = basicsr.build_network(name="MSRResNet", **options).eval()
    torch.save({"params": official.state_dict()}, tmp_path / "official.pth")
    node = {"_target_": "lamscope.models.basicsr.build_network", "name": "MSRResNet", **options}
    model = ModelConfig(name="mine", scale=2, net=node, weights=str(tmp_path / "official.pth"))
    net, _ = load(model, [], torch.device("cpu"), torch.float32)
    lr = torch.rand(1, 3, 9, 10, generator=torch.Generator().manual_seed(0))
    assert net.core.state_dict().keys() == official.state_dict().keys()
    assert torch.equal(net(lr), official(lr))
    a = attribute(net, lr[0], window=Window(y=4, x=6, size=8), overrides=["attribution.n_steps=3"])
    assert a.map.shape == (3, 9, 10) and a.map.abs().sum() > 0


@pytest.mark.slow
@needs_basicsr
def test_any_network_of_its_registry_runs_from_the_command_line(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 8, "num_block": 1, "res_scale": 0.5}
    torch.manual_seed(1)
    official = basicsr.build_network(name="EDSR", upscale=2, **options).eval()
    torch.save({"params_ema": official.state_dict()}, "net_g.pth")
    chosen = ["model=basicsr", "model.net.name=EDSR", "model.scale=2", "model.name=my_edsr", "model.weights=net_g.pth"]
    chosen += [f"+model.net.{key}={value}" for key, value in options.items()]
    net, origin = load(compose(chosen).model, [], torch.device("cpu"), torch.float32)
    lr = torch.rand(1, 3, 9, 10, generator=torch.Generator().manual_seed(0))
    assert torch.equal(net(lr), official(lr)) and origin.file == "net_g.pth"
    assert main(["run", *chosen, "dataset.limit=1", "attribution.n_steps=3", "figures=[]"]) == 0
    assert len(list(Path("results/runs").rglob("my_edsr-*.h5"))) == 1 and "my_edsr" in capsys.readouterr().out
    for wrong, said in [
        (["model.net.name=EDSRR", "model.weights=null"], "BasicSR has no network 'EDSRR'; it has "),
        (["model.net.name=EDSR", "model.weights=null"], "num_in_ch"),
        (["model.weights=net_g.pth"], "net_g.pth does not fit 'basicsr'"),
        ([], "There are no weights of 'basicsr' yet: give a file with model.weights=FILE"),
    ]:
        assert main(["run", "model=basicsr", *wrong]) == 2
        shown = capsys.readouterr().err
        assert said in shown and "Traceback" not in shown


def test_without_basicsr_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "basicsr", None)  # what Python itself uses to say: not importable
    with pytest.raises(ImportError, match="pip install --no-build-isolation basicsr"):
        basicsr.load()

"""LPIPS is the published one, is added to finished runs, and says in one line what it lacks."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cli import lamscope, save_image  # noqa: F401 (a fixture)

from lamscope import perceptual
from lamscope.metrics.lpips import BACKBONES, Lpips
from lamscope.report.gather import Part, gather
from lamscope.report.tables import markdown
from lamscope.scores import read_score, score_file
from lamscope.store import read_tensors, remove
from lamscope.table import ranking, read_records

# the authors' package, in a process of its own. Its torchvision may be built for another torch (one for CUDA beside one
# for a CPU), and then wants two operators declared before it can be imported
THEIRS = """
import json, sys, torch
try:
    import torchvision
except RuntimeError:
    for name in [n for n in sys.modules if n.startswith("torchvision")]:
        del sys.modules[name]
    declared = torch.library.Library("torchvision", "DEF")
    declared.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    declared.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import lpips
found = {}
for name in ("alex", "vgg"):
    state, one, other = torch.load(f"{name}.pt")
    net = lpips.LPIPS(net=name, pnet_rand=True, verbose=False).double()
    own = {k: v for k, v in net.net.state_dict().items()}
    net.net.load_state_dict({k: state["features." + k.partition(".")[2]] for k in own})
    found[name] = net(one, other, normalize=True).flatten().tolist()
print(json.dumps(found))
"""


def random_backbone(name, seed=0):
    """A classifier's state dict as torchvision names it, with more than LPIPS needs."""
    random = torch.Generator().manual_seed(seed)
    state = {
        key: torch.randn(value.shape, generator=random) / value[0].numel() ** 0.5
        for key, value in Lpips(name).state_dict().items()
        if key.startswith("features.")
    }
    return state | {"classifier.6.bias": torch.zeros(1000)}


@pytest.mark.slow
def test_it_is_the_authors(tmp_path):
    if importlib.util.find_spec("lpips") is None:
        pytest.skip("the lpips package is not installed: pip install 'lamscope[lpips]'")
    random, ours = torch.Generator().manual_seed(1), {}
    for name in BACKBONES:
        state = {key: value.double() for key, value in random_backbone(name).items()}
        one, other = torch.rand(2, 2, 3, 49, 37, generator=random, dtype=torch.float64)
        torch.save((state, one, other), tmp_path / f"{name}.pt")
        torch.save(state, tmp_path / f"{name}.pth")
        config = perceptual.MetricConfig(lpips_weights=str(tmp_path / f"{name}.pth"))
        net = perceptual.distance(config, torch.device("cpu")).net.double()
        ours[name] = net(one, other).tolist()
    done = subprocess.run([sys.executable, "-c", THEIRS], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    for name in BACKBONES:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-6)  # their constants are float32
        assert min(theirs[name]) > 0


@settings(max_examples=10)
@given(seed=st.integers(0, 2**31))
def test_it_is_a_distance_but_for_the_triangle(seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        net = Lpips("alex")
        for key, value in net.named_parameters():
            value.abs_() if key.startswith("lin") else None
        one, other = torch.rand(2, 1, 3, 32, 40)
        forth, back = net(one, other), net(other, one)
        assert forth > 0 and net(one, one) == 0
        torch.testing.assert_close(forth, back)
        both = net(torch.cat([one, other]), torch.cat([other, other]))
        torch.testing.assert_close(both, torch.cat([forth, torch.zeros(1)]))


def test_images_that_are_too_small_have_none():
    net = Lpips("alex")
    with pytest.raises(ValueError, match="needs 31 pixels"):
        net(torch.zeros(1, 3, 31, 30), torch.zeros(1, 3, 31, 30))
    assert net(torch.rand(1, 3, 31, 31), torch.rand(1, 3, 31, 31)).isfinite()
    black = np.zeros((20, 40, 3), np.uint8)
    assert np.isnan(perceptual.Perceptual("lpips_alex", net, {})(black, black))


@pytest.fixture
def weights(tmp_path):
    """Overrides that name a random AlexNet and random linear layers, as files of their kinds are laid out."""
    torch.save(random_backbone("alex"), tmp_path / "alex.pth")
    linear = {key: value.abs() for key, value in Lpips("alex").state_dict().items() if key.startswith("lin")}
    torch.save(linear, tmp_path / "linear.pth")
    return "metric.lpips_weights=alex.pth", "metric.lpips_linear=linear.pth"


RUN = ("run", "-m", "model=fsrcnn,edsr_lite", "dataset=folder", "dataset.path=images", "machine.device=cpu")
QUICK = ("attribution.n_steps=3", "figures=[psnr_vs_di]")


@pytest.mark.slow
def test_a_finished_run_is_given_its_lpips(lamscope, tmp_path, weights):  # noqa: F811
    for seed in range(2):
        save_image(tmp_path / "images" / f"{seed}.png", (64, 64), seed=seed)
    code, _, err = lamscope(*RUN, *QUICK)
    assert code == 0, err
    records = read_records(tmp_path / "results" / "runs")
    assert "lpips_alex" not in records and "lpips_alex" not in ranking(records)
    before = {file: file.stat().st_mtime_ns for file in map(type(tmp_path), records["file"])}
    code, _, err = lamscope(*RUN, *QUICK, *weights)
    assert code == 0 and "LPIPS by it is not the published one" in err
    assert all(file.stat().st_mtime_ns == then for file, then in before.items())  # no map was computed again
    fresh = read_records(tmp_path / "results" / "runs")
    row = fresh.iloc[0]
    images = read_tensors(row["file"], row["index"], ["sr", "hr"])
    net = Lpips("alex")
    state = torch.load(tmp_path / "alex.pth") | torch.load(tmp_path / "linear.pth")
    net.load_state_dict({key: value for key, value in state.items() if not key.startswith("classifier")})
    pair = [torch.from_numpy(images[k].astype(np.float32) / 255).permute(2, 0, 1)[None] for k in ("sr", "hr")]
    assert row["lpips_alex"] == pytest.approx(float(net(*pair)), rel=1e-6)
    table = ranking(fresh).set_index("model")
    assert table.loc["fsrcnn", "lpips_alex"] == pytest.approx(
        fresh[fresh["model"] == "fsrcnn"]["lpips_alex"].mean(), rel=1e-9
    )
    report = tmp_path / "results" / "report" / "images" / "lam"
    assert "LPIPS (AlexNet)" in (report / "ranking.md").read_text()
    assert (report / "lpips_vs_di-alex.png").stat().st_size > 5000
    other = fresh.assign(lpips_alex=np.nan)  # a part of results that was given none beside one that was
    assert "lpips_alex" not in ranking(other)
    some = fresh.assign(lpips_alex=fresh["lpips_alex"].where(fresh["model"] == "fsrcnn"))
    part = Part(some, ranking(some))
    assert [(suffix, set(data["model"])) for suffix, data in gather(part, {"data": "lpips"})] == [("-alex", {"fsrcnn"})]
    assert "| – |" in markdown(part.table, "T")

    cell = next(iter(before))
    written = score_file(cell, "lpips_alex").stat().st_mtime_ns
    assert lamscope(*RUN, *QUICK, *weights)[0] == 0
    assert score_file(cell, "lpips_alex").stat().st_mtime_ns == written  # nor is it computed twice
    torch.save(random_backbone("alex", seed=1), tmp_path / "alex.pth")
    assert lamscope(*RUN, *QUICK, *weights)[0] == 0
    assert read_score(cell, "lpips_alex")[1] != dict(zip(fresh["index"], fresh["lpips_alex"], strict=False))
    score_file(cell, "lpips_alex").write_text("{")
    code, _, err = lamscope("report", "results/runs")
    assert code == 2 and "is damaged; remove it" in err
    remove(cell)
    assert not score_file(cell, "lpips_alex").exists()


def test_psnr_has_it_where_it_is_asked_for(lamscope, tmp_path, weights):  # noqa: F811
    save_image(tmp_path / "images" / "0.png", (64, 64))
    psnr = ("run", "experiment=psnr", "model=fsrcnn", "dataset=folder", "dataset.path=images", "machine.device=cpu")
    code, out, err = lamscope(*psnr, *weights)
    assert code == 0, err
    assert "LPIPS (AlexNet)" in out and "nothing shaved" in out
    frame = pd.read_csv(tmp_path / "results" / "tables" / "psnr_images.csv").set_index("network")
    assert (frame["lpips_alex"] > 0).all() and set(frame.index) == {"bicubic ×4", "fsrcnn"}


@pytest.mark.slow
def test_what_it_lacks_is_said_before_the_run(lamscope, tmp_path, weights, monkeypatch):  # noqa: F811
    save_image(tmp_path / "images" / "0.png", (64, 64))
    torch.save({"features.0.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "alex.pth").read_bytes()[:5000])
    monkeypatch.setattr(perceptual.importlib.util, "find_spec", lambda name: None)
    backbone, linear = weights
    for words, fragment in [
        ([backbone], "pip install 'lamscope[lpips]'"),
        ([linear], "add metric.lpips_weights=FILE"),
        (["metric.lpips_weights=nowhere.pth"], "no file 'nowhere.pth' for metric.lpips_weights: it is alexnet-owt"),
        (["metric.lpips_weights=other.pth"], "other.pth is neither AlexNet nor VGG16"),
        (["metric.lpips_weights=cut.pth"], "cut.pth is not"),
        ([backbone, "metric.lpips_linear=nowhere.pth"], "no file 'nowhere.pth' for metric.lpips_linear"),
        ([backbone, "metric.lpips_linear=alex.pth"], "does not fit 'LPIPS (alex)': missing lin0.model.1.weight"),
    ]:
        code, _, err = lamscope("run", "model=fsrcnn", *RUN[3:], *QUICK, *words)
        assert code == 2 and fragment in err and err.count("\n") == 1, err
    assert not (tmp_path / "results").exists()

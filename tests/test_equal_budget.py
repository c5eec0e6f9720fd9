"""From trainings to the numbers of equal budget, by the real commands."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lamscope import cli, weights
from lamscope.config import compose, read_model
from lamscope.equal_budget import analysis, trained
from lamscope.equal_budget.settings import EqualBudget
from lamscope.types import UserError

needs_basicsr = pytest.mark.skipif(importlib.util.find_spec("basicsr") is None, reason="BasicSR is not installed")
HERE = ["machine.device=cpu", "machine.threads=1", "machine.progress=none"]


@needs_basicsr
@pytest.mark.slow
def test_from_trainings_to_numbers(photos: Path, tmp_path: Path, capsys):
    """Three networks, one of them twice, one that is not trained, one unfinished: everything is somewhere.

    By a recipe of another name, so that no weights that ship stand for one of them.
    """
    short = ["train=lite", "train.name=mini", "train.updates=2", "train.batch=1", "train.patch=6"]
    places = ["train.n_validation=1", *HERE[:2], f"train.images={photos}", f"results={tmp_path}"]
    train = ["train", "-m", *short, *places]
    assert cli.main([*train, "model=fsrcnn_lite", "seed=0,1"]) == 0
    assert cli.main([*train, "model=srcnn_lite,espcn_lite"]) == 0
    assert cli.main([*train, "model=pan_lite", "train.minutes=1e-9", "seed=1"]) == 0
    capsys.readouterr()

    models = "model=fsrcnn_lite,srcnn_lite,espcn_lite,pan_lite"
    common = [models, "trial.recipe=mini", "trial.seeds=[0,1]", f"trial.runs={tmp_path / 'train'}"]
    common += [f"results={tmp_path / 'out'}", *HERE]
    small = ["dataset=folder", f"dataset.path={photos}"]
    run = ["run", "experiment=equal_budget", *common, *small, "attribution.n_steps=3"]
    for _ in range(2):  # again: nothing is computed twice, and the numbers are the same
        assert cli.main(run) == 0
        said = capsys.readouterr().out
        assert "Equal budget: 3 networks, 4 runs, 3 images of photos" in said and "Not trained yet: pan_lite." in said
    folder = tmp_path / "out/equal_budget/photos"
    table = pd.read_csv(folder / "networks.csv")
    assert sorted(table["run"]) == ["espcn_lite", "fsrcnn_lite", "fsrcnn_lite#1", "srcnn_lite"]
    assert (np.diff(table["di"]) <= 0).all() and (table["r90"] >= table["r50"]).all()
    found = pd.read_csv(folder / "correlations.csv")
    every = found[(found["scope"] == "all") & (found["x"] == "ln_di") & (found["y"] == "psnr_y")].set_index("kind")
    one = table[table["seed"] == 0]
    assert every.loc["pearson", "value"] == pytest.approx(np.corrcoef(np.log(one["di"]), one["psnr_y"])[0, 1])
    assert set(every["n"]) == {3} and {"all, seeds averaged", "within images, all"} <= set(found["scope"])
    spread = pd.read_csv(folder / "spread.csv").set_index(["scope", "quantity"]).loc["all"]
    twice = table[table["network"] == "fsrcnn_lite"]
    assert spread.loc["psnr_y", "over_seeds"] == pytest.approx(twice["psnr_y"].std())
    assert (folder / "psnr_vs_di.png").stat().st_size > 10_000 and list(folder.glob("lam/area_of_interest*.png"))

    assert cli.main(["run", "experiment=equal_budget_quality", *common, *small]) == 0
    quality = pd.read_csv(tmp_path / "out/equal_budget/quality.csv").set_index(["network", "seed"])
    assert len(quality) == 6 and quality.loc[("pan_lite", 0), "state"] == "not trained yet"
    assert quality.loc[("pan_lite", 1), ["state", "updates"]].tolist() == ["unfinished", 1]
    assert quality.loc[("fsrcnn_lite", 1), "state"].startswith("below bicubic on photos: see curves/fsrcnn_lite-seed1")
    assert (tmp_path / "out/equal_budget/curves/fsrcnn_lite-seed1.csv").is_file()
    assert quality.loc[("espcn_lite", 0), "updates"] == 2

    settings = EqualBudget(recipe="mini", seeds=[0], runs=str(tmp_path / "train"))
    assert trained.find(read_model("pan_lite"), 1, settings) is None  # unfinished
    assert trained.find(read_model("fsrcnn_lite"), 2, settings) is None


@pytest.mark.parametrize("name", [n for n in ("edsr_lite", "rcan_lite") if read_model(n).checkpoint.shipped])
def test_weights_that_ship_stand_for_their_seed_alone(name: str):
    model, settings = read_model(name), EqualBudget(recipe="lite", seeds=[0])
    found = trained.find(model, 0, settings)
    assert found is not None and found.file == weights.find(model) and found.said["seed"] == "0"
    assert trained.find(model, 1, settings) is None
    assert trained.find(model, 0, EqualBudget(recipe="other", seeds=[0])) is None  # trained by another recipe


def test_nothing_trained_is_one_line(tmp_path: Path, capsys):
    run = ["run", "experiment=equal_budget", "model=espcn_lite", "trial.seeds=[7]", f"results={tmp_path}", *HERE]
    assert cli.main(run) == 2 and "None of these networks is trained" in capsys.readouterr().err
    with pytest.raises(UserError, match="no folder of training runs"):
        trained.settings_of(compose(["experiment=equal_budget", f"trial.runs={tmp_path / 'none'}"]))


def test_one_run_a_network_is_its_lowest_seed():
    table = pd.DataFrame({"network": ["a", "b", "a", "a"], "seed": [2, 1, 0, 1]})
    assert analysis.one_each(table).tolist() == [False, True, True, False]

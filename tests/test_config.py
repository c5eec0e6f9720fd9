"""Composing: from Python, within another Hydra application, and what a typo answers."""

import pytest
from hydra.core.global_hydra import GlobalHydra

from lamscope.config import compose, explain, instantiate, options, read_model
from lamscope.types import UserError


def test_compose_gives_dataclasses_and_leaves_hydra_as_it_was():
    class Application:
        pass

    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().hydra = application = Application()
    try:
        config = compose(["model=edsr_lite", "model.net.width=24", "seed=3"])
        assert GlobalHydra.instance().hydra is application
    finally:
        GlobalHydra.instance().hydra = before
    assert (config.model.name, config.model.net["width"], config.seed) == ("edsr_lite+width=24", 24, 3)
    assert type(config.model.net) is dict


LITE = [pytest.param(name, marks=pytest.mark.slow) for name in options("model") if name.endswith("_lite")]


@pytest.mark.parametrize(
    "name", [*(name for name in options("model") if not name.endswith("_lite")), *LITE, "edsr_lite"]
)
def test_a_model_read_alone_is_the_model_composed(name):
    assert read_model(name) == compose([f"model={name}"]).model


MEASURING = {"psnr", "quickstart", "fig7c_edsr", "fig7c_fsrcnn"}  # and a plain run


@pytest.mark.parametrize("names", [["psnr", "table1"], pytest.param(options("experiment"), marks=pytest.mark.slow)])
def test_what_measures_no_lpips_refuses_its_settings(names):
    weights = "metric.lpips_weights=alexnet.pth"
    assert [name for name in names if _accepts([f"experiment={name}", weights])] == [n for n in names if n in MEASURING]
    assert _accepts([weights]) and not _accepts(["task=speed", "metric.lpips_linear=linear.pth"])


def _accepts(overrides):
    try:
        return bool(compose(overrides))
    except UserError as error:
        if "measures no LPIPS: leave out metric.lpips_weights" in str(error):
            return False
        raise


def test_a_scale_reaches_the_network():
    assert compose(["model=edsr_lite", "model.scale=2"]).model.net["scale"] == 2


@pytest.mark.parametrize("group", ["model", "dataset", "attribution", "experiment", "train", "machine", "figure"])
def test_every_group_has_options(group):
    assert options(group)


def test_a_typo_in_a_yaml_names_file_and_key(tmp_path):
    error = Exception(
        "In 'model/mine': ConfigKeyError raised\nKey 'famly' not in 'ModelConfig'\n    full_key: model.famly"
    )
    assert explain(error) == "There is no setting 'model.famly' (model/mine.yaml). Did you mean 'model.family'?"


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "lamscope.data.FolderDataset", "pth": "x"},
        {"_target_": "lamscope.nowhere.Thing"},
        {
            "_target_": "lamscope.attribution.paths.GaussianBlur",
            "sigma": 0,
            "kernel_size": 9,
            "speed": "sigma",
            "arithmetic": "image",
        },
    ],
)
def test_what_cannot_be_built_is_one_line(node):
    with pytest.raises(UserError) as caught:
        instantiate(node)
    assert "\n" not in str(caught.value)

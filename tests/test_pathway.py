"""What happens along a path, the photographs that are swapped in, and the figures of both and of the trial."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from lamscope.config import compose, instantiate
from lamscope.figures import criterion, path, style
from lamscope.pathway import conclude, measure, summary
from lamscope.references import Photos
from lamscope.report.benchmark import command_of
from lamscope.trial.verdict import QUESTIONS, curves, judge
from lamscope.types import UserError

matplotlib.use("Agg")


def steps(gradient, scores, contribution):
    n = len(gradient)
    return pd.DataFrame(
        {"model": "net", "image": "i", "path": "p", "alpha": np.arange(1, n + 1) / n, "score": scores[1:],
         "baseline_score": scores[0], "gradient": gradient, "speed": np.ones(n), "contribution": contribution}
    )  # fmt: skip


def test_summary_by_hand():
    (row,) = summary(steps([1.0, 1, 2, 0], [0.0, 1, 4, 4, 4], [1.0, 2, 0, 0])).to_dict("records")
    # |gradient| is (1/4, 1/4, 1/2, 0) and the change of D (1/4, 3/4, 0, 0); half of it is done at the second step
    assert (row["saturation"], row["half_at"], row["gap"]) == (pytest.approx(0.5), 0.5, pytest.approx(0.25))
    (flat,) = summary(steps([1.0, 1], [2.0, 2, 2], [0.0, 0])).to_dict("records")
    assert np.isnan(flat["half_at"]) and np.isnan(flat["gap"])


def test_every_path_ends_in_the_image_and_is_complete(tmp_path):
    settings = ["experiment=path", "model=fsrcnn", "dataset=shipped", "dataset.limit=1", "trial.n_steps=20"]
    config = compose([*settings, f"results={tmp_path}"])
    (one,) = measure(config)
    assert list(one.images) == ["blur, σ", "blur, arc length", "linear from blur", "linear from black"]
    ends = [frames[-1] for frames in one.images.values()]
    for end in ends[1:]:
        np.testing.assert_allclose(end, ends[0], atol=1e-5)
    assert one.images["linear from black"][0].max() == 0
    np.testing.assert_allclose(one.images["blur, σ"][0], one.images["linear from blur"][0], atol=1e-6)
    found = summary(one.steps).set_index("path")
    np.testing.assert_allclose(found["score"], found["score"].iloc[0], rtol=1e-5)
    assert (found["gap"] < 0.15).all() and found["saturation"].between(0, 1).all()
    conclude(config, [[one]])
    written = pd.read_csv(tmp_path / "tables" / "path_steps.csv")
    pd.testing.assert_frame_equal(written, one.steps)
    assert sorted(file.suffix for file in (tmp_path / "figures" / "path").iterdir()) == [".pdf", ".png"]
    drawn = style.page(path.draw(one.steps, one.images, one.shown))
    assert len(drawn.axes) == 4 * (5 + 3)
    assert [ax.get_title() for ax in drawn.axes[:5]] == ["α = 0", "0.25", "0.5", "0.75", "1"]


def photos(files=("astronaut.png", "chelsea.png"), scale=4):
    return Photos(root="skimage", files=list(files), scale=scale)


def test_photos_are_crops_that_repeat_with_the_seed():
    found = photos().crops(20, 24, 3, seed=1)
    assert found.shape == (3, 20, 24, 3) and found.dtype == np.uint8
    assert np.array_equal(found, photos().crops(20, 24, 3, seed=1))
    assert not np.array_equal(found, photos().crops(20, 24, 3, seed=2))
    assert not np.array_equal(found[0], found[1])  # the files take turns


def test_a_crop_larger_than_the_photograph_is_reflected():
    (whole,) = photos(["astronaut.png"]).crops(128, 128, 1, seed=0)  # 512 pixels a quarter of the size
    (large,) = photos(["astronaut.png"]).crops(128, 140, 1, seed=0)
    np.testing.assert_array_equal(large[:, :128], whole)
    np.testing.assert_array_equal(large[:, 128:], whole[:, ::-1][:, :12])


def test_a_photograph_that_is_not_there_is_named():
    with pytest.raises(UserError, match="nothing.png"):
        photos(["nothing.png"]).crops(8, 8, 1, seed=0)
    assert isinstance(instantiate(compose(["attribution=patch_swap"]).attribution).references, Photos)


def trial_rows():
    random = np.random.default_rng(0)
    rows = [
        {"model": model, "method": method, "image": f"i{k}", "criterion": name, "x": x, "value": random.uniform(),
         "status": "ok", "reason": ""}
        for name in ("deletion blur", "deletion swap", "randomisation") for model in ("a", "b")
        for method in ("lam", "gradient", "control: random") for k in range(6) for x in (0.1, 1.0, np.nan)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_criterion_figure_shows_every_method_in_order_with_its_interval():
    rows = trial_rows()
    details, question = judge(rows), QUESTIONS["deletion blur"]
    ax = criterion.draw(details, rows, "deletion blur", question.title, question.better)
    part = details[details["criterion"] == "deletion blur"].sort_values("mean", ascending=False)
    assert [t.get_text() for t in ax.get_yticklabels()] == part["method"].tolist()
    spans = [line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 2]
    np.testing.assert_allclose(spans, part[["low", "high"]])
    assert "larger is better" in ax.get_xlabel()


def test_curves_and_cascade_show_means_over_images_and_networks():
    rows = trial_rows()
    style.page(criterion.draw_curves(rows, "deletion"))
    fig = style.page(criterion.draw_cascade(rows))
    found = curves(rows).query("criterion == 'randomisation' and method == 'lam'")
    assert (found["n_images"] == 6).all()
    for ax, model in zip(fig.axes, ("a", "b"), strict=True):
        lam = ax.lines[2]  # drawn last, over the others
        mean = rows[(rows["criterion"] == "randomisation") & (rows["method"] == "lam") & (rows["model"] == model)]
        np.testing.assert_allclose(lam.get_xdata(), [0, 10, 100])
        np.testing.assert_allclose(lam.get_ydata(), [1, *mean.groupby("x")["value"].mean()])
        np.testing.assert_allclose(lam.get_ydata()[1:], found.loc[found["model"] == model, "mean"])


def test_criterion_figure_has_a_place_for_rounding_and_for_what_is_not_defined():
    values = {"lam": 0.5, "cam": 1e-4, "control: random": 2e-16, "ig": np.nan}
    rows = pd.DataFrame(
        {"model": "a", "method": method, "image": f"i{k}", "criterion": "robustness", "x": np.nan,
         "value": value * (1 + k / 100), "status": "ok" if value > 0 else "not applicable", "reason": "why"}
        for method, value in values.items() for k in range(6)
    )  # fmt: skip
    ax = criterion.draw(judge(rows), rows, "robustness", "T", -1)
    assert ax.get_xscale() == "log" and [t.get_text() for t in ax.texts] == ["0"]
    assert ax.get_xlabel() == "T\nsmaller is better; not defined for ig"
    left = ax.get_xlim()[0]
    assert 0 < left < 1e-4 and ax.lines[0].get_xdata()[0] == left  # the best, on top
    rows.loc[rows["method"] == "cam", "value"] -= 2e-4  # an interval below 0 has no place on a logarithmic axis
    assert criterion.draw(judge(rows), rows, "robustness", "T", -1).get_xscale() == "linear"


@pytest.mark.parametrize(
    ("dataset", "where"),
    [(["dataset=folder", "dataset.path=x", "dataset.limit=3"], "folder dataset.path=FOLDER dataset.limit=3"),
     (["dataset=hdf5", "dataset.path=x.h5"], "hdf5 dataset.path=FILE"),
     (["dataset=pairs", "dataset.path=x", "dataset.lr_path=y"], "pairs dataset.path=FOLDER dataset.lr_path=FOLDER"),
     (["dataset=shipped"], "shipped"), (["dataset=set5"], "set5")],
)  # fmt: skip
def test_a_table_says_the_command_that_made_it(dataset, where):
    said = command_of("methods", ["imdn", "pan"], compose(dataset).dataset)
    assert said == f"lamscope run experiment=methods model=imdn,pan machine.weights=FOLDER dataset={where}"

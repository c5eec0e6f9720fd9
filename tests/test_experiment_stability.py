"""experiment=stability: what is tried, and that DI is a share of the frame where effective pixels are a count."""

import json

import numpy as np
import pandas as pd
import pytest
from test_cli import lamscope, save_image  # noqa: F401 (a fixture)

from lamscope.config import compose, instantiate
from lamscope.stability import FACTORS, LR_SIDES, choices
from lamscope.types import Sample, UserError, Window


def sample(side=64):
    hr = np.random.default_rng(0).integers(0, 256, (4 * side, 4 * side, 3), np.uint8)
    return Sample(0, "a", hr, hr[::4, ::4].copy(), 4, (Window(3, 4 * side - 20, 16),))


def test_every_choice_fits_and_looks_at_the_same_content():
    method = instantiate(compose(["attribution=lam"]).attribution)
    tried = list(choices(sample(), method))
    assert {factor for factor, *_ in tried} == set(FACTORS)
    for factor, _, other, window, _ in tried:
        side = 4 * other.lr.shape[0]
        assert min(window.y, window.x) >= 0 and max(window.y, window.x) + window.size <= side - 1
        assert other.hr.shape[0] == side
        if factor == "LR size":
            inside = np.s_[window.y : window.y + 16, window.x : window.x + 16]
            np.testing.assert_array_equal(other.hr[inside], sample().hr[3:19, 236:252])
    with pytest.raises(UserError, match="64×64"):
        next(choices(sample(32), method))


@pytest.mark.slow
def test_the_command_shows_that_the_frame_decides(lamscope, tmp_path):  # noqa: F811
    save_image(tmp_path / "images" / "a.png", (256, 256))
    code, out, err = lamscope(
        "run", "experiment=stability", "model=fsrcnn,edsr_lite", "dataset.path=images", "dataset.window.mode=centre"
    )
    assert code == 0, err
    kept = sorted((tmp_path / "results" / "stability" / "images").iterdir())
    assert [file.name.split("-")[0] for file in kept] == ["edsr_lite", "fsrcnn"]
    table = pd.read_csv(tmp_path / "results" / "tables" / "stability.csv")
    size = table[table["part"].str.startswith("LR size")]
    shares, counts = size[: len(LR_SIDES)], size[len(LR_SIDES) :]
    expected = (64 / np.array(LR_SIDES)) ** 2
    np.testing.assert_allclose(
        shares.fsrcnn / shares.fsrcnn.iloc[-1], expected, rtol=0.03
    )  # the reference adds 1e-7 to every pixel
    np.testing.assert_allclose(counts.fsrcnn, counts.fsrcnn.iloc[-1], rtol=1e-4)
    assert (tmp_path / "results" / "figures" / "stability.png").stat().st_size > 10_000
    assert "must not be compared" in out
    for file in kept:  # so that it shows whether anything is computed again
        file.write_text(json.dumps([row | {"di": 2 * row["di"]} for row in json.loads(file.read_text())]))
    code, _, _ = lamscope(
        "run", "experiment=stability", "model=fsrcnn,edsr_lite", "dataset.path=images", "dataset.window.mode=centre"
    )
    again = pd.read_csv(tmp_path / "results" / "tables" / "stability.csv")
    assert code == 0
    np.testing.assert_allclose(again.fsrcnn[: len(LR_SIDES)], 2 * table.fsrcnn[: len(LR_SIDES)])

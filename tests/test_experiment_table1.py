"""experiment=table1: the paper's rows beside what was measured, each network where it may be compared."""

import pandas as pd
import pytest
from test_cli import lamscope, save_image  # noqa: F401 (a fixture)

from lamscope.config import read_model
from lamscope.table1 import ROWS


@pytest.mark.slow
def test_the_command_fills_what_it_can(lamscope, tmp_path):  # noqa: F811
    for i in range(3):
        save_image(tmp_path / "images" / f"{i}.png", (96, 96), seed=i)
    code, out, err = lamscope(
        "run", "experiment=table1", "model=fsrcnn,rcan,espcn_y,srcnn_915_x2_y", "dataset.path=images",
        "attribution.n_steps=3",
    )  # fmt: skip
    assert code == 0, err
    table = pd.read_csv(tmp_path / "results" / "tables" / "table1_images.csv")
    paper = table[table["part"] == "Table 1"].set_index("model")
    assert list(paper.index) == list(ROWS)
    assert paper.di_paper["san"] == 18.642 and paper.psnr_paper["rcan"] == 22.20 and paper.di.isna().all()
    rule = {name: int(field) for name, (field, _) in ROWS.items() if field != "global"}
    assert {name: paper.field_rule[name] for name in rule} == rule
    lite = table[table["part"].str.startswith("Lite")].set_index("model")
    assert list(lite.index) == ["fsrcnn"] and 0 < lite.di["fsrcnn"] < 100 and lite.field_measured["fsrcnn"] == 15
    assert "3 of images, LR 24×24" in out and "photos_crops480" in out


def test_every_row_of_the_paper_has_its_numbers():
    assert len(ROWS) == 10
    assert all(set(read_model(name).published["lam_table1"]) >= {"psnr", "di"} for name in ROWS)

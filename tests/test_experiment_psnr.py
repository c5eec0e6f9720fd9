"""experiment=psnr: measured beside published, and what is said of a difference."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from test_cli import lamscope, save_image  # noqa: F401 (a fixture)

from lamscope.data import FolderDataset
from lamscope.metrics.fidelity import psnr, to_image
from lamscope.psnr import _beside
from lamscope.report.paper import Column, PaperTable, csv, latex, markdown
from lamscope.zoo import load_model


@pytest.mark.parametrize(
    ("psnr_y", "psnr_y8", "note", "remark"),
    [
        (30.0049, 29.99, None, ""),
        (30.02, 30.01, None, ""),
        (30.03, 30.01, None, "published with 8-bit luminance (PSNR-Y8)"),
        (30.03, 30.03, "other weights", "other weights"),
        (29.90, 29.89, None, "reason unknown"),
    ],
)
def test_a_difference_is_remarked_beyond_the_tolerance(psnr_y, psnr_y8, note, remark):
    found = _beside({"psnr_y": psnr_y, "psnr_y8": psnr_y8}, [30.0, 0.9], note)
    assert found["remark"] == remark
    assert found["difference"] == pytest.approx(psnr_y - 30, abs=0.006) and found["published_ssim"] == 0.9
    assert _beside({"psnr_y": 30.0}, None, note) == {}


def test_the_command_measures_what_is_here_and_says_what_is_not(lamscope, tmp_path):  # noqa: F811
    for i, size in enumerate(((64, 48), (50, 71))):
        save_image(tmp_path / "images" / f"{i}.png", size, seed=i)
    code, out, err = lamscope(
        "run", "experiment=psnr", "model=fsrcnn,imdn", "dataset=folder", "dataset.path=images", "machine.device=cpu"
    )
    assert code == 0, err
    frame = pd.read_csv(tmp_path / "results" / "tables" / "psnr_images.csv").set_index("network")
    net = load_model("fsrcnn", device="cpu")
    expected = []
    for sample in FolderDataset(path=tmp_path / "images").samples(4):
        with torch.no_grad():
            sr = net(torch.from_numpy(sample.lr).permute(2, 0, 1)[None].float() / 255)[0]
        expected.append(psnr(to_image(sr), sample.hr, shave=4, channels="rgb"))
    assert frame.psnr_rgb["fsrcnn"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert "bicubic ×4" in frame.index and np.isnan(frame.published_psnr["fsrcnn"])
    assert "No weights here, so not measured: imdn." in out and "LPIPS" not in out
    assert (tmp_path / "results" / "tables" / "psnr_images.tex").read_text().count(r"\midrule") == 2
    code, _, err = lamscope("run", "experiment=psnr", "model=imdn", "dataset=folder", "dataset.path=images")
    assert code == 2 and "machine.weights=FOLDER" in err


@pytest.mark.slow
def test_a_stopped_command_goes_on(lamscope, tmp_path):  # noqa: F811
    save_image(tmp_path / "images" / "0.png", (64, 48))
    command = ("run", "experiment=psnr", "dataset=folder", "dataset.path=images", "machine.device=cpu")
    assert lamscope(*command, "model=fsrcnn")[0] == 0
    table = tmp_path / "results" / "tables" / "psnr_images.csv"
    first = pd.read_csv(table)
    (kept,) = (tmp_path / "results" / "psnr" / "images").iterdir()
    scores = json.loads(kept.read_text())
    kept.write_text(json.dumps(scores | {"psnr_rgb": 99.0}))  # so that it shows whether it was computed again
    assert lamscope(*command, "model=fsrcnn,edsr_lite")[0] == 0
    frame = pd.read_csv(table).set_index("network")
    assert frame.psnr_rgb["fsrcnn"] == 99 and 0 < frame.psnr_rgb["edsr_lite"] < 99
    assert lamscope(*command, "model=fsrcnn", "on_existing=fail")[0] == 2
    assert lamscope(*command, "model=fsrcnn", "on_existing=redo")[0] == 0
    pd.testing.assert_frame_equal(pd.read_csv(table), first)
    kept.write_text("{")
    code, _, err = lamscope(*command, "model=fsrcnn")
    assert code == 2 and "is damaged; remove it" in err
    kept.unlink()
    save_image(tmp_path / "images" / "0.png", (64, 48), seed=1)
    assert lamscope(*command, "model=fsrcnn")[0] == 0
    assert pd.read_csv(table).psnr_rgb[0] != first.psnr_rgb[0]  # another image is another computation


@pytest.mark.shared
@pytest.mark.slow
def test_imdn_reaches_its_published_scores(lamscope, tmp_path, shared):  # noqa: F811
    code, _, err = lamscope(
        "run", "experiment=psnr", "model=imdn", "dataset=set5", f"machine.weights={shared / 'weights'}",
        f"machine.data={shared / 'data'}",
    )  # fmt: skip
    assert code == 0, err
    frame = pd.read_csv(tmp_path / "results" / "tables" / "psnr_set5.csv").set_index("network")
    assert abs(frame.difference["imdn"]) <= 0.01 and abs(frame.difference["bicubic ×4"]) <= 0.011
    assert frame.ssim_y["imdn"] == pytest.approx(frame.published_ssim["imdn"], abs=2e-4)


def test_one_table_three_ways():
    columns = [Column("a", "net_work"), Column("b", "gain & loss %", "+.2f"), Column("n", "n", "d")]
    frame = pd.DataFrame({"a": ["x_1", None], "b": [-1.234, np.nan], "n": [3, 4]})
    table = PaperTable("T", "lamscope run", columns, [("first", frame), ("second", frame[:1])], ["a note"])
    assert "| x_1 | −1.23 | 3 |" in markdown(table) and "| – | – | 4 |" in markdown(table)
    assert markdown(table).endswith("- a note\n")
    tex = latex(table)
    assert r"net\_work & gain \& loss \% & n \\" in tex and r"x\_1 & $-$1.23 & 3 \\" in tex
    assert r"\multicolumn{3}{l}{\emph{second}} \\" in tex and r"\begin{tabular}{lrr}" in tex
    assert csv(table).splitlines()[1] == "first,x_1,-1.234,3" and len(csv(table).splitlines()) == 4

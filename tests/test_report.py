"""The report: what it writes for which runs, what it prints where, and what it refuses."""

from __future__ import annotations

import importlib
import io
import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from test_figures import make_records

from lamscope.cli import main
from lamscope.config import options
from lamscope.maps import choose, entries
from lamscope.metrics.concentration import diffusion_index
from lamscope.report import read_figure, report
from lamscope.report.gather import GATHERERS
from lamscope.report.tables import markdown
from lamscope.report.terminal import count, print_ranking, rich_table
from lamscope.store import CellWriter
from lamscope.table import ranking, read_records
from lamscope.types import UserError

SIDE = 12  # LR pixels


def write_cell(folder, model, images=3, attribution="lam", broken=()):
    """One finished cell as a run leaves it: `images` images with two windows each."""
    labels = {
        "model": model,
        "family": "residual",
        "n_parameters": 1234567,
        "channels": "rgb",
        "dataset": "made",
        "attribution": attribution,
        "detector": "rgb",
        "seed": 0,
        "digest": model,
    }
    reach = 1 + len(model)
    with CellWriter(folder / "made" / attribution / f"{model}.h5", {"digest": model}, images, labels) as writer:
        for index in range(images):
            g = np.random.default_rng(index)
            hr = g.integers(0, 256, (4 * SIDE, 4 * SIDE, 3), np.uint8)
            far = np.hypot(*np.indices((SIDE, SIDE)) - SIDE / 2)
            maps = np.stack([np.exp(-far / (reach + index + w)) * np.ones((3, 1, 1)) for w in (0, 1)])
            rows = [
                {
                    "image": f"picture {index}",
                    "index": index,
                    "window_y": 8 + 16 * w,
                    "window_x": 12,
                    "window_size": 8,
                    "lr_h": SIDE,
                    "lr_w": SIDE,
                    "scale": 4,
                    "di": diffusion_index(maps[w]),
                    "psnr_y": 20.0 + reach,
                    "psnr_rgb": 19.0 + reach,
                    "ssim_y": 0.5,
                    "status": "nan" if index in broken else "ok",
                }
                for w in (0, 1)
            ]
            tensors = {"hr": hr, "lr": hr[::4, ::4].copy(), "sr": hr[::-1].copy(), "map": maps.astype(np.float32)}
            writer.write(index, f"picture {index}", tensors, rows)
        writer.finish()


def test_a_report_has_a_ranking_tables_and_figures(tmp_path, capsys):
    write_cell(tmp_path / "runs", "fsrcnn")
    write_cell(tmp_path / "runs", "pan", broken=[1])
    written = report(tmp_path / "runs", tmp_path / "out", ["lam_grid", "di_per_image"])
    folder = tmp_path / "out" / "made" / "lam"
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in written)
    names = {p.name for p in written}
    assert {"ranking.csv", "ranking.md", "records.csv", "di_per_image.png", "di_per_image.pdf"} <= names
    # picture 1 is not in the grids, because one network lacks it
    assert sorted(n for n in names if n.startswith("lam_grid") and n.endswith(".png")) == [
        "lam_grid-picture_0.png",
        "lam_grid-picture_2.png",
    ]
    table = pd.read_csv(folder / "ranking.csv")
    assert list(table["model"]) == ["fsrcnn", "pan"] and (table["n_images"] == 2).all()
    said = capsys.readouterr().out
    assert "made, lam (RGB detector): 2 images of 12×12 LR pixels, ×4" in said
    assert "pan lacks 2 of 6 windows" in said and str(folder) in said
    assert "\x1b" not in said
    assert "pan lacks" in (folder / "ranking.md").read_text("utf-8")


def test_methods_are_reported_apart_and_without_figures_if_none_are_asked_for(tmp_path):
    for attribution in ("lam", "lam_paper"):
        write_cell(tmp_path / "runs", "fsrcnn", images=1, attribution=attribution)
    written = report([tmp_path / "runs"], tmp_path / "out", [])
    assert {p.parent.name for p in written} == {"lam", "lam_paper"}
    assert {p.suffix for p in written} == {".csv", ".md"}


def test_what_cannot_be_reported_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"Unknown figure 'lam_gird'\. Did you mean 'lam_grid'\?"):
        report(tmp_path, tmp_path / "out", ["lam_gird"])
    with pytest.raises(UserError, match="no finished results"):
        report(tmp_path, tmp_path / "out", [])
    with pytest.raises(UserError, match="no such folder"):
        report(tmp_path / "absent", tmp_path / "out", [])
    write_cell(tmp_path / "runs", "fsrcnn", images=1, broken=[0])
    with pytest.raises(UserError, match="no finished results"):
        report(tmp_path / "runs", tmp_path / "out", ["lam_grid"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", options("figure"))
def test_each_figure_has_a_module_that_draws_and_says_what_from(name):
    node = read_figure(name)
    package, module, function = node["_target_"].rsplit(".", 2)
    assert package == "lamscope.figures" and function == "draw"
    assert callable(importlib.import_module(f"{package}.{module}").draw)
    assert node.get("data", "records") in GATHERERS


def test_grids_show_the_smallest_the_median_and_the_largest_image():
    records = make_records(3, 9, windows=2)
    highest = records.groupby("image")["di"].max().sort_values()
    places = choose(records, ["net02", "net00", "net01"], 3)
    assert [p.image for p in places] == [highest.index[0], highest.index[4], highest.index[8]]
    assert [p.rows["di"].max() for p in places] == [highest.iloc[0], highest.iloc[4], highest.iloc[8]]
    assert list(places[0].rows["model"]) == ["net02", "net00", "net01"]
    assert len(choose(records, ["net00"], 99)) == 9


def test_entries_carry_the_map_of_their_window(tmp_path):
    write_cell(tmp_path, "fsrcnn")
    records = read_records(tmp_path)
    (place,) = choose(records, ["fsrcnn"], 1)
    (entry,) = entries(place)
    assert entry["di"] == pytest.approx(diffusion_index(entry["map"]), rel=1e-5)
    assert entry["window"] == {"y": 24, "x": 12, "size": 8}  # of two windows, the one that looks wider


def page_of(out):
    """What the page knows, read as JSON."""
    text = (out / "assets" / "data.js").read_text("utf-8")
    return json.loads(text.removeprefix("lamscope.data = ").rstrip(";\n"))


@pytest.mark.slow
def test_the_command_writes_findings_and_a_page_or_not(tmp_path, capsys):
    for model in ("fsrcnn", "edsr_lite", "pan"):
        write_cell(tmp_path / "runs", model)
    out = tmp_path / "out"
    how = [
        str(tmp_path / "runs"),
        f"out={out}",
        "figures=lam_difference,attention_distance,width_depth",
        "colours=safe",
    ]
    assert main(["report", *how, "page=no"]) == 0
    assert not (out / "index.html").exists() and not (out / "made" / "lam" / "findings.md").exists()
    assert main(["report", *how]) == 0
    folder = out / "made" / "lam"
    assert str(out / "index.html") in capsys.readouterr().out
    written = {p.name for p in folder.iterdir()}
    assert {"findings.md", "images.csv", "pairs.csv", "correlations.csv", "attention_distance.png"} <= written
    assert not any(name.startswith("width_depth") for name in written)  # no sweep, and no complaint
    assert len(pd.read_csv(folder / "images.csv")) == 3 and len(pd.read_csv(folder / "pairs.csv")) == 3
    findings = (folder / "findings.md").read_text("utf-8")
    assert "Kendall's W" in findings and "On the 3 images that all 3 networks have." in findings
    known = page_of(out)["parts"][0]
    table = ranking(read_records(tmp_path / "runs"))
    assert [n["name"] for n in known["networks"]] == table["model"].tolist()
    np.testing.assert_allclose([n["di"][0] for n in known["networks"]], table["di"], rtol=1e-5)
    assert "made/lam/attention_distance.png" in known["files"]
    for wrong in ("page=perhaps", "colours=jet", "figure=lam_grid"):
        assert main(["report", *how, wrong]) == 2


def test_safe_colours_reach_the_figure(tmp_path):
    for model in ("fsrcnn", "pan"):
        write_cell(tmp_path / "runs", model, images=1)
    for colours in ("seismic", "safe"):
        report(tmp_path / "runs", tmp_path / colours, ["lam_grid"], colours=colours)
    one, other = (tmp_path / c / "made" / "lam" / "lam_grid-picture_0.png" for c in ("seismic", "safe"))
    assert one.read_bytes() != other.read_bytes()


def test_one_network_alone_has_a_page(tmp_path):
    write_cell(tmp_path / "runs", "fsrcnn", images=1)
    report(tmp_path / "runs", tmp_path / "out", [], page=True)
    known = page_of(tmp_path / "out")["parts"][0]
    assert known["images"][0]["rank"] == 1 and known["concordance"]["w"] is None
    assert all(row["value"] is None for row in known["correlations"])


# ── the terminal ──


@pytest.fixture(scope="module")
def table():
    records = make_records(25, 5).replace({"model": {"net03": "a_network_with_quite_a_long_name"}})
    return ranking(records, n_resamples=99)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_terminal_gets_one_uncut_row_per_network(table, width):
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system=None).print(rich_table(table, width))
    lines = [line for line in out.getvalue().splitlines() if line.strip()]
    assert len(lines) == 25 + 2 and max(map(len, lines)) <= width
    for row, line in zip(table.to_dict("records"), lines[2:], strict=True):
        assert f"{row['di']:.2f}" in line and f"{row['psnr_y']:.2f}" in line and f"{row['di_low']:.2f} –" in line
    assert ("family" in lines[0]) == (width >= 80)


def test_a_file_gets_plain_markdown(table):
    out = io.StringIO()
    print_ranking(table, "title", out)
    lines = out.getvalue().splitlines()
    assert lines[0] == "title" and "\x1b" not in out.getvalue()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 25 + 2 and all(row.count("|") == 8 for row in rows)
    assert sum("a_network_with_quite_a_long_name" in row for row in rows) == 1


def test_markdown_says_what_one_image_cannot(table):
    text = markdown(ranking(make_records(2, 1), n_resamples=99), "one")
    assert "| – |" in text and "One image" in text
    assert "Means over 5 images" in markdown(table, "five")


@pytest.mark.parametrize(
    ("number", "text"),
    [(12809, "12.8 K"), (1517571, "1.52 M"), (715176, "715 K"), (999, "999"), (-1, "–"), (2e9, "2.00 G")],
)
def test_counts_are_short(number, text):
    assert count(number) == text

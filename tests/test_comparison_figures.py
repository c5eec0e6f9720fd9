"""Figures that compare networks: ranks, heat map, distances, sweeps, areas of interest, differences."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_hex
from test_figures import CASES, check_page, make_entries, make_records, picture, texts
from tiers import tiered

from lamscope.figures import (
    area_of_interest,
    attention_distance,
    critical_difference,
    di_heatmap,
    lam_difference,
    panels,
    style,
    width_depth,
)
from lamscope.figures.frame import di_by_image
from lamscope.metrics import interest
from lamscope.metrics.concentration import magnitude
from lamscope.report.gather import Part, _ranks, gather
from lamscope.table import ranking
from lamscope.types import UserError


def make_areas(n=7, lr=(16, 16), groups=("small", "large")):
    first = make_entries(1, lr)[0]
    g = np.random.default_rng(0)
    far = np.hypot(*np.indices(lr) - 6)
    maps = [np.exp(-far / w) * (1 + 0.2 * g.normal(size=(3, *lr))) for w in (1.5, 4)]
    about = {"n_ranks": 60, "n_networks": 9, "di": 12.3, "narrow": [maps[0]] * 3, "wide": [maps[1]] * 3}
    same = {key: first[key] for key in ("hr", "lr", "window")}
    return [{**same, **about, "group": groups[i * len(groups) // n], "rank": i + 1} for i in range(n)]


def make_distances(n=5):
    radius = np.arange(24)
    rows = [
        pd.DataFrame(
            {
                "model": f"net{m:02d}",
                "family": ["plain", "residual", "dense"][m % 3],
                "radius": radius,
                "share": 1 - 0.6 * np.exp(-radius / (m + 1)),
                "r90": float(m + 2),
            }
        )
        for m in range(n)
    ]
    frame = pd.concat(rows, ignore_index=True)
    return frame.assign(low=frame["share"] - 0.02, high=(frame["share"] + 0.02).clip(upper=1))


def make_sweep(widths=(32, 64, 128), depths=()):
    settings = [{"width": w, "n_blocks": 16} for w in widths] + [{"width": 64, "n_blocks": d} for d in depths]
    records = make_records(len(settings) + 1, 5)
    records["family"] = "residual"
    records = records.assign(base=records["model"], setting="")
    for m, setting in enumerate(settings):
        here = records["model"] == f"net{m:02d}"
        records.loc[here, "base"], records.loc[here, "setting"] = "edsr", json.dumps(setting)
    return records


DRAWN = {
    "heat map, many": lambda: di_heatmap.draw(CASES["many"]).get_figure(),
    "heat map, few": lambda: di_heatmap.draw(CASES["some"]).get_figure(),
    "heat map, one": lambda: di_heatmap.draw(CASES["one of each"]).get_figure(),
    "heat map, gaps": lambda: di_heatmap.draw(CASES["missing cells"]).get_figure(),
    "ranks, many": lambda: critical_difference.draw(CASES["many"]).get_figure(),
    "ranks, three": lambda: critical_difference.draw(CASES["some"]).get_figure(),
    "ranks, two": lambda: critical_difference.draw(make_records(2, 4)).get_figure(),
    "ranks, long names": lambda: critical_difference.draw(CASES["long names"]).get_figure(),
    "distances": lambda: attention_distance.draw(make_distances()).get_figure(),
    "distances, many": lambda: attention_distance.draw(make_distances(25)).get_figure(),
    "distances, one": lambda: attention_distance.draw(make_distances(1)).get_figure(),
    "sweep": lambda: width_depth.draw(make_sweep()).get_figure(),
    "two sweeps": lambda: width_depth.draw(make_sweep(depths=(8, 32))).get_figure(),
    "areas": lambda: area_of_interest.draw(make_areas(20)),
    "areas, wide images": lambda: area_of_interest.draw(make_areas(3, (12, 20))),
    "areas alone": lambda: area_of_interest.draw(make_areas(20), hr=False),
    "areas, one column": lambda: area_of_interest.draw(make_areas(10), width=style.SINGLE, columns=5),
    "one area": lambda: area_of_interest.draw(make_areas(1)),
    "difference": lambda: lam_difference.draw(make_entries(2)),
    "difference, safe": lambda: lam_difference.draw(make_entries(2, (24, 14)), colours="safe"),
}


BETWEEN = ["heat map, few", "ranks, three", "distances", "sweep", "areas alone", "areas, one column"]


@pytest.mark.parametrize("case", tiered(DRAWN, BETWEEN))
def test_everything_is_on_the_page(case):
    fig = DRAWN[case]()
    assert fig.get_figwidth() <= style.DOUBLE + 0.01 and fig.get_figheight() < 9
    check_page(fig)


EQUAL = ["heat map, few", "ranks, three", "distances", "sweep", "one area", "difference"]


@pytest.mark.parametrize("case", tiered(EQUAL, ["ranks, three", "distances", "sweep", "difference"]))
def test_equal_data_give_equal_pixels(case):
    assert np.array_equal(picture(DRAWN[case]()), picture(DRAWN[case]()))


def test_the_heat_map_has_the_numbers_of_the_frame_and_crosses_out_gaps():
    records = CASES["missing cells"]
    ax = di_heatmap.draw(records)
    shown = ax.collections[0].get_array().reshape(5, 20)
    table = di_by_image(records)
    order = table.dropna().mean().sort_values(ascending=False).index
    np.testing.assert_allclose(shown.filled(np.nan), table[order].to_numpy().T)
    assert len(ax.lines) == 3 == np.ma.getmaskarray(shown).sum()
    assert [t.get_text() for t in ax.get_yticklabels()] == list(order)


def test_ranks_stand_where_they_belong_with_a_bar_over_those_that_do_not_differ():
    records = make_records(6, 20)
    table = ranking(records)
    ax = critical_difference.draw(records)
    markers = [line for line in ax.lines if line.get_marker() not in ("None", "|")]
    np.testing.assert_allclose(sorted(m.get_xdata()[0] for m in markers), np.sort(table["mean_rank"]))
    said = " ".join(t.get_text() for t in ax.texts)
    test = table.attrs["test"]
    assert f"critical difference {test.critical_difference:.2f} (95%)" in said and "20 images" in said
    bars = [line.get_xdata() for line in ax.lines if line.get_linewidth() == 2]
    ranks = np.sort(table["mean_rank"])
    for low, high in bars:
        inside = ranks[(ranks > low) & (ranks < high)]
        assert len(inside) > 1 and np.ptp(inside) <= test.critical_difference
    with pytest.raises(UserError, match="two networks"):
        critical_difference.draw(make_records(1, 3))


def test_the_marks_of_distances_lie_on_their_lines_and_the_legend_has_the_farthest_first():
    ax = attention_distance.draw(make_distances(3))
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["net02 4.0", "net01 3.0", "net00 2.0"]
    lines = {}
    for line in ax.lines:
        if len(line.get_xdata()):
            lines.setdefault(line.get_color(), []).append(line.get_xydata())
    for curve, marks in lines.values():
        assert marks[:, 1].tolist() == [0.5, 0.9]
        np.testing.assert_allclose(np.interp(np.sqrt(marks[:, 0]), np.sqrt(curve[:, 0]), curve[:, 1]), marks[:, 1])


def test_a_sweep_is_a_path_in_the_order_of_its_setting():
    records = make_sweep((128, 32, 64))
    ax = width_depth.draw(records)
    (path,) = [line for line in ax.lines if len(line.get_xdata()) == 3]
    means = ranking(records).set_index("model").loc[["net01", "net02", "net00"]]
    np.testing.assert_allclose(path.get_xydata(), means[["di", "psnr_y"]])
    assert [t.get_text() for t in ax.texts] == ["32", "64", "128"]
    assert path.get_label() == "EDSR, width (n_blocks=16)"
    labels = [line.get_label() for line in width_depth.draw(make_sweep((32, 64), (8, 32))).lines]
    assert "EDSR, width (n_blocks=16)" in labels and "EDSR, n_blocks (width=64)" in labels
    with pytest.raises(UserError, match="sweep one"):
        width_depth.draw(make_sweep(()))


def test_areas_of_interest_show_ranks_groups_and_say_how_maps_were_pooled():
    fig = area_of_interest.draw(make_areas(4))
    shown = [t.get_text() for t in texts(fig)]
    assert {"1", "4", "small", "large", "12.3 %"} <= set(shown)
    rule = " ".join(shown)
    assert "the 3 widest and the 3 narrowest of the 9 networks" in rule and "of 60" in rule and "Red" in rule
    assert "Orange" in " ".join(t.get_text() for t in texts(area_of_interest.draw(make_areas(1), colours="safe")))
    areas = make_areas(1)[0]
    field = interest.area_of_interest(areas["wide"], areas["narrow"])
    area = area_of_interest.draw(make_areas(1), hr=False).axes[0].get_images()[0].get_array().astype(int)
    for place, red in ((field.argmax(), True), (field.argmin(), False)):  # both look; only the wide ones do
        y, x = (
            round((at + 0.5) / 16 * side)
            for at, side in zip(np.unravel_index(place, field.shape), area.shape, strict=False)
        )
        assert (area[y, x, 0] > area[y, x, 2]) == red
    assert field.max() > 0.5 and field.min() < -0.2
    with pytest.raises(UserError, match="at least one"):
        area_of_interest.draw([])


def test_a_difference_is_of_shares():
    pair = make_entries(2)
    fig = lam_difference.draw(pair)
    a, b = (magnitude(e["map"]) for e in pair)
    difference = a / a.sum() - b / b.sum()
    drawn = fig.axes[0].get_images()[5].get_array()
    size = panels.Size(drawn.shape[1], drawn.shape[0], 0, 0)
    expected = panels.whole(panels.coloured(difference / np.abs(difference).max(), "seismic"), size)
    np.testing.assert_array_equal(drawn, expected)
    with pytest.raises(UserError, match="two networks, not 3"):
        lam_difference.draw(make_entries(3))
    with pytest.raises(UserError, match="one image and window"):
        lam_difference.draw([pair[0], pair[1] | {"window": {"y": 0, "x": 0, "size": 8}}])
    same = lam_difference.draw([pair[0], pair[0]])
    assert (same.axes[0].get_images()[5].get_array() >= 252).all()


def test_colours_are_the_papers_or_safe_or_refused():
    field = np.array([[-1.0, 0, 1]])
    for name, of in (("seismic", "seismic"), ("safe", "PuOr_r")):
        for pixel, at in zip(panels.coloured(field, name)[0], (0, 0.5, 1.0), strict=True):
            assert np.abs(pixel / 255 - np.array(colormaps[of](at)[:3])).max() < 1 / 128
    with pytest.raises(UserError, match="seismic or safe, not 'jet'"):
        panels.coloured(field, "jet")


def test_safe_colours_are_told_apart_by_any_eye_and_in_grey():
    from skimage.color import deltaE_ciede2000, rgb2lab
    from test_figures import VISION

    ends = panels.coloured(np.array([[-0.7, 0, 0.7]]), "safe")[0] / 255
    linear = np.where(ends <= 0.04045, ends / 12.92, ((ends + 0.055) / 1.055) ** 2.4)
    for eye in VISION.values():
        seen = np.clip(linear @ np.array(eye).T, 0, 1)
        lab = rgb2lab(np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055))
        assert min(deltaE_ciede2000(lab[i], lab[j]) for i, j in ((0, 1), (1, 2), (0, 2))) > 20
    assert to_hex(ends[1]) > "#f0f0f0"


# ── what is gathered ──


@pytest.mark.parametrize(("n", "groups", "per_group"), [(150, 3, 10), (60, 2, 5), (7, 3, 5), (1, 2, 5), (10, 1, 3)])
def test_groups_are_the_first_the_middle_and_the_last_ranks(n, groups, per_group):
    chosen = _ranks(n, [f"g{i}" for i in range(groups)], per_group)
    positions = [i for _, i in chosen]
    assert len(set(positions)) == len(positions) and positions == sorted(positions)
    assert positions[0] == 0 and (groups == 1 or positions[-1] == n - 1) and max(positions) < n
    sizes = [sum(group == f"g{i}" for group, _ in chosen) for i in range(groups)]
    assert max(sizes) - min(sizes) <= 1
    if n == 150:
        assert [i + 1 for i in positions[10:20]] == list(range(71, 81))


def test_an_unknown_kind_of_data_is_one_sentence():
    records = make_records(2, 3)
    part = Part(records, ranking(records))
    with pytest.raises(UserError, match=r"not 'grid'\. Did you mean 'grids'"):
        list(gather(part, {"data": "grid"}))
    with pytest.raises(UserError, match=r"no network 'net0' among the results\. Did you mean 'net0\d'"):
        list(gather(part, {"data": "pairs", "first": "net0", "second": None, "images": 1}))
    assert list(gather(Part(records.assign(setting=""), part.table), {"data": "sweeps"})) == []

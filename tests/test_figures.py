"""Figures: exact pixels, equal bytes, text inside the page and readable, and what is missing is said."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image
from tiers import tiered

from lamscope.config import FAMILIES, options
from lamscope.figures import di_per_image, labels, lam_grid, panels, psnr_vs_di, seeds, style
from lamscope.figures.frame import di_by_image
from lamscope.table import ranking
from lamscope.types import UserError

FAMILY = list(FAMILIES)


def make_records(models=4, images=6, windows=1, seed=0):
    """Rows as the store gives them: networks of all families, the wider the later, on hard and easy images."""
    g = np.random.default_rng(seed)
    hardness = g.normal(0, 0.4, images)
    rows = []
    for m, i, w in itertools.product(range(models), range(images), range(windows)):
        di = float(np.exp(0.13 * m + hardness[i] + 0.1 * g.normal()))
        psnr = 20 + 0.1 * m - hardness[i]
        rows.append(
            {
                "model": f"net{m:02d}",
                "family": FAMILY[m % len(FAMILY)],
                "n_parameters": 1000 * (m + 1),
                "channels": "rgb",
                "dataset": "made",
                "attribution": "lam",
                "detector": "rgb",
                "image": f"image{i:02d}",
                "index": i,
                "window_y": 8 * w,
                "window_x": 8,
                "window_size": 8,
                "lr_h": 8,
                "lr_w": 8,
                "lr_digest": "00",
                "scale": 4,
                "di": di,
                "psnr_y": psnr,
                "psnr_rgb": psnr - 1.5,
                "ssim_y": 0.7,
                "status": "ok",
                "message": "",
                "digest": f"{m:02d}",
                "file": f"net{m:02d}.h5",
            }
        )
    return pd.DataFrame(rows)


def make_entries(n=3, lr=(16, 16), name="net{}"):
    g = np.random.default_rng(0)
    h, w = lr
    hr = g.integers(0, 256, (4 * h, 4 * w, 3), np.uint8)
    return [
        {
            "model": name.format(i),
            "family": FAMILY[i % len(FAMILY)],
            "hr": hr,
            "lr": hr[::4, ::4].copy(),
            "sr": g.integers(0, 256, hr.shape, np.uint8),
            "map": g.normal(size=(3, h, w)).astype(np.float32) * np.exp(-np.hypot(*np.indices(lr) - 6) / (1 + i)),
            "window": {"y": 20, "x": 24, "size": 8},
            "di": 3.14159 + i,
            "psnr_y": 21.5 + i,
        }
        for i in range(n)
    ]


def picture(fig):
    """The PNG as an array, as it is saved."""
    with style.paper():
        buffer = io.BytesIO()
        fig.savefig(buffer, format="png", dpi=fig.dpi)
    return np.asarray(Image.open(buffer).convert("RGB"))


def texts(fig):
    return [t for t in fig.findobj(Text) if t.get_visible() and t.get_text().strip()]


def check_page(fig):
    """All that is drawn lies on the page, and no letter is smaller than print allows."""
    with style.paper():
        renderer = fig.canvas.get_renderer()
        fig.draw_without_rendering()
        page = fig.bbox
        around = fig.get_tightbbox(renderer)
        assert around.x0 >= -0.01 and around.y0 >= -0.01
        assert around.x1 <= page.width / fig.dpi + 0.01 and around.y1 <= page.height / fig.dpi + 0.01
        for text in texts(fig):
            if not text.get_in_layout():
                box = text.get_window_extent(renderer)
                assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
            assert text.get_fontsize() >= style.SMALL


CASES = {
    "many": make_records(25, 40),
    "some": make_records(3, 5),
    "one network": make_records(1, 5),
    "one image": make_records(9, 1),
    "one of each": make_records(1, 1),
    "missing cells": make_records(5, 20).drop(index=[0, 1, 25]),
    "long names": make_records(4, 6).replace({"model": {"net01": "edsr_baseline_with_a_long_name"}}),
}


@pytest.mark.parametrize("case", tiered(CASES, ["some", "one network"]))
@pytest.mark.parametrize("figure", [di_per_image, psnr_vs_di])
def test_everything_is_on_the_page(figure, case):
    fig = figure.draw(CASES[case]).get_figure()
    assert fig.get_figwidth() in (style.SINGLE, style.DOUBLE)
    check_page(fig)


@pytest.mark.parametrize(("n", "lr"), [(1, (16, 16)), (3, (16, 16)), (25, (16, 16)), (4, (12, 20)), (2, (24, 14))])
def test_grids_are_on_the_page_and_no_wider_than_it(n, lr):
    fig = lam_grid.draw(make_entries(n, lr, name="edsr_baseline_{}"))
    assert fig.get_figwidth() <= style.DOUBLE + 0.01 and fig.get_figheight() < 9 and 200 <= fig.dpi <= 300
    check_page(fig)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: di_per_image.draw(CASES["some"]).get_figure(),
        lambda: psnr_vs_di.draw(CASES["one image"]).get_figure(),
        lambda: lam_grid.draw(make_entries(2)),
    ],
)
def test_equal_data_give_equal_pixels(draw):
    assert np.array_equal(picture(draw()), picture(draw()))


def test_saved_files_have_equal_bytes_embedded_fonts_and_no_dates(tmp_path):
    first, second = (style.save(lam_grid.draw(make_entries(1)), tmp_path / folder / "f.x") for folder in "ab")
    assert [p.name for p in first] == ["f.x.png", "f.x.pdf"]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["f.x.pdf", "f.x.png"]  # and nothing temporary
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    png, pdf = (p.read_bytes() for p in first)
    assert b"Software" not in png and b"tEXt" not in png
    assert b"CreationDate" not in pdf and b"/Type3" not in pdf and b"/FontFile2" in pdf


def test_drawing_leaves_matplotlib_as_it_was():
    import matplotlib

    before = dict(matplotlib.rcParams)
    psnr_vs_di.draw(CASES["some"])
    assert dict(matplotlib.rcParams) == before


# ── lam_grid ──


def test_panels_reach_the_png_pixel_by_pixel():
    entries = make_entries(3)
    fig = lam_grid.draw(entries)
    shown = picture(fig)
    drawn = fig.axes[0].get_images()[3 * 2 : 3 * 3]  # after the column of the truth and the first network
    left, right, bottom, top = map(round, drawn[0].get_extent())
    size = panels.fit((16, 16), (right - left) / fig.dpi)
    assert (size.width, size.height) == (right - left, bottom - top) and size.zoom > 4
    place = panels.neighbourhood((64, 64), entries[1]["window"], size)
    wanted = (
        panels.patch(entries[1]["sr"], place, size),
        panels.attribution(entries[1]["map"], size),
        panels.area(entries[1]["map"], entries[1]["lr"], size),
    )
    for image, panel, boxed in zip(drawn, wanted, (0.05, 0.03, 0), strict=True):  # share that a window's box may cover
        left, right, bottom, top = map(round, image.get_extent())
        same = (shown[top:bottom, left:right] == panel).all(axis=2)[4:-4, 4:-4]  # the frame covers the rim
        assert same.mean() >= 1 - boxed


def test_the_lam_panel_has_the_reference_colours():
    values = np.zeros((3, 2, 2), np.float32)
    values[:, 0, 0], values[0, 1, 1] = (-1, -1, 0), 1  # signs do not matter, channels are summed before
    shown = panels.attribution(values, panels.Size(4, 4, 300, 2))
    assert shown is not None
    for part, strength in ((shown[:2, :2], 1.0), (shown[2:, 2:], 0.5), (shown[:2, 2:], 0.0)):
        assert (part == np.uint8(255 * np.array(colormaps["seismic"](0.5 + strength / 2)[:3]))).all()


def test_the_area_is_half_lr_half_colour():
    lr = np.full((16, 16, 3), 100, np.uint8)
    shown = panels.area(make_entries(1)[0]["map"], lr, panels.Size(32, 32, 300, 2))
    assert shown is not None
    assert shown.min() >= 50 and shown.max() <= 178
    assert shown[12, 12, 0] > shown[12, 12, 2] + 40  # red near the centre of the map


@pytest.mark.parametrize("bad", [0.0, np.nan])
def test_a_map_without_attribution_is_said_to_be_undefined(bad):
    entries = make_entries(2)
    entries[1] |= {"map": np.full((3, 16, 16), bad), "di": np.nan}
    fig = lam_grid.draw(entries)
    shown = [t.get_text() for t in texts(fig)]
    assert shown.count("undefined") == 2 and shown.count("–") == 1


def test_numbers_and_names_stand_under_their_column():
    entries = make_entries(2, name="carn_{}")
    fig = lam_grid.draw(entries)
    by_text = {t.get_text(): t for t in texts(fig)}
    x = [by_text[t].get_position()[0] for t in ("CARN-1", "22.50", "4.14")]
    assert x[0] == x[1] == x[2] > by_text["21.50"].get_position()[0] == by_text["CARN-0"].get_position()[0]


def test_a_grid_of_two_images_or_windows_or_of_nothing_is_refused():
    one, other = make_entries(2)
    with pytest.raises(UserError, match="at least one"):
        lam_grid.draw([])
    with pytest.raises(UserError, match="one image and window"):
        lam_grid.draw([one, other | {"window": (21, 24, 8)}])
    with pytest.raises(UserError, match="'net1' and 'net0'"):
        lam_grid.draw([one, other | {"hr": other["hr"] + 1}])


@given(w=st.integers(8, 900), h=st.integers(8, 900), inches=st.floats(0.5, 1.5))
def test_a_panel_fits_and_repeats_pixels_equally(w, h, inches):
    size = panels.fit((h, w), inches)
    assert 200 <= size.dpi <= 300 + 1e-6 and size.width / size.dpi <= inches + 0.5 / 300
    if size.zoom:
        assert (size.width, size.height) == (size.zoom * w, size.zoom * h)
    else:
        assert w > inches * 300 - 1


@given(
    h=st.integers(17, 90),
    w=st.integers(17, 90),
    size=st.integers(1, 16),
    at=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_a_neighbourhood_holds_the_window_and_fills_the_panel(h, w, size, at):
    window = {"y": int(at[0] * (h - size)), "x": int(at[1] * (w - size)), "size": size}
    panel = panels.Size(120, round(120 * h / w), 300, 0)
    y, x, high, wide, factor = panels.neighbourhood((h, w), window, panel)
    image = np.zeros((h, w, 3), np.uint8)
    assert panels.patch(image, (y, x, high, wide, factor), panel).shape == (panel.height, panel.width, 3)
    assert y <= window["y"] + size // 2 <= y + high and x <= window["x"] + size // 2 <= x + wide
    if min(high, wide) > size + 1:
        assert y <= window["y"] and window["y"] + size <= y + high + 1
        assert x <= window["x"] and window["x"] + size <= x + wide + 1


# ── di_per_image ──


def test_images_are_ordered_by_the_maximum_and_the_lines_are_mean_and_maximum():
    records = make_records(4, 7, windows=2)
    table = di_by_image(records)
    by_hand = records.groupby(["image", "model"])["di"].mean().unstack()
    assert table.max(axis=1).is_monotonic_increasing
    pd.testing.assert_frame_equal(table.sort_index(), by_hand, check_names=False)
    ax = di_per_image.draw(records)
    highest, mean, *dots = (line.get_ydata() for line in ax.lines)
    np.testing.assert_allclose(highest, table.max(axis=1))
    np.testing.assert_allclose(mean, table.mean(axis=1))
    np.testing.assert_allclose(np.array(dots).T, table)


def test_an_image_that_lacks_a_network_has_no_mean_and_the_figure_says_so():
    records = make_records(3, 4, windows=2)
    records.loc[0, "status"] = "nan"  # net00 loses one window of image00, and so the image
    table = di_by_image(records)
    assert table.isna().sum().sum() == 1 and np.isnan(table.loc["image00", "net00"])
    ax = di_per_image.draw(records)
    where = list(table.index).index("image00")
    mean = np.asarray(ax.lines[1].get_ydata(), float)
    assert np.isnan(mean[where]) and np.isfinite(np.delete(mean, where)).all()
    assert any("1 of 4 images lacks a network" in t.get_text() for t in ax.texts)


@pytest.mark.parametrize("column", ["dataset", "attribution", "lr_h"])
def test_incomparable_results_share_no_figure(column):
    records = make_records(2, 3)
    here = records[column].iloc[0]
    records[column] = [here] * 3 + [here * 2] * 3
    for draw in (di_per_image.draw, psnr_vs_di.draw):
        with pytest.raises(UserError, match=column):
            draw(records)
    with pytest.raises(UserError, match="Several runs of net00"):
        di_per_image.draw(pd.concat([make_records(1, 2), make_records(1, 2).assign(digest="else")]))


# ── psnr_vs_di ──


def points(ax):
    return np.array([line.get_xydata()[0] for line in ax.lines if line.get_linestyle() == "None"])


def test_points_are_the_means_of_the_ranking_over_shared_images():
    records = make_records(5, 6).drop(index=[0])
    table = ranking(records, n_resamples=99)
    ax = psnr_vs_di.draw(records)
    np.testing.assert_allclose(points(ax), np.column_stack([np.log(table["di"]), table["psnr_y"]]))
    assert any("5 of 6 images" in t.get_text() for t in ax.texts)


@pytest.mark.parametrize(("n", "line", "interval"), [(3, False, False), (4, True, False), (9, True, True)])
def test_few_networks_get_no_correlation_and_some_get_no_interval(n, line, interval):
    ax = psnr_vs_di.draw(make_records(n, 5))
    (summary,) = [t.get_text() for t in ax.texts if "5 images" in t.get_text()]
    assert ("Pearson" in summary) == line and ("[" in summary) == interval
    assert any(artist.get_linestyle() == "-" for artist in ax.lines) == line
    assert bool(ax.collections) == interval


def test_names_keep_off_the_marks_of_further_seeds_which_the_axes_hold():
    """A second seed where the name would stand, a third far outside what the first ones span."""
    records = make_records(3).assign(seed=0)
    table = ranking(records).set_index("model")
    runs = pd.DataFrame(
        [(name, 0, row["di"], row["psnr_y"]) for name, row in table.iterrows()],
        columns=["network", "seed", "di", "psnr_y"],
    )
    first = runs.iloc[0]
    more = pd.DataFrame({"network": first["network"], "seed": [1, 2], "di": first["di"] * np.array([1.03, 1.9])})
    ax = seeds.draw(records, pd.concat([runs, more.assign(psnr_y=first["psnr_y"])]), ["two lines", "of ours"])
    page = style.page(ax)
    page.draw_without_rendering()
    hollow = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
    marks = labels.marks(ax, np.concatenate([line.get_xydata() for line in hollow]))
    assert len(marks) == 2 and all(ax.bbox.contains(*(mark[:2] + mark[2:]) / 2) for mark in marks)
    (name,) = (
        t for t in ax.texts if t.get_text() == style.looks([(first["network"], FAMILY[0])])[first["network"]].label
    )
    box = Text.get_window_extent(name, page.canvas.get_renderer())
    assert all(box.x1 <= m[0] or box.x0 >= m[2] or box.y1 <= m[1] or box.y0 >= m[3] for m in marks)
    assert any(t.get_text() == "two lines\nof ours\nhollow: further seeds" for t in ax.texts)


def test_names_overlap_neither_each_other_nor_points():
    ax = psnr_vs_di.draw(CASES["many"])
    fig = ax.get_figure()
    renderer = fig.canvas.get_renderer()
    names = [t for t in ax.texts if t.get_text().startswith("net")]
    assert len(names) == 25
    for name in names:
        name.update_positions(renderer)
    boxes = [Text.get_window_extent(t, renderer) for t in names]
    for a, b in itertools.combinations(boxes, 2):
        assert not (a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1)
    for (x, y), box in itertools.product(ax.transData.transform(points(ax)), boxes):
        assert not (box.x0 < x < box.x1 and box.y0 < y < box.y1)


def test_a_lone_name_stays_right_beside_its_point():
    ax = style.new_axes(3, 3)
    look = style.Look("alone", "#000000", "o")
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.get_figure().draw_without_rendering()
    (name,) = labels.beside(ax, np.array([[0.3, 0.5]]), [look])
    x, y = name.get_position()
    assert 0 < x < 25 and abs(y) < 1 and name.arrow_patch is None


# ── style ──

# how eyes without long, middle or short wavelength cones see linear RGB (Machado, Oliveira & Fernandes 2009)
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "deuteranopia": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    "tritanopia": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}


@pytest.mark.parametrize("eye", VISION)
def test_any_eye_tells_families_apart(eye):
    from skimage.color import deltaE_ciede2000, rgb2lab

    assert set(style.FAMILY_COLOURS) == set(FAMILIES)
    rgb = np.array([to_rgb(c) for c in [*style.FAMILY_COLOURS.values(), style.OTHER_FAMILY]])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(VISION[eye]).T, 0, 1)
    lab = rgb2lab(np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055))
    assert min(deltaE_ciede2000(a, b) for a, b in itertools.combinations(lab, 2)) >= 11


@given(low=st.floats(0.001, 50), factor=st.floats(1.05, 500))
def test_ticks_of_a_logarithmic_axis_are_two_or_more_and_inside(low, factor):
    ticks = style.log_ticks(low, low * factor)
    assert 2 <= len(ticks) <= 12 and (np.diff(ticks) > 0).all()
    assert low <= ticks[0] and ticks[-1] <= low * factor


def test_a_network_looks_the_same_whoever_is_beside_it():
    zoo = [(name, FAMILY[i % len(FAMILY)]) for i, name in enumerate(options("model"))]
    found = style.looks(zoo)
    assert len({(look.colour, look.marker) for look in found.values()}) == len(zoo)
    alone = [style.looks([pair])[pair[0]] == found[pair[0]] for pair in zoo]
    assert np.mean(alone) > 0.6  # the others met a marker that was taken
    assert style.looks([("mine", "my family")])["mine"].colour == style.OTHER_FAMILY
    assert len(style.looks([(f"n{i}", "plain") for i in range(30)])) == 30


def test_names_are_spelled_as_in_papers():
    spelled = {
        "carn_m": "CARN-M",
        "edsr_baseline": "EDSR-baseline",
        "rrdbnet": "RRDBNet",
        "fsrcnn_56_48_6": "FSRCNN-56-48-6",
        "my_net": "my_net",
    }
    assert {name: style.label(name) for name in spelled} == spelled


@given(st.lists(st.integers(1, 20).map("n".ljust), min_size=1, max_size=25), st.floats(1, 7))
def test_legend_columns_fit(names, room):
    columns = style.legend_columns(names, room)
    rows = -(-len(names) // columns)
    assert columns == 1 or max(style.text_width(t, style.SMALL) for t in names) < room
    assert 1 <= columns <= len(names) and rows * columns >= len(names)

"""Maps compared pixel by pixel, their reach, areas of interest, and variants of one network."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from test_report import SIDE, write_cell

from lamscope import read_records
from lamscope.maps import survey
from lamscope.metrics.concentration import area_of_contribution
from lamscope.metrics.distance import mass_within, radius_of_mass, window_distance
from lamscope.metrics.interest import area_of_interest, pooled
from lamscope.metrics.overlap import mean_pair, rank_correlation, top_overlap
from lamscope.store import CellWriter, read_tensors
from lamscope.table import comparable, ranking
from lamscope.variants import name_variants


def maps(n=4, seed=0, shape=(3, 9, 11)):
    return list(np.random.default_rng(seed).normal(size=(n, *shape)))


def test_rank_correlation_is_scipys_with_ties():
    found = maps()
    found[1] = np.round(found[1])
    flat = np.abs(np.stack(found).sum(1)).reshape(4, -1)
    np.testing.assert_allclose(rank_correlation(found), stats.spearmanr(flat, axis=1).statistic, atol=1e-12)
    # neither scale nor sign matters
    np.testing.assert_allclose(rank_correlation([-7 * m for m in found]), rank_correlation(found), atol=1e-12)


def test_overlap_by_sets():
    found = maps()
    share = 0.1
    count = int(np.ceil(share * 99))
    sets = [set(np.argsort(-np.abs(m.sum(0)).ravel())[:count]) for m in found]
    expected = [[len(a & b) / len(a | b) for b in sets] for a in sets]
    np.testing.assert_allclose(top_overlap(found, share), expected)


def test_pixels_without_attribution_are_not_among_the_strongest():
    one, other = np.zeros((2, 10, 10))
    one[0, 0] = other[9, 9] = 1
    np.testing.assert_array_equal(top_overlap([one, other]), np.eye(2))
    assert np.isnan(top_overlap([one, np.zeros((10, 10))])[0, 1])
    assert np.isnan(rank_correlation([one, np.ones((10, 10))])[0, 1])
    assert mean_pair(np.eye(3)) == 0 and np.isnan(mean_pair(np.eye(1)))
    with pytest.raises(ValueError, match="share"):
        top_overlap([one], 0)


def test_distance_from_the_window():
    away = window_distance((8, 8), y=8, x=12, size=8, scale=4)  # LR rows 2–3, columns 3–4
    assert (away[2:4, 3:5] == 0).all() and (away == 0).sum() == 4
    assert away[2, 5] == 0.5 and away[1, 2] == pytest.approx(np.hypot(0.5, 0.5)) and away[7, 3] == 3.5


@given(seed=st.integers(0, 50), y=st.integers(0, 20), x=st.integers(0, 20))
def test_mass_grows_to_one_and_its_radius_inverts_it(seed, y, x):
    (found,) = maps(1, seed)
    away = window_distance((9, 11), y, x, 8, 4)
    radii = np.linspace(0, 20, 81)
    mass = mass_within(found, away, radii)
    strength = np.abs(found.sum(0))
    np.testing.assert_allclose(mass, [strength[away <= r].sum() / strength.sum() for r in radii])
    assert mass[-1] == pytest.approx(1) and (np.diff(mass) >= 0).all()
    for share in (0.5, 0.9):
        radius = radius_of_mass(found, away, share)
        below, at = mass_within(found, away, [radius - 1e-6, radius])
        assert below < share <= at + 1e-9
    assert np.isnan(radius_of_mass(np.zeros((9, 11)), away)) and np.isnan(mass_within(np.zeros((9, 11)), away, [1]))


def test_a_companion_of_di_that_does_not_see_the_frame():
    block = np.zeros((40, 40))
    block[10:27, 10:27] = 1
    larger = np.pad(block, 20)
    places = (window_distance((40, 40), 64, 64, 16, 4), window_distance((80, 80), 144, 144, 16, 4))
    assert radius_of_mass(block, places[0]) == radius_of_mass(larger, places[1])


def test_area_of_interest_is_the_papers_formula():
    wide, narrow = maps(3, 1), maps(2, 2)
    strong = [[np.abs(m.sum(0)) / np.abs(m.sum(0)).max() for m in side] for side in (wide, narrow)]
    a, b = (area_of_contribution(np.mean(side, axis=0)) for side in strong)
    np.testing.assert_allclose(area_of_interest(wide, narrow), b - 0.5 * (a - b) / (a - b).max(), atol=1e-12)
    same = area_of_interest(wide, wide)
    np.testing.assert_allclose(same, area_of_contribution(pooled(wide)))  # no difference to show
    assert np.isnan(area_of_interest([np.zeros((3, 9, 11))], narrow)).all()
    with pytest.raises(ValueError, match="no map"):
        pooled([])


def test_a_survey_of_stored_maps(tmp_path):
    for model in ("fsrcnn", "edsr_lite"):
        write_cell(tmp_path, model)
    write_cell(tmp_path, "pan", broken=[1])
    records = read_records(tmp_path)
    found = survey(records)
    assert sorted(found.agreement["index"].unique()) == [0, 2] and len(found.agreement) == 4  # two windows each
    files = {m: tmp_path / "made" / "lam" / f"{m}.h5" for m in ("edsr_lite", "fsrcnn", "pan")}
    by_hand = []
    for index in (0, 2):
        stored = [read_tensors(file, index)["map"] for file in files.values()]
        by_hand += [top_overlap([m[window] for m in stored]) for window in (0, 1)]
    np.testing.assert_allclose(found.overlap, np.mean(by_hand, axis=0))
    assert list(found.overlap.index) == list(files)
    np.testing.assert_allclose(found.agreement["overlap"], [mean_pair(m) for m in by_hand])
    away = [window_distance((SIDE, SIDE), 8 + 16 * w, 12, 8, 4) for w in (0, 1)]
    each = [mass_within(read_tensors(files["pan"], i)["map"][w], away[w], [3])[0] for i in (0, 2) for w in (0, 1)]
    row = found.distance[(found.distance["model"] == "pan") & (found.distance["radius"] == 3)].iloc[0]
    assert row["share"] == pytest.approx(np.mean(each)) and row["low"] <= row["share"] <= row["high"]
    assert found.reach.set_index("model").loc["edsr_lite", "r90"] >= found.reach.set_index("model").loc["pan", "r90"]


# ── variants ──


def write_variant(folder, digest, net=None, images=2, **labels):
    config = {"model": {"name": "edsr", "net": {"_target_": "x", **(net or {})}}, "attribution": {"n_steps": 21}}
    same = {"model": "edsr", "family": "residual", "dataset": "made", "attribution": "lam", "detector": "rgb"}
    same |= {"channels": "rgb", "digest": digest, **labels}
    about = {"digest": digest, "config": config}
    with CellWriter(folder / f"edsr-{digest}.h5", about, images, same) as writer:
        for index in range(images):
            row = {"window_y": 0, "window_x": 0, "window_size": 8, "lr_h": 8, "lr_w": 8, "scale": 4, "status": "ok"}
            row |= {"di": 1.0 + len(digest), "psnr_y": 20.0, "psnr_rgb": 19.0, "ssim_y": 0.5}
            writer.write(index, f"im{index}", {"lr": np.zeros((8, 8, 3), np.uint8)}, [row])
        writer.finish()


def test_a_sweep_of_one_network_is_ranked(tmp_path):
    write_variant(tmp_path, "a", {"width": 32, "n_blocks": 16})
    write_variant(tmp_path, "bb", {"width": 64, "n_blocks": 16})
    write_variant(tmp_path, "ccc", {"width": 64, "n_blocks": 16}, model="other")
    (part,) = comparable(read_records(tmp_path))
    named = name_variants(part)
    assert set(named["model"]) == {"edsr[width=32]", "edsr[width=64]", "other"}
    assert set(named["setting"]) == {'{"width": 32}', '{"width": 64}', ""} and set(named["base"]) == {"edsr", "other"}
    assert ranking(named)["model"].tolist() == ["other", "edsr[width=64]", "edsr[width=32]"]
    pd.testing.assert_frame_equal(named[part.columns.drop("model")], part.drop(columns="model"))


def test_runs_that_differ_in_nothing_one_can_name_are_told_apart_by_their_digest(tmp_path):
    for digest in ("a", "bb"):
        write_variant(tmp_path, digest, {"width": 32})
    named = name_variants(read_records(tmp_path))
    assert set(named["model"]) == {"edsr[a]", "edsr[bb]"}

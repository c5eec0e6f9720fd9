"""What all networks say together, against SciPy, by hand, and with cells missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_figures import make_records
from test_table import frame, join

from lamscope.comparison import agreement_on_images, correlations, image_ranking, pairwise
from lamscope.statistics import bootstrap_mean
from lamscope.types import UserError


def test_images_are_ranked_by_the_maximum_or_the_mean():
    records = join(frame("a", [1, 5, 2]), frame("b", [4, 1, 2.5]), frame("c", [4, 1, 2.5]))
    by_max, by_mean = image_ranking(records), image_ranking(records, "mean")
    assert by_max["image"].tolist() == ["im2", "im0", "im1"] and by_max["rank"].tolist() == [1, 2, 3]
    assert by_max["di_max"].tolist() == [2.5, 4, 5] and by_max["widest"].tolist() == ["b", "b", "a"]
    assert by_mean["image"].tolist() == ["im1", "im2", "im0"] and by_mean["di_mean"].tolist() == pytest.approx(
        [7 / 3, 7 / 3, 3]
    )
    with pytest.raises(UserError, match="max or mean"):
        image_ranking(records, "median")


def test_only_images_that_all_networks_have_are_ranked_and_the_others_are_named():
    records = join(frame("a", [1, 9, 2]), frame("b", [1, 1, 1]).drop(index=1))
    for table in (image_ranking(records), pairwise(records), correlations(join(records, frame("c", [1, 2, 3])))):
        assert any("b lacks 1 of 3 windows (im1)" in note for note in table.attrs["notes"])
    assert image_ranking(records)["image"].tolist() == ["im0", "im2"]
    assert pairwise(records)["difference"].tolist() == [0.5]


def test_pairs_are_compared_on_the_same_images():
    records = make_records(4, 30)
    table = pairwise(records)
    di = records.pivot(index="index", columns="model", values="di")
    assert len(table) == 6
    for row in table.to_dict("records"):
        difference = (di[row["a"]] - di[row["b"]]).to_numpy()
        assert row["difference"] == pytest.approx(difference.mean()) and row["difference"] >= 0
        low, high = bootstrap_mean(difference)
        assert (row["low"], row["high"]) == pytest.approx((float(low), float(high)))
        ranks = stats.rankdata(-di, axis=1).mean(0)
        a, b = (list(di.columns).index(row[k]) for k in "ab")
        assert row["rank_difference"] == pytest.approx(ranks[b] - ranks[a])
        assert row["differs"] == (abs(row["rank_difference"]) > table.attrs["test"].critical_difference)
    assert pairwise(frame("alone", [1, 2])).empty


def test_correlations_overall_per_family_and_within_images():
    records = make_records(9, 12, windows=2, seed=3)
    records["family"] = records["model"].map(lambda name: "plain" if int(name[3:]) < 5 else "residual")
    table = correlations(records, n_resamples=300).set_index(["scope", "kind"])
    means = records.groupby("model")[["di", "psnr_y"]].mean()
    for scope, chosen in (("all", means), ("plain", means[:5]), ("residual", means[5:])):
        expected = stats.pearsonr(np.log(chosen["di"]), chosen["psnr_y"]).statistic
        assert table.loc[(scope, "pearson"), "value"] == pytest.approx(expected)
        assert table.loc[(scope, "spearman"), "value"] == pytest.approx(
            stats.spearmanr(chosen["di"], chosen["psnr_y"]).statistic
        )
        assert table.loc[(scope, "pearson"), "n"] == len(chosen)
    images = records.groupby(["index", "model"])[["di", "psnr_y"]].mean()
    each = [stats.pearsonr(np.log(rows["di"]), rows["psnr_y"]).statistic for _, rows in images.groupby("index")]
    assert table.loc[("within images", "pearson"), "value"] == pytest.approx(np.mean(each))
    # images differ in hardness, which lowers PSNR and raises DI; within images that is gone
    assert table.loc[("within images", "pearson"), "value"] > 0.9
    assert (table["low"] <= table["value"] + 1e-9).all() and (table["value"] <= table["high"] + 1e-9).all()


def test_two_networks_have_no_correlation_and_one_family_is_not_said_twice():
    table = correlations(join(frame("a", [1, 2]), frame("b", [2, 3])))
    assert table["value"].isna().all() and set(table["scope"]) == {"all", "within images"}


def test_an_exact_image_is_left_out_for_all_and_told():
    records = make_records(4, 5)
    records.loc[0, "psnr_y"] = np.inf
    table = correlations(records)
    assert table.attrs["notes"] == ["1 images without a finite psnr_y or ln DI are left out."]
    without = correlations(records[records["index"] != 0])
    pd.testing.assert_frame_equal(table, without)
    with pytest.raises(UserError, match="No image"):
        correlations(records.assign(psnr_y=np.inf))


def test_agreement_on_images_counts_what_is_compared():
    found = agreement_on_images(make_records(3, 8, windows=2))
    assert (found.n_networks, found.n_images) == (3, 8) and 0.5 < found.w <= 1

"""From stored cells to a ranking that compares like with like."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lamscope import read_records
from lamscope.cellfile import COLUMNS
from lamscope.statistics import bootstrap_mean
from lamscope.store import CellWriter
from lamscope.table import comparable, ranking
from lamscope.types import UserError

LABELS = {
    "family": "plain",
    "n_parameters": 1000,
    "channels": "rgb",
    "dataset": "set",
    "attribution": "lam",
    "detector": "rgb",
    "scale": 4,
    "window_size": 16,
}


def frame(model: str, di: list[float], windows: int = 1, **changes) -> pd.DataFrame:
    """Records as read_records gives them; di: one value per image and window."""
    rows = [
        {
            **LABELS,
            "model": model,
            "index": i // windows,
            "image": f"im{i // windows}",
            "window_y": i % windows,
            "window_x": 0,
            "lr_h": 64,
            "lr_w": 64,
            "lr_digest": f"lr{i // windows}",
            "di": value,
            "psnr_y": 20.0 + i // windows,
            "psnr_rgb": 19.0,
            "ssim_y": 0.5,
            "status": "ok",
            "digest": f"digest-{model}",
            "message": "",
            **changes,
        }
        for i, value in enumerate(di)
    ]
    return pd.DataFrame(rows)


def join(*frames: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True)


def write(path, model, indices, n=3, side=8, finish=True):
    image = np.full((side, side, 3), 7, np.uint8)
    with CellWriter(path, {"digest": model}, n, {**LABELS, "model": model}) as writer:
        for index in indices:
            row = {"window_y": 0, "window_x": 0, "lr_h": side, "lr_w": side, "di": 1.0 + index, "status": "ok"}
            writer.write(index, f"im{index}", {"lr": image}, [row | {"psnr_y": 20.0, "psnr_rgb": 19.0, "ssim_y": 0.5}])
        if finish:
            writer.finish()
        elif not indices:
            writer.fail(RuntimeError("no luck"))
    return path


def test_read_records_gathers_folders_and_files(tmp_path):
    a = write(tmp_path / "set" / "lam" / "a-1.h5", "a", range(3))
    b = write(tmp_path / "set" / "lam" / "b-1.h5", "b", range(3))
    write(tmp_path / "set" / "lam" / "c-1.h5", "c", [0, 2], finish=False)
    write(tmp_path / "set" / "lam" / "d-1.h5", "d", [], finish=False)
    records = read_records(tmp_path)
    assert list(records.columns) == list(COLUMNS)
    assert records["model"].tolist() == ["a"] * 3 + ["b"] * 3 + ["d"]
    assert records["status"].tolist() == ["ok"] * 6 + ["failed"]
    assert records["file"].tolist()[2:4] == [str(a), str(b)]
    assert read_records(a)["di"].tolist() == [1, 2, 3] and read_records(a)["index"].dtype == np.int64
    pd.testing.assert_frame_equal(read_records([a, str(b)]), read_records([a, tmp_path, b])[:6], check_dtype=False)
    assert read_records(tmp_path, partial=True).query("model == 'c'")["index"].tolist() == [0, 2]
    table = ranking(records)
    assert table["model"].tolist() == ["a", "b"] and table["rank"].tolist() == [1, 1]
    assert table.attrs["notes"] == ["d failed: RuntimeError: no luck."]


def test_read_records_of_nothing(tmp_path):
    records = read_records(tmp_path)
    assert records.empty and list(records.columns) == list(COLUMNS) and comparable(records) == []
    with pytest.raises(UserError, match="no finished results"):
        ranking(records)
    with pytest.raises(UserError, match="no such folder"):
        read_records(tmp_path / "typo")
    write(tmp_path / "d-1.h5", "d", [], finish=False)
    with pytest.raises(UserError, match="no finished results"):
        ranking(read_records(tmp_path))


def test_ranking_by_hand():
    records = join(frame("narrow", [1, 2, 3]), frame("wide", [4, 6, 20], n_parameters=5, family="residual"))
    table = ranking(records)
    assert table["model"].tolist() == ["wide", "narrow"] and table["rank"].tolist() == [1, 2]
    assert table["di"].tolist() == [10, 2] and table["di_median"].tolist() == [6, 2]
    assert table["psnr_y"].tolist() == [21, 21] and table["n_images"].tolist() == [3, 3]
    assert table["family"].tolist() == ["residual", "plain"] and table["n_parameters"].tolist() == [5, 1000]
    low, high = bootstrap_mean(np.array([[4.0, 6, 20]]).T)
    assert (table["di_low"][0], table["di_high"][0]) == pytest.approx((low[0], high[0]))
    assert table["psnr_y_median"].tolist() == [21, 21] and table["mean_rank"].tolist() == [1, 2]
    low, high = bootstrap_mean(np.array([[20.0, 21, 22]]).T)
    assert (table["psnr_y_low"][1], table["psnr_y_high"][1]) == pytest.approx((low[0], high[0]))
    assert table.attrs["notes"] == []


def test_a_score_that_is_not_finite_is_no_number_and_spoils_no_other():
    exact = frame("exact", [1, 2, 3])
    exact.loc[0, "psnr_y"] = np.inf
    table = ranking(join(exact, frame("other", [2, 3, 4]))).set_index("model")
    assert table.loc["exact", ["psnr_y", "psnr_y_low", "psnr_y_median"]].isna().all()
    assert table.loc["other", "psnr_y"] == 21 and table.loc["exact", "di"] == 2


def test_repeated_labels_of_rows_do_not_matter():
    frames = [frame("a", [1, 2, 3])[1:], frame("b", [4, 5, 6])[:2], frame("c", [7, 8, 9])]
    apart, together = ranking(pd.concat(frames)), ranking(join(*frames))
    pd.testing.assert_frame_equal(apart, together)
    assert apart["n_images"].tolist() == [1, 1, 1] and apart["di"].tolist() == [8, 5, 2]


def test_windows_are_averaged_within_an_image():
    table = ranking(frame("net", [1, 3, 5, 7], windows=2))
    assert table["n_images"][0] == 2 and table["n_windows"][0] == 4
    low, high = bootstrap_mean(np.array([[2.0], [6.0]]))
    assert (table["di_low"][0], table["di_high"][0]) == pytest.approx((low[0], high[0]))


def test_only_common_images_count_and_the_gap_is_told():
    lacking = frame("b", [10, 20, 30, 40])
    lacking.loc[1, ["di", "status"]] = [np.nan, "nan"]
    nothing = frame("c", [np.nan], status="nan")
    table = ranking(join(frame("a", [1, 2, 3, 4]), lacking[:3], nothing)).set_index("model")
    assert table["di"].to_dict() == {"a": 2, "b": 20} and (table["n_images"] == 2).all()
    assert table.attrs["notes"] == [
        "b lacks 2 of 4 windows (im1, im3).",
        "c has no finite result and is left out.",
        "The ranking uses the 2 windows that all 2 networks have.",
    ]
    with pytest.raises(UserError, match=r"no image in common: a lacks 1 of 2 windows \(im1\)"):
        ranking(join(frame("a", [1, 2])[:1], frame("b", [1, 2])[1:]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr_h": 32}, "different LR sizes"),
        ({"scale": 2}, "different scales"),
        ({"detector": "y"}, "different detector channels"),
        ({"attribution": "ig"}, "different attribution methods"),
        ({"dataset": "other"}, "different test sets"),
        ({"window_size": 8}, "different window sizes"),
        ({"lr_digest": "other"}, "LR image of im0 is not the same"),
        ({"channels": "y"}, "b computes luminance only"),
        ({"model": "a", "digest": "second"}, r"Several runs of a .*\(digests digest-a, second\)"),
    ],
)
def test_what_must_not_be_compared_is_refused(changes, message):
    records = join(frame("a", [1, 2]), frame("b", [3, 4]).assign(**changes))
    with pytest.raises(UserError, match=message):
        ranking(records)
    if not {"lr_digest", "model"} & changes.keys():
        assert [sorted(set(part["model"])) for part in comparable(records)] in ([["a"], ["b"]], [["b"], ["a"]])
        assert [len(ranking(part)) for part in comparable(records)] == [1, 1]


def test_luminance_networks_are_ranked_with_the_luminance_detector():
    table = ranking(join(frame("a", [1, 2], detector="y"), frame("b", [3, 4], detector="y", channels="y")))
    assert table["model"].tolist() == ["b", "a"]


def test_failures_go_with_the_part_they_belong_to():
    failed = pd.DataFrame([{**LABELS, "model": "f", "status": "failed", "message": "Error: x"}])
    records = join(frame("a", [1]), frame("b", [1], dataset="other"), failed)
    notes = {part["dataset"].iloc[0]: ranking(part).attrs["notes"] for part in comparable(records)}
    assert notes == {"set": ["f failed: Error: x."], "other": []}

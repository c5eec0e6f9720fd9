"""What a sweep will cost: arithmetic on what was measured, and a refusal to add what does not add up."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamscope.cli import main
from lamscope.costs import read, span, spread
from lamscope.store import CellWriter
from lamscope.types import UserError

SECONDS = st.lists(st.floats(0.01, 100), min_size=1, max_size=30)


@given(SECONDS, st.integers(1, 40))
def test_jobs_on_workers_take_no_less_than_they_can(jobs, workers):
    total, longest, least = sum(jobs), max(jobs), max(sum(jobs) / workers, max(jobs))
    assert least - 1e-9 <= span(jobs, workers) <= total / workers + longest + 1e-9
    assert span(jobs, 1) == pytest.approx(total)
    assert span(jobs, len(jobs)) == pytest.approx(longest)


@given(SECONDS, st.integers(1, 60))
def test_other_networks_are_like_those_measured(seconds, networks):
    assert sorted(spread(seconds, len(seconds))) == sorted(seconds)
    assert spread(seconds, 3 * len(seconds)) == [s for s in sorted(seconds, reverse=True) for _ in range(3)]
    some = spread(seconds, networks)
    assert len(some) == networks and set(some) <= set(seconds)


def store(folder, model, seconds, device="a processor", side=8, images=(0, 1), name=""):
    """A finished cell of images with two windows each."""
    about = {"digest": folder.name, "environment": {"device": device, "threads": 1}}
    labels = {"model": model, "digest": folder.name}
    with CellWriter(folder / f"{model}-0{name}.h5", about, images, labels) as cell:
        for i in images:
            row = {"seconds": seconds / 2, "lr_h": side, "lr_w": side, "di": 1.0, "status": "ok"}
            cell.write(i, str(i), {"lr": np.full((side, side, 3), i, np.uint8)}, [row, row])
        cell.finish()


def speeds(file, device="a processor"):
    rows = [("quick", "64×64", 0.5, 0.75), ("slow", "64×64", 9.0, np.nan), ("quick", "256×256", 50.0, np.nan)]
    table = pd.DataFrame(rows, columns=["network", "lr", "lam_s", "rest"]).assign(device=device, threads=1)
    table.to_csv(file, index=False)


def test_seconds_and_bytes_come_from_runs(tmp_path, capsys):
    store(tmp_path, "quick", 1.0)
    store(tmp_path, "slow", 9.0)
    found = read([tmp_path]).set_index("network")
    assert found.loc["slow", "seconds"] == pytest.approx(9.0) and (found["windows"] == 2).all()
    assert found.loc["quick", "bytes"] == (tmp_path / "quick-0.h5").stat().st_size / 2
    out = tmp_path / "out" / "cost.md"
    assert main(["cost", str(tmp_path), "networks=4", "images=3600", "workers=1,2,4", f"out={out}"]) == 0
    shown = capsys.readouterr().out
    # two networks of 9 hours and two of 1 hour
    for row in ("| 1 | 20 | 20 |", "| 2 | 10 | 10 |", "| 4 | 9 | 5 |"):
        assert row in shown and row in out.read_text()
    assert "4 networks × 3,600 images" in shown and "2 windows" in shown and "a processor, 1 thread" in shown


def test_the_pieces_of_a_cell_are_one_network(tmp_path):
    store(tmp_path, "quick", 1.0, images=(0, 2), name=".1of2")
    store(tmp_path, "quick", 4.0, images=(1,), name=".2of2")
    found = read([tmp_path])
    assert len(found) == 1 and found.loc[0, "seconds"] == pytest.approx(2.0)
    assert found.loc[0, "bytes"] == sum(file.stat().st_size for file in tmp_path.glob("*.h5")) / 3


def test_a_speed_table_gives_seconds_of_a_whole_run(tmp_path):
    speeds(tmp_path / "speed.csv")
    store(tmp_path / "runs", "quick", 1.0, side=64)
    found = read([tmp_path / "speed.csv", tmp_path / "runs"]).set_index("network")
    assert found["seconds"].to_dict() == {"slow": 9.0, "quick": 2.0}
    assert found.loc["slow", "bytes"] == found.loc["quick", "bytes"] > 0  # no cell of its own
    assert read([tmp_path / "speed.csv"])["bytes"].isna().all()


def test_what_does_not_add_up_is_refused(tmp_path, capsys):
    store(tmp_path / "a", "quick", 1.0)
    store(tmp_path / "b", "slow", 1.0, device="another")
    store(tmp_path / "c", "slow", 1.0, side=16)
    store(tmp_path / "d", "quick", 2.0)
    speeds(tmp_path / "speed.csv")
    for sources, why in ((["a", "b"], "devices"), (["a", "c"], "LR sizes"), (["a", "d"], "several results of quick")):
        with pytest.raises(UserError, match=why):
            read([tmp_path / source for source in sources])
    for words, why in (
        (["nowhere"], "nowhere"),
        (["speed.csv", "a"], "64×64"),
        (["a", "image=3"], "image"),
        (["a", "workers=0"], "workers"),
        (["a", "model=slow"], "quick"),
    ):
        assert main(["cost", *(str(tmp_path / w) if "=" not in w else w for w in words)]) == 2
        err = capsys.readouterr().err
        assert why in err and err.count("\n") == 1

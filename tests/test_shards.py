"""A cell in pieces: the same records, read as one, and what is missing is told."""

import numpy as np
import pytest
from test_cli import save_image

from lamscope import read_records
from lamscope.cli import main
from lamscope.shards import Shard, missing, parse, whole_name
from lamscope.store import read_provenance, read_tensors
from lamscope.types import UserError

SETTINGS = ["dataset=folder", "dataset.path=images", "attribution.n_steps=3", "figures=[]"]
RUN = ["run", "model=fsrcnn", *SETTINGS]


def test_every_image_is_in_one_piece():
    for n in range(1, 7):
        found = [i for k in range(1, n + 1) for i in Shard(k, n).indices(11)]
        assert sorted(found) == list(range(11))
    assert parse("2/4") == Shard(2, 4) and parse(None) == Shard(1, 1) and parse(Shard(3, 4).name) == Shard(3, 4)


@pytest.mark.parametrize("wrong", ["0/4", "5/4", "1", "1/0", "a/b", "1/4/2", "-1/4", 0.25])
def test_anything_else_is_refused(wrong):
    with pytest.raises(UserError, match=r"shard is k/n with k from 1 to n, as in shard=1/4, not"):
        parse(wrong)
    with pytest.raises(UserError, match="5 pieces of 4 images"):
        parse("1/5", 4)


def test_names_and_what_is_missing(tmp_path):
    whole = tmp_path / "net+lr=0.5-0123456789.h5"
    piece = Shard(2, 14).path(whole)
    assert piece.name == "net+lr=0.5-0123456789.2of14.h5" and Shard(1, 1).path(whole) == whole
    assert whole_name(piece) == whole_name(whole) == whole.stem
    assert missing(["1/4", "4/4"]) == ["2/4", "3/4"] and missing([""]) == [] == missing(["2/2", "1/2"])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i in range(5):
        save_image(tmp_path / "images" / f"{i}.png", (64, 64) if i != 3 else (72, 64), seed=i)
    return tmp_path


def compared(records):
    return records.drop(columns=["seconds", "file", "shard"]).sort_values(["index"], ignore_index=True)


def test_shards_are_read_as_the_whole(folder, capsys):
    """Fixed chunk: every number and tensor as in one piece; then what the table, the page and the doctor make of it."""
    assert main([*RUN, "chunk=2", "results=whole"]) == 0
    assert main([*RUN, "chunk=2", "results=cut", "shard=2/3"]) == 0
    told = capsys.readouterr().err
    assert "warning: fsrcnn-" in told and " is not whole: shards 1/3,3/3 are missing, -m shard=1/3,3/3 comp" in told
    with pytest.warns(UserWarning, match="shards 1/3,3/3 are missing"):
        read_records("cut/runs")
    assert main(["compare", "store", "cut/runs", "reference=kept.csv"]) == 2
    assert "A reference needs whole runs" in capsys.readouterr().err
    assert main(["doctor", "cut/runs"]) == 2 and "shards 1/3,3/3 are missing" in capsys.readouterr().out
    assert main([*RUN, "chunk=2", "results=cut", "-m", "shard=1/3,3/3"]) == 0
    assert main([*RUN, "chunk=2", "results=cut", "-m", "shard=1/3,2/3,3/3"]) == 0
    assert "not whole" not in capsys.readouterr().err
    whole, cut = read_records("whole/runs"), read_records("cut/runs")
    assert cut["file"].nunique() == 3 and set(cut["shard"]) == {"1/3", "2/3", "3/3"} and set(whole["shard"]) == {""}
    for name, column in compared(whole).items():
        np.testing.assert_array_equal(column.to_numpy(), compared(cut)[name].to_numpy(), err_msg=str(name))
    (file,) = set(whole["file"])
    for row in cut.to_dict("records"):
        for name, tensor in read_tensors(file, row["index"]).items():
            np.testing.assert_array_equal(tensor, read_tensors(row["file"], row["index"])[name], strict=True)
    digests = {read_provenance(f)["digest"] for f in {file, *cut["file"]}}
    assert len(digests) == 1
    assert main(["doctor", "cut/runs"]) == 0
    assert main(["report", "cut/runs", "figures=", "out=page"]) == 0
    shown = capsys.readouterr()
    assert "4 images of 16×16" in shown.out and "missing" not in shown.out + shown.err
    assert len(list((folder / "page" / "assets").rglob("0000*-hr.webp"))) == 5


@pytest.mark.slow
def test_images_are_never_stored_twice(folder, capsys):
    assert main([*RUN, "shard=1/2"]) == 0
    capsys.readouterr()
    assert main(RUN) == 2
    err = capsys.readouterr().err
    assert "was begun in pieces (fsrcnn-" in err and ".1of2.h5, …): say shard=k/n as then" in err
    assert main([*RUN, "shard=1/3"]) == 2 and "in pieces" in capsys.readouterr().err
    assert main([*RUN, "on_existing=redo"]) == 0  # the piece is forgotten
    assert read_records()["index"].tolist() == [0, 1, 2, 3, 4]
    (file,) = (folder / "results").rglob("*.h5")
    before = file.stat().st_mtime_ns
    assert main([*RUN, "-m", "shard=1/2,2/2"]) == 0  # all is there already
    assert [*(folder / "results").rglob("*.h5")] == [file] and file.stat().st_mtime_ns == before
    assert main([*RUN, "shard=1/2", "on_existing=fail"]) == 2
    assert main([*RUN, "shard=2/2", "on_existing=redo"]) == 0
    assert read_records()["index"].tolist() == [1, 3]
    assert main([*RUN, "shard=1/9"]) == 2
    assert "9 pieces of 5 images" in capsys.readouterr().err


def test_a_piece_goes_on_where_it_stopped(folder, monkeypatch):
    from lamscope import runner

    stored, whole = [], runner._write

    def write(writer, explained):
        if len(stored) == 1:
            raise MemoryError("full")
        whole(writer, explained)
        stored.append(explained.sample.index)

    monkeypatch.setattr(runner, "_write", write)
    assert main([*RUN, "shard=1/2", "chunk=1"]) == 1
    assert stored == [0] and read_records().iloc[0]["shard"] == "1/2"
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(runner, "_write", lambda writer, e: (whole(writer, e), stored.append(e.sample.index)))
    assert main([*RUN, "shard=1/2", "chunk=1"]) == 0
    assert stored == [0, 2, 4]

"""The store: nothing torn, nothing lost, nothing mixed up."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamscope import read_records
from lamscope.agreement import differences
from lamscope.cellfile import Damaged, pack_part, read_part
from lamscope.store import CellWriter, cells, exists, read_columns, read_provenance, read_tensors, remove, status
from lamscope.types import UserError

PROVENANCE = {"digest": "d1", "config": {"seed": 0}, "environment": {"host": "here", "torch": "1"}}


def tensors(index: int, side: int = 8, windows: int = 1) -> dict[str, np.ndarray]:
    random = np.random.default_rng(index)
    return {
        "hr": random.integers(0, 256, (2 * side, 2 * side, 3), np.uint8),
        "lr": random.integers(0, 256, (side, side, 3), np.uint8),
        "sr": random.integers(0, 256, (2 * side, 2 * side, 3), np.uint8),
        "map": random.normal(size=(windows, 3, side, side)).astype(np.float32),
    }


def records(index: int, windows: int = 1) -> list[dict]:
    return [{"window_y": w, "di": index + w / 10, "gap": None, "n_flat": w, "status": "ok"} for w in range(windows)]


def fill(writer: CellWriter, indices, **size) -> None:
    for index in indices:
        writer.write(index, f"bild-{index}-ü", tensors(index, **size), records(index))


def finished(path: Path, n: int = 3, provenance: dict = PROVENANCE) -> Path:
    with CellWriter(path, provenance, n, {"model": "net"}) as writer:
        fill(writer, sorted(set(range(n)) - writer.done()))
        writer.finish()
    return path


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "set" / "lam" / "net-1.h5"
    with CellWriter(path, PROVENANCE, 2, {"model": "net"}) as writer:
        for index in (1, 0):  # the order of computing does not matter
            writer.write(index, f"ü{index}", tensors(index, windows=2), records(index, windows=2))
        assert status(path) == "partial" and writer.done() == {0, 1}
        writer.finish()
    assert status(path) == "complete"
    columns = read_columns(path)
    assert columns["image"].tolist() == ["ü0", "ü0", "ü1", "ü1"]
    assert columns["di"].tolist() == [0, 0.1, 1, 1.1] and columns["di"].dtype == np.float64
    assert columns["n_flat"].tolist() == [0, 1, 0, 1] and columns["n_flat"].dtype == np.int64
    assert np.isnan(columns["gap"]).all() and set(columns["model"]) == {"net"}
    for index in (0, 1):
        found = read_tensors(path, index)
        assert found.keys() == {"hr", "lr", "sr", "map"}
        for name, value in tensors(index, windows=2).items():
            np.testing.assert_array_equal(found[name], value, strict=True)
    assert read_provenance(path) == PROVENANCE
    assert [file.name for file in path.parent.iterdir()] == ["net-1.h5"]
    with pytest.raises(UserError, match="no image 2"):
        read_tensors(path, 2)


def test_file_explains_itself_and_is_chunked_compressed_and_checksummed(tmp_path):
    datasets = {}
    with h5py.File(finished(tmp_path / "net.h5")) as file:
        assert file.attrs["schema"] == 1 and file.attrs["digest"] == "d1"
        file.visititems(lambda name, item: datasets.update({name: item}) if isinstance(item, h5py.Dataset) else None)
        assert datasets["tensors/8x8/hr"].chunks == (1, 16, 16, 3)
        assert datasets["records/di"].attrs["unit"] == "percent"
        for name, dataset in datasets.items():
            assert dataset.attrs["description"] and dataset.attrs["axes"], name
            assert dataset.fletcher32 and dataset.compression == "gzip", name


def test_images_of_several_sizes(tmp_path):
    path = tmp_path / "net.h5"
    with CellWriter(path, PROVENANCE, 4) as writer:
        for index, (side, windows) in enumerate([(8, 1), (5, 1), (8, 2), (8, 1)]):
            writer.write(index, str(index), tensors(index, side, windows), records(index, windows))
        writer.finish()
    with h5py.File(path) as file:
        assert {name: list(group["index"]) for name, group in file["tensors"].items()} == {
            "8x8": [0, 3],
            "5x5": [1],
            "8x8-2": [2],
        }
    for index, (side, windows) in enumerate([(8, 1), (5, 1), (8, 2), (8, 1)]):
        np.testing.assert_array_equal(read_tensors(path, index)["map"], tensors(index, side, windows)["map"])


def test_resumed_file_equals_undisturbed_one(tmp_path):
    path = tmp_path / "net.h5"
    with CellWriter(path, PROVENANCE, 3, {"model": "net"}) as writer:
        fill(writer, [1])
    (tmp_path / "net.parts" / "00002.npz.tmp").write_bytes(b"torn")
    (tmp_path / "net.h5.tmp").write_bytes(b"torn")
    with CellWriter(path, PROVENANCE, 3, {"model": "net"}) as writer:
        assert writer.done() == {1}
        assert not list(tmp_path.rglob("*.tmp"))
        with pytest.raises(ValueError, match=r"\[0, 2\]"):
            writer.finish()
        fill(writer, [2, 0])
        writer.finish()
    assert path.read_bytes() == finished(tmp_path / "other.h5").read_bytes()


@pytest.mark.parametrize("harm", ["truncate", "flip", "empty"])
def test_damaged_part_is_computed_again(tmp_path, harm, caplog):
    path = tmp_path / "net.h5"
    with CellWriter(path, PROVENANCE, 3) as writer:
        fill(writer, range(3))
    part = tmp_path / "net.parts" / "00001.npz"
    data = bytearray(part.read_bytes())
    if harm == "flip":
        data[data.index(tensors(1)["sr"].tobytes()) + 5] ^= 1
    part.write_bytes({"truncate": data[:-100], "flip": data, "empty": b""}[harm])
    with CellWriter(path, PROVENANCE, 3) as writer:
        assert writer.done() == {0, 2}
        fill(writer, [1])
        writer.finish()
    assert "00001.npz is damaged" in caplog.text
    np.testing.assert_array_equal(read_tensors(path, 1)["sr"], tensors(1)["sr"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_altered_part_is_noticed(tmp_path, where, bits):
    arrays = {name: value for name, value in tensors(0, side=3).items() if name != "hr"}
    meta = {"index": 0, "tensors": {name: (value.dtype.str, value.shape) for name, value in arrays.items()}}
    data = bytearray(pack_part(meta, arrays))
    data[int(where * len(data))] ^= bits
    part = tmp_path / "00000.npz"
    part.write_bytes(data)
    try:
        _, found = read_part(part)
    except Damaged:
        return
    for name, value in arrays.items():  # a byte that does not matter, such as a time stamp
        np.testing.assert_array_equal(found[name], value, strict=True)


def test_part_of_another_version_or_image_is_not_taken(tmp_path):
    for name, meta in [("00000.npz", {"index": 0, "schema": 99}), ("00001.npz", {"index": 0})]:
        (tmp_path / name).write_bytes(pack_part({"tensors": {}, **meta}, {}))
        with pytest.raises(Damaged, match="not a part"):
            read_part(tmp_path / name)


def test_one_writer_at_a_time(tmp_path):
    path = tmp_path / "net.h5"
    with CellWriter(path, PROVENANCE, 1) as writer:
        fill(writer, [0])
        with (
            pytest.raises(UserError, match=r"Another job \(process \d+ on .*\) is writing"),
            CellWriter(path, PROVENANCE, 1),
        ):
            pass
        with pytest.raises(UserError, match="Another job"):
            remove(path)
        assert (tmp_path / "net.parts" / "00000.npz").exists()
    with CellWriter(path, PROVENANCE, 1) as writer:
        assert writer.done() == {0}
    assert not (tmp_path / "net.lock").exists()


def test_lock_of_a_job_that_leaves_meanwhile(tmp_path, monkeypatch):
    """Its holder removes the lock file just after we opened it: what we lock then is no longer the cell's lock."""
    path, lock, opened = tmp_path / "net.h5", tmp_path / "net.lock", os.open

    def open_then_lose(file, *rest):
        descriptor = opened(file, *rest)
        if Path(file) == lock:
            monkeypatch.undo()
            lock.unlink()
        return descriptor

    monkeypatch.setattr(os, "open", open_then_lose)
    with CellWriter(path, PROVENANCE, 1):
        assert lock.exists()
        with pytest.raises(UserError, match="Another job"), CellWriter(path, PROVENANCE, 1):
            pass


@pytest.mark.parametrize("complete", [True, False])
def test_other_digest_or_other_images_are_refused(tmp_path, complete):
    path = tmp_path / "net.h5"
    with CellWriter(path, PROVENANCE, 2) as writer:
        fill(writer, range(2))
        if complete:
            writer.finish()
    with pytest.raises(UserError, match="digest differs"), CellWriter(path, {**PROVENANCE, "digest": "d2"}, 2):
        pass
    with pytest.raises(UserError, match="images"), CellWriter(path, PROVENANCE, 1):
        pass
    assert exists(path)
    remove(path)
    assert not exists(path) and status(path) == "absent" and not list(tmp_path.iterdir())


def test_finished_cell_is_left_alone_and_leftovers_go(tmp_path):
    path = finished(tmp_path / "net.h5")
    before = path.stat()
    (tmp_path / "net.parts").mkdir()
    (tmp_path / "net.parts" / "00000.npz").write_bytes(b"")  # killed between renaming and removing the parts
    with CellWriter(path, PROVENANCE, 3) as writer:
        assert writer.done() == {0, 1, 2}
        assert not (tmp_path / "net.parts").exists()
        writer.finish()
    assert path.stat().st_mtime_ns == before.st_mtime_ns and path.stat().st_ino == before.st_ino
    assert list(tmp_path.iterdir()) == [path]


def test_failure_is_a_row_until_it_succeeds(tmp_path):
    path = tmp_path / "net-1.h5"
    labels = {"model": "net", "dataset": "set"}
    with CellWriter(path, PROVENANCE, 2, labels) as writer:
        fill(writer, [0])
        try:
            raise MemoryError("out of\nmemory")
        except MemoryError as error:
            writer.fail(error)
    assert status(path) == "failed" and exists(path) and cells(tmp_path) == [path]
    row = read_records(tmp_path).iloc[0]
    assert (row["model"], row["dataset"], row["status"]) == ("net", "set", "failed")
    assert row["message"] == "MemoryError: out of memory"
    assert "test_store.py" in json.loads((tmp_path / "net-1.failed.json").read_text())["traceback"]
    assert read_records(tmp_path, partial=True)["status"].tolist() == ["failed", "ok"]
    with CellWriter(path, PROVENANCE, 2, labels) as writer:
        assert writer.done() == {0}
        fill(writer, [1])
        writer.finish()
    assert read_records(tmp_path)["status"].tolist() == ["ok", "ok"] and status(path) == "complete"


def test_environments_are_told_apart(tmp_path):
    path = tmp_path / "net.h5"
    for index, environment in enumerate([{"host": "a", "torch": "1"}, {"host": "b", "torch": "1"}, {"torch": "2"}]):
        with CellWriter(path, {"digest": "d1", "environment": environment}, 3) as writer:
            fill(writer, [index])
            if index == 2:
                writer.finish()
    found = read_provenance(path)
    assert found["environment"]["torch"] == "1" and [p["environment"]["torch"] for p in found["also"]] == ["2"]
    with h5py.File(path) as file:
        assert list(file["tensors/8x8/provenance"]) == [0, 0, 1]


def test_differences_name_what_differs(tmp_path):
    first, host = finished(tmp_path / "a.h5"), {**PROVENANCE, "environment": {"host": "there", "torch": "1"}}
    assert differences(first, finished(tmp_path / "b.h5", provenance=host)) == []
    with CellWriter(tmp_path / "c.h5", PROVENANCE, 3, {"model": "net"}) as writer:
        fill(writer, [0, 1])
        changed = tensors(2)
        changed["map"] = changed["map"] * np.float32(1 + 1e-6)
        changed["sr"] = np.where(changed["sr"] > 0, changed["sr"] - 1, 0).astype(np.uint8)
        writer.write(2, "bild-2-ü", changed, records(3))
        writer.finish()
    assert differences(first, writer.path) == [
        "column di differs",
        "map of image 2 differs",
        "sr of image 2 differs",
    ]
    assert differences(first, writer.path, rtol=1e-5) == []
    assert differences(first, writer.path, rtol=1e-7) == ["map of image 2 differs"]


def test_foreign_newer_and_damaged_files_are_named(tmp_path):
    path = finished(tmp_path / "net.h5")
    whole = path.read_bytes()
    for data in (b"", b"text", whole[: len(whole) // 2]):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"net\.h5 is damaged or not a lamscope result"):
            read_records(path)
    data = bytearray(whole)
    with h5py.File(finished(tmp_path / "good.h5")) as file:
        data[file["tensors/8x8/hr"].id.get_chunk_info(1).byte_offset + 10] ^= 1
    path.write_bytes(data)
    read_tensors(path, 0)
    with pytest.raises(UserError, match=r"net\.h5 is damaged"):
        read_tensors(path, 1)
    path.write_bytes(whole)
    with h5py.File(path, "a") as file:
        file.attrs["schema"] = 2
    with pytest.raises(UserError, match=r"newer lamscope .*update"):
        read_records(tmp_path)
    with h5py.File(path, "w") as file:
        file["data"] = 1
    with pytest.raises(UserError, match=r"net\.h5 is not a lamscope result"):
        read_records(tmp_path)
    with pytest.raises(UserError, match="no result"):
        read_tensors(tmp_path / "none.h5", 0)


def test_links_out_of_the_file_are_not_followed(tmp_path):
    path, other = finished(tmp_path / "net.h5"), finished(tmp_path / "other.h5")
    with h5py.File(path, "a") as file:
        del file["records/di"]
        file["records/di"] = h5py.ExternalLink(str(other), "/records/di")
        del file["tensors/8x8/sr"]
        (tmp_path / "secret").write_bytes(bytes(3))
        file["tensors/8x8"].create_dataset("sr", (3,), np.uint8, external=[(str(tmp_path / "secret"), 0, 3)])
    with pytest.raises(UserError, match="di is missing or a link"):
        read_columns(path)
    with pytest.raises(UserError, match="sr is stored elsewhere"):
        read_tensors(path, 0)


def test_wrong_calls_are_refused(tmp_path):
    with CellWriter(tmp_path / "net.h5", PROVENANCE, 1) as writer:
        for index, arrays, rows in [(1, tensors(1), records(1)), (0, tensors(0), [])]:
            with pytest.raises(ValueError, match="not one of this cell's"):
                writer.write(index, "a", arrays, rows)
        with pytest.raises(TypeError, match="map is not an array of numbers"):
            writer.write(0, "a", {"map": np.array([None])}, records(0))
        with pytest.raises(TypeError, match="cannot be stored"):
            writer.write(0, "a", tensors(0), [{"di": object()}])
    assert not exists(tmp_path / "net.h5")


def test_unwritable_place_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=r"Cannot write .*net\.h5"),
        CellWriter(tmp_path / "file" / "net.h5", PROVENANCE, 1),
    ):
        pass


def run_alone(code: str, folder: Path) -> None:
    """In a process of its own, because it limits, forks and kills. Quick to start: neither pytest nor pandas there."""
    header = f"""
import os, resource, signal, sys, time
from pathlib import Path
import numpy as np
from lamscope.store import *
PROVENANCE = {PROVENANCE}
folder = Path({str(folder)!r})
"""
    source = header + "".join(inspect.getsource(function) for function in (tensors, records, fill)) + code
    found = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stderr


def test_full_disk_leaves_nothing_half_written(tmp_path):
    """The size of files is limited, which the system reports just as it does a full disk: as a failing write."""
    run_alone(
        """
path = folder / "net.h5"
def limit(size): resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
def refused(action):
    try: action()
    except UserError as error: assert "Cannot write" in str(error) and "File too large" in str(error), error
    else: raise AssertionError("not noticed")
    assert not list(path.parent.rglob("*.tmp")), "half a file"
with CellWriter(path, PROVENANCE, 20) as writer:
    fill(writer, range(19), side=16)
    limit(1000)
    refused(lambda: fill(writer, [19], side=16))
    assert writer.done() == set(range(19))
    limit(10**7)
    fill(writer, [19], side=16)
    for size in (0, 2000, 9000, 30000, 60000):
        limit(size)
        refused(writer.finish)
        assert status(path) == "partial"
    limit(10**7)
    writer.finish()
assert (read_tensors(path, 19)["sr"] == tensors(19, side=16)["sr"]).all()
""",
        tmp_path,
    )


def test_killed_before_any_file_operation(tmp_path):
    """SIGKILL before the k-th opening, renaming, locking, making or removing of a file; then the same call again."""
    run_alone(
        """
def work(path):
    with CellWriter(path, PROVENANCE, 2, {"model": "net"}) as writer:
        fill(writer, sorted({0, 1} - writer.done()))
        writer.finish()
def kill_before(k):
    count = 0
    def audit(event, _):
        nonlocal count
        if event not in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "fcntl.flock"): return
        count += 1
        if count == k: os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(audit)
work(folder / "undisturbed.h5")
expected = (folder / "undisturbed.h5").read_bytes()
seen, k, path = [], 0, folder / "net.h5"
while True:
    k += 1
    child = os.fork()
    if child == 0:
        kill_before(k)
        work(path)
        os._exit(0)
    if not os.WIFSIGNALED(os.waitpid(child, 0)[1]): break
    seen.append(status(path))
    for cell in cells(folder): read_columns(cell, partial=True)  # readers never see half of anything
    work(path)
    assert path.read_bytes() == expected, k
    assert not [file for file in folder.iterdir() if file.suffix != ".h5"], k
    remove(path)
assert set(seen) == {"absent", "partial", "complete"} and len(seen) > 15, seen
""",
        tmp_path,
    )


def test_killed_at_random_moments(tmp_path):
    """A process that writes 20 images is killed whenever it has come a few images further, at a random moment."""
    run_alone(
        """
def work(path):
    with CellWriter(path, PROVENANCE, 20, {"model": "net"}) as writer:
        for index in sorted(set(range(20)) - writer.done()):
            time.sleep(0.002)  # the network at work
            fill(writer, [index])
        writer.finish()
def stored(path): return set(read_columns(path, partial=True)["index"]) if exists(path) else set()
work(folder / "undisturbed.h5")
random, path, kills = np.random.default_rng(), folder / "net.h5", 0
for goal in (1, 4, 8, 13, 18, 20):
    child = os.fork()
    if child == 0:
        work(path)
        os._exit(0)
    while len(stored(path)) < goal: pass  # reading all the while: no reader ever meets half of anything
    time.sleep(random.uniform(0, 0.01))
    before = stored(path)
    os.kill(child, signal.SIGKILL)
    kills += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert stored(path) >= before, "an image was lost"
work(path)
assert kills >= 3, kills
assert path.read_bytes() == (folder / "undisturbed.h5").read_bytes()
assert sorted(file.name for file in folder.iterdir()) == ["net.h5", "undisturbed.h5"]
""",
        tmp_path,
    )

"""The process that reads HDF5 files: what goes through it is what was sent, and nothing that ends it ends us."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import threading
from pathlib import Path

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamscope import watched
from lamscope.types import UserError

KINDS = ["u1", "<f4", "<f8", "<i8", "?", "S5", ">i2"]
NUMBERS = st.sampled_from(KINDS).flatmap(lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=0, min_side=0)))
TEXT = st.lists(st.text(st.characters(exclude_categories=()))).map(lambda texts: np.array(texts, object))
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(PLAIN | NUMBERS | TEXT, lambda v: st.lists(v) | st.dictionaries(st.text("aetx"), v))


def same(a, b):
    if isinstance(a, np.ndarray):
        assert a.flags.writeable
        equal = a.tolist() == b.tolist() if a.dtype == object else a.tobytes() == b.tobytes()
        return equal and a.dtype == b.dtype and a.shape == b.shape
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and (a == b or (a != a and b != b))


@settings(max_examples=50)
@given(VALUES)
def test_values_travel_unchanged(value):
    pipe = io.BytesIO()
    watched.send(pipe, watched.packed(value))
    watched.send(pipe, watched.packed("next"))
    pipe.seek(0)
    assert same(watched.receive(pipe), value)
    assert watched.receive(pipe) == "next"
    with pytest.raises(EOFError):
        watched.receive(pipe)


@pytest.fixture
def reader(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    reader = watched.Reader()
    yield lambda function, *arguments: reader.call(f"watched_functions:{function}", list(arguments))
    reader.close()


def test_a_process_that_ends_is_replaced_and_its_file_not_read_again(reader, tmp_path):
    (file := tmp_path / "a.h5").write_bytes(b"a")
    (other := tmp_path / "b.h5").write_bytes(b"b")
    assert same(reader("echo", file, 1, [2.5, {"x": np.ones((2, 0))}]), [1, [2.5, {"x": np.ones((2, 0))}]])
    for function in ("crash", "echo"):
        with pytest.raises(UserError, match=r"a\.h5 is damaged: HDF5 crashed on it \(SIGSEGV\)\."):
            reader(function, file)
    assert reader("echo", other, "b") == ["b"]
    file.write_bytes(b"mended")
    assert reader("echo", file, "a") == ["a"]


def test_a_process_that_somebody_kills_says_nothing_of_the_file(reader, tmp_path):
    (file := tmp_path / "a.h5").touch()
    with pytest.raises(UserError, match=r"^What read .*a\.h5 was killed"):
        reader("killed", file, signal.SIGKILL)
    assert reader("killed", file, signal.SIGTERM) is None
    assert reader("killed", file, signal.SIGINT) is None


def test_mistakes_and_bugs_are_told_apart(reader, tmp_path):
    with pytest.raises(UserError, match=r"^x\.h5 is a mistake\.$"):
        reader("mistake", Path("x.h5"))
    with pytest.raises(RuntimeError, match="a bug of ours"):
        reader("bug", "x.h5")
    with pytest.raises(RuntimeError, match="cannot travel"):
        reader("unsendable", "x.h5")
    with pytest.raises(RuntimeError, match="Memory"):
        reader("hoard", "x.h5")
    assert reader("echo", "x.h5", None) == [None]


def test_paths_are_those_of_the_one_who_asks(reader, tmp_path, monkeypatch):
    (tmp_path / "here").touch()
    assert reader("chatter", "here") is False
    monkeypatch.chdir(tmp_path)
    assert reader("chatter", "here") is True


def test_what_has_no_end_is_ended(reader, tmp_path, monkeypatch):
    monkeypatch.setattr(watched, "SECONDS", 0)
    (file := tmp_path / "a.h5").touch()
    with pytest.raises(UserError, match="is damaged: reading it takes more time"):
        reader("spin", file)


def test_threads_and_forks_do_not_take_each_others_answers(reader):
    wrong = []

    def ask(k):
        wrong.extend(k for _ in range(20) if reader("echo", "x", k) != [k])

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def _asks_in_a_fork(folder, queue):
    from lamscope.image_files import listing

    try:
        listing(folder / "set.h5")
    except UserError as error:
        queue.put((str(error), watched.reader().process.pid))


def test_a_fork_has_a_process_of_its_own(tmp_path):
    fork = multiprocessing.get_context("fork")
    queue = fork.SimpleQueue()
    _asks_in_a_fork(tmp_path, queue)
    message, ours = queue.get()
    worker = fork.Process(target=_asks_in_a_fork, args=(tmp_path, queue))
    worker.start()
    worker.join(60)
    theirs = queue.get()
    assert theirs[0] == message == f"There is no file '{tmp_path}/set.h5'."
    assert theirs[1] != ours
    _asks_in_a_fork(tmp_path, queue)
    assert queue.get() == (message, ours)

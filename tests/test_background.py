"""Reading ahead and writing behind change nothing but when things happen."""

from __future__ import annotations

import threading

import pytest

from lamscope.background import WAITING, Behind, ahead


def test_ahead_keeps_the_order_and_reads_one_further():
    read = []

    def items():
        for i in range(5):
            read.append(i)
            yield i

    used = []
    for i in ahead(items()):
        used.append(i)
        assert len(read) <= i + 2
    assert used == list(range(5))


def test_ahead_raises_where_the_error_belongs():
    def items():
        yield 1
        raise ValueError("the second image is broken")

    found = ahead(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="second image"):
        next(found)


def test_behind_works_in_order_and_elsewhere():
    done = []
    with Behind() as behind:
        for i in range(20):
            behind.do(lambda i: done.append((i, threading.current_thread())), i)
    assert [i for i, _ in done] == list(range(20))
    assert all(thread is not threading.main_thread() for _, thread in done)


def test_behind_lets_only_so_much_wait():
    gate, started = threading.Event(), []
    with Behind() as behind:
        for i in range(WAITING):
            behind.do(lambda i: (gate.wait(10), started.append(i)), i)
        threading.Timer(0.05, gate.set).start()
        behind.do(started.append, "last")  # waits for the gate
        assert started[:1] == [0]
    assert started == [*range(WAITING), "last"]


def test_an_error_behind_comes_forward():
    def fail():
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"), Behind() as behind:
        behind.do(fail)


def test_an_error_behind_stops_what_follows():
    done = []

    def fail():
        done.append("failed")
        raise OSError("the disk is full")

    def many():
        with Behind() as behind:
            for _ in range(20 * WAITING):
                behind.do(fail)

    with pytest.raises(OSError, match="disk is full"):
        many()
    assert len(done) <= WAITING + 1


def test_what_was_handed_over_is_finished_when_the_rest_fails():
    done = []

    def interrupted():
        with Behind() as behind:
            behind.do(done.append, 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == [1]

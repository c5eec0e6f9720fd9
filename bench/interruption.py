"""Ctrl-C, SIGTERM and a closed terminal end a command in order: what is being written is finished first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end. exit_code: what a shell reports of a process that the signal ended."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.word = "interrupted" if number == signal.SIGINT else "terminated"
        self.exit_code = 128 + number


class _State:
    """depth: blocks of the main thread that must not be torn. waiting: the signal that came meanwhile."""

    depth = 0
    waiting: int | None = None


@contextmanager
def orderly() -> Iterator[None]:
    """Within it, the first signal raises Stopped in the main thread, the second acts as if we were not here.

    A signal that the process was started to ignore (nohup, a shell's background job) stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    mine = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]

    def stop(number: int, _: FrameType | None) -> None:
        for each in mine:
            signal.signal(each, before[each])
        if _State.depth:
            _State.waiting = number
        else:
            raise Stopped(number)

    _State.waiting = None
    try:
        for number in mine:
            signal.signal(number, stop)
        yield
    finally:
        for number in mine:
            signal.signal(number, before[number])


@contextmanager
def undisturbed() -> Iterator[None]:
    """A signal that comes within it raises Stopped when it ends. Signals meet the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.depth += 1
    try:
        yield
    finally:
        _State.depth -= 1
        if not _State.depth and (number := _State.waiting) is not None:
            _State.waiting = None
            raise Stopped(number)

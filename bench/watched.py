"""HDF5 files are read in a watched process: libhdf5 is C, and some damaged files end it or never let it end.

A function marked `@watched` runs in a process of its own, which starts with the first call, stays for the next, and is
replaced after a file that ended it. What comes back travels as JSON and plain arrays, never as a pickle. The first
argument of such a function is the path of the file; the others, and what it returns, are made of None, bool, int,
float, str, lists, dicts and NumPy arrays of numbers or text.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import math
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

import numpy as np

from .types import UserError

SECONDS = 10  # of processor time for one call, and one more for each MB of the file
SLACK, RATIO, MOST = 256 << 20, 1100, 8 << 30  # bytes that one call may take; deflate packs at most 1032 into one
ENVIRONMENT = {"HDF5_PLUGIN_PRELOAD": "::", "OPENBLAS_NUM_THREADS": "1"}  # no plug-ins, and no memory for threads

TEXT, ARRAY = "\0text", "\0array"  # no name in HDF5 has a zero
P = ParamSpec("P")
T = TypeVar("T")


def watched(function: Callable[P, T]) -> Callable[P, T]:
    """A module's function, run in the watched process. Raises UserError, as the function does, and where it ends that
    process or does not come to an end itself."""

    @functools.wraps(function)
    def ask(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            raise TypeError("a watched function takes its arguments by place")
        return _reader.call(f"{function.__module__}:{function.__name__}", list(args))

    return ask


class Reader:
    """The watched process, seen from outside. It belongs to one process; after a fork the child has its own."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._ended: dict[tuple[int, ...], str] = {}  # file → how it ended the process: it is not read again

    def call(self, function: str, arguments: list[Any]) -> Any:
        with self._lock:
            file = _identity(arguments[0])
            if file in self._ended:
                raise UserError(f"{arguments[0]} is damaged: {self._ended[file]}.")
            process = self._started()
            assert process.stdin is not None and process.stdout is not None
            try:
                send(process.stdin, packed([function, arguments, _here(), file[2] if file else 0, SECONDS]))
                reply = receive(process.stdout)
            except (BrokenPipeError, EOFError):
                if (code := self._end()) == -signal.SIGKILL:  # by somebody else
                    raise UserError(f"What read {arguments[0]} was killed, perhaps for want of memory.") from None
                self._ended[file] = _reason(code)
                raise UserError(f"{arguments[0]} is damaged: {self._ended[file]}.") from None
            except BaseException:  # the answer to this call must not be taken for that to the next
                self.close()
                raise
        if "error" in reply:
            raise UserError(reply["error"])
        if "bug" in reply:
            raise RuntimeError(f"reading {arguments[0]} failed:\n{reply['bug']}")
        return reply["value"]

    def close(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _started(self) -> subprocess.Popen[bytes]:
        if self.process is None or self.process.poll() is not None:
            self.close()
            code = "from lamscope.watched import serve; serve()"
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # what C libraries say when they end
                env={**os.environ, **ENVIRONMENT},
            )
            assert self.process.stdout is not None
            try:
                receive(self.process.stdout)
            except EOFError:
                raise RuntimeError(
                    f"the process that reads HDF5 files does not start (exit code {self._end()})"
                ) from None
        return self.process

    def _end(self) -> int:
        """The exit code of a process that ended by itself."""
        process, self.process = self.process, None
        assert process is not None
        process.communicate()
        return process.returncode


def _reason(code: int) -> str:
    if code == -signal.SIGXCPU:
        return "reading it takes more time than a file of its size explains"
    return f"HDF5 crashed on it ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"


_reader = Reader()


def reader() -> Reader:
    """That of this process."""
    return _reader


def _forget() -> None:
    global _reader
    if _reader.process is not None:
        _reader.process.returncode = 0  # it is nobody's child here
    _reader = Reader()


atexit.register(lambda: _reader.close())
os.register_at_fork(after_in_child=_forget)


def _identity(path: str | Path) -> tuple[int, ...]:
    try:
        about = os.stat(path)
    except (OSError, ValueError):
        return ()
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


def _here() -> str:
    with suppress(FileNotFoundError):
        return os.getcwd()
    return "/"


# ── the process itself ──


def serve() -> None:
    """Answer until the other side is gone."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # they are for the one that asks
        signal.signal(one, signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no reply
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    send(replies, packed("ready"))
    while True:
        try:
            function, arguments, folder, size, seconds = receive(sys.stdin.buffer)
        except EOFError:
            return
        with suppress(OSError):
            os.chdir(folder)
        _limit(resource.RLIMIT_CPU, int(time.process_time()) + 1 + seconds + size // 1_000_000)
        if (held := _held()) is not None:
            _limit(resource.RLIMIT_DATA, held + min(SLACK + RATIO * size, MOST))
        send(replies, _answer(function, arguments))


def _answer(function: str, arguments: list[Any]) -> list[bytes | memoryview]:
    module, _, name = function.partition(":")
    try:
        return packed({"value": getattr(importlib.import_module(module), name).__wrapped__(*arguments)})
    except UserError as error:
        return packed({"error": str(error)})
    except BaseException:
        return packed({"bug": traceback.format_exc()})


def _held() -> int | None:
    """Bytes of memory of this process as RLIMIT_DATA counts them; None where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return int(status.partition("VmData:")[2].split()[0]) << 10


def _limit(what: int, value: int) -> None:
    _, most = resource.getrlimit(what)
    resource.setrlimit(what, (value if most == resource.RLIM_INFINITY else min(value, most), most))


# ── what travels: JSON with its length before it, then the bytes of its arrays in the order in which they are met ──


def packed(value: Any) -> list[bytes | memoryview]:
    arrays: list[memoryview] = []

    def apart(item: Any) -> Any:
        if isinstance(item, Path):
            return str(item)
        if not isinstance(item, np.ndarray):
            raise TypeError(f"{type(item).__name__} cannot travel")
        if item.dtype == object:
            return {TEXT: item.tolist()}
        if item.size:
            arrays.append(np.ascontiguousarray(item).reshape(-1).view(np.uint8).data)
        return {ARRAY: [item.dtype.str, item.shape]}

    head = json.dumps(value, default=apart).encode()
    return [len(head).to_bytes(8, "little"), head, *arrays]


def send(pipe: IO[bytes], pieces: list[bytes | memoryview]) -> None:
    for piece in pieces:
        pipe.write(piece)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """The next value. Raises EOFError where the other side ended."""

    def exactly(n: int) -> bytearray:
        content = bytearray(n)  # not bytes: arrays in it may be written
        at = 0
        while at < n:
            if not (got := pipe.readinto(memoryview(content)[at:])):  # type: ignore[attr-defined]
                raise EOFError
            at += got
        return content

    def together(item: dict[str, Any]) -> Any:
        if item.keys() == {TEXT}:
            return np.array(item[TEXT], object)
        if item.keys() == {ARRAY}:
            dtype, shape = np.dtype(item[ARRAY][0]), item[ARRAY][1]
            return np.frombuffer(exactly(math.prod(shape) * dtype.itemsize), dtype).reshape(shape)
        return item

    return json.loads(exactly(int.from_bytes(exactly(8), "little")), object_hook=together)

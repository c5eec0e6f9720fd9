"""Writing files that survive: whole or not at all, by one job at a time, with one line when the disk refuses."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .interruption import undisturbed
from .types import UserError


def temporary_of(path: Path) -> Path:
    """Where a file is written before it is renamed. Always the same: the next job finds what a killed one left."""
    return path.with_name(path.name + ".tmp")


@contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Turn what the operating system says about writing (full, read-only, forbidden, …) into one line."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise UserError(f"Cannot write {path}: {reason}. What was stored before is safe.") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write; on leaving it is synced and renamed to `path`, or removed after an exception.

    Ctrl-C and SIGTERM wait until it is done.
    """
    temporary = temporary_of(path)
    with undisturbed(), reporting(path):
        try:
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)  # else a power cut could undo the renaming
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, lock: Path) -> Iterator[None]:
    """Hold the advisory lock file `lock` for writing `path`. Raises UserError when another job holds it.

    The system releases the lock of a killed process. The file is removed on leaving; a job that had opened it before
    sees that its inode is gone and opens a new one.
    """
    try:
        import fcntl
    except ImportError as error:
        raise UserError("Writing results needs file locks as Linux and macOS have them; on Windows use WSL.") from error
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_open_file(descriptor, lock):
                break
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
            os.close(descriptor)
            raise UserError(f"Another job ({holder}) is writing {path}.") from None
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
    try:
        with suppress(OSError):  # says who holds it; a full disk may keep it empty
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        os.close(descriptor)


def is_held(lock: Path) -> bool:
    """Whether a job that lives holds this lock file; a killed one's is there, but free."""
    import fcntl

    try:
        descriptor = os.open(lock, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_open_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


class Sink(io.FileIO):
    """A file for h5py that remembers the first failed write instead of raising.

    HDF5 cannot close a file whose writes fail (full disk), and crashes the process at its end. So writes after the
    first failure are swallowed, and the writer asks `check` now and then.
    """

    failure: OSError | None = None

    def write(self, data) -> int:
        view = memoryview(data).cast("B")
        begin = 0
        while begin < len(view) and self.failure is None:
            try:
                begin += super().write(view[begin:]) or 0
            except OSError as error:
                self.failure = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0

    def check(self) -> None:
        """Raise the first failure, if any."""
        if self.failure is not None:
            raise self.failure

"""A job in a process of its own: one that is killed for memory takes no other with it, and leaves its GPU empty.

The parent writes the pickled job to the child's stdin and keeps that open: when the parent is gone, however it went,
stdin ends, and so does the child. So no orphan holds a cell that a restarted sweep wants.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from .work import Outcome, Work

ORPHAN = 70  # exit code of a child whose parent is gone


class Children:
    """The processes that run now; `stop` ends them, and `run` starts no more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def run(self, work: Work, environment: dict[str, str]) -> Outcome:
        """work() in a fresh process, with variables added to the environment; waits for it."""
        with TemporaryDirectory(prefix="lamscope-") as folder:
            answer = Path(folder) / "outcome"
            command = [sys.executable, "-m", __spec__.name, str(answer)]
            with self._lock:
                if self._stopped:
                    return Outcome(failure="not started: the sweep was stopped")
                child = subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, **environment})
                self._running.add(child)
            assert child.stdin is not None
            try:
                child.stdin.write(pickle.dumps(work))
                child.stdin.flush()
            except BrokenPipeError:
                pass  # it died at once; its exit code tells
            code = child.wait()
            child.stdin.close()
            with self._lock:
                self._running.discard(child)
            if code == 0:
                return pickle.loads(answer.read_bytes())
        return Outcome(failure=f"its process {_ended(code)}")

    def stop(self) -> None:
        """End all of them."""
        with self._lock:
            self._stopped = True
            for child in self._running:
                child.terminate()


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return f"was killed ({name}{hint})"


def _end_with_the_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(ORPHAN)


def _main() -> None:
    work = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        outcome = work()
    except KeyboardInterrupt:
        sys.exit(130)
    Path(sys.argv[1]).write_bytes(pickle.dumps(outcome))


if __name__ == "__main__":
    _main()

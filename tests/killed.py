"""A training that is killed in the middle, for tests of what a continued one gives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

# trains like the command line does, but dawdles from the third update on, so that there is time to be killed
DAWDLE = """
import sys, time
from lamscope.config import compose
from lamscope.training import pipeline, train
read = pipeline.PatchDataset.__getitem__
pipeline.PatchDataset.__getitem__ = lambda self, key: (time.sleep(60 * (key[0] > 2)), read(self, key))[1]
train(compose(sys.argv[1:]))
"""


def train_and_kill(arguments: list[str], run: Path) -> None:
    """`lamscope train` in a process that gets SIGKILL once `run` has a checkpoint of the second update."""
    process = subprocess.Popen([sys.executable, "-c", DAWDLE, *arguments], env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        deadline = time.monotonic() + 240
        while not (run / "training_states/2.state").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()

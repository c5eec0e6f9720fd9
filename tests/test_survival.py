"""A sweep survives: sixty faults of all kinds at random points, in real processes (see faults.py)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = Path(__file__).with_name("faults.py")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("chunk", "faults", "least"), [("1", 60, 9), ("auto", 8, 1)])
def test_a_sweep_survives_whatever_hits_it(tmp_path, chunk, faults, least):
    """chunk=1: in the end equal to the bit; chunk=auto: to 1e-5. Nothing twice, nothing torn, nothing left over."""
    command = [sys.executable, str(FAULTS), str(tmp_path / "sweeps"), f"faults={faults}", f"chunk={chunk}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["faults"] >= faults and len(summary["kinds"]) >= least, summary

"""What a result was computed with: versions, device, commit."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from .version import __version__

PACKAGES = ("torch", "numpy", "h5py", "hydra-core", "pandas", "scikit-image", "pillow")


def describe(device: torch.device, precision: str) -> dict[str, Any]:
    """Provenance of a run: package versions, device, precision, threads, host, code version."""
    return {
        "lamscope": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "device_type": device.type,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "host": platform.node(),
        "platform": platform.platform(),
    }


def _processor() -> str:
    """The processor's name; Linux says it only here."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str | None:
    """The commit of the source tree that lamscope runs from, '+' when changed; None for an installed package."""
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(here.parent), "describe", "--always", "--dirty=+", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()

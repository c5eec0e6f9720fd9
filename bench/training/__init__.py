"""Our networks and HDF5 patches handed to BasicSR's training pipeline."""

from __future__ import annotations

from .checkpoint import export
from .loop import train

__all__ = ["export", "train"]

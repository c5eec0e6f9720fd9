"""lamscope data select: the hard set, built by a documented rule, and rebuilt exactly from its manifest."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from .durable import replacing


def write_hdf5(path: Path, images: Iterable[tuple[str, NDArray[np.uint8]]], attributes: dict[str, str]) -> None:
    """Images (name, uint8 (h, w, 3)) as `hr` of a file that HDF5Dataset reads, in this order; whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, h5py.File(part, "w") as file:
        file.attrs.update(attributes)
        group = file.create_group("hr", track_order=True)
        for name, image in images:
            group.create_dataset(name, data=image, compression="gzip", shuffle=True, track_times=False)

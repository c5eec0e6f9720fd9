"""How the report scales, measured: python tests/scale.py records | page [FOLDER].

records: 25 networks × 1,000 images × 16 windows, aggregated from a frame (every statistic of the report).
page: 25 networks × 150 images, stored, then reported with all figures. FOLDER keeps what was made.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from test_figures import FAMILY, make_records

from lamscope.comparison import agreement_on_images, correlations, image_ranking, pairwise
from lamscope.metrics.concentration import diffusion_index
from lamscope.store import CellWriter
from lamscope.table import ranking

SIDE, SCALE = 64, 4


def measure_records() -> None:
    records = make_records(25, 1000, 16)
    print(f"{len(records)} records")
    begin = time.perf_counter()
    for step in (ranking, image_ranking, agreement_on_images, pairwise, correlations):
        start = time.perf_counter()
        step(records)
        print(f"{step.__name__}: {time.perf_counter() - start:.1f} s")
    say("all", begin)


def measure_page(folder: Path, networks: int = 25, images: int = 150) -> None:
    from lamscope.config import options
    from lamscope.report import report

    if not (folder / "runs").exists():
        for m in range(networks):
            write_cell(folder / "runs", m, networks, images)
    begin = time.perf_counter()
    report(folder / "runs", folder / "report", options("figure"), page=True)
    say("report", begin)
    files = [p for p in (folder / "report" / "assets").rglob("*") if p.is_file()]
    size = sum(p.stat().st_size for p in files)
    print(
        f"assets {size / 1e6:.1f} MB in {len(files)} files, index {(folder / 'report/index.html').stat().st_size} bytes"
    )


def write_cell(folder: Path, m: int, networks: int, images: int) -> None:
    """Textured images, SR by blurring, and maps of a width that grows with m."""
    name = f"net{m:02d}"
    labels = {"model": name, "family": FAMILY[m % len(FAMILY)], "n_parameters": 1000, "channels": "rgb"}
    labels |= {"dataset": "scale", "attribution": "lam", "detector": "rgb", "seed": 0, "digest": name}
    with CellWriter(folder / "scale" / "lam" / f"{name}.h5", {"digest": name}, images, labels) as writer:
        for index in sorted(set(range(images)) - writer.done()):
            hr, y, x = picture(index)
            g = np.random.default_rng([m, index])
            blur = 1.5 - m / networks
            sr = np.stack([gaussian_filter(hr[..., c].astype(float), blur) for c in range(3)], -1).astype(np.uint8)
            far = np.hypot(*np.indices((SIDE, SIDE)) - np.array([y, x])[:, None, None] / SCALE)
            values = (g.normal(size=(3, SIDE, SIDE)) * np.exp(-far / (1 + 0.4 * m))).astype(np.float32)
            row = {"window_y": y, "window_x": x, "window_size": 16, "lr_h": SIDE, "lr_w": SIDE, "scale": SCALE}
            row |= {
                "di": diffusion_index(values),
                "psnr_y": 20 + 0.1 * m,
                "psnr_rgb": 19.0,
                "ssim_y": 0.6,
                "status": "ok",
            }
            tensors = {"hr": hr, "lr": hr[::SCALE, ::SCALE].copy(), "sr": sr, "map": values[None]}
            writer.write(index, f"image{index:03d}", tensors, [row])
        writer.finish()


def picture(index: int) -> tuple[np.ndarray, int, int]:
    """A crop of one of scikit-image's photographs, with a window."""
    from skimage import data

    g = np.random.default_rng(index)
    source = [data.astronaut, data.coffee, data.rocket, data.chelsea][index % 4]()
    top, left = (int(g.integers(0, side - SIDE * SCALE)) for side in source.shape[:2])
    crop = source[top : top + SIDE * SCALE, left : left + SIDE * SCALE]
    return np.ascontiguousarray(crop), int(g.integers(0, 239)), int(g.integers(0, 239))


def say(what: str, begin: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{what}: {time.perf_counter() - begin:.1f} s, {time.process_time():.1f} s of CPU in all, peak {peak:.2f} GB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["records"]:
        measure_records()
    elif sys.argv[1:2] == ["page"] and len(sys.argv) > 2:
        measure_page(Path(sys.argv[2]))
    elif sys.argv[1:2] == ["page"]:
        with tempfile.TemporaryDirectory() as temporary:
            measure_page(Path(temporary))
    else:
        sys.exit(__doc__)

"""The page: results/report/index.html and its assets, which any browser opens from the file system, offline.

Data come as scripts, since browsers refuse to fetch files; an image's maps and pictures load when it is looked at.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..cellfile import NO_IMAGES
from ..durable import replacing, reporting
from ..maps import numbered
from ..store import read_tensors
from ..version import __version__
from . import pictures, summary
from .document import document, folder
from .findings import Chapter
from .gather import Part
from .tables import write_text

BUDGET = 80_000_000  # bytes that lossless SR pictures may take; beyond, they are compressed
SAMPLED = 8  # pictures whose size stands for all


def build(chapters: Sequence[Chapter], out: Path, workers: int | None = None) -> Path:
    """Write out/index.html and out/assets, replacing those of an earlier report; returns the page's path.

    workers: threads; None: one per core. The assets are made beside the old ones, which they replace at the end.
    Raises UserError when the disk refuses.
    """
    assets, new = out / "assets", out / "assets.tmp"
    with reporting(out / "index.html"):
        out.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        jobs, parts = [], []
        for number, chapter in enumerate(chapters):
            slug = f"part{number}"
            (new / slug).mkdir()
            assert chapter.findings is not None
            made, lossless = _jobs(chapter.part, new / slug, slug)
            jobs += made
            about = summary.part_summary(chapter.part, chapter.findings, chapter.title, slug)
            parts.append({**about, "lossless": lossless, "files": _links(chapter.files, out)})
        _run(jobs, workers)
        _write_frame(parts, new)
        shutil.rmtree(assets, ignore_errors=True)
        os.replace(new, assets)
        with replacing(out / "index.html") as temporary:
            body = (folder() / "index.html").read_text("utf-8")
            temporary.write_text(document("report", ["assets/style.css"], body), encoding="utf-8")
    return out / "index.html"


def _jobs(part: Part, folder: Path, slug: str) -> tuple[list[pictures.Job], bool]:
    """One job per image, and whether SR is kept without loss."""
    models = part.table["model"].tolist()
    records = numbered(part.records)
    rows = records[~records["status"].isin(NO_IMAGES) & records["model"].isin(models)]
    files = rows.groupby(["index", "model"])["file"].first().unstack().reindex(columns=models)
    count = int(files.notna().sum().sum())
    step = max(1, len(files) // SAMPLED)
    samples = [
        read_tensors(next(f for f in row if isinstance(f, str)), int(str(index)), ["sr"])["sr"]
        for index, row in zip(files.index[::step], files.to_numpy()[::step], strict=True)
    ]
    lossless = pictures.estimate(samples, count) <= BUDGET
    windows = summary.windows_of(records, models)
    jobs = [
        pictures.Job(
            folder, slug, int(str(index)), tuple(f if isinstance(f, str) else None for f in row),
            tuple(windows[int(str(index))]), lossless,
        )
        for index, row in zip(files.index, files.to_numpy(), strict=True)
    ]  # fmt: skip
    return jobs, lossless


def _run(jobs: list[pictures.Job], workers: int | None) -> None:
    """Threads, since encoding and decompression let others run; a script of the user's needs no main guard for them."""
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for _ in pool.map(pictures.make, jobs):
            pass


def _links(files: Sequence[Path], out: Path) -> list[str]:
    """Paths relative to the page, with forward slashes, of the files that lie below it."""
    return [path.relative_to(out).as_posix() for path in files if path.is_relative_to(out)]


def _write_frame(parts: list[dict[str, Any]], assets: Path) -> None:
    from plotly.offline import get_plotlyjs

    about = {"version": __version__, "colours": summary.colour_tables(), "parts": parts}
    # `</` never occurs, should anyone paste the script into a page
    text = json.dumps(about, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    write_text(assets / "data.js", f"lamscope.data = {text};\n")
    write_text(assets / "plotly.min.js", get_plotlyjs())
    for entry in sorted(folder().iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith((".js", ".css")):
            write_text(assets / entry.name, entry.read_text("utf-8"))

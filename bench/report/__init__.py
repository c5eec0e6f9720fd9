"""From stored runs to a ranking in the terminal, tables and figures. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..config import instantiate, options, suggest
from ..printable import as_file_name
from ..table import comparable, failures, ranking, read_records
from ..types import UserError
from ..variants import name_variants

if TYPE_CHECKING:
    from .findings import Chapter
    from .gather import Part


def report(
    runs: str | Path | Iterable[str | Path],
    out: str | Path,
    figures: Sequence[str] = (),
    *,
    page: bool = False,
    colours: str | None = None,
) -> list[Path]:
    """Rank what is stored, print the ranking, and write tables and figures into out; returns the written paths.

    runs: a folder of results, one .h5 file, or several of either. figures: names of conf/figure. Each comparable part
    (one test set, method, LR size, …) gets its own folder, <out>/<dataset>/<attribution>. page: also findings and the
    page <out>/index.html. colours: seismic or safe, for all figures that have the choice; None: as conf/figure says. A
    part that cannot be ranked is skipped with a line that says why. Raises UserError for an unknown figure, and when
    nothing can be ranked.
    """
    nodes = {name: read_figure(name) for name in figures}
    if colours is not None:
        nodes = {name: node | ({"colours": colours} if "colours" in node else {}) for name, node in nodes.items()}
    runs = [runs] if isinstance(runs, str | Path) else list(runs)
    records = read_records(runs)
    parts = comparable(records)
    folders = _folders(parts)
    written: list[Path] = []
    problems: list[str] = []
    chapters = []
    for part, folder in zip(parts, folders, strict=True):
        try:
            chapter = _report_part(part, Path(out) / folder, nodes, problems, page)
        except UserError as error:
            problems.append(str(error))
        else:
            chapters.append(chapter)
            written += chapter.files
    if not written:
        raise UserError(" ".join([*problems, *failures(records)]) or f"There are no finished results in {_join(runs)}.")
    _announce(written, problems)
    if page:
        from .site import build
        from .terminal import terminal

        written.append(build(chapters, Path(out)))
        terminal().print(f"the page is {written[-1]}", markup=False, soft_wrap=True)
    return written


def read_figure(name: str) -> dict[str, Any]:
    """conf/figure/<name>.yaml: the figure's `_target_` and options. Raises UserError for an unknown name."""
    import yaml

    file = resources.files("lamscope.conf") / "figure" / f"{name}.yaml"
    if not file.is_file():
        raise UserError(f"Unknown figure '{name}'.{suggest(name, options('figure'))} See conf/figure/.")
    return yaml.safe_load(file.read_text("utf-8"))


def _report_part(part: pd.DataFrame, folder: Path, nodes: dict[str, Any], problems: list[str], page: bool) -> Chapter:
    from .findings import Chapter, find, write_findings
    from .gather import Part
    from .tables import write_tables
    from .terminal import print_ranking

    part = name_variants(part)
    table = ranking(part)
    title = _title(part, table)
    print_ranking(table, title)
    written = write_tables(part, table, title, folder)
    gathered = Part(part, table)
    findings = None
    if page:
        findings = find(gathered)
        written += write_findings(gathered, findings, title, folder)
    for name, node in nodes.items():
        try:
            written += _draw(name, node, gathered, folder)
        except UserError as error:
            problems.append(f"{name}: {error}")
    return Chapter(gathered, findings, title, tuple(written))


def _draw(name: str, node: dict[str, Any], part: Part, folder: Path) -> list[Path]:
    """One figure, or one for each of the images that its options ask for."""
    from ..figures import style
    from .gather import gather

    how = dict(node)
    written = []
    for suffix, data in gather(part, how):
        drawn = instantiate({**how, "_partial_": True})(data)
        written += style.save(drawn.get_figure(root=True), folder / f"{name}{suffix}")
    return written


def _title(part: pd.DataFrame, table: pd.DataFrame) -> str:
    first = part.iloc[0]
    n = int(table["n_images"].iloc[0])
    h, w = int(first["lr_h"]), int(first["lr_w"])
    images = f"{n} image{'s' if n != 1 else ''} of {w}×{h} LR pixels, ×{int(first['scale'])}"
    return f"{first['dataset']}, {first['attribution']} ({str(first['detector']).upper()} detector): {images}"


def _folders(parts: list[pd.DataFrame]) -> list[Path]:
    """<dataset>/<attribution>, and below it what else tells two parts apart."""
    plain = [Path(*(as_file_name(str(p[key].iloc[0])) for key in ("dataset", "attribution"))) for p in parts]
    full = []
    for path, part in zip(plain, parts, strict=True):
        first = part.iloc[0]
        size = f"{int(first['lr_w'])}x{int(first['lr_h'])}-w{int(first['window_size'])}"
        mixed = as_file_name(f"{first['detector']}-{first['channels']}-x{int(first['scale'])}-{size}")
        full.append(path / mixed if plain.count(path) > 1 else path)
    return full


def _announce(written: list[Path], problems: list[str]) -> None:
    from .terminal import terminal

    console = terminal()
    for problem in problems:
        console.print(f"! {problem}", markup=False, soft_wrap=True)
    for folder in dict.fromkeys(path.parent for path in written):
        n = sum(path.suffix == ".png" for path in written if path.parent == folder)
        figures = f" and {n} figure{'s' if n != 1 else ''} (PNG and PDF)" if n else ""
        console.print(f"tables{figures} in {folder}", markup=False, soft_wrap=True)


def _join(runs: Iterable[str | Path]) -> str:
    return ", ".join(map(str, runs))

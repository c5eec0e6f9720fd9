"""Any frame of measurements, printed, and written as CSV and Markdown with the command that made it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich import box
from rich.table import Table

from ..durable import replacing
from .terminal import terminal


def publish(frame: pd.DataFrame, title: str, stem: Path, command: str, digits: int = 3) -> list[Path]:
    """Print the frame; write <stem>.csv (all digits) and <stem>.md (significant digits as given); returns both."""
    shown = frame.map(lambda value: f"{value:#.{digits}g}" if isinstance(value, float) else str(value))
    shown = shown.where(frame.notna(), "–")
    table = Table(box=box.MARKDOWN)
    for name in shown:
        table.add_column(str(name).replace("_", " "), justify="left" if frame[name].dtype == object else "right")
    for row in shown.itertuples(index=False):
        table.add_row(*row)
    console = terminal()
    console.print(f"{title}\n", soft_wrap=True)
    console.print(table)
    lines = ["| " + " | ".join(str(c).replace("_", " ") for c in shown) + " |", "|" + " --: |" * shown.shape[1]]
    lines += ["| " + " | ".join(row) + " |" for row in shown.itertuples(index=False)]
    text = "\n".join([f"# {title}", "", f"`{command}`", "", *lines, ""])
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = [stem.with_suffix(".csv"), stem.with_suffix(".md")]
    for path, content in zip(written, (frame.to_csv(index=False), text), strict=True):
        with replacing(path) as part:
            part.write_text(content, encoding="utf-8")
    return written

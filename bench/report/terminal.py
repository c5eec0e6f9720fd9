"""The ranking as a table in the terminal: 80 columns suffice, and a file gets plain Markdown."""

from __future__ import annotations

import math
import sys
from typing import TextIO

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

GAP = 2  # columns between two cells
PLAIN_WIDTH = 200  # columns where nobody looks: a log or a pipe never wraps


def print_ranking(table: pd.DataFrame, title: str, file: TextIO | None = None) -> None:
    """Print what `table.ranking` returns, with its notes. On a terminal with colours and lines, else as Markdown."""
    console = terminal(file)
    console.print(Text(title, style="bold"))
    if console.is_terminal:
        console.print(rich_table(table, console.width))
    else:
        with console.capture() as capture:
            console.print(rich_table(table, console.width, plain=True))
        lines = [line.rstrip() for line in capture.get().splitlines()]
        console.print(*["", *filter(None, lines), ""], sep="\n", markup=False, soft_wrap=True)
    for note in table.attrs.get("notes", []):
        console.print(Text(f"! {note}", style="yellow"), soft_wrap=not console.is_terminal)


def terminal(file: TextIO | None = None) -> Console:
    """A console for `file` (default: standard output) that neither colours nor wraps what is not a terminal."""
    console = Console(file=file or sys.stdout, highlight=False)
    return console if console.is_terminal else Console(file=console.file, width=PLAIN_WIDTH, highlight=False)


def rich_table(table: pd.DataFrame, width: int, plain: bool = False) -> Table:
    """One row per network: rank, name, family, mean DI with its 95 % interval, PSNR-Y, parameters.

    width: columns there are. Numbers are never cut: long names are, and where there is no room for families they go.
    """
    columns: dict[str, list[str]] = {
        "#": [str(v) for v in table["rank"]],
        "network": [str(v) for v in table["model"]],
        "family": [str(v) for v in table["family"]],
        "DI %": [f"{v:.2f}" for v in table["di"]],
        "95 % interval": [interval(*v) for v in zip(table["di_low"], table["di_high"], strict=True)],
        "PSNR-Y dB": [f"{v:.2f}" for v in table["psnr_y"]],
        "params": [count(v) for v in table["n_parameters"]],
    }
    needed = {name: max(map(len, [name, *texts])) for name, texts in columns.items()}
    left = width - sum(size + GAP for name, size in needed.items() if name not in ("network", "family"))
    names = {name: needed[name] for name in ("network", "family")}
    needed["network"] = min(names["network"], max(left - GAP - names["family"], 14))
    needed["family"] = min(names["family"], left - GAP - needed["network"])
    if needed["family"] < len("family"):
        del columns["family"]
        needed["network"] = max(8, min(names["network"], left))
    shown = Table(box=box.MARKDOWN if plain else box.SIMPLE_HEAD, header_style="" if plain else "bold")
    shown.pad_edge = shown.show_edge = plain
    shown.padding = (0, 1) if plain else (0, 1, 0, 0)
    for name in columns:
        text = name in ("network", "family")
        shown.add_column(
            name, justify="left" if text else "right", no_wrap=True, overflow="ellipsis", width=needed[name]
        )
    for row in zip(*columns.values(), strict=True):
        shown.add_row(*map(Text, row))
    return shown


def interval(low: float, high: float, digits: int = 2) -> str:
    """'3.10 – 4.25', or '–' where one image allows none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "–"
    return " – ".join(f"{end:z.{digits}f}" for end in (low, high))  # z: no -0.00


def count(number: float) -> str:
    """1517571 → '1.52 M', 12809 → '12.8 K'; '–' for unknown (−1)."""
    if not math.isfinite(number) or number < 0:
        return "–"
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("K", 1e3)):
        if number >= size * 0.9995:
            return f"{number / size:#.3g}".rstrip(".") + f" {unit}"
    return str(int(number))

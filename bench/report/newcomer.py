"""Where a new network stands among stored ones, in the terminal and as Markdown."""

from __future__ import annotations

import pandas as pd
from rich.text import Text

from .tables import markdown as ranking_markdown
from .terminal import print_ranking, terminal

VALUES = {"di": "DI (percentage points)", "psnr_y": "PSNR-Y (dB)"}
LEVEL = 0.05
HOW = (
    "Differences are the newcomer minus the network, means over images paired by image. Intervals: 95 %, BCa bootstrap "
    "over images. p: two-sided sign-flip permutation test of the mean difference (exact up to 13 images, else 9,999 "
    "draws); p (Holm) allows for comparing with every network of the table."
)


def print_place(table: pd.DataFrame, differences: pd.DataFrame, name: str, title: str) -> None:
    """The ranking, the newcomer's ranks, and its difference to every other network; 80 columns suffice."""
    print_ranking(table, title)
    console = terminal()
    for line in _place_lines(table, differences, name):
        console.print(Text(line), soft_wrap=not console.is_terminal or line.startswith("|"))


def markdown(table: pd.DataFrame, differences: pd.DataFrame, name: str, title: str) -> str:
    """A document of the same content."""
    return ranking_markdown(table, title) + "\n" + "\n".join(_place_lines(table, differences, name)) + "\n"


def _place_lines(table: pd.DataFrame, differences: pd.DataFrame, name: str) -> list[str]:
    lines = [place(table, name), ""]
    for value, unit in VALUES.items():
        lines += [f"{unit}: {verdict(differences, value, name)}", "", *difference_lines(differences, value), ""]
    return [*lines, HOW]


def place(table: pd.DataFrame, name: str) -> str:
    """'mine: rank 3 of 8 by DI (1.79 %), 2 of 8 by PSNR-Y (25.01 dB)'."""
    row = table.set_index("model").loc[name]
    n, by_psnr = len(table), (table["psnr_y"] > row["psnr_y"]).sum() + 1
    di = f"rank {row['rank']} of {n} by DI ({row['di']:.2f} %)"
    return f"{name}: {di}, {by_psnr} of {n} by PSNR-Y ({row['psnr_y']:.2f} dB)"


def verdict(differences: pd.DataFrame, value: str, name: str) -> str:
    """'mine is above 2 networks, below 4, not told apart from 1 (p (Holm) < 0.05).'"""
    sure = differences[f"{value}_holm"] < LEVEL
    above, below = (int((sure & side).sum()) for side in (differences[value] > 0, differences[value] < 0))
    rest = len(differences) - above - below
    networks = f"{above} network{'' if above == 1 else 's'}"
    return f"{name} is above {networks}, below {below}, not told apart from {rest} (p (Holm) < {LEVEL})."


def difference_lines(differences: pd.DataFrame, value: str) -> list[str]:
    """Rows of a Markdown table of one value's differences, aligned for reading as they are."""
    rows = [["against", "difference", "95 % interval", "p", "p (Holm)"]]
    for row in differences.to_dict("records"):
        bounds = f"{row[f'{value}_low']:+z.2f} … {row[f'{value}_high']:+z.2f}"
        chances = [f"{row[f'{value}_{kind}']:.4f}" for kind in ("p", "holm")]
        rows.append([str(row["model"]), f"{row[value]:+z.2f}", bounds, *chances])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])])
    texts = []
    for cells in rows:
        first, *rest = zip(cells, widths, strict=True)
        texts.append("| " + " | ".join([first[0].ljust(first[1]), *(c.rjust(w) for c, w in rest)]) + " |")
    return texts

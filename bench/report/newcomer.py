"""Where a new network stands among stored ones, in the terminal and as Markdown."""

from __future__ import annotations

import pandas as pd
from rich.text import Text

from .tables import markdown as ranking_markdown
from .terminal import print_ranking, terminal

HOW = (
    "Differences are the newcomer minus the network, means over images paired by image. Intervals: 95 %, BCa bootstrap "
    "over images. p: two-sided sign-flip permutation test of the mean difference (exact up to 13 images, else 9,999 "
    "draws); p (Holm) allows for comparing with every network of the table."
)


def print_place(table: pd.DataFrame, differences: pd.DataFrame, name: str, title: str) -> None:
    """The ranking, the newcomer's ranks, and its difference to every other network."""
    print_ranking(table, title)
    console = terminal()
    for line in [place(table, name), "", *difference_lines(differences), "", HOW]:
        console.print(Text(line), soft_wrap=not console.is_terminal or line.startswith("|"))


def markdown(table: pd.DataFrame, differences: pd.DataFrame, name: str, title: str) -> str:
    """A document of the same content."""
    lines = [place(table, name), "", *difference_lines(differences), "", HOW]
    return ranking_markdown(table, title) + "\n" + "\n".join(lines) + "\n"


def place(table: pd.DataFrame, name: str) -> str:
    """'mine: rank 3 of 8 by DI (1.79 %), 2 of 8 by PSNR-Y (25.01 dB)'."""
    row = table.set_index("model").loc[name]
    n, by_psnr = len(table), (table["psnr_y"] > row["psnr_y"]).sum() + 1
    di = f"rank {row['rank']} of {n} by DI ({row['di']:.2f} %)"
    return f"{name}: {di}, {by_psnr} of {n} by PSNR-Y ({row['psnr_y']:.2f} dB)"


def difference_lines(differences: pd.DataFrame) -> list[str]:
    """Rows of a Markdown table, aligned for reading as they are."""
    head = ["against", "ΔDI (points)", "95 % interval", "p", "p (Holm)", "ΔPSNR-Y (dB)", "95 % interval", "p"]
    rows = [head]
    for row in differences.to_dict("records"):
        cells = [str(row["model"])]
        for value, holm in (("di", True), ("psnr_y", False)):
            cells += [f"{row[value]:+z.2f}", f"{row[f'{value}_low']:+z.2f} … {row[f'{value}_high']:+z.2f}"]
            cells += [f"{row[f'{value}_p']:.4f}"] + ([f"{row[f'{value}_holm']:.4f}"] if holm else [])
        rows.append(cells)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])])
    texts = []
    for cells in rows:
        first, *rest = zip(cells, widths, strict=True)
        texts.append("| " + " | ".join([first[0].ljust(first[1]), *(c.rjust(w) for c, w in rest)]) + " |")
    return texts

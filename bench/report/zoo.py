"""The collection's table, for a terminal, a page (Markdown) or a program (CSV, JSON)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from ..types import UserError
from .terminal import count, terminal

UNKNOWN = "?"
SETS = {"set5": "Set5", "set14": "Set14", "b100": "B100", "urban100": "Urban100", "manga109": "Manga109"}
LEGEND = """\
Unknown, or not measured here: {unknown}.

**Cost**, for one image of {lr} LR pixels. Multiply-adds: of convolutions and matrix products of the official network.
Activations: elements of the outputs of all convolutions, as in the AIM and NTIRE challenges. RF: the receptive field by
the LAM paper's rule, 1 + Σ(k − 1) over the convolutions that run. Support: the LR columns on which the SR pixel in the
middle of a strip of rows×columns really depends; global or ≥ where that is the whole strip (≥: a longer one would take
too much time or memory).
Forward is the whole image; gradient is forward and backward to the image; LAM is `attribution=lam` for 16×16 SR pixels
in the centre. MiB: the most that tensors hold at a time, weights included, the same on every device. RSS and s: MiB
that a process of its own grew by since torch was loaded (on a GPU the most that torch had allocated), and seconds, on
{device}, {threads}, {precision}, random weights. ≈: not run, but LAM's number of steps times the gradient.

**Published**: Y-channel PSNR / SSIM at ×4, as the papers report them."""


def show(frame: pd.DataFrame, form: str | None) -> None:
    """Print what `catalogue` returns. form: csv, json, md, or None for a selection that fits a terminal."""
    if form == "csv":
        print(frame.to_csv(index=False), end="")
    elif form == "json":
        print(frame.to_json(orient="records", indent=1, force_ascii=False, double_precision=10))
    elif form == "md":
        print(markdown(frame), end="")
    elif form is None:
        print_table(frame, TERMINAL, SPARE)
    else:
        raise UserError(f"A table has the format csv, md or json, not '{form}'.")


def markdown(frame: pd.DataFrame) -> str:
    """Three tables, since one would be too wide to read: cost, published scores, weights."""
    first = frame.iloc[0]
    threads = f"{first.threads} thread{'s' if first.threads != 1 else ''}"
    legend = LEGEND.format(
        lr=first.lr, device=first.device, threads=threads, precision=first.precision, unknown=UNKNOWN
    )
    parts = {
        "Cost": ["network", "family", "params", "mult-adds", "activations", "RF", "support (strip)", *MEASURED],
        "Published": ["network", "paper", "year", *SETS.values()],
        "Weights": ["network", "trained on", "licence", "weights", "sha256"],
    }
    tables = [f"## {title}\n\n{_pipe(frame, columns)}" for title, columns in parts.items()]
    command = f"lamscope zoo measure=true machine.threads={first.threads} format=md"
    return "\n\n".join(["# The collection", f"`{command}`", legend, *tables]) + "\n"


def _pipe(frame: pd.DataFrame, columns: list[str]) -> str:
    rows = [columns, [":--" if c in TEXT else "--:" for c in columns]]
    rows += [[COLUMNS[c](row) for c in columns] for row in _rows(frame)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def print_table(frame: pd.DataFrame, columns: list[str], spare: Iterable[str] = ()) -> None:
    """Print these columns. On a terminal too narrow for them the spare ones are left out, in this order."""
    console = terminal()
    cells = {column: [COLUMNS[column](row) for row in _rows(frame)] for column in columns}
    for column in spare:
        if sum(max(map(len, [name, *texts])) + 2 for name, texts in cells.items()) > console.width:
            del cells[column]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for column in cells:
        table.add_column(column, justify="left" if column in TEXT else "right", no_wrap=True, overflow="ellipsis")
    for row in zip(*cells.values(), strict=True):
        table.add_row(*map(Text, row))
    console.print(table)


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """One dict a network, with None for whatever is unknown."""
    return [{str(k): None if pd.isna(v) else v for k, v in row.items()} for row in frame.to_dict("records")]


def _text(column: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: str(row[column]) if row[column] is not None else UNKNOWN


def _whole(column: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: str(int(row[column])) if row[column] is not None else UNKNOWN


def _count(column: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: count(row[column]) if row[column] is not None else UNKNOWN


def _number(column: str) -> Callable[[dict[str, Any]], str]:
    def number(row: dict[str, Any]) -> str:
        value = row[column]
        return UNKNOWN if value is None else f"{value:.0f}" if value >= 1000 else f"{value:#.3g}".rstrip(".")

    return number


def _score(test_set: str) -> Callable[[dict[str, Any]], str]:
    def score(row: dict[str, Any]) -> str:
        psnr, ssim = row[f"{test_set}_psnr_y"], row[f"{test_set}_ssim_y"]
        if psnr is None:
            return UNKNOWN
        return f"{psnr:.2f} / {f'{ssim:.4f}' if ssim is not None else UNKNOWN}"

    return score


def _support(row: dict[str, Any]) -> str:
    if row["support"] is None:
        return UNKNOWN
    return f"{row['support']} ({row['support_frame']})"


def _lam(row: dict[str, Any]) -> str:
    return ("" if row["lam_how"] in ("timed", None) else "≈ ") + _number("lam_s")(row)


def _paper(row: dict[str, Any]) -> str:
    return f"[{row['title']}]({row['paper']}), {row['venue']}" if row["paper"] else row["title"] or UNKNOWN


def _weights(row: dict[str, Any]) -> str:
    """The file, linked to where it is or to the page that leads to it; just the page where no file is named."""
    address = row["weights_url"] or row["weights_page"]
    name = row["weights_file"] or ("page" if address else UNKNOWN)
    return f"[{name}]({address})" if address else name


TERMINAL = ["network", "year", "family", "params", "mult-adds", "RF", "support", "gradient MiB", "LAM s", "here"]
SPARE = ["family", "year", "RF", "mult-adds", "params"]
MEASURED = [
    *("forward MiB", "gradient MiB", "forward RSS", "gradient RSS", "LAM RSS"),
    *("forward s", "gradient s", "LAM s"),
]
TEXT = {"network", "family", "paper", "weights", "file", "here", "trained on", "licence", "sha256"}
COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "network": _text("name"),
    "year": _whole("year"),
    "family": _text("family"),
    "params": _count("parameters"),
    "mult-adds": _count("multiply_adds"),
    "activations": _count("activations"),
    "RF": _whole("receptive_field"),
    "support": _text("support"),
    "support (strip)": _support,
    "forward s": _number("forward_s"),
    "forward MiB": _number("forward_mib"),
    "forward RSS": _number("forward_peak_mib"),
    "gradient s": _number("gradient_s"),
    "gradient MiB": _number("gradient_mib"),
    "gradient RSS": _number("gradient_peak_mib"),
    "LAM s": _lam,
    "LAM RSS": _number("lam_peak_mib"),
    "paper": _paper,
    **{shown: _score(name) for name, shown in SETS.items()},
    "file": _text("weights_file"),
    "here": _text("weights_here"),
    "trained on": _text("training_set"),
    "licence": _text("licence"),
    "weights": _weights,
    "sha256": _text("sha256"),
}

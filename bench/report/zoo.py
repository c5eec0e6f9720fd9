"""The collection's table, for a terminal, a page (Markdown) or a program (CSV, JSON)."""

from __future__ import annotations

from collections.abc import Callable
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
middle of a strip of rows×columns really depends; global where that is the whole strip.
Seconds and MiB: on {device}, {threads}, {precision}, random weights, each kind in a process of its own. MiB is how much
that process grew since torch was loaded, or, on a GPU, the most that torch had allocated. Forward is the whole image;
gradient is forward and backward to the image; LAM is `attribution=lam` for 16×16 SR pixels in the centre (≈: not run,
but its number of steps times the gradient).

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
        print_table(frame, TERMINAL)
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
        "Cost": ["network", "family", "params", "multiply-adds", "activations", "RF", "support", *MEASURED],
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


def print_table(frame: pd.DataFrame, columns: list[str]) -> None:
    """Print these columns; on a terminal that is too narrow cells are cut, never wrapped."""
    console = terminal()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column, justify="left" if column in TEXT else "right", no_wrap=True, overflow="ellipsis")
    for row in _rows(frame):
        table.add_row(*(Text(COLUMNS[c](row)) for c in columns))
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
    return lambda row: f"{row[column]:#.3g}".rstrip(".") if row[column] is not None else UNKNOWN


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
    return f"global ({row['support_frame']})" if row["support"] == "global" else str(row["support"])


def _lam(row: dict[str, Any]) -> str:
    return ("" if row["lam_how"] in ("timed", None) else "≈ ") + _number("lam_s")(row)


def _paper(row: dict[str, Any]) -> str:
    return f"[{row['title']}]({row['paper']}), {row['venue']}"


def _weights(row: dict[str, Any]) -> str:
    address = row["weights_url"] or row["weights_page"]
    name = row["weights_file"] or UNKNOWN
    return f"[{name}]({address})" if address else name


TERMINAL = ["network", "year", "family", "params", "multiply-adds", "RF", "support", "gradient MiB", "LAM s", "here"]
MEASURED = ("forward s", "forward MiB", "gradient s", "gradient MiB", "LAM s", "LAM MiB")
TEXT = {"network", "family", "paper", "weights", "file", "here", "trained on", "licence", "sha256"}
COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "network": _text("name"),
    "year": _whole("year"),
    "family": _text("family"),
    "params": _count("parameters"),
    "multiply-adds": _count("multiply_adds"),
    "activations": _count("activations"),
    "RF": _whole("receptive_field"),
    "support": _support,
    "forward s": _number("forward_s"),
    "forward MiB": _number("forward_peak_mib"),
    "gradient s": _number("gradient_s"),
    "gradient MiB": _number("gradient_peak_mib"),
    "LAM s": _lam,
    "LAM MiB": _number("lam_peak_mib"),
    "paper": _paper,
    **{shown: _score(name) for name, shown in SETS.items()},
    "file": _text("weights_file"),
    "here": _text("weights_here"),
    "trained on": _text("training_set"),
    "licence": _text("licence"),
    "weights": _weights,
    "sha256": _text("sha256"),
}

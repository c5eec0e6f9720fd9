"""A table as a paper prints it: one description, written as CSV (all digits), Markdown and LaTeX (booktabs)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ..durable import replacing
from .terminal import terminal

ABSENT = "–"
_TEX = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}"}
_TEX |= {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "×": r"$\times$",
    "−": "$-$",
    "σ": r"$\sigma$",
    "≥": r"$\geq$",
}
_TEX |= {"Δ": r"$\Delta$", "≤": r"$\leq$", "±": r"$\pm$", "–": "--", "²": "$^2$"}


@dataclass(frozen=True)
class Column:
    """key: the frame's column. head: what stands above it. spec: a format of numbers, as '.2f'; '' for text."""

    key: str
    head: str
    spec: str = ""


@dataclass(frozen=True)
class PaperTable:
    """parts: (heading, frame), '' for no heading; every frame has the columns' keys. notes: sentences below."""

    title: str
    command: str
    columns: Sequence[Column]
    parts: Sequence[tuple[str, pd.DataFrame]]
    notes: Sequence[str] = field(default_factory=tuple)


def write_table(table: PaperTable, stem: Path) -> list[Path]:
    """<stem>.csv, .md and .tex, each whole or not at all; prints the Markdown. Returns the paths."""
    text = markdown(table)
    terminal().print(text, markup=False, soft_wrap=True)
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for suffix, content in {".csv": csv(table), ".md": text, ".tex": latex(table)}.items():
        path = stem.with_name(stem.name + suffix)
        with replacing(path) as part:
            part.write_text(content, encoding="utf-8")
        written.append(path)
    return written


def csv(table: PaperTable) -> str:
    """All digits of every part, one below the other; a first column `part` where there are headings."""
    frames = [
        frame.assign(part=heading)[["part", *frame.columns]] if any(h for h, _ in table.parts) else frame
        for heading, frame in table.parts
    ]
    return pd.concat([frame for frame in frames if len(frame)], ignore_index=True).to_csv(index=False)


def markdown(table: PaperTable) -> str:
    """Numbers to the right, – for what is missing, the command above and the notes below."""
    lines = [f"# {table.title}", "", f"`{table.command}`", ""]
    for heading, frame in table.parts:
        lines += [f"## {heading}", ""] if heading else []
        lines.append(_row([column.head for column in table.columns]))
        lines.append(_row(["--:" if column.spec else ":--" for column in table.columns]))
        lines += [_row([cell.replace("|", r"\|") for cell in row]) for row in _cells(table, frame)]
        lines.append("")
    lines += [f"- {note}" for note in table.notes]
    return "\n".join(lines).rstrip() + "\n"


def latex(table: PaperTable) -> str:
    """A tabular for the booktabs package; title and notes are comments, for a caption to be written from."""
    n = len(table.columns)
    lines = [f"% {table.title}", f"% {table.command}"]
    lines.append(r"\begin{tabular}{" + "".join("r" if column.spec else "l" for column in table.columns) + "}")
    lines += [r"\toprule", " & ".join(_tex(column.head) for column in table.columns) + r" \\"]
    for heading, frame in table.parts:
        lines.append(r"\midrule")
        lines += [rf"\multicolumn{{{n}}}{{l}}{{\emph{{{_tex(heading)}}}}} \\"] if heading else []
        lines += [" & ".join(map(_tex, row)) + r" \\" for row in _cells(table, frame)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join([*lines, *(f"% {note}" for note in table.notes)]) + "\n"


def _cells(table: PaperTable, frame: pd.DataFrame) -> list[list[str]]:
    return [[_shown(row[column.key], column.spec) for column in table.columns] for row in frame.to_dict("records")]


def _shown(value: Any, spec: str) -> str:
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return ABSENT
    value = int(value) if spec == "d" else value  # a column with gaps holds its whole numbers as floats
    return format(value, spec).replace("-", "−") if spec and not isinstance(value, str) else str(value)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)

"""lamscope cost: what a sweep takes in time and disk, from seconds and bytes that were measured.

Nothing is assumed of devices that were not measured: a table made of one machine's results tells of workers like it.
"""

from __future__ import annotations

import heapq
import shlex
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from .report.benchmark import markdown_table
from .report.tables import write_text
from .report.terminal import terminal
from .store import cells, read_provenance, status
from .table import read_records
from .types import UserError

HELP = """\
lamscope cost RUNS… [TABLE.csv] [networks=24] [images=10000] [workers=1,8,64] [model=a,b] [out=FILE.md]

Hours and gigabytes of a sweep, from stored runs and, for seconds, tables of `lamscope run experiment=speed`. Workers
are like the one measured: to learn of GPUs, run a few images of every network on one, and name that run.
"""
DEFAULTS = {"networks": "", "images": "10000", "workers": "1,8,64", "model": "", "out": ""}
SHORT = "64×64"  # LR pixels of a speed table's rows that count: the paper's
NOTES = """\
An image has {windows}. A job a network: no worker helps another, so the slowest network is the least that it takes, and
jobs begin with the longest. Sharded: all workers are busy to the end (shard=k/n). Networks that were not measured are
taken to be like those that were. Starting a job (some seconds) and waiting in a queue come on top. Workers are like the
one measured: {device}, {threads}.{clock}"""


def main(arguments: list[str]) -> int:
    """The verb; returns the exit code."""
    sources = [word for word in arguments if "=" not in word]
    settings = DEFAULTS | dict(word.split("=", 1) for word in arguments if "=" in word)
    if unknown := sorted(settings.keys() - DEFAULTS.keys()):
        raise UserError(f"lamscope cost knows {', '.join(DEFAULTS)}, not '{unknown[0]}'.")
    measured = read([Path(source) for source in sources or ["results/runs"]])
    if names := [name for name in settings["model"].split(",") if name]:
        if missing := sorted(set(names) - set(measured["network"])):
            raise UserError(f"'{missing[0]}' was not measured; there are {', '.join(measured['network'])}.")
        measured = measured[measured["network"].isin(names)]
    images = _whole("images", settings["images"])
    networks = _whole("networks", settings["networks"] or str(len(measured)))
    workers = [_whole("workers", number) for number in settings["workers"].split(",")]
    text = _page(measured, networks, images, workers, shlex.join(["lamscope", "cost", *arguments]))
    terminal().print(text, markup=False, soft_wrap=True)
    if settings["out"]:
        write_text(Path(settings["out"]), f"# {text}\n")
    return 0


def _whole(name: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise UserError(f"{name} is a whole number from 1, not '{value}'.")
    return int(value)


def read(sources: Sequence[Path]) -> pd.DataFrame:
    """One row per network: network, seconds and bytes of an image (all its windows), windows, device, threads.

    Seconds of a speed table come first, and with the share of a run that is no network pass where it is known; bytes
    of a network without a stored cell are the mean of the others, NaN where there is none. Raises UserError for results
    that are missing or do not go together: of several devices, methods or LR sizes.
    """
    tables = [_speeds(source) for source in sources if source.suffix == ".csv"]
    runs = [source for source in sources if source.suffix != ".csv"]
    stored = _cells(runs) if runs else pd.DataFrame(columns=["network", "bytes", "lr"])
    if tables and runs and set(stored["lr"]) != {SHORT}:
        raise UserError(f"A speed table is of {SHORT} LR pixels; name runs of that size with it.")
    frame = pd.concat(tables).merge(stored[["network", "bytes"]], how="left", on="network") if tables else stored
    if frame.empty:
        raise UserError(f"There are no finished results in {', '.join(map(str, sources))}.")
    for name, what in (("device", "devices"), ("threads", "numbers of threads"), ("lr", "LR sizes")):
        if len(found := sorted(frame[name].astype(str).unique())) > 1:
            raise UserError(f"Seconds of different {what} do not add up ({', '.join(found[:4])}); name results of one.")
    if twice := list(frame["network"][frame["network"].duplicated()]):
        raise UserError(f"There are several results of {twice[0]}; name one file or folder of them.")
    frame["bytes"] = frame["bytes"].astype(float).fillna(stored["bytes"].astype(float).mean())
    return frame.sort_values("seconds", ascending=False, kind="stable", ignore_index=True)


def _speeds(file: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(file)
        table = table[table["lr"] == SHORT]
        seconds = table["lam_s"] / (1 - table["rest"].fillna(0.0))
        about = table[["network", "lr", "device", "threads"]]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{file} is no table of `lamscope run experiment=speed` ({error}).") from error
    return about.assign(seconds=seconds, windows=1, cpu_time=table["threads"] == 1)


def _cells(runs: Sequence[Path]) -> pd.DataFrame:
    rows = []
    for run in runs:
        if not run.exists():
            raise UserError(f"There are no results in {run}: no such folder.")
        for file in [run] if run.is_file() else cells(run):
            if status(file) != "complete":
                continue
            records, where = read_records(file), read_provenance(file)["environment"]
            first = records.iloc[0]
            row = {"network": first["model"], "digest": first["digest"], "lr": _sizes(records)}
            row |= {"device": where["device"], "threads": where["threads"], "bytes": file.stat().st_size}
            row |= {"seconds": records["seconds"].sum(), "windows": len(records)}
            rows.append(row | {"images": records["index"].nunique()})
    keys, sums = ["network", "digest", "lr", "device", "threads"], ["seconds", "windows", "bytes"]
    frame = pd.DataFrame(rows, columns=[*keys, *sums, "images"])
    frame = frame.groupby(keys, as_index=False, sort=False).sum()  # a cell may lie in several files, its shards
    for name in sums:
        frame[name] /= frame["images"]
    return frame.assign(cpu_time=False)


def _sizes(records: pd.DataFrame) -> str:
    sizes = sorted({f"{int(h)}×{int(w)}" for h, w in zip(records["lr_h"], records["lr_w"], strict=True)})
    return sizes[0] if len(sizes) == 1 else f"{sizes[0]} and others"


def spread(seconds: Sequence[float], networks: int) -> list[float]:
    """Seconds of so many networks with the distribution of those measured: themselves where there are as many."""
    ordered = sorted(seconds, reverse=True)
    return [ordered[int((i + 0.5) * len(ordered) / networks)] for i in range(networks)]


def span(jobs: Sequence[float], workers: int) -> float:
    """The time that jobs take on equal workers, the longest first, each to the worker that is free first."""
    free = [0.0] * workers
    for job in sorted(jobs, reverse=True):
        heapq.heapreplace(free, free[0] + job)
    return max(free)


def _page(measured: pd.DataFrame, networks: int, images: int, workers: Sequence[int], command: str) -> str:
    jobs = [images * seconds for seconds in spread(list(measured["seconds"]), networks)]
    size = networks * images * measured["bytes"].mean()
    rows = pd.DataFrame(
        {
            "network": measured["network"],
            "seconds_an_image": measured["seconds"].map(_short),
            "KB_an_image": (measured["bytes"] / 1e3).map(_short),
            f"hours_of_{images:,}": (measured["seconds"] * images / 3600).map(_short),
            f"GB_of_{images:,}": (measured["bytes"] * images / 1e9).map(_short),
        }
    )
    plan = pd.DataFrame(
        {
            "workers": list(workers),
            "hours,_a_job_a_network": [_short(span(jobs, n) / 3600) for n in workers],
            "hours,_sharded": [_short(sum(jobs) / n / 3600) for n in workers],
        }
    )
    first, windows = measured.iloc[0], measured["windows"].mean()
    about = {
        "windows": "one window" if windows == 1 else f"{windows:.3g} windows",
        "device": first["device"],
        "threads": "1 thread" if first["threads"] == 1 else f"{first['threads']} threads",
        "clock": " Seconds are CPU time." if measured["cpu_time"].all() else " Seconds are by the clock.",
    }
    source = f"{len(measured)} networks measured" if len(measured) > 1 else "one network measured"
    title = f"{networks} networks × {images:,} images of {first['lr']} LR pixels, from {source}"
    disk = "name a folder of runs too to learn of bytes" if pd.isna(size) else f"{_short(size / 1e9)} GB of HDF5"
    total = f"In all {_short(sum(jobs) / 3600)} hours of one worker; {disk}."
    tables = [markdown_table(frame) for frame in (plan, rows)]
    return "\n\n".join([title, f"`{command}`", tables[0], total, NOTES.format(**about), tables[1]])


def _short(number: float) -> str:
    """Three digits, and no exponent for what is large."""
    return "–" if pd.isna(number) else f"{number:,.0f}" if number >= 100 else f"{number:.3g}"

"""A progress bar on a terminal; a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
LOG_SECONDS = 30


def track(items: Iterable[T], total: int, done: int, label: str, mode: str = "auto") -> Iterator[T]:
    """Yield the items and show how far they are. total counts the `done` ones too. mode: auto | off."""
    if mode == "off":
        yield from items
    elif sys.stderr.isatty():
        yield from _bar(items, total, done, label)
    else:
        yield from _log(items, total, done, label)


def _bar(items: Iterable[T], total: int, done: int, label: str) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=total, completed=done)
        for item in items:
            yield item
            progress.advance(task)


def _log(items: Iterable[T], total: int, done: int, label: str) -> Iterator[T]:
    begin = last = time.monotonic()
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - last > LOG_SECONDS or done == total:
            print(f"{label}: {done}/{total} images, {now - begin:.0f} s", file=sys.stderr, flush=True)
            last = now

"""lamscope weights list | fetch | verify: official weights in the cache, by explicit command only."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .arguments import take_step
from .config import ModelConfig, compose, options, read_model
from .fetch import Report, cache_folder, cached, fetch
from .types import UserError

HELP = """\
lamscope weights [list] [machine.weights=FOLDER]            which weights are here, and where they come from
lamscope weights fetch NAME… [url=https://MIRROR/FILE]      get official files into the cache, checked by sha256
lamscope weights verify [NAME…] [machine.weights=FOLDER]    hold the files that are here against their sha256
lamscope weights ship RUN…                                  finished trainings (results/train/…) become the package's
"""
LOG_SECONDS = 15


def main(arguments: list[str]) -> int:
    """The verb; returns the exit code: 2 when a file is not what it should be."""
    return take_step("weights", STEPS, HELP, arguments)


def show(arguments: list[str]) -> int:
    """The table of all weights, and which of those that are not here can be fetched."""
    from .catalogue import print_weights

    print_weights(compose(arguments))
    print(f"\n`lamscope weights fetch NAME` gets one of these into {cache_folder()}: {', '.join(_fetchable())}.")
    print(
        "The other authors publish on pages that only a browser can use; `lamscope zoo format=csv` has the addresses."
    )
    return 0


def get(arguments: list[str]) -> int:
    """Fetch the official files of some networks, licence first. One that is here already and right is left alone."""
    names = [a for a in arguments if "=" not in a]
    settings = dict(a.split("=", 1) for a in arguments if "=" in a)
    if set(settings) - {"url"}:
        raise UserError(f"lamscope weights fetch knows url=https://…, not '{sorted(set(settings) - {'url'})[0]}'.")
    if not names or ("url" in settings and len(names) > 1):
        raise UserError(f"Name networks to fetch ({', '.join(_fetchable())}), one if there is a url.")
    for model in [read_model(name) for name in names]:
        _get(model, settings.get("url", model.checkpoint.url))
    return 0


def _get(model: ModelConfig, url: str | None) -> None:
    known = model.checkpoint
    place = cached(model)
    if known.shipped:
        print(f"{model.name}: ships with lamscope, there is nothing to fetch.")
        return
    if place is None or url is None or not known.sha256:
        lacking = "no sha256 to check it by" if place and url else "no address that can be fetched"
        page = known.page or model.code or "its authors' page"
        raise UserError(
            f"The weights of '{model.name}' have {lacking}: get {known.file or 'them'} from {page} and name the folder "
            "with machine.weights=FOLDER."
        )
    print(f"{model.name}: {known.file} from {url}")
    print(f"  licence: {known.licence or f'none stated; all rights are its authors’, see {known.page or model.code}'}")
    print(f"  trained on: {known.training_set or 'not stated'}; sha256: {known.sha256}", flush=True)
    if place.is_file() and _right(model, place):
        print(f"  is here already: {place}")
        return
    with _meter(known.file or model.name) as report:
        fetch(url, place, known.sha256, report=report)
    print(f"  sha256 is right: {place}")


def verify(arguments: list[str]) -> int:
    """One line for every official file that is here; 2 if one is not what its authors published."""
    from .weights import candidates
    from .zoo import weight_folders

    names = [a for a in arguments if "=" not in a]
    folders = weight_folders(compose([a for a in arguments if "=" in a]).machine.weights)
    wrong = 0
    for model in [read_model(name) for name in names or options("model")]:
        here = [path for path in candidates(model, folders) if path.is_file()]
        if not here and names:
            raise UserError(f"The weights of '{model.name}' are not here.")
        for path in here:
            right = _right(model, path)
            wrong += right is False
            said = {True: "right", False: "WRONG sha256", None: "no sha256 is published"}[right]
            print(f"{model.name}: {said}: {path}")
    return 2 if wrong else 0


def _right(model: ModelConfig, path: Path) -> bool | None:
    """Whether a file has the published sha256; None where none is published."""
    from .weights import sha256_of

    return sha256_of(path).startswith(model.checkpoint.sha256) if model.checkpoint.sha256 else None


def _fetchable() -> list[str]:
    models = [read_model(name) for name in options("model")]
    return [m.name for m in models if m.checkpoint.url and m.checkpoint.sha256 and not m.checkpoint.shipped]


@contextmanager
def _meter(label: str) -> Iterator[Report]:
    """A bar of bytes on a terminal; a line now and then in a log."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("  {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(label, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    last = [time.monotonic()]

    def line(done: int, total: int | None) -> None:
        if time.monotonic() - last[0] > LOG_SECONDS or done == total:
            print(f"  {label}: {done >> 10} of {(total or 0) >> 10 or '?'} KiB", file=sys.stderr, flush=True)
            last[0] = time.monotonic()

    yield line


def ship(arguments: list[str]) -> int:
    """Finished runs of `lamscope train` as float16 into models/weights and conf/model; see training/ship.py."""
    if not arguments or any("=" in a for a in arguments):
        raise UserError("Name finished runs: lamscope weights ship results/train/edsr_lite-lite-seed0 …")
    from .training.ship import ship as ship_runs

    for file in ship_runs([Path(a) for a in arguments]):
        print(f"{file.stem}: {file.stat().st_size / 1000:.0f} kB in {file.parent}")
    return 0


STEPS = {"list": show, "fetch": get, "verify": verify, "ship": ship}

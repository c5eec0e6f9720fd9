"""lamscope doctor: what this machine has and lacks, and whether what is stored can be trusted."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from .census import census
from .config import Config, compose
from .examine import Finding
from .types import UserError
from .version import __version__

HELP = """\
lamscope doctor [RUN …] [machine.weights=…] [machine.data=…] [results=…]: what is here, and what is wrong.

Without RUN: environment, devices, weights, test sets, and what is stored in <results>/runs. With files or folders of
results: those alone. Every checksum is read. Exit code 0: nothing is wrong; 2: something is, and what to do.
"""
SUPPORTED = ((3, 11), (3, 12))
LITTLE = 1 << 30  # bytes of a disk below which a run should not be begun
Lines = Iterator[Finding | str]


def main(arguments: list[str]) -> int:
    """The verb; returns 0 when nothing is wrong (notes are not), else 2."""
    runs = [Path(a) for a in arguments if "=" not in a]
    if options := [str(run) for run in runs if str(run).startswith("-")]:
        raise UserError(f"lamscope doctor takes files, folders and key=value, not '{options[0]}'.")
    if absent := [str(run) for run in runs if not run.exists()]:
        raise UserError(f"There are no results in {absent[0]}: no such file or folder.")
    config = compose([a for a in arguments if "=" in a])
    stored = Path(config.results) / "runs"
    chapters: list[tuple[str, Callable[[], Lines]]] = []
    if not runs:
        chapters = [
            ("environment", lambda: environment(Path(config.results))),
            ("devices", devices),
            ("weights", lambda: weights(config)),
            ("data", lambda: data(config)),
        ]
        runs = [stored] if stored.is_dir() else []
    chapters += [(f"stored in {run}", lambda run=run: store(run)) for run in runs]
    wrong = sum(_tell(title, lines()) for title, lines in chapters)
    print("nothing is wrong" if not wrong else f"{wrong} thing{'s' if wrong != 1 else ''} to mend")
    return 2 if wrong else 0


def _tell(title: str, lines: Lines) -> int:
    """Print a chapter; the number of things that are wrong."""
    print(title)
    wrong = 0
    for line in lines:
        if isinstance(line, str):
            print(f"  ok     {line}")
        else:
            wrong += line.wrong
            place = f"{line.place}: " if line.place else ""
            print(f"  {'WRONG' if line.wrong else 'note '}  {place}{line.what}\n           → {line.advice}")
    sys.stdout.flush()
    return wrong


def environment(results: Path) -> Lines:
    """Versions, and whether results can be written."""
    here = sys.version_info[:2]
    if here in SUPPORTED:
        yield f"lamscope {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    else:
        names = " or ".join(f"{a}.{b}" for a, b in SUPPORTED)
        yield Finding(f"Python {platform.python_version()}", "it is not supported", f"use Python {names}")
    yield from packages()
    folder = next(parent for parent in [results.absolute(), *results.absolute().parents] if parent.exists())
    free = shutil.disk_usage(folder).free
    if not os.access(folder, os.W_OK):
        yield Finding(str(folder), "results cannot be written there", "name another folder with results=FOLDER")
    elif free < LITTLE:
        yield Finding(
            str(folder),
            f"only {free / 2**20:.0f} MiB are free there",
            "make room, or name another folder with results=FOLDER; a run on a full disk stops and loses nothing",
        )
    else:
        yield f"results go to {results}, where {free / 2**30:.0f} GiB are free"
    if os.name != "posix":
        yield Finding("", "writing results needs file locks as Linux and macOS have them", "on Windows use WSL")


def packages() -> Lines:
    """What lamscope needs, by its own metadata."""
    try:
        needed = metadata.requires("lamscope") or []
    except metadata.PackageNotFoundError:
        yield Finding(
            "lamscope", "it runs from its sources and is not installed", "pip install -e . in its folder", wrong=False
        )
        return
    versions, lacking = {}, []
    for name in dict.fromkeys(re.split(r"[^\w.-]", one)[0] for one in needed if "extra ==" not in one):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            lacking.append(name)
    yield ", ".join(f"{name} {version}" for name, version in versions.items())
    for name in lacking:
        yield Finding(name, "it is not installed", f"pip install -c constraints.txt {name}")


def devices() -> Lines:
    """What computes, tried with one small convolution each. The only chapter, with weights, that needs torch."""
    try:
        import torch
    except Exception as error:  # a broken torch raises anything: ImportError, OSError for a missing library, …
        yield Finding("torch", f"it cannot be imported ({type(error).__name__}: {_line(error)})", "install it again")
        return
    memory = _memory()
    yield f"cpu: {os.cpu_count()} cores, {torch.get_num_threads()} threads{f', {memory:.0f} GiB' if memory else ''}"
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for name in ["cpu", *(f"cuda:{i}" for i in range(count))]:
        try:
            x = torch.ones(1, 3, 8, 8, device=name, requires_grad=True)
            torch.nn.functional.conv2d(x, torch.ones(3, 3, 3, 3, device=name)).sum().backward()
        except Exception as error:
            yield Finding(name, f"it cannot compute ({_line(error)})", "look at its driver, or use machine.device=cpu")
            continue
        if name != "cpu":
            free, total = torch.cuda.mem_get_info(name)
            yield f"{name}: {torch.cuda.get_device_name(name)}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    if not count:
        kind = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        built = f"torch {torch.__version__} was built {kind}"
        yield Finding("cuda", f"there is no GPU that can be used ({built})", "runs use the CPU", wrong=False)


def weights(config: Config) -> Lines:
    """Which networks can be loaded with their published weights."""
    try:
        from .catalogue import facts, models
        from .zoo import weight_folders
    except Exception as error:  # as above: it needs torch
        yield Finding("weights", f"they cannot be looked at ({_line(error)})", "mend torch first")
        return
    folders = weight_folders(config.machine.weights)
    for folder in folders:
        if not Path(folder).expanduser().is_dir():
            yield Finding(
                str(folder), "there is no such folder", "machine.weights=FOLDER names one with official files"
            )
    here = facts(models(), folders).groupby("weights_here")["name"].agg(list)
    for state, what in (("shipped", "ship with lamscope"), ("yes", "are here")):
        if state in here.index:
            yield f"{len(here[state])} {what}: {', '.join(here[state])}"
    for name in here.get("wrong sha256", []):
        yield Finding(
            name,
            "its file is not the one that its authors published",
            "`lamscope weights verify` says which; fetch it again",
        )
    if absent := here.get("no", []):
        yield Finding(
            "",
            f"{len(absent)} networks have no weights here",
            "`lamscope weights` says where they come from; name a folder that has some with machine.weights=FOLDER",
            wrong=False,
        )


def data(config: Config) -> Lines:
    """Which published test sets are here, and whether they are whole."""
    from .datasets import look_for
    from .standard import folder_list

    yield "shipped: 12 images inside scikit-image"
    roots, absent = folder_list(config.machine.data), []
    for name, known, folder, wrong in look_for(roots):
        if folder is None:
            absent.append(name)
        elif wrong:
            yield Finding(
                str(folder),
                wrong.removesuffix("."),
                f"get the set again: `lamscope data` says where; or look with `lamscope data verify {name}`",
            )
        else:
            yield f"{name}: {known.count} images in {folder}"
    if absent:
        yield Finding(
            "",
            f"not here: {', '.join(absent)}",
            "`lamscope data` says where to get them; machine.data=FOLDER names the folder in which they lie",
            wrong=False,
        )


def store(run: Path) -> Lines:
    """Every cell below a folder, or one file. Needs no torch."""
    found = census(run)
    yield from found.findings
    if found.cells and not any(finding.wrong for finding in found.findings):
        yield f"{found.cells} cells, {found.images} images, {found.bytes / 2**20:.1f} MiB: every checksum was read"
    elif not found.cells and not found.findings:
        yield Finding(str(run), "there is nothing stored", "`lamscope run` stores results there", wrong=False)


def _memory() -> float | None:
    """GiB of the machine, where the system says."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError, AttributeError):
        return None


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:160]

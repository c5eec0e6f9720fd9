"""The command line: verbs, one line for a user's mistake, and an exit code.

Exit codes: 0 all done, 1 something failed unexpectedly, 2 a mistake the user can mend or a check that found one, 130,
143 and 129 stopped by Ctrl-C, SIGTERM and a closed terminal. Of a sweep with failures: 1 if one was unexpected, else 2.
A network that fits a pattern (glob) and has no weights anywhere is left out, told, and no failure.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .arguments import own_settings
from .interruption import Stopped, orderly
from .sweep import complain, sweep, told
from .types import UserError

HELP = """\
lamscope: which input pixels does a super-resolution network really use?

  lamscope run [key=value …]      attribution maps, diffusion indices, a ranking and figures; -m sweeps
  lamscope report RUNS [out=DIR]  tables, figures and a page to look around in, of stored runs
  lamscope compare [key=value …]  a network of yours among stored ones: rank, differences, figure; reference=FILE
  lamscope view [key=value …]     a local page: click a window, watch networks look (port=8765)
  lamscope train [key=value …]    train a network of the zoo through BasicSR; `train prepare|pack|unpack`
  lamscope weights [key=value …]  which weights are here, and where they come from; `weights fetch` gets official ones
  lamscope data [key=value …]     which test sets are here, and where to get the others; `data verify` checks one
                                  `data select` cuts a hard test set from images, `data rebuild` makes it again
  lamscope doctor [RUN …]         this machine, and whether what is stored is whole; what to do about what is not
  lamscope rerun FILE             a stored result computed again from its file alone, and compared
  lamscope zoo [key=value …]      the collection: facts, cost, receptive fields; format=csv|md|json, measure=true
  lamscope cost RUNS [key=value]  what a sweep will take, in hours and gigabytes, on so many workers like this one
  lamscope options GROUP          what can be chosen: model, dataset, attribution, experiment, train, figure, machine

Examples
  lamscope run experiment=quickstart
  lamscope run model=edsr_lite dataset=folder dataset.path=my/images
  lamscope -m model=imdn,rfdn machine.weights=my/weights dataset=folder dataset.path=my/images
  lamscope -m model=imdn,rfdn machine.weights=my/weights hydra/launcher=joblib   (or submitit_slurm, ray)

`lamscope key=value` is `lamscope run key=value`. `lamscope run --help` lists every setting.
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    warnings.showwarning = lambda message, *_, **__: complain(f"warning: {message}")
    try:
        with orderly():
            return _dispatch(arguments)
    except BrokenPipeError:  # the reader of our output left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except UserError as error:
        complain(str(error))
        return 2
    except OSError as error:
        complain(f"{error.filename or 'A file'} cannot be used: {error.strerror or error}.")
        return 2
    except KeyboardInterrupt as stop:
        word, code = (stop.word, stop.exit_code) if isinstance(stop, Stopped) else ("interrupted", 130)
        complain(f"{word}; what was finished is kept, and the same command continues where it stopped.")
        return code


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    verb = arguments[0]
    if verb == "--version":
        from .version import __version__

        print(__version__)
        return 0
    if verb in VERBS:
        use = inspect.getdoc(VERBS[verb]) if verb not in ("run", "train") else None  # those two are Hydra's
        if use and arguments[1:] in (["-h"], ["--help"]):
            print(use)
            return 0
        return VERBS[verb](arguments[1:])
    if "=" in verb or verb.startswith("-"):
        return run(arguments)
    from .config import suggest

    raise UserError(f"Unknown command '{verb}'.{suggest(verb, list(VERBS))} `lamscope --help` lists them.")


def run(arguments: list[str]) -> int:
    """lamscope run: one cell, or a sweep with -m; then the table and the figures."""
    jobs = sweep(arguments, _measure)
    with told(jobs, ["run"], arguments):
        if jobs.results:
            _task(jobs.config, "conclude")(jobs.config, jobs.results)
    return jobs.exit_code


def _measure(config: Any) -> Any:
    return _task(config, "measure")(config)


def _task(config: Any, step: str) -> Callable[..., Any]:
    """conf's `task` names the module that measures one job and concludes over all of them."""
    return getattr(importlib.import_module(f".{config.task}", __package__), step)


def train(arguments: list[str]) -> int:
    """lamscope train: one network through BasicSR's pipeline, resumed where it stopped; and its errands."""
    if arguments and arguments[0] in ("prepare", "pack", "unpack"):
        from .training.errands import main as errand

        return errand(arguments)
    jobs = sweep(arguments, _train)
    with told(jobs, ["train"], arguments):
        return jobs.exit_code


def _train(config: Any) -> Any:
    from .training import train as train_one

    return train_one(config)


def report(arguments: list[str]) -> int:
    """lamscope report RUNS… [out=DIR] [figures=a,b] [colours=safe] [page=no]: tables, figures and the page of runs."""
    from .config import options
    from .report import report as make_report

    runs = [Path(a) for a in arguments if "=" not in a] or [Path("results/runs")]
    settings = dict(a.split("=", 1) for a in arguments if "=" in a)
    unknown = set(settings) - {"out", "figures", "colours", "page"}
    if unknown:
        known = "out=DIR, figures=a,b, colours=seismic|safe and page=yes|no"
        raise UserError(f"lamscope report knows {known}, not '{sorted(unknown)[0]}'.")
    figures = [f for f in settings.get("figures", ",".join(options("figure"))).split(",") if f]
    out, page, colours = (settings.get(k) for k in ("out", "page", "colours"))
    for key, value, choices in (("page", page, ("yes", "no")), ("colours", colours, ("seismic", "safe"))):
        if value not in (None, *choices):
            raise UserError(f"{key} is {' or '.join(choices)}, not '{value}'.")
    make_report(runs, Path(out or "results/report"), figures, page=page != "no", colours=colours)
    return 0


def compare(arguments: list[str]) -> int:
    """lamscope compare [--config-dir DIR] model=NAME [key=value …] [reference=NAME|FILE]: a new one among stored ones.

    Runs it as the reference's networks were (12 images of dataset=shipped, attribution=lam; reference=urban256: 60 hard
    crops, see results/README.md). `lamscope compare store RUNS… reference=FILE` makes a reference of runs of yours.
    """
    from . import compare as task

    own, others = own_settings(arguments, {"reference"})
    if others[:1] == ["store"]:
        return task.make_reference(others[1:], own.get("reference"))
    reference = task.reference_of(own.get("reference"))
    jobs = sweep(others, partial(task.measure, reference=reference))
    with told(jobs, ["compare", *(f"{key}={value}" for key, value in own.items())], others):
        task.conclude(jobs.config, jobs.results, reference)
    return jobs.exit_code


def view(arguments: list[str]) -> int:
    """lamscope view [key=value …] [host=127.0.0.1] [port=8765] [browser=no]: the live view."""
    from .config import compose

    own = {"host": "127.0.0.1", "port": "8765", "browser": "yes"}
    own |= dict(a.split("=", 1) for a in arguments if a.split("=", 1)[0] in own and "=" in a)
    if not own["port"].isdecimal() or int(own["port"]) > 65535:
        raise UserError(f"port is a number up to 65535, not '{own['port']}'.")
    config = compose([a for a in arguments if a.split("=", 1)[0] not in own])
    try:
        from .view.server import serve
    except ModuleNotFoundError as error:
        raise UserError(f"The live view needs {error.name}: pip install 'lamscope[view]'.") from error
    serve(config, own["host"], int(own["port"]), own["browser"] == "yes")
    return 0


def zoo(arguments: list[str]) -> int:
    """lamscope zoo [--config-dir DIR] [model=a,b] [format=csv|md|json] [measure=true] [redo=KIND]: a table of networks.

    Facts, multiply-adds, activations and the receptive field by the paper's rule are there in seconds. measure=true
    adds what takes longer, network by network, each in a process of its own: memory, seconds of a forward pass, of the
    gradient and of LAM on this device, and the support of a pixel. Kept in results/zoo, so that a stopped measurement
    goes on; redo=memory, passes, lam or support makes one again. `--format md` and `--measure` mean the same. With
    --config-dir the networks of that folder come after the collection's, or are those that model= names.
    """
    from .config import compose

    own, others = own_settings(arguments, {"format", "model", "measure", "redo", "config-dir"})
    if own.get("measure", "false") not in ("true", "false"):
        raise UserError(f"measure is true or false, not '{own['measure']}'.")
    if own.get("format", "csv") not in ("csv", "md", "json"):
        raise UserError(f"A table has the format csv, md or json, not '{own['format']}'.")
    config = compose(others)
    from .catalogue import catalogue, models
    from .report.zoo import show

    sys.path.append(os.getcwd())  # the code of a user's own network lies here; last, so that it hides nothing
    chosen = models(own.get("model"), own.get("config-dir"))
    frame = catalogue(config, chosen, own.get("measure") == "true", own.get("redo"))
    show(frame, own.get("format"))
    return 0


def list_options(arguments: list[str]) -> int:
    """lamscope options GROUP"""
    from .config import options

    if len(arguments) != 1:
        raise UserError("Name one group: lamscope options model.")
    print("\n".join(options(arguments[0])))
    return 0


def _of(module: str) -> Callable[[list[str]], int]:
    """A verb that a module of its own does, and tells the use of."""

    def verb(arguments: list[str]) -> int:
        home = importlib.import_module(f".{module}", __package__)
        if arguments in (["-h"], ["--help"]):
            print(home.HELP, end="")
            return 0
        return home.main(arguments)

    return verb


VERBS: dict[str, Callable[[list[str]], int]] = {
    "run": run,
    "report": report,
    "compare": compare,
    "view": view,
    "train": train,
    "weights": _of("cache"),
    "data": _of("datasets"),
    "zoo": zoo,
    "doctor": _of("doctor"),
    "rerun": _of("rerun"),
    "cost": _of("costs"),
    "options": list_options,
}

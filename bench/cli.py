"""The command line: verbs, one line for a user's mistake, and an exit code.

Exit codes: 0 all done, 1 something failed unexpectedly, 2 a mistake the user can mend, 130 interrupted.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from .types import UserError

HELP = """\
lamscope: which input pixels does a super-resolution network really use?

  lamscope run [key=value …]      attribution maps, diffusion indices, a ranking and figures; -m sweeps
  lamscope report RUNS [out=DIR]  tables, figures and a page to look around in, of stored runs
  lamscope compare [key=value …]  a network of yours among stored ones: rank, differences, figure; reference=FILE
  lamscope view [key=value …]     a local page: click a window, watch networks look (port=8765)
  lamscope train [key=value …]    train a network of the zoo through BasicSR
  lamscope weights [key=value …]  which weights are here, and where they come from; `weights fetch` gets official ones
  lamscope data [key=value …]     which test sets are here, and where to get the others; `data verify` checks one
                                  `data select` cuts a hard test set from images, `data rebuild` makes it again
  lamscope zoo [key=value …]      the collection: facts, cost, receptive fields; format=csv|md|json, measure=true
  lamscope cost RUNS [key=value]  what a sweep will take in hours and gigabytes, on 1, 8 or 64 workers like this one
  lamscope options GROUP          what can be chosen: model, dataset, attribution, experiment, train, figure, machine

Examples
  lamscope run experiment=quickstart
  lamscope run model=edsr_lite dataset=folder dataset.path=my/images
  lamscope -m model=imdn,rfdn machine.weights=my/weights dataset=folder dataset.path=my/images
  lamscope -m model=imdn,rfdn machine.weights=my/weights hydra/launcher=joblib   (or submitit_slurm, ray)

`lamscope key=value` is `lamscope run key=value`. `lamscope run --help` lists every setting.
"""


@dataclass
class Job:
    """What the jobs of one command left behind."""

    config: Any = None
    results: list[Any] = field(default_factory=list)
    mistakes: int = 0
    failures: int = 0

    def take(self, settings: Sequence[str], config: Any, outcome: Any) -> None:
        """Keep what came of a job, or report it."""
        self.config = config or self.config
        if outcome.ok:
            self.results.append(outcome.result)
        elif outcome.mistake is not None:
            self.mistakes += 1
            complain(outcome.mistake)
        else:
            self.failures += 1
            print(outcome.trace, end="", file=sys.stderr)
            complain(f"this job failed: {outcome.failure}")

    @property
    def exit_code(self) -> int:
        return 1 if self.failures else 2 if self.mistakes else 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    warnings.showwarning = lambda message, *_, **__: complain(f"warning: {message}")
    try:
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
    except KeyboardInterrupt:
        complain("interrupted; the same command continues where it stopped.")
        return 130


def complain(message: str) -> None:
    """One line on standard error."""
    print(f"lamscope: {' '.join(message.split())}", file=sys.stderr, flush=True)


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
        if verb not in ("run", "train") and arguments[1:] in (["-h"], ["--help"]):  # those two are Hydra's
            print(inspect.getdoc(VERBS[verb]))
            return 0
        return VERBS[verb](arguments[1:])
    if "=" in verb or verb.startswith("-"):
        return run(arguments)
    from .config import suggest

    raise UserError(f"Unknown command '{verb}'.{suggest(verb, list(VERBS))} `lamscope --help` lists them.")


def run(arguments: list[str]) -> int:
    """lamscope run: one cell, or a sweep with -m; then the table and the figures."""
    job = _hydra(arguments, _measure)
    if job.results:
        _task(job.config, "conclude")(job.config, job.results)
    return job.exit_code


def _measure(config: Any) -> Any:
    return _task(config, "measure")(config)


def _task(config: Any, step: str) -> Callable[..., Any]:
    """conf's `task` names the module that measures one job and concludes over all of them."""
    return getattr(importlib.import_module(f".{config.task}", __package__), step)


def train(arguments: list[str]) -> int:
    """lamscope train: one network through BasicSR's pipeline, resumed where it stopped."""
    return _hydra(arguments, _train).exit_code


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
    """lamscope compare [--config-dir DIR] model=NAME [key=value …] [reference=FILE]: a new network among stored ones.

    Runs it as the reference's networks were run (those that ship: 12 images of dataset=shipped, attribution=lam) and
    says where it lands. `lamscope compare store RUNS… reference=FILE` makes a reference of runs of your own.
    """
    from . import compare as task

    own, others = _own_settings(arguments, {"reference"})
    if others[:1] == ["store"]:
        return task.make_reference(others[1:], own.get("reference"))
    reference = task.reference_of(own.get("reference"))
    job = _hydra(others, partial(task.measure, reference=reference))
    task.conclude(job.config, job.results, reference)
    return job.exit_code


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


def weights(arguments: list[str]) -> int:
    """lamscope weights [list|fetch|verify] …: which weights are here, where they come from, and getting them."""
    from .cache import main as weights_main

    return weights_main(arguments)


def data(arguments: list[str]) -> int:
    """lamscope data [list|verify|select|rebuild] …: test sets on this machine; `lamscope data help` says more."""
    from .datasets import main as data_main

    return data_main(arguments)


def zoo(arguments: list[str]) -> int:
    """lamscope zoo [format=csv|md|json] [model=a,b] [measure=true] [redo=KIND] [machine.…=…]: the collection's table.

    Facts, multiply-adds, activations and the receptive field by the paper's rule are there in seconds. measure=true
    adds what takes longer, network by network, each in a process of its own: memory, seconds of a forward pass, of the
    gradient and of LAM on this device, and the support of a pixel. Kept in results/zoo, so that a stopped measurement
    goes on; redo=memory, passes, lam or support makes one again. `--format md` and `--measure` mean the same.
    """
    from .config import compose

    own, others = _own_settings(arguments, {"format", "model", "measure", "redo"})
    if own.get("measure", "false") not in ("true", "false"):
        raise UserError(f"measure is true or false, not '{own['measure']}'.")
    if own.get("format", "csv") not in ("csv", "md", "json"):
        raise UserError(f"A table has the format csv, md or json, not '{own['format']}'.")
    config = compose(others)
    from .catalogue import catalogue, names
    from .report.zoo import show

    frame = catalogue(config, names(own.get("model")), own.get("measure") == "true", own.get("redo"))
    show(frame, own.get("format"))
    return 0


def _own_settings(arguments: list[str], known: set[str]) -> tuple[dict[str, str], list[str]]:
    """A verb's own settings (`format=md`, `--format md`, `--format=md`, a bare `--measure` is true), and the others."""
    own: dict[str, str] = {}
    others: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if name not in known:
            others.append(word)
        elif equals or not word.startswith("--"):
            own[name] = value
        else:
            own[name] = rest.pop(0) if rest and "=" not in rest[0] and not rest[0].startswith("--") else "true"
    return own, others


def cost(arguments: list[str]) -> int:
    """lamscope cost RUNS… [TABLE.csv] [networks=24] [images=10000] [workers=1,8,64] [model=a,b] [out=FILE.md]

    Hours and gigabytes of a sweep, from stored runs and, for seconds, tables of `lamscope run experiment=speed`.
    """
    from .costs import main as cost_main

    return cost_main(arguments)


def list_options(arguments: list[str]) -> int:
    """lamscope options GROUP"""
    from .config import options

    if len(arguments) != 1:
        raise UserError("Name one group: lamscope options model.")
    print("\n".join(options(arguments[0])))
    return 0


VERBS: dict[str, Callable[[list[str]], int]] = {
    "run": run,
    "report": report,
    "compare": compare,
    "view": view,
    "train": train,
    "weights": weights,
    "data": data,
    "zoo": zoo,
    "cost": cost,
    "options": list_options,
}


def _hydra(arguments: list[str], task: Callable[[Any], Any]) -> Job:
    """Compose each job's configuration and do its task. A job that fails is reported and counted; the others go on."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from .config import explain, register_schema, to_config
    from .launch import plugin
    from .launch.work import attempt

    job = Job()

    def one(node: Any) -> None:
        configs: list[Any] = []

        def work() -> Any:
            plugin.require_sweep()
            configs.append(to_config(node))
            return task(configs[0])

        outcome = attempt(work)
        job.take(HydraConfig.get().overrides.task, configs[0] if configs else None, outcome)

    register_schema()
    plugin.register(task, job.take)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing and leaving, so that one line is enough
    sys.path.append(os.getcwd())  # a user's own network lies here; last, so that it hides nothing
    before = sys.argv
    sys.argv = ["lamscope", *arguments]
    try:
        hydra.main(version_base="1.3", config_path="pkg://lamscope.conf", config_name="config")(one)()
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error)) from error
    finally:
        sys.argv = before
    return job

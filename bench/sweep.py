"""Hydra at work: the jobs that a command's arguments stand for, done one by one or by a launcher."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .arguments import flags_and_settings
from .jobs import Jobs
from .printable import printable
from .types import UserError


def complain(message: str) -> None:
    """One line on standard error."""
    print(f"lamscope: {printable(' '.join(message.split()))}", file=sys.stderr, flush=True)


@contextmanager
def told(jobs: Jobs, verb: list[str], arguments: list[str]) -> Iterator[None]:
    """Whatever becomes of the conclusion, the last lines say which jobs failed, why, and how to run just those."""
    try:
        yield
    finally:
        for line in jobs.summary(verb, arguments):
            print(line, file=sys.stderr, flush=True)


def sweep(arguments: list[str], task: Callable[[Any], Any]) -> Jobs:
    """Compose each job's configuration and do its task. A job that fails is reported and counted; the others go on."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from .config import explain, register_schema, to_config
    from .launch import plugin
    from .launch.work import Outcome, attempt

    flags, settings = flags_and_settings(arguments)
    jobs = Jobs(pattern=any(one.startswith("model=") and "glob(" in one for one in settings))

    def finish(settings: Sequence[str], config: Any, outcome: Outcome) -> None:
        failure = jobs.take(settings, config, outcome)
        if failure is not None:
            print(outcome.trace, end="", file=sys.stderr)
            complain(failure.reason if failure.mistake else f"this job failed: {failure.reason}")

    def one(node: Any) -> None:
        configs: list[Any] = []

        def work() -> Any:
            plugin.require_sweep()
            configs.append(to_config(node))
            return task(configs[0])

        outcome = attempt(work)
        finish(HydraConfig.get().overrides.task, configs[0] if configs else None, outcome)
        gc.collect()  # the next network finds the memory of this one free, even after running out of it

    register_schema()
    plugin.register(task, finish)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of printing and leaving, so that one line is enough
    sys.path.append(os.getcwd())  # a user's own network lies here; last, so that it hides nothing
    before = sys.argv
    sys.argv = ["lamscope", *flags, *settings]  # Hydra wants them in this order
    try:
        hydra.main(version_base="1.3", config_path="pkg://lamscope.conf", config_name="config")(one)()
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error)) from error
    finally:
        sys.argv = before
    return jobs

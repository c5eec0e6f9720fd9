"""One job, done in this process or in another, and what came of it."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..config import Config, mistake_of
from ..types import NotTrained


@dataclass(frozen=True)
class Outcome:
    """A result; or a mistake that the user can mend, one sentence; or a failure, with a traceback or a log's end.

    untrained: the mistake is to ask for a network that nobody has trained.
    """

    result: Any = None
    mistake: str | None = None
    failure: str | None = None
    trace: str = ""
    untrained: bool = False

    @property
    def ok(self) -> bool:
        return self.mistake is None and self.failure is None


def attempt(work: Callable[[], Any]) -> Outcome:
    """work() as an outcome. Only what stops a whole command (Ctrl-C, SystemExit) passes through."""
    try:
        return Outcome(work())
    except Exception as error:
        if (mistake := mistake_of(error)) is not None:
            return Outcome(mistake=mistake, untrained=isinstance(error, NotTrained))
        return Outcome(failure=f"{type(error).__name__}: {error}", trace=traceback.format_exc())


@dataclass(frozen=True)
class Work:
    """What a worker is given. task: a function that pickle finds by name. folder: where the command was given."""

    config: Config
    task: Callable[[Config], Any]
    folder: str

    def __call__(self) -> Outcome:
        """Do it in a process that is a worker's: it changes folder, so that relative paths mean what they meant."""
        warnings.showwarning = lambda message, *_, **__: print(f"lamscope: warning: {message}", file=sys.stderr)

        def there() -> Any:
            os.chdir(self.folder)
            sys.path.append(self.folder)  # a user's own network lies here; last, so that it hides nothing
            return self.task(self.config)

        return attempt(there)

    def with_threads(self, n: int | None) -> Work:
        """The same with n CPU threads, unless machine.threads or OMP_NUM_THREADS says how many; None: as they are."""
        if n is None or self.config.machine.threads is not None or "OMP_NUM_THREADS" in os.environ:
            return self
        return replace(self, config=replace(self.config, machine=replace(self.config.machine, threads=n)))

    def checkpoint(self) -> Any:
        """For submitit, shortly before a time limit: the same again. What is stored is not computed twice.

        submitit then calls `scontrol requeue`, and SLURM ends all processes of the job, that one too: it inherits that
        SIGTERM is ignored, else its death would count as an error of the job.
        """
        from submitit.helpers import DelayedSubmission

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return DelayedSubmission(self)

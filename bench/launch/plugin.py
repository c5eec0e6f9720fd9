"""The launcher that Hydra sees: it composes the jobs of a sweep, and an engine does them.

Hydra's own plugins for these engines give up a whole sweep when one worker is lost, and that for Ray pins an old
cloudpickle and brings boto3. So conf/hydra/launcher names this one, over the engines themselves.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, run_job
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from ..config import to_config
from ..types import UserError
from . import batch, machine, raycluster
from .work import Outcome, Work, attempt

ENGINES: dict[str, Callable[..., Iterator[tuple[int, Outcome]]]] = {
    "joblib": machine.run,
    "submitit": batch.run,
    "ray": raycluster.run,
}
PACKAGE = "hydra_plugins.lamscope"  # Hydra takes launchers from hydra_plugins only; `register` puts ours there
Finish = Callable[[Sequence[str], Any, Outcome], None]


class Engine(Launcher):
    """engine: one of ENGINES. settings: its own, as in conf/hydra/launcher."""

    __module__ = PACKAGE
    task: Callable[[Any], Any]
    finish: Finish

    def __init__(self, engine: str, **settings: Any) -> None:
        if engine not in ENGINES:
            raise UserError(f"hydra.launcher.engine is one of {', '.join(ENGINES)}, not '{engine}'.")
        self._run = ENGINES[engine]
        self._settings = {
            key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for key, value in settings.items()
        }

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._context = hydra_context
        self._config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Do all jobs. What fails is told at once; results are handed on in the order of the jobs."""
        jobs = [self._compose(overrides, initial_job_idx + i) for i, overrides in enumerate(job_overrides)]
        composed: list[Outcome] = [job.return_value for job in jobs]
        good = [i for i, outcome in enumerate(composed) if outcome.ok]
        works = [Work(composed[i].result, type(self).task, os.getcwd()) for i in good]
        done: dict[int, Outcome] = {i: outcome for i, outcome in enumerate(composed) if not outcome.ok}
        for i in done:
            self._finish(jobs[i], None, done[i])
        for number, outcome in self._run(works, **self._settings) if works else ():
            done[good[number]] = outcome
            if not outcome.ok:
                self._finish(jobs[good[number]], works[number].config, outcome)
        for i, work in zip(good, works, strict=True):
            if done[i].ok:
                self._finish(jobs[i], work.config, done[i])
        return jobs

    def _finish(self, job: JobReturn, config: Any, outcome: Outcome) -> None:
        type(self).finish(tuple(job.overrides or ()), config, outcome)

    def _compose(self, overrides: Sequence[str], number: int) -> JobReturn:
        """One job's configuration, as an outcome."""
        config = self._context.config_loader.load_sweep_config(self._config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return run_job(
            hydra_context=self._context,
            task_function=lambda node: attempt(lambda: to_config(node)),
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )


def register(task: Callable[[Any], Any], finish: Finish) -> None:
    """Make the launcher known to Hydra, and what it is for in this command.

    task: a function of a Config that pickle finds by name, so that it can be called in another process. finish: takes
    a job's overrides, its configuration (None where it has none) and its outcome.
    """
    Engine.task, Engine.finish = staticmethod(task), staticmethod(finish)
    plugins = Plugins.instance()  # looks through hydra_plugins, which is there only where some plugin is installed
    sys.modules.setdefault(PACKAGE.partition(".")[0], ModuleType(PACKAGE.partition(".")[0]))
    sys.modules[PACKAGE] = sys.modules[__name__]
    plugins.register(Engine)


def require_sweep() -> None:
    """Raise UserError in a job that was to be launched elsewhere but is a single run, which Hydra always does here."""
    hydra = HydraConfig.get()
    name = hydra.runtime.choices.get("hydra/launcher")
    if hydra.mode == RunMode.RUN and name not in (None, "basic"):
        raise UserError(f"hydra/launcher={name} is for sweeps; add -m, also for a single job.")

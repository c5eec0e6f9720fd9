"""hydra/launcher=submitit_slurm and submitit_local: jobs through submitit, on a SLURM cluster or tried out here."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..types import UserError
from .machine import visible_gpus
from .needed import needed
from .work import Outcome, Work

SHARED = ("name", "timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node")
POLL = 1.0  # seconds between two looks; submitit asks SLURM itself far less often


def run(
    works: Sequence[Work], cluster: str, folder: str, workers: int | None = None, **settings: Any
) -> Iterator[tuple[int, Outcome]]:
    """Outcomes as they come, each with the number of its job.

    cluster: slurm (one array job of all) or local. folder: for batch scripts, logs, jobs and their results; on a
    cluster all nodes must see it. workers: jobs at once, for local. settings: submitit's, None where it shall decide.
    """
    submitit = needed("submitit", "slurm")
    logging.getLogger("submitit").setLevel(logging.ERROR)  # what fails is told at the end
    given = {key: value for key, value in settings.items() if value is not None}
    retries = {f"{cluster}_max_num_timeout": given.pop("max_num_timeout", 0)}
    if cluster == "local" and (gpus := [int(gpu) for gpu in visible_gpus() if gpu.isdecimal()]):
        given |= {"gpus_per_node": len(gpus), "visible_gpus": gpus}  # submitit would hide them
    try:
        executor = submitit.AutoExecutor(folder=Path(folder).absolute(), cluster=cluster, **retries)
        named = {key if key in SHARED else f"{cluster}_{key}": value for key, value in given.items()}
        executor.update_parameters(**named)
    except (RuntimeError, ValueError, TypeError, NameError) as error:
        raise UserError(f"submitit refuses: {' '.join(str(error).split())[:300]}") from error
    todo = [(i, work.with_threads(given.get("cpus_per_task"))) for i, work in enumerate(works)]
    running: dict[int, Any] = {}
    width = len(todo) if cluster == "slurm" else workers or 1
    while todo or running:
        if starting := todo[: width - len(running)]:
            todo = todo[len(starting) :]
            running |= zip([i for i, _ in starting], _submit(executor, [work for _, work in starting]), strict=True)
            _tell(cluster, len(starting), running[starting[0][0]], folder)
        for number in [number for number, job in running.items() if job.done()]:
            yield number, _outcome(running.pop(number))
        time.sleep(POLL)


def _submit(executor: Any, works: list[Work]) -> list[Any]:
    """The jobs; several on SLURM are one array."""
    try:
        with executor.batch():
            jobs = [executor.submit(work) for work in works]
    except RuntimeError as error:  # submitit's errors are; the message is sbatch's
        raise UserError(f"The jobs were not submitted: {' '.join(str(error).split())[:300]}") from error
    return jobs


def _tell(cluster: str, n: int, job: Any, folder: str) -> None:
    if cluster == "slurm":
        name = job.job_id.partition("_")[0]
        line = f"submitted {n} jobs to SLURM as {name}; logs in {folder}; squeue -j {name}, scancel {name}"
        print(f"lamscope: {line}", file=sys.stderr, flush=True)


def _outcome(job: Any) -> Outcome:
    """What a finished job left: an outcome, or, where its process was lost, its state and where its log is."""
    try:
        return job.result()
    except Exception as error:  # submitit's own, and whatever unpickling meets
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        return Outcome(
            failure=f"job {job.job_id} was lost ({job.state}); see {job.paths.stderr}", trace="\n".join(lines)
        )
